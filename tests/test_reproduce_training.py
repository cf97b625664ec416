"""The items that train networks: small runs of all of them, statements of the tables."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import deepglass as dg

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
depth_locality = pytest.importorskip("deepglass.reproduce.depth_locality")
double_descent = pytest.importorskip("deepglass.reproduce.double_descent")
jamming = pytest.importorskip("deepglass.reproduce.jamming")
lazy_feature = pytest.importorskip("deepglass.reproduce.lazy_feature")

ITEMS = ["depth-locality", "lazy-feature", "double-descent", "jamming"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def checked(written: list[Path]) -> str:
    """The table."""
    assert all(path.stat().st_size > 0 for path in written)
    assert {path.suffix for path in written} == {".png", ".pdf", ".nc", ".txt"}
    return written[-1].read_text("utf-8")


@pytest.mark.parametrize("name", ITEMS)
def test_without_torch_they_are_refused(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="needs PyTorch, in the extra 'learning'"):
        dg.reproduce.run(name, output=tmp_path, quick=True)


def test_depth_locality(torch, tmp_path, monkeypatch):
    monkeypatch.setattr(depth_locality, "_N_TEST", 2000)
    settings = [("local", 1, 12, 80), ("global", 1, 12, 80), ("local", 3, 5, 100)]
    cells = tuple(
        depth_locality.Cell(*setting, 16, depth, (0.1, 0.5), n_instances=2) for setting in settings for depth in (1, 2)
    )
    table = checked(depth_locality._reproduce(tmp_path, cells, workers=1))
    assert len(re.findall(r"^\d-\w+, D = .*: better ", table, re.MULTILINE)) == 3
    assert re.search(r"^1-local = 1-global +equal ", table, re.MULTILINE)
    # The kernel with one hidden layer and no bias has no odd degree but the first: 3-local labels are a guess.
    blind = dg.load(tmp_path / "3local_D5_N100_H16_L1.nc")
    assert (np.abs(blind.kernel_error - 0.5) < 0.1).all()
    assert float(blind.test_error.mean("instance").min()) < 0.42
    # Finished instances are not run again
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "instances").iterdir()}
    depth_locality._reproduce(tmp_path, cells, workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "instances").iterdir()}


def test_lazy_feature(torch, tmp_path):
    sweeps = tuple(
        lazy_feature.Sweep(label, k, 8, 60, (8, 200), (0.2, 0.8), max_epochs=30)
        for label, k in (("local", 1), ("local", 2), ("global", 2))
    )
    table = checked(lazy_feature._reproduce(tmp_path, sweeps, workers=1))
    assert re.search(r"four hidden units, written down: error +0 +0 +\+0 ", table)
    assert len(re.findall(r"displacement ~ H\^x +-1/2 +-0\.\d", table)) == 3


def test_double_descent(torch, tmp_path):
    widths = tuple(double_descent.Width(width, 6, 40, 3, 20) for width in (1, 5, 20))
    sizes = double_descent.Sizes((0.2, 0.5, 2.0, 4.0, 10.0), 50, 6, 8, widths)
    table = checked(double_descent._reproduce(tmp_path, sizes, workers=1))
    assert re.search(r"p/n = 0\.5: risk +0\.2604 ", table)  # 25 / 24 / 4
    assert re.search(r"the best ridge has no peak +yes +yes ", table)


def test_jamming(torch, tmp_path):
    sizes = jamming.Sizes(
        tuple(jamming.Load(load, 8, 1, 600, n_instances=2) for load in (0.3, 8.0)),
        tuple(jamming.Walk(load, 8, 1, (10, 500), 64, n_instances=2) for load in (0.2, 8.0)),
    )
    table = checked(jamming._reproduce(tmp_path, sizes, workers=1))
    assert re.search(r"N_Delta/N jumps +yes +yes ", table)
    assert re.search(r"P/N = 8: the parameters +move +move ", table)


def test_other_parameters_are_other_files(tmp_path):
    cell = depth_locality.Cell("local", 1, 12, 80, 16, 1, (0.1,))
    others = [dataclasses.replace(cell, **change) for change in ({"rates": (0.2,)}, {"width": 17}, {"seed": 2})]
    assert len({one.path(tmp_path, 0) for one in (cell, *others)}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ITEMS)
def test_quick(torch, tmp_path, name):
    table = checked(dg.reproduce.run(name, output=tmp_path, quick=True))
    expected = {
        "depth-locality": [r"2-global, .*: better +shallow +shallow +reproduced", r"3-local, .*: better +deep +deep "],
        "lazy-feature": [r"the best network beats the kernel +yes +yes ", r"written down: error +0 +0 "],
        "double-descent": [r"test error has a peak +yes +reproduced", r"it is variance +yes +yes"],
        "jamming": [r"N_Delta/N jumps +yes +yes", r"P/N = 0\.5: the parameters +rest +rest"],
    }
    for pattern in expected[name]:
        assert re.search(pattern, table), table
