"""Pictures: what is drawn, not how it looks."""

import numpy as np
import pytest

import deepglass as dg

pytestmark = pytest.mark.same_bits

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


@pytest.fixture(scope="module")
def broken():
    return dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)


def test_order_parameter_function_draws_staircases(broken):
    ax = dg.plot.order_parameter_function(broken)
    assert [line.get_label() for line in ax.lines] == ["1", "2"]
    ax = dg.plot.order_parameter_function(broken, [1, 18, 7], "bond", legend=False)
    for layer, line in zip([1, 18, 7], ax.lines, strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.arange(6) / 5)
        np.testing.assert_array_equal(line.get_ydata()[:-1], broken.bond_overlap.values[layer - 1])
        assert line.get_ydata()[-1] == line.get_ydata()[-2] and line.get_drawstyle() == "steps-post"
    assert ax.get_legend() is None


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize(("kind", "first"), [("neuron", 1), ("bond", 1)])
def test_order_parameter_function_finds_the_solid_half(depth, kind, first):
    solution = dg.parisi.solve(dg.parisi.DeepPerceptron(depth=depth, load=40.0, scenario="teacher"))
    half = depth // 2 if kind == "neuron" else (depth + 1) // 2
    drawn = [line.get_label() for line in dg.plot.order_parameter_function(solution, kind=kind).lines]
    assert drawn == [str(layer) for layer in range(first, half + 1)]


def test_order_parameter_function_refuses_what_is_not_there(broken, curve):
    with pytest.raises(ValueError, match="kind must be"):
        dg.plot.order_parameter_function(broken, kind="spin")
    with pytest.raises(ValueError, match=r"layers must be in the solution, which has 1..20, got \[0\]"):
        dg.plot.order_parameter_function(broken, [0], "bond")
    with pytest.raises(ValueError, match="solution must have one load"):
        dg.plot.order_parameter_function(curve)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_overlap_distribution_draws_peaks_and_densities(broken, n):
    distributions = [dg.parisi.overlap_distribution(broken, layer, "bond") for layer in range(1, n + 1)]
    ax = dg.plot.overlap_distribution(distributions if n > 1 else distributions[0])
    stems = ax.figure.axes[1]
    assert [line.get_label() for line in stems.lines] == [str(layer) for layer in range(1, n + 1)]
    for one, line in zip(distributions, stems.lines, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), one.delta_weight[one.delta_weight > 0.0])
    assert "Q" in ax.get_xlabel() and (ax.get_yscale() == "log")


def test_overlap_distribution_of_the_liquid_is_one_stem(broken):
    ax = dg.plot.overlap_distribution(dg.parisi.overlap_distribution(broken, 9))
    assert ax.figure.axes[1].lines[0].get_xydata().tolist() == [[0.0, 1.0]] and not ax.patches
    ax.figure.canvas.draw()


@pytest.mark.parametrize("layer", [1, 2, 9])
def test_cluster_tree_draws_widths_in_proportion(broken, layer):
    tree = dg.parisi.cluster_tree(broken, layer, 3, n_solutions=100)
    ax = dg.plot.cluster_tree(tree)
    outlines = [path.vertices for path in ax.collections[0].get_paths()]
    widths = [np.ptp(points[[0, -2], 0]) for points in outlines]
    np.testing.assert_allclose(np.array(widths) / widths[0], tree.weight, atol=1e-12)
    # Branches end at their overlap and begin at that of the parent.
    np.testing.assert_allclose([points[:, 1].max() for points in outlines], tree.overlap, atol=1e-12)
    begins = [points[:, 1].min() for points in outlines[1:]]
    np.testing.assert_allclose(begins, tree.overlap[tree.parent[1:]], atol=1e-12)
    ax.figure.canvas.draw()
