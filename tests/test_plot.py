"""Pictures: what is drawn, not how it looks."""

import numpy as np
import pytest

import deepglass as dg

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def curve():
    return dg.parisi.scan(dg.parisi.DeepPerceptron(depth=20, scenario="teacher"), [25.0, 250.0, 714.0])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize(("kind", "first", "name"), [("neuron", 0, "q"), ("bond", 1, "Q")])
def test_edwards_anderson_draws_each_load(curve, kind, first, name):
    ax = dg.plot.edwards_anderson(curve, kind)
    assert [line.get_label() for line in ax.lines] == ["25", "250", "714"]
    for i, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(first, 21))
        np.testing.assert_array_equal(line.get_ydata(), curve[f"{kind}_overlap"].values[i, :, 0])
    assert name in ax.get_ylabel() and "layer" in ax.get_xlabel()
    assert ax.get_legend() is not None


def test_edwards_anderson_takes_single_solutions_an_axes_and_line_settings(curve):
    from matplotlib import pyplot

    one = curve.isel(load=1)
    ax = pyplot.figure().add_subplot()
    assert dg.plot.edwards_anderson([one, curve.isel(load=0)], ax=ax, legend=False, color="red") is ax
    assert [line.get_color() for line in ax.lines] == ["red", "red"] and ax.get_legend() is None
    assert len(dg.plot.edwards_anderson(one).lines) == 1


def test_edwards_anderson_refuses_other_kinds(curve):
    with pytest.raises(ValueError, match="kind must be 'neuron' or 'bond', got 'spin'"):
        dg.plot.edwards_anderson(curve, "spin")


def test_unknown_attributes_of_the_package_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        _ = dg.plots
