"""`deepglass reproduce perceptron`: its table, what instances say, and the whole item."""

from __future__ import annotations

import numpy as np
import pytest

import deepglass as dg
from deepglass import reproduce
from deepglass.reproduce import perceptron as item


def test_table_meets_its_references():
    rows = item._table()
    known = {"margin -1/2: three steps": 1e-6, "margin -1/2: full breaking": 1e-4, "margin -1/2: two steps": 1e-9}
    for row in rows:
        assert abs(float(row.difference)) < known.get(row.statement, 1e-10), row.statement


def test_instances_follow_the_learning_curve():
    found = item._instances(4, 1000)
    curve = dg.parisi.learning_curve(found["load"].values, "spherical").bayes_error.isel(branch=0)
    pull = (found.bayes_error.sel(bonds="spherical") - curve.values) / found.bayes_error_error.sel(bonds="spherical")
    assert np.abs(pull).max() < 6  # four instances: Student's t
    # beyond the spinodal the teacher is found
    assert found.bayes_error.sel(bonds="binary", load=1.9) < 1e-3


@pytest.mark.slow
def test_whole_item(tmp_path):
    written = reproduce.run("perceptron", output=tmp_path, quick=True)
    names = {path.name for path in written}
    assert {"capacity.png", "learning_curves.pdf", "negative_margin.png", "jamming.png", "table.txt"} <= names
    found = dg.load(tmp_path / "perceptron" / "negative_margin.nc")
    assert (found.almeida_thouless_load < found.jamming_load).all()
    slope = np.polyfit(np.log(found.distance[:5]), np.log(found.deficit[:5]), 1)[0]
    assert slope == pytest.approx(dg.parisi.jamming_exponents()["kappa"], rel=0.03)
