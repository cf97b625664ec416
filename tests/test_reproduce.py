"""The figures and tables of the talks."""

import base64
import re

import numpy as np
import pytest

import deepglass as dg

pytestmark = pytest.mark.same_bits

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
reproduce = pytest.importorskip("deepglass.reproduce")

from deepglass.reproduce.systems import SYSTEMS, TALKS  # noqa: E402


def test_unknown_names_are_refused(tmp_path):
    known = ", ".join(map(repr, reproduce.names()))
    assert "'parisi', 'perceptron'" in known
    with pytest.raises(ValueError, match=f"name must be one of {known}, got 'drying'"):
        reproduce.run("drying", output=tmp_path)


@pytest.mark.slow
def test_wetting(tmp_path):
    written = reproduce.run("wetting", output=tmp_path, quick=True)
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".json", ".txt"}
    on_the_page = {name for system in SYSTEMS for name in system.shown}
    assert {f"wetting/{path.stem}" for path in written if path.suffix == ".png"} <= on_the_page
    table = (tmp_path / "wetting" / "table.txt").read_text("utf-8")
    assert re.search(r"alpha_g\(1\) +2\.03 +2\.4674 +\+0\.4374", table)
    assert re.search(r"r > 0\.062 +8 +8 +\+0", table)
    assert len(re.findall(r"constant .* not a law .*: yes", table)) == 2
    assert len(re.findall(r"no limit .* finite .*: yes", table)) == 2
    teacher = dg.load(tmp_path / "wetting" / "teacher.nc")
    assert float(teacher.free_entropy.sel(load=714.0)) == pytest.approx(-0.381305450, abs=1e-7)
    loads = dg.load(tmp_path / "wetting" / "wetting_loads.nc")
    # alpha_g(l) bends over: the load without liquid stays below its limit at infinite depth
    growth = np.diff(np.log(loads.wetting_load), axis=1)
    assert (np.diff(growth, axis=1) < 0).all()
    assert (loads.wetting_load < loads.wetting_load_limit).all()
    np.testing.assert_allclose(loads.wetting_load_limit, [41932.5137, 1046.7742], rtol=1e-6)


def test_page_shows_what_the_folder_holds(tmp_path):
    """A row for each system; what is not there says so; pictures and numbers of what is there, once each."""
    empty = reproduce.write_page(tmp_path).read_text("utf-8")
    assert empty.count('<h2 id="system-') == len(SYSTEMS)
    assert "<img" not in empty and "computed by <code>deepglass reproduce perceptron</code>" in empty
    reproduce.run("phase-diagram", output=tmp_path, quick=True)
    page = reproduce.write_page(tmp_path).read_text("utf-8")
    pictures = sorted((tmp_path / "phase-diagram").glob("*.png"))
    assert page.count("<img") == len(pictures) > 0
    assert base64.b64encode(pictures[0].read_bytes()).decode() in page
    assert page.count("Numbers of phase-diagram") == 1
    assert "quick" in page and dg.__version__ in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing outside the page


def test_every_item_and_talk_of_a_system_exists():
    for system in SYSTEMS:
        assert all(talk in TALKS for talk in system.talk.split(", "))
        assert system.checked or system.missing or system.shown
    shown = {name.partition("/")[0] for system in SYSTEMS for name in system.shown}
    assert shown >= set(reproduce.names())  # no figure is left out
