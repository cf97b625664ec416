"""Overlap distributions and trees of clusters: exact sums for one solution, exact laws over many seeds."""

import math
import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import deepglass as dg
from deepglass.parisi import cluster_tree, overlap_distribution
from deepglass.parisi.clusters import _genealogy

pytestmark = pytest.mark.filterwarnings("ignore::deepglass.ConvergenceWarning")


@pytest.fixture(scope="module")
def solution():
    """Layers 1 and 2 are solid; with four steps all levels of layer 1 differ, and two of layer 2 are equal."""
    return dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=20.0), 4)


@pytest.fixture(scope="module")
def symmetric():
    return dg.parisi.solve(dg.parisi.DeepPerceptron(depth=20, load=250.0, scenario="teacher"))


def made(deficit, breakpoints=None):
    """A solution with one layer of neurons (and of bonds) whose 1 - q is given, with equal steps or not."""
    deficit = np.asarray(deficit, dtype=float)
    k = deficit.size - 1
    inner = np.arange(1, k + 1) / (k + 1) if breakpoints is None else np.asarray(breakpoints)
    values = {"overlap": 1.0 - deficit, "deficit": deficit}
    return xr.Dataset(
        {f"neuron_{name}": (("layer", "step"), [value]) for name, value in values.items()}
        | {f"bond_{name}": (("bond_layer", "step"), [value]) for name, value in values.items()},
        coords={
            "layer": [1],
            "bond_layer": [1],
            "x_left": ("step", np.concatenate([[0.0], inner])),
            "x_right": ("step", np.concatenate([inner, [1.0]])),
        },
    )


def check_mean(samples, expected):
    samples = np.asarray(samples)
    error = samples.std(axis=0, ddof=1) / math.sqrt(samples.shape[0])
    z = (samples.mean(axis=0) - expected) / error
    assert np.abs(z).max() < 4.0, z


# A solution's levels: complements 1 - q that fall by gaps that are zero or larger than any min_gap used here.
gaps = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1.0)), min_size=1, max_size=20)
levels = gaps.map(lambda g: 1.0 - np.cumsum(g) / max(1.0, sum(g)) * 0.99 if sum(g) else np.ones(len(g)))


# ---- the distribution: exact sums


@pytest.mark.parametrize("kind", ["neuron", "bond"])
@pytest.mark.parametrize("layer", [1, 2, 3, 20])
def test_peaks_are_the_steps(solution, kind, layer):
    distribution = overlap_distribution(solution, layer, kind)
    q = solution[f"{kind}_overlap"].sel({"layer" if kind == "neuron" else "bond_layer": layer}).values
    width = (solution.x_right - solution.x_left).values
    assert float(distribution.weight.sum()) == pytest.approx(1.0, rel=1e-14)
    total = distribution.delta_weight.sum() + distribution.stretch_weight.sum()
    assert float(total) == pytest.approx(1.0, rel=1e-14)
    assert int(distribution.n_steps.sum()) == q.size
    # int q(x)^p dx; merged levels differ by 1e-4 at most, and their mean is kept.
    np.testing.assert_allclose(distribution.moment, [width @ q, width @ q**2], rtol=1e-13, atol=1e-8)
    np.testing.assert_allclose(distribution.overlap, 1.0 - distribution.deficit, atol=1e-15)
    np.testing.assert_allclose(distribution.density * np.diff(distribution.overlap), distribution.stretch_weight)


def test_levels_that_are_equal_are_one_peak(solution):
    # Layer 2: q = 0, 0, 9e-5, 0.053, 0.088.
    first, second, third = (overlap_distribution(solution, 2, min_gap=gap) for gap in (1e-6, 1e-4, 1.0))
    assert first.n_steps.values.tolist() == [2, 1, 1, 1]
    assert second.n_steps.values.tolist() == [3, 1, 1]
    np.testing.assert_allclose(second.weight, [0.6, 0.2, 0.2], rtol=1e-14)
    np.testing.assert_allclose(second.delta_weight, [0.5, 0.0, 0.1], atol=1e-15)
    assert third.sizes["stretch"] == 0 and third.delta_weight.values.tolist() == [1.0]


@given(levels, st.data())
def test_the_two_parts_of_any_distribution(deficit, data):
    k = deficit.size - 1
    points = data.draw(st.lists(st.floats(0.01, 0.99), min_size=k, max_size=k, unique_by=lambda x: round(x, 6)))
    distribution = overlap_distribution(made(deficit, sorted(points)), 1)
    assert (distribution.weight > 0.0).all() and (distribution.delta_weight > -1e-15).all()
    assert (distribution.density > 0.0).all()
    total = distribution.delta_weight.sum() + distribution.stretch_weight.sum()
    assert float(total) == pytest.approx(1.0, rel=1e-13)
    assert (np.diff(distribution.overlap) > 0.0).all()
    assert distribution.x_left.values[0] == 0.0 and distribution.x_right.values[-1] == 1.0
    np.testing.assert_array_equal(distribution.x_left[1:], distribution.x_right[:-1])


@given(levels)
def test_equal_steps_keep_the_mean_of_the_continuous_estimate(deficit):
    distribution = overlap_distribution(made(deficit), 1, "bond")
    middle = 0.5 * (distribution.overlap_left + distribution.overlap_right)
    mean = (distribution.delta_weight * distribution.overlap).sum() + (distribution.stretch_weight * middle).sum()
    assert float(mean) == pytest.approx(float(distribution.moment[0]), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("k", [9, 19, 39])
def test_density_of_a_known_function(k):
    # q(x) = 0.2 for x < 0.2, (x + x^2) / 1.2 up to x = 0.6, constant after it; the step has the value of its middle.
    x = np.clip((np.arange(k + 1) + 0.5) / (k + 1), 0.2, 0.6)
    distribution = overlap_distribution(made(1.0 - (x + x * x) / 1.2), 1)
    inner = distribution.isel(stretch=slice(1, -1))
    middle = 0.5 * (inner.overlap_left + inner.overlap_right).values
    # Slope over a step of a parabola: exact at the step's middle, whose q is lower by (1/(k+1))^2 / 4.8.
    exact = 1.2 / np.sqrt(1.0 + 4.8 * middle)
    np.testing.assert_allclose(inner.density, exact, rtol=1.0 / (k + 1) ** 2)
    # The plateaus end at x = 0.2 and 0.6, between the middles of steps.
    np.testing.assert_allclose(distribution.delta_weight[[0, -1]], [0.2, 0.4], atol=0.51 / (k + 1))
    np.testing.assert_allclose(distribution.delta_weight[1:-1], 0.0, atol=1e-15)


def test_frozen_levels_keep_their_deficit():
    deficit = [0.5, 1e-9, 1e-12]
    distribution = overlap_distribution(made(deficit), 1, min_gap=0.0)
    np.testing.assert_allclose(distribution.deficit, deficit, rtol=1e-14)
    assert float(distribution.density[1]) == pytest.approx(1.0 / 3.0 / (1e-9 - 1e-12), rel=1e-13)
    merged = overlap_distribution(made(deficit), 1)
    assert float(merged.deficit[1]) == pytest.approx(0.5 * (1e-9 + 1e-12), rel=1e-14)


def test_without_steps_there_is_one_peak_and_one_cluster(symmetric):
    distribution = overlap_distribution(symmetric, 2)
    assert distribution.weight.values.tolist() == distribution.delta_weight.values.tolist() == [1.0]
    np.testing.assert_allclose(distribution.overlap, symmetric.neuron_overlap.values[2], rtol=1e-15)
    tree = cluster_tree(symmetric, 2, 1, n_solutions=5)
    assert tree.parent.values.tolist() == [-1] and tree.cluster.values.tolist() == [0] * 5
    expected = np.where(np.eye(5, dtype=bool), 1.0, symmetric.neuron_overlap.values[2, 0])
    np.testing.assert_allclose(tree.overlap_matrix, expected, rtol=1e-15)


def test_liquid_and_data(solution):
    for layer, overlap in ((5, 0.0), (0, 1.0), (20, 1.0)):
        distribution = overlap_distribution(solution, layer)
        assert distribution.overlap.values.tolist() == [overlap] and distribution.n_steps.values.tolist() == [5]
        assert cluster_tree(solution, layer, 0).sizes["node"] == 1


# ---- the tree: what holds for each


def check_tree(tree):
    n = tree.sizes["solution"]
    q = tree.overlap_matrix.values
    np.testing.assert_array_equal(q, q.T)
    np.testing.assert_array_equal(np.diag(q), 1.0)
    parent, first, members = tree.parent.values, tree.first_member.values, tree.n_members.values
    overlap, level = tree.overlap.values, tree.level.values
    assert parent[0] == -1 and (first[0], members[0], tree.x[0]) == (0, n, 0.0)
    up = parent[1:]
    assert (up >= 0).all() and (up < np.arange(1, parent.size)).all()
    np.testing.assert_array_equal(level[1:], level[up] + 1)
    assert (overlap[1:] > overlap[up]).all() and (tree.x.values[1:] > tree.x.values[up]).all()
    np.testing.assert_array_equal(
        np.bincount(up, members[1:], parent.size)[level < level.max()], members[level < level.max()]
    )
    np.testing.assert_allclose(np.bincount(level, tree.weight), 1.0, rtol=1e-12)
    # The matrix from the nodes, one by one: inner clusters are written over outer ones.
    expected = np.zeros((n, n))
    for node in range(parent.size):
        block = slice(first[node], first[node] + members[node])
        expected[block, block] = overlap[node]
        if level[node] == level.max():
            assert (tree.cluster.values[block] == node).all()
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_array_equal(q, expected)


@settings(max_examples=30)
@given(levels, st.integers(1, 40), st.integers(0, 2**64 - 1))
def test_any_tree(deficit, n, seed):
    tree = cluster_tree(made(deficit), 1, seed, n_solutions=n)
    check_tree(tree)
    q = tree.overlap_matrix.values
    # Ultrametric: q_ac >= min(q_ab, q_bc) for all three.
    assert (q[:, np.newaxis, :] >= np.minimum(q[:, :, np.newaxis], q[np.newaxis, :, :]) - 1e-15).all()


@pytest.mark.parametrize("kind", ["neuron", "bond"])
def test_tree_of_a_solution(solution, kind):
    tree = cluster_tree(solution, 1, 7, kind=kind, n_solutions=300)
    check_tree(tree)
    assert set(np.unique(tree.overlap_matrix)) <= {1.0, *solution[f"{kind}_overlap"].values[int(kind == "neuron")]}


def test_layers_see_coarsenings_of_one_tree(solution):
    trees = [cluster_tree(solution, layer, 11, n_solutions=200) for layer in (1, 2, 3)]
    trees += [cluster_tree(solution, layer, 11, n_solutions=200, kind="bond") for layer in (1, 2, 3)]
    for one, other in ((0, 1), (1, 2), (3, 4), (4, 5), (0, 4), (3, 1)):
        fine, coarse = trees[one], trees[other]
        clusters = {(int(a), int(b)) for a, b in zip(fine.first_member, fine.n_members, strict=True)}
        assert {(int(a), int(b)) for a, b in zip(coarse.first_member, coarse.n_members, strict=True)} <= clusters
        # One overlap in the fine layer means one in the coarse layer, which does not fall.
        pairs = np.unique(np.stack([fine.overlap_matrix.values.ravel(), coarse.overlap_matrix.values.ravel()]), axis=1)
        assert np.unique(pairs[0]).size == pairs.shape[1] and (np.diff(pairs[1]) >= 0.0).all()
    assert [int(tree.level.max()) for tree in trees[:3]] == [4, 2, 0]


def test_founders_are_those_of_the_walk():
    # The same uniforms, the rule of the docstring word by word; clusters as sets, whatever their order.
    n, m, seed = 60, np.array([0.0, 0.2, 0.5, 0.9]), 5
    uniform = np.random.Generator(np.random.PCG64(seed)).random((n, 2))
    sizes = []
    for level in m:
        founder = [0]
        for j in range(1, n):
            picked = int(uniform[j, 0] * j)
            founder.append(j if founder[picked] == picked and uniform[j, 1] < level else founder[picked])
        sizes.append(sorted(np.unique(founder, return_counts=True)[1].tolist()))
    shared = _genealogy(n, m, seed)
    for i in range(m.size):
        ends = np.flatnonzero(np.append(shared < i, True))
        assert sorted(np.diff(ends, prepend=-1).tolist()) == sizes[i]


def test_seeds(solution):
    one, same, other = (cluster_tree(solution, 1, seed, n_solutions=50) for seed in (4, 4, 5))
    assert one.identical(same) and not one.overlap_matrix.equals(other.overlap_matrix)
    again = cluster_tree(solution, 1, int(cluster_tree(solution, 1, np.random.SeedSequence(4)).seed))
    assert again.equals(cluster_tree(solution, 1, np.random.SeedSequence(4)))
    generator = np.random.default_rng(1)
    assert cluster_tree(solution, 1, generator).seed != cluster_tree(solution, 1, generator).seed
    assert cluster_tree(solution, 1).seed != cluster_tree(solution, 1).seed


def test_results_go_to_disk_and_come_back(solution, tmp_path):
    for result in (overlap_distribution(solution, 1, "bond"), cluster_tree(solution, 2, 2**64 - 1, n_solutions=20)):
        dg.io.save(result, tmp_path / "result.nc")
        assert dg.io.load(tmp_path / "result.nc").identical(result)


# ---- the tree: laws over many seeds; all errors from the scatter of the seeds


def blocks(seed, m, n):
    """Sizes of the clusters at each level 1..k."""
    shared = _genealogy(n, np.concatenate([[0.0], m]), seed)
    return [np.diff(np.flatnonzero(np.append(shared < i, True)), prepend=-1) for i in range(1, len(m) + 1)]


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("m", [0.15, 0.5, 0.85])
def test_one_step_is_poisson_dirichlet(m):
    n, samples = 30, []
    for seed in range(4000):
        s = blocks(seed, [m], n)[0].astype(float)
        pairs, triples = (s * (s - 1)).sum(), (s * (s - 1) * (s - 2)).sum()
        both = pairs**2 - 4.0 * triples - 2.0 * pairs  # two pairs of four different solutions
        samples.append(
            [
                pairs / (n * (n - 1)),
                triples / (n * (n - 1) * (n - 2)),
                both / (n * (n - 1) * (n - 2) * (n - 3)),
                s.size,
            ]
        )
    # E sum w^2, E sum w^3, E (sum w^2)^2 = (1 - m)^2 + m (1 - m) / 3, and the number of clusters of n.
    tables = np.prod(1.0 + m / np.arange(1, n))
    check_mean(samples, [1 - m, (1 - m) * (2 - m) / 2, (1 - m) ** 2 + m * (1 - m) / 3, tables])


def test_levels_make_a_cascade():
    # Three solutions share a cluster of level i with probability (1 - m_i)(2 - m_i)/2.
    m = [0.1, 0.25, 0.6, 0.95]
    samples = [[size.max() == 3 for size in blocks(seed, m, 3)] for seed in range(8000)]
    check_mean(np.asarray(samples, dtype=float), [(1 - x) * (2 - x) / 2 for x in m])


@pytest.mark.no_sanitizer
def test_two_and_three_solutions_of_the_data(solution):
    # P(q12 = q_i) = m_{i+1} - m_i; Ghirlanda and Guerra, J. Phys. A 31, 9149 (1998):
    # P(q12 = a, q13 = b) = P(a) P(b) / 2 + delta_ab P(a) / 2.
    q = solution.neuron_overlap.values[1]
    p = (solution.x_right - solution.x_left).values
    n, pairs, triples = 12, [], []
    for seed in range(1500):
        matrix = cluster_tree(solution, 1, seed, n_solutions=n).overlap_matrix.values
        count = (np.abs(matrix[..., np.newaxis] - q) < 1e-12).sum(axis=1)  # (solution, level)
        pairs.append(count.sum(axis=0) / (n * (n - 1)))
        both = np.einsum("sa,sb->ab", count, count) - np.diag(count.sum(axis=0))
        triples.append(both / (n * (n - 1) * (n - 2)))
    check_mean(pairs, p)
    check_mean(triples, 0.5 * np.outer(p, p) + 0.5 * np.diag(p))


def test_moments_of_the_distribution_are_those_of_the_trees(solution):
    moments = overlap_distribution(solution, 2).moment.values
    samples = []
    for seed in range(400):
        matrix = cluster_tree(solution, 2, seed, n_solutions=20).overlap_matrix.values
        pairs = matrix[np.triu_indices(20, 1)]
        samples.append([pairs.mean(), (pairs**2).mean()])
    check_mean(samples, moments)


# ---- errors


def bad_solutions(solution):
    nan = solution.copy(deep=True)
    nan["neuron_overlap"][1, 2] = math.nan
    falling = solution.copy(deep=True)
    falling["neuron_overlap"][1] = falling["neuron_overlap"].values[1, ::-1].copy()
    falling["neuron_deficit"][1] = falling["neuron_deficit"].values[1, ::-1].copy()
    scanned = dg.parisi.scan(dg.parisi.DeepPerceptron(depth=20, scenario="teacher"), [25.0, 250.0])
    return {
        "must be a Dataset of `solve`": [None, 3, xr.Dataset(), solution.neuron_overlap, solution.drop_vars("x_left")],
        "select one load": [scanned, scanned.isel(load=[0]), solution.isel(step=-1)],
        "must have finite overlaps": [nan],
        "must have overlaps that grow with x": [falling],
        "must have steps that fill 0 < x < 1": [solution.isel(step=slice(1, None)), solution.isel(step=[0, 2, 4])],
    }


@pytest.mark.parametrize("function", [overlap_distribution, cluster_tree])
def test_bad_solutions(solution, function):
    for message, cases in bad_solutions(solution).items():
        for case in cases:
            with pytest.raises(ValueError, match=f"solution .*{re.escape(message)}"):
                function(case, 1)


@pytest.mark.parametrize("function", [overlap_distribution, cluster_tree])
@given(st.one_of(st.integers(max_value=-1), st.integers(21), st.floats(), st.text(), st.none(), st.booleans()))
def test_bad_layers(function, layer):
    model = made([0.5, 0.2])
    with pytest.raises(ValueError, match="layer must be"):
        function(model, layer)


@pytest.mark.parametrize("function", [overlap_distribution, cluster_tree])
@given(st.one_of(st.text().filter(lambda s: s not in ("neuron", "bond")), st.none(), st.integers()))
def test_bad_kinds(function, kind):
    with pytest.raises(ValueError, match="kind must be one of 'neuron', 'bond'"):
        function(made([0.5, 0.2]), 1, kind=kind)


@pytest.mark.parametrize("function", [overlap_distribution, cluster_tree])
@pytest.mark.parametrize("gap", [-1e-9, 1.1, math.nan, math.inf, "0", None, True])
def test_bad_gaps(function, gap):
    with pytest.raises(ValueError, match="min_gap must be a number from 0 to 1"):
        function(made([0.5, 0.2]), 1, min_gap=gap)


@pytest.mark.parametrize("n", [0, -1, 10_001, 2.0, None])
def test_bad_numbers_of_solutions(n):
    with pytest.raises(ValueError, match="n_solutions must be an integer from 1 to 10000"):
        cluster_tree(made([0.5, 0.2]), 1, n_solutions=n)


def test_layers_and_seeds_that_are_not_there(solution):
    with pytest.raises(ValueError, match="layer must be an integer from 1 to 20, got 0"):
        overlap_distribution(solution, 0, "bond")
    with pytest.raises(ValueError, match="layer must be one of those in the solution"):
        overlap_distribution(solution.isel(layer=[0, 2]), 1)
    with pytest.raises(ValueError, match="seed must be >= 0"):
        cluster_tree(solution, 1, -1)
