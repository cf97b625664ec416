"""Observables of the Monte Carlo family: overlaps, their gauge, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deepglass import mc
from deepglass.mc import PerceptronNetwork

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

SEEDS = st.integers(0, 2**32)
G = (2 / math.pi) ** 2


def coins(seed: int, *shape: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


@st.composite
def layers(draw: st.DrawFn, least: int = 1) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """A layer in two machines of different width."""
    n_patterns, n_a, n_b = draw(st.integers(least, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 12))
    seed = draw(SEEDS)
    return coins(seed, n_patterns, n_a), coins(seed + 1, n_patterns, n_b)


# The definitions, as loops.


def second_moments_by_loops(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[float, float, float]:
    """q2 by neurons, q2 by patterns, and the mean over pairs of different patterns."""
    m, n_a, n_b = len(a), a.shape[1], b.shape[1]
    by_neurons = 0.0
    for i in range(n_a):
        for j in range(n_b):
            by_neurons += (sum(int(a[mu, i]) * int(b[mu, j]) for mu in range(m)) / m) ** 2
    by_patterns = off_diagonal = 0.0
    for mu in range(m):
        for nu in range(m):
            k_a = sum(int(x) * int(y) for x, y in zip(a[mu], a[nu], strict=True)) / n_a
            k_b = sum(int(x) * int(y) for x, y in zip(b[mu], b[nu], strict=True)) / n_b
            by_patterns += k_a * k_b
            off_diagonal += k_a * k_b * (mu != nu)
    return by_neurons / (n_a * n_b), by_patterns / m**2, off_diagonal / max(m * (m - 1), 1)


@given(layers())
def test_second_moment_is_the_loops(pair: tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]) -> None:
    a, b = pair
    by_neurons, by_patterns, off_diagonal = second_moments_by_loops(a, b)
    q2, rest = mc.neuron_correlation_second_moment(a, b)
    assert q2 == pytest.approx(by_neurons, rel=1e-12)
    assert q2 == pytest.approx(by_patterns, rel=1e-12)
    if len(a) > 1:
        # Two numbers of size 1/M and some 150 terms each are subtracted.
        assert float(rest) == pytest.approx(off_diagonal, abs=1e-13)
    else:
        assert q2 == 1.0
        assert np.isnan(rest)


@given(layers())
def test_kernel_is_the_loop(pair: tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]) -> None:
    spins = pair[0]
    kernel = mc.neuron_kernel(spins)
    expected = [[np.dot(x.astype(int), y.astype(int)) / len(x) for y in spins] for x in spins]
    np.testing.assert_array_equal(kernel, expected)
    assert (np.diag(kernel) == 1.0).all()


@pytest.mark.parametrize(("n_patterns", "n"), [(3, 50), (50, 3), (1, 4), (9, 18)])
def test_both_forms_of_the_second_moment(n_patterns: int, n: int) -> None:
    """Neurons N x N or patterns M x M, whichever is cheaper: sums of integers, the same to the last bit."""
    a, b = coins(1, n_patterns, n), coins(2, n_patterns, n)
    by_neurons = ((a.astype(int).T @ b.astype(int)) ** 2).sum() / (n * n * n_patterns**2)
    assert mc.neuron_correlation_second_moment(a, b)[0] == by_neurons


def test_leading_axes() -> None:
    a, b = coins(1, 3, 1, 6, 4), coins(2, 5, 6, 4)
    functions = [
        mc.matched_overlap,
        mc.normalised_overlap,
        lambda x, y: mc.neuron_correlation_second_moment(x, y)[0],
        lambda x, y: mc.bond_overlap(x.astype(np.float32), y),
    ]
    for function in functions:
        together = function(a, b)
        assert together.shape == (3, 5)
        for i in range(3):
            for j in range(5):
                assert together[i, j] == pytest.approx(float(function(a[i, 0], b[j])), rel=1e-14)
    assert mc.neuron_kernel(a).shape == (3, 1, 6, 6)
    assert mc.pattern_pairs(mc.neuron_kernel(a)).shape == (3, 1, 15)


# Ranges, symmetries, identities.


@given(layers(least=2))
def test_ranges(pair: tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]) -> None:
    a, b = pair
    q2, rest = mc.neuron_correlation_second_moment(a, b)
    assert 0.0 <= q2 <= 1.0
    assert -1.0 / (len(a) - 1) - 1e-15 <= rest <= 1.0 + 1e-15
    overlap = float(mc.normalised_overlap(a, b))
    assert np.isnan(overlap) or abs(overlap) <= 1.0 + 1e-12
    assert overlap == pytest.approx(float(mc.normalised_overlap(b, a)), rel=1e-12, nan_ok=True)
    own = float(mc.normalised_overlap(a, a))
    assert np.isnan(own) or own == pytest.approx(1.0, rel=1e-12)
    assert abs(mc.matched_overlap(a, a[::-1])) <= 1.0
    assert mc.matched_overlap(a, a) == 1.0
    assert mc.matched_overlap(a, -a) == -1.0


def test_no_overlap_where_patterns_are_orthogonal() -> None:
    a = [[1, 1], [1, -1]]
    assert np.isnan(mc.normalised_overlap(a, a))


def signed_permutations(net: PerceptronNetwork, seed: int) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    return [(rng.permutation(n), coins(seed + n, n)) for n in net.widths[1:-1]]


def moved(bonds: tuple[npt.NDArray[Any], ...], gauge: list[tuple[Any, Any]]) -> tuple[npt.NDArray[Any], ...]:
    """The machine after signed permutations of the hidden neurons."""
    changed = list(bonds)
    for layer, (permutation, sign) in enumerate(gauge):
        changed[layer] = changed[layer][permutation] * sign[:, None]
        changed[layer + 1] = changed[layer + 1][:, permutation] * sign
    return tuple(changed)


@settings(deadline=None)  # the first call imports SciPy
@given(st.integers(2, 4), st.integers(2, 8), SEEDS)
def test_gauge(depth: int, n: int, seed: int) -> None:
    """Signed permutations change no answer and no gauge-free overlap, and `align` undoes them exactly."""
    net = PerceptronNetwork(n, depth)
    bonds = mc.random_bonds(net, seed)
    gauge = signed_permutations(net, seed)
    other = moved(bonds, gauge)
    inputs = mc.random_data(net, 60, seed).inputs
    a, b = mc.forward(bonds, inputs), mc.forward(other, inputs)
    np.testing.assert_array_equal(a[-1], b[-1])
    third = mc.forward(mc.random_bonds(net, seed + 1), inputs)
    for layer in range(1, depth + 1):
        for x in (a[layer], third[layer]):
            before = mc.neuron_correlation_second_moment(x, a[layer])
            after = mc.neuron_correlation_second_moment(x, b[layer])
            assert before == after
        assert mc.normalised_overlap(third[layer], a[layer]) == mc.normalised_overlap(third[layer], b[layer])

    for spins in a[1:-1]:  # neurons that are equal in all patterns cannot be told apart
        correlations = abs(spins.T.astype(int) @ spins)
        assume(correlations[~np.eye(n, dtype=bool)].max() < 60)
    done = mc.align(a, bonds, b, other)
    for layer, (permutation, sign) in enumerate(gauge):
        back = done.permutations[layer]
        np.testing.assert_array_equal(permutation[back], np.arange(n))
        np.testing.assert_array_equal(done.signs[layer], sign[back])
    for x, y in zip(done.spins, a, strict=True):
        np.testing.assert_array_equal(x, y)
    for x, y in zip(done.bonds, bonds, strict=True):
        np.testing.assert_array_equal(x, y)
    assert (done.aligned_overlap == 1.0).all()
    np.testing.assert_allclose(done.aligned_bond_overlap, 1.0, rtol=1e-12)


@settings(deadline=None)  # the first call imports SciPy
@given(st.integers(1, 4), st.integers(1, 7), SEEDS, st.booleans())
def test_alignment_changes_no_answer(depth: int, n: int, seed: int, permute: bool) -> None:
    net = PerceptronNetwork(n, depth)
    a, b = mc.random_bonds(net, seed), mc.random_bonds(net, seed + 1)
    inputs = mc.random_data(net, 15, seed).inputs
    spins_a, spins_b = mc.forward(a, inputs), mc.forward(b, inputs)
    done = mc.align(spins_a, a, spins_b, b, permute=permute)
    for x, y in zip(mc.forward(done.bonds, inputs), done.spins, strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(done.spins[-1], spins_b[-1])
    for layer in range(1, depth):
        correlations = abs(spins_a[layer].T.astype(int) @ spins_b[layer]) / 15
        best = (
            max(
                np.mean([correlations[i, j] for i, j in enumerate(p)])
                for p in ([np.arange(n)] + [np.random.default_rng(k).permutation(n) for k in range(20)])
            )
            if permute
            else np.diag(correlations).mean()
        )
        assert done.aligned_overlap[layer] >= best - 1e-12
        if not permute:
            assert done.aligned_overlap[layer] == pytest.approx(best, abs=1e-12)
            np.testing.assert_array_equal(done.permutations[layer - 1], np.arange(n))


def test_alignment_of_configurations_that_are_not_slaved() -> None:
    """Free hidden neurons: the gaps of the machine are what the gauge leaves unchanged."""
    net = PerceptronNetwork((5, 4, 6, 3), 3, potential="count")
    data = mc.teacher_data(net, 20, 1, "gibbs", 0.5)
    other = mc.teacher_data(net, 20, 2, "gibbs", 0.5)
    assert data.planted_spins is not None
    assert data.teacher is not None
    assert other.planted_spins is not None
    assert other.teacher is not None
    done = mc.align(other.planted_spins, other.teacher, data.planted_spins, data.teacher)

    def gaps(spins: Any, bonds: Any) -> list[Any]:
        pairs = zip(spins, bonds, spins[1:], strict=False)
        return [np.sort(above * (below @ weights.T), axis=1) for below, weights, above in pairs]

    before, after = gaps(data.planted_spins, data.teacher), gaps(done.spins, done.bonds)
    for x, y in zip(before, after, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)  # float32


# Values known in closed form.


def test_limit_of_prior_overlaps() -> None:
    np.testing.assert_allclose(mc.wide_prior_overlap(3), [0.288, 0.105, 0.041], atol=5e-4)
    sums = [sum(G**k for k in range(layer + 1)) for layer in range(1, 6)]
    np.testing.assert_allclose(mc.wide_prior_overlap(5), [G ** (i + 1) / s for i, s in enumerate(sums)], rtol=1e-14)
    with pytest.raises(ValueError, match="depth must be an integer from 1"):
        mc.wide_prior_overlap(0)


def prior_averages(n: int, n_instances: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """N q2' of machines with themselves, N q2' and A of two machines; averaged over coin inputs at load 4."""
    net = PerceptronNetwork(n, 3)
    samples = []
    for seed in range(n_instances):
        inputs = mc.random_data(net, 4 * n, seed).inputs
        a, b = (np.array(mc.forward(mc.random_bonds(net, 2 * seed + one), inputs)[1:]) for one in (0, 1))
        own = mc.neuron_correlation_second_moment(a, a)[1]
        shared = mc.neuron_correlation_second_moment(a, b)[1]
        samples.append([n * own, n * shared, mc.prior_normalised_overlap(net, inputs, seed, n_pairs=2)[0]])
    values = np.array(samples)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(n_instances)


@pytest.mark.slow
def test_overlaps_of_prior_machines() -> None:
    """Spec 10b: N q2' is sum_{k<=l} g^k for identical machines and g^l for independent ones on shared inputs."""
    (small, error_small), (large, error_large) = prior_averages(80, 60), prior_averages(160, 40)
    powers = G ** np.arange(4)
    limit = np.array([powers.cumsum()[1:], powers[1:], mc.wide_prior_overlap(3)])
    # Corrections are of order 1/N: twice the value at 2N minus the value at N has none.
    assert (abs(2 * large - small - limit) < 4 * np.hypot(error_small, 2 * error_large)).all()
    # N = 10: 0.33, 0.15, 0.08, given to two digits.
    (_, _, tiny), (_, _, error) = prior_averages(10, 200)
    assert (abs(tiny - [0.33, 0.15, 0.08]) < 4 * error + 0.005).all()


def test_error_of_prior_overlaps() -> None:
    """The error bar is that of the scatter between runs with other seeds."""
    net = PerceptronNetwork(10, 2)
    inputs = mc.random_data(net, 40, 1).inputs
    runs = [mc.prior_normalised_overlap(net, inputs, seed, n_pairs=10) for seed in range(60)]
    scatter = np.std([value for value, _ in runs], axis=0, ddof=1)
    claimed = np.sqrt(np.mean([error**2 for _, error in runs], axis=0))
    assert (abs(scatter / claimed - 1.0) < 4 / math.sqrt(2 * 59)).all()
    # Adding pairs does not change the first ones.
    few = mc.prior_normalised_overlap(net, inputs, 3, n_pairs=2)[0]
    samples = [
        [mc.normalised_overlap(x, y) for x, y in zip(a, b, strict=True)]
        for a, b in (
            [mc.forward(mc.random_bonds(net, child(3, 2 * pair + one)), inputs)[1:] for one in (0, 1)]
            for pair in range(2)
        )
    ]
    np.testing.assert_allclose(few, np.mean(samples, axis=0), rtol=1e-14)


def child(seed: int, index: int) -> np.random.SeedSequence | int:
    from deepglass.random import child_seed

    return child_seed(seed, index)


def test_null_value_of_the_alignment() -> None:
    """Aligned overlaps of unrelated machines are not small: that of N = 20 neurons on 80 patterns is far from 0."""
    net = PerceptronNetwork(20, 3)
    inputs = mc.random_data(net, 80, 1).inputs
    (neurons, error), (bonds, bond_error) = mc.prior_aligned_overlap(net, inputs, 1, n_pairs=20)
    assert neurons.shape == error.shape == (4,)
    assert bonds.shape == bond_error.shape == (3,)
    assert neurons[0] == 1.0
    assert (neurons[1:3] > 0.2).all()
    assert abs(neurons[3]) < 4 * error[3]  # the output layer is not aligned
    assert abs(bonds[2]) < 0.1


def test_null_value_with_limited_connectivity() -> None:
    """With two inputs a perceptron hands on one of +-S_1, +-S_2: |O| is 1 or |O_12|, each in half of the cases.

    Signs are aligned alone: another permutation would leave the graph.
    """
    net = PerceptronNetwork(30, 2, connectivity=2)
    inputs = mc.random_data(net, 50, 1).inputs
    (value, error), _ = mc.prior_aligned_overlap(net, inputs, 1, n_pairs=40)
    graph = net.inputs(1)
    assert graph is not None
    correlations = abs(inputs.T.astype(int) @ inputs) / 50
    expected = 0.5 + 0.5 * correlations[graph[:, 0], graph[:, 1]].mean()
    assert abs(value[1] - expected) < 4 * error[1]


# Errors of machines.


def test_errors_count_wrong_bits() -> None:
    data = mc.data_from([[1, 1], [1, -1]], [[1, 1], [1, 1]], [[-1, -1]], [[1, 1]])
    bonds = [np.array([[1.0, 0.0], [0.0, 1.0]])]
    assert mc.training_error(bonds, data) == 0.25
    assert mc.generalisation_error(bonds, data) == 1.0
    assert np.isnan(mc.generalisation_error(bonds, data, only_unseen=True))
    with pytest.raises(ValueError, match="bonds must have 2 outputs as the data, got 1"):
        mc.training_error([[[1.0, 0.0]]], data)
    with pytest.raises(ValueError, match="inputs need a teacher"):
        mc.generalisation_error(bonds, data, [[1, 1]])
    with pytest.raises(ValueError, match="data must have a test set, or inputs be given"):
        mc.generalisation_error(bonds, mc.data_from([[1, 1]], [[1, 1]]))
    with pytest.raises(ValueError, match="data must have a test set, or inputs be given"):
        mc.unseen(mc.data_from([[1, 1]], [[1, 1]]))


def test_teacher_answers_other_inputs() -> None:
    net = PerceptronNetwork(11, 2)
    data = mc.teacher_data(net, 20, 1)
    student = mc.random_bonds(net, 99)
    assert data.teacher is not None
    assert data.test_inputs is not None
    assert mc.generalisation_error(student, data, data.test_inputs) == mc.generalisation_error(student, data)
    fresh = coins(7, 50, 11)
    wrong = mc.forward(student, fresh)[-1] != mc.forward(data.teacher, fresh)[-1]
    assert mc.generalisation_error(student, data, fresh) == wrong.mean()
    fresh[0] = -data.inputs[3]
    kept = mc.unseen(data, fresh)
    wrong = mc.forward(student, fresh)[-1] != mc.forward(data.teacher, fresh)[-1]
    assert not kept[0]
    assert mc.generalisation_error(student, data, fresh, only_unseen=True) == wrong[kept].mean()


@given(st.integers(1, 10), st.integers(1, 30), SEEDS)
def test_unseen_is_the_loop(n: int, n_patterns: int, seed: int) -> None:
    data = mc.data_from(coins(seed, n_patterns, n), coins(seed + 1, n_patterns, 1))
    inputs = coins(seed + 2, 20, n)
    known = {tuple(row) for row in data.inputs.tolist()} | {tuple(row) for row in (-data.inputs).tolist()}
    np.testing.assert_array_equal(mc.unseen(data, inputs), [tuple(row) not in known for row in inputs.tolist()])
    np.testing.assert_array_equal(mc.unseen(data, -inputs), mc.unseen(data, inputs))
    assert not mc.unseen(data, data.inputs).any()


def test_fraction_of_seen_inputs() -> None:
    """Spec 10b, N = 10, alpha = 16: 27 %; 160 patterns hit 1 - (1 - 1/512)^160 of 512 pairs +-x."""
    net = PerceptronNetwork(10, 1)
    seen = [1.0 - mc.unseen(mc.teacher_data(net, 160, seed)).mean() for seed in range(60)]
    expected = 1 - (1 - 1 / 512) ** 160
    assert round(expected, 2) == 0.27
    assert abs(np.mean(seen) - expected) < 4 * np.std(seen, ddof=1) / math.sqrt(60)


def test_perceptron_generalisation() -> None:
    """arccos(R)/pi counts the wrong answers of one perceptron to normal inputs, in any dimension."""
    net = PerceptronNetwork((7, 1), 1)
    teacher, student = mc.random_bonds(net, 1), mc.random_bonds(net, 2)
    inputs = np.random.default_rng(3).standard_normal((20000, 7))
    wrong = np.mean(mc.forward(teacher, inputs)[-1] != mc.forward(student, inputs)[-1])
    expected = float(mc.perceptron_generalisation(mc.bond_overlap(teacher[0], student[0])))
    assert abs(wrong - expected) < 4 * math.sqrt(expected * (1 - expected) / 20000)
    # Spec 10b: pairs of R and e_g of the theory at L = 1, R given to four digits.
    np.testing.assert_allclose(
        mc.perceptron_generalisation([0.6143, 0.8690, 0.9003]), [0.2894, 0.1648, 0.1434], atol=1e-4
    )
    assert mc.perceptron_generalisation(1.0 + 1e-8) == 0.0  # float32 bonds
    with pytest.raises(ValueError, match=r"overlap must be from -1 to 1, got 1\.1"):
        mc.perceptron_generalisation([0.0, 1.1])


# Distributions.


def test_histogram_of_the_kernel_is_binomial() -> None:
    n, samples = 6, 40000
    spins = coins(1, samples, 2, n)
    centres, density = mc.overlap_histogram(mc.pattern_pairs(mc.neuron_kernel(spins)), n_neurons=n)
    np.testing.assert_allclose(centres, 2 * np.arange(n + 1) / n - 1, atol=1e-15)
    probability = density * 2 / n
    expected = np.array([math.comb(n, k) for k in range(n + 1)]) / 2**n
    assert (abs(probability - expected) < 4 * np.sqrt(expected * (1 - expected) / samples)).all()


@given(st.lists(st.floats(-1, 1), min_size=1), st.integers(1, 30))
def test_histogram_is_normalised(values: list[float], n: int) -> None:
    for _, density in (mc.overlap_histogram(values, n_bins=n), mc.overlap_histogram(values, n_neurons=n)):
        assert density.sum() * 2 / n == pytest.approx(1.0, rel=1e-12)
        assert (density >= 0).all()


def test_bond_overlap_of_sparse_layers() -> None:
    net = PerceptronNetwork(12, 2, "binary", connectivity=5)
    a, b = mc.random_bonds(net, 1)[0], mc.random_bonds(net, 2)[0]
    assert mc.bond_overlap(a, b) == pytest.approx((a.astype(int) * b).sum() / (12 * 5), rel=1e-14)


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mc.matched_overlap([[1, 1]], [[1]]), r"b must have \(1, 2\) patterns and neurons as a has"),
        (lambda: mc.matched_overlap([[1, 0]], [[1, 1]]), r"a must be \+-1, got 0 at \[0, 1\]"),
        (
            lambda: mc.matched_overlap([1, 1], [1, 1]),
            r"a must be \+-1 of shape \(..., n_patterns, N\), got int64 \(2,\)",
        ),
        (lambda: mc.bond_overlap([[1.0]], [[1.0, 1.0]]), r"bonds_b must end with the shape of bonds_a"),
        (lambda: mc.neuron_kernel([[1, 3]]), r"spins must be \+-1, got 3 at \[0, 1\]"),
        (lambda: mc.neuron_correlation_second_moment([[1]], [[1], [1]]), "b must have 1 patterns as a has, got 2"),
        (lambda: mc.normalised_overlap([[1]], [[1]]), "a must have at least 2 patterns, got 1"),
        (
            lambda: mc.prior_normalised_overlap(PerceptronNetwork(2, 1), [[1, 1]], 1, 1),
            "n_pairs must be an integer from 2",
        ),
        (
            lambda: mc.prior_aligned_overlap(PerceptronNetwork(2, 1), [[1]], 1),
            r"inputs must have shape \(n_patterns, 2\)",
        ),
        (
            lambda: mc.align([[[1]]], [[[1]]], [[[1]], [[1]]], [[[1]]]),
            "spins_a must have 2 layers, one more than bonds_a",
        ),
        (
            lambda: mc.align([[[1]], [[1]]], [[[1]]], [[[1, 1]], [[1]]], [[[1, 1]]]),
            r"spins_b must have the shapes of spins_a, \[\(1, 1\), \(1, 1\)\]",
        ),
        (lambda: mc.pattern_pairs(np.zeros((2, 3))), "kernel must have shape"),
        (lambda: mc.overlap_histogram([]), "overlaps must not be empty"),
        (lambda: mc.overlap_histogram([math.nan]), "overlaps must be from -1 to 1, got nan"),
        (lambda: mc.overlap_histogram([0.0], n_bins=3, n_neurons=3), "n_bins and n_neurons must not be given together"),
        (lambda: mc.overlap_histogram([0.0], n_bins=0), "n_bins must be an integer from 1"),
        (lambda: mc.overlap_histogram([0.0], n_neurons=0), "n_neurons must be an integer from 1"),
    ],
)
def test_argument_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
