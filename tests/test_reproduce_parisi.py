"""The spin glasses of `deepglass reproduce parisi`: tables and pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from deepglass import parisi, reproduce
from deepglass.reproduce import parisi as item


@pytest.mark.parametrize("reference", [each for each in item._REFERENCES if each.quick], ids=lambda each: each.name)
def test_digits_meet_their_reference(reference):
    found = parisi.full_rsb(reference.model)
    error = reference.error + float(found[f"{reference.variable}_error"])
    assert float(found[reference.variable]) == pytest.approx(reference.value, abs=2 * error)


# breakpoints at T = 0.9 are so flat a direction that their residual stays at 1e-11
@pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")
def test_two_routes_agree():
    row = item._two_routes("SK", parisi.SherringtonKirkpatrick(0.9, 0.5 * parisi.almeida_thouless(0.9)))
    free_energy, entropy = map(float, row.difference.split(";"))
    assert abs(free_energy) < 1e-12
    assert abs(entropy) < 1e-10


@pytest.mark.slow
def test_whole_item(tmp_path):
    written = reproduce.run("parisi", output=tmp_path, quick=True)
    names = {path.name for path in written}
    assert {"order_parameter.png", "phase_diagram.png", "complexity.pdf", "table.txt"} <= names
    table = (tmp_path / "parisi" / "table.txt").read_text()
    found = re.findall(r"  ([-+]\d\.\d)e-(\d\d);", table)
    assert len(found) >= 8
    assert np.median([int(power) for _, power in found]) >= 10
