"""The exact results on the deep perceptron network: known numbers, and each by a second route."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize, special

from deepglass.reference.mc_exact import (
    enumerate_network,
    layer_states,
    liquid_energy,
    planted_energy,
    prior_overlap,
    replica_symmetric_perceptron,
    replica_symmetric_student,
    single_pattern_energy,
    slaved_volume,
    two_pattern_network,
)

pytestmark = [pytest.mark.same_bits, pytest.mark.no_sanitizer]

Array = NDArray[np.float64]
POTENTIALS = ["soft", "count", "hard"]


def potential_energy(r: float, potential: str) -> float:
    return (r * r if potential == "soft" else 1.0) if r < 0 else 0.0


# ---- Numbers made elsewhere, by programs of their own, confirmed there by simulation; in case B the first
# and last energies differ by 1e-7 from what was handed down, as brute_force below finds too


@pytest.mark.parametrize(
    ("widths", "beta", "potential", "inputs", "outputs", "energy", "energy_layer", "q2", "variance"),
    [
        (
            [2, 2, 2],
            1.0,
            "soft",
            [[1, -1], [-1, -1]],
            [[1, 1], [-1, -1]],
            1.4127947511526,
            [0.7609330521919, 0.6518616989607],
            [0.5160328762513],
            1.5889747897784,
        ),
        (
            [2, 2, 2, 2],
            2.0,
            "soft",
            [[-1, 1], [1, 1], [1, -1]],
            [[1, 1], [1, -1], [-1, -1]],
            1.0891224050954,
            [0.3542342801066, 0.3427443063538, 0.3921438186350],
            [0.3927314062516, 0.3780866422134],
            None,
        ),
        (
            [2, 2, 2],
            1.5,
            "count",
            [[-1, 1], [1, 1], [1, -1], [-1, -1]],
            [[1, 1], [1, 1], [-1, 1], [1, 1]],
            3.6995298660884,
            [1.8497649330442, 1.8497649330442],
            None,
            None,
        ),
        (
            [3, 3, 3],
            1.0,
            "soft",
            [[-1, -1, -1], [-1, -1, -1], [-1, 1, 1]],
            [[-1, 1, 1], [-1, -1, -1], [1, -1, -1]],
            2.6336145190042,
            [1.3120600423871, 1.3215544766171],
            [0.3451187192062],
            None,
        ),
    ],
    ids=["A", "B", "C", "D"],
)
def test_tiny_networks(
    widths: list[int],
    beta: float,
    potential: str,
    inputs: list[list[int]],
    outputs: list[list[int]],
    energy: float,
    energy_layer: list[float],
    q2: list[float] | None,
    variance: float | None,
) -> None:
    network = enumerate_network(widths, inputs, outputs, beta, potential)
    exactly: dict[str, Any] = {"rtol": 0, "atol": 1e-12}
    np.testing.assert_allclose(network.energy, energy, **exactly)
    np.testing.assert_allclose(network.energy_layer, energy_layer, **exactly)
    if q2 is not None:
        np.testing.assert_allclose(network.overlap_second_moment, q2, **exactly)
    if variance is not None:
        np.testing.assert_allclose(network.energy_variance, variance, **exactly)


@pytest.mark.parametrize(
    ("n_inputs", "beta", "energy"),
    [
        (2, 1.0, 0.175915061998),
        (3, 1.0, 0.151081343345),
        (8, 2.0, 0.063005344626),
        (64, 2.0, 0.061947223712),
        (128, 5.0, 0.021022299790),
    ],
)
def test_one_pattern(n_inputs: int, beta: float, energy: float) -> None:
    assert abs(single_pattern_energy(n_inputs, beta) - energy) < 6e-13  # the digits given
    assert single_pattern_energy(n_inputs, beta, "count") == pytest.approx(1 / (1 + math.exp(beta)), rel=1e-13)


@pytest.mark.parametrize(
    ("n", "depth", "beta", "potential", "agree_in", "agree_out", "energy", "energy_layer", "correlation"),
    [
        (16, 3, 2.0, "soft", 12, 10, 5.975133159298, None, [0.123736, 0.079772]),
        (
            64,
            6,
            2.0,
            "soft",
            48,
            48,
            47.383985763526,
            [7.942928, 7.929092, 7.928142, 7.927743, 7.919663, 7.736418],
            [0.106514, 0.023491, 0.009482, 0.023340, 0.105799],
        ),
        (64, 6, 3.0, "soft", 64, 0, 29.057832750417, None, [0.275428, 0.069050, 0.000921, -0.065373, -0.263707]),
        (32, 4, 4.0, "count", 28, 20, 4.533397313966, None, [0.518569, 0.357648, 0.270888]),
        (128, 6, 10.0, "soft", 100, 90, 13.010346957420, None, None),
    ],
)
def test_two_patterns(
    n: int,
    depth: int,
    beta: float,
    potential: str,
    agree_in: int,
    agree_out: int,
    energy: float,
    energy_layer: list[float] | None,
    correlation: list[float] | None,
) -> None:
    network = two_pattern_network([n] * (depth + 1), agree_in, agree_out, beta, potential)
    assert abs(network.energy - energy) < 2e-12  # 12 decimals, sums of hundreds of terms
    if energy_layer is not None:
        np.testing.assert_allclose(network.energy_layer, energy_layer, rtol=0, atol=5.1e-7)  # the digits given
    if correlation is not None:
        np.testing.assert_allclose(network.correlation, correlation, rtol=0, atol=5.1e-7)


@pytest.mark.parametrize(
    ("beta", "energy"),
    [
        (1.0, 0.122008467928),
        (2.0, 0.061803398875),
        (5.0, 0.021060225367),
        (20.0, 0.003294587950),
        (100, 0.000327797186),
    ],
)
def test_liquid(beta: float, energy: float) -> None:
    assert abs(liquid_energy(beta) - energy) < 6e-13


@pytest.mark.parametrize(
    ("load", "beta", "potential", "overlap", "energy"),
    [
        (1.0, 5.0, "soft", 0.296439038191, 0.026185392062),
        (2.0, 5.0, "soft", 0.538790428122, 0.035409440481),
        (4.0, 5.0, "soft", 0.789327891405, 0.069174043073),
        (1.0, 3.0, "count", 0.370177355797, 0.085318350893),
    ],
)
def test_replica_symmetric_perceptron(load: float, beta: float, potential: str, overlap: float, energy: float) -> None:
    solution = replica_symmetric_perceptron(load, beta, potential)
    assert abs(solution.overlap - overlap) < 1e-11
    assert abs(solution.energy - energy) < 1e-11
    assert solution.replicon < 1


@pytest.mark.parametrize(
    ("load", "beta", "R", "training", "generalisation"),
    [
        (2.0, 2.0, 0.6143, 0.0723, 0.2894),
        (4.0, 3.0, 0.8690, 0.0197, 0.1648),
        (4.0, math.inf, 0.9003, 0.0, 0.1434),
    ],
)
def test_replica_symmetric_student(load: float, beta: float, R: float, training: float, generalisation: float) -> None:
    student = replica_symmetric_student(load, beta)
    numbers = student.teacher_overlap, student.training_error, student.generalisation_error
    np.testing.assert_allclose(numbers, (R, training, generalisation), rtol=0, atol=5.1e-5)  # the digits given


def test_planted_numbers() -> None:
    assert abs(planted_energy([8] * 4, 12, 1.5)[0] - 52.5386) < 5.1e-5
    assert abs(planted_energy([16] * 3, 16, 2.0)[0] - 61.0319) < 5.1e-5


@pytest.mark.parametrize(
    ("bonds", "inputs", "outputs", "volume", "n_wrong", "digits"),
    [
        (
            "spherical",
            [[-1, -1, 1], [1, -1, -1], [1, 1, 1]],
            [[-1, -1, -1], [1, 1, 1], [-1, 1, -1]],
            0.003340423643,
            2.202385356,
            1e-9,
        ),
        (
            "binary",
            [[-1, 1, 1], [-1, -1, -1], [1, 1, -1]],
            [[1, 1, 1], [-1, -1, -1], [1, 1, 1]],
            0.007080078125,
            2.087913641,
            1e-9,
        ),
        ("spherical", [[1, 1], [1, -1], [1, 1]], [[1, 1], [-1, -1], [1, 1]], 3 / 32, 0.851120784, 1e-9),
    ],
)
def test_slaved_numbers(
    bonds: str, inputs: list[list[int]], outputs: list[list[int]], volume: float, n_wrong: float, digits: float
) -> None:
    n = len(inputs[0])
    network = slaved_volume([n] * 3, inputs, outputs, bonds, beta=1.0)
    assert abs(network.volume - volume) < 1e-12
    assert abs(network.n_wrong - n_wrong) < digits
    assert network.n_wrong_law.sum() == pytest.approx(1, rel=1e-13)


@pytest.mark.parametrize(
    ("width", "expected"), [(None, [0.288, 0.105, 0.041]), (10, [0.33, 0.15, 0.08])], ids=["wide", "N=10"]
)
def test_prior_overlap_numbers(width: int | None, expected: list[float]) -> None:
    digits = 3 if width is None else 2
    assert [round(prior_overlap(layer, width).normalised, digits) for layer in (1, 2, 3)] == expected


# ---- Tiny networks: sums over hidden states one by one, bond integrals by adaptive quadrature


def bond_average(energy_of: Callable[[Array], float], spins: Array, beta: float, bonds: str) -> tuple[float, float]:
    """<e^(-beta E)>, <E e^(-beta E)> of one perceptron, E = energy_of(h)."""
    n = spins.shape[1]
    if bonds == "binary" or n == 1:
        # Integers are divided last, so that fields which cancel are exactly 0.
        E = np.array([energy_of(spins @ np.array(J) / math.sqrt(n)) for J in itertools.product((-1, 1), repeat=n)])
        return float(np.exp(-beta * E).mean()), float((E * np.exp(-beta * E)).mean())
    assert n == 2
    quarters = [(k * math.pi / 2 + math.pi / 4, (k + 1) * math.pi / 2 + math.pi / 4) for k in range(4)]

    def integral(power: int) -> float:
        def integrand(a: float) -> float:
            E = energy_of(spins @ [math.cos(a), math.sin(a)])
            return float(E**power * math.exp(-beta * E))

        return math.fsum(integrate.quad(integrand, *q, epsabs=1e-13)[0] for q in quarters) / (2 * math.pi)

    return integral(0), integral(1)


def brute_force(
    widths: list[int], inputs: Array, outputs: Array, beta: float, potential: str, bonds: str
) -> tuple[float, list[float], Array]:
    """Z, <E_l> and <K> of the hidden layers."""
    n_patterns = len(inputs)
    cache: dict[tuple[Any, ...], tuple[float, float]] = {}

    def perceptron(below: Array, above: Array) -> tuple[float, float]:
        key = (below.tobytes(), below.shape, above.tobytes())
        if key not in cache:

            def energy_of(h: Array) -> float:
                return sum(potential_energy(float(r), potential) for r in above * h)

            cache[key] = bond_average(energy_of, below, beta, bonds)
        return cache[key]

    Z, depth = 0.0, len(widths) - 1
    energy, K = np.zeros(depth), np.zeros((depth - 1, n_patterns, n_patterns))
    shapes = [(n_patterns, n) for n in widths[1:-1]]
    for flat in itertools.product((-1.0, 1.0), repeat=sum(m * n for m, n in shapes)):
        hidden, start = [], 0
        for shape in shapes:
            hidden.append(np.array(flat[start : start + shape[0] * shape[1]]).reshape(shape))
            start += shape[0] * shape[1]
        layers = [inputs, *hidden, outputs]
        weight, energies = 1.0, np.zeros(depth)
        for layer, (below, above) in enumerate(itertools.pairwise(layers)):
            for column in above.T:
                w, e = perceptron(below, np.ascontiguousarray(column))
                weight *= w
                energies[layer] += e / w
        Z += weight
        energy += weight * energies
        K += [weight * S @ S.T / S.shape[1] for S in hidden]
    return Z, list(energy / Z), K / Z


@pytest.mark.parametrize(
    ("widths", "beta", "potential", "bonds", "n_patterns"),
    [
        ([2, 2, 2], 1.0, "soft", "spherical", 2),
        ([2, 2, 1, 2], 3.0, "soft", "spherical", 2),
        ([2, 2, 2, 2], 2.0, "soft", "spherical", 3),
        ([2, 2, 3], 1.5, "count", "spherical", 2),
        ([2, 3, 2], 1.5, "count", "binary", 2),
        ([4, 2, 2, 3], 2.0, "soft", "binary", 2),
        ([3, 2, 2], 2.0, "count", "binary", 3),
    ],
)
def test_enumeration_is_brute_force(
    widths: list[int], beta: float, potential: str, bonds: str, n_patterns: int
) -> None:
    random = np.random.default_rng(7)
    inputs, outputs = (random.choice([-1.0, 1.0], (n_patterns, n)) for n in (widths[0], widths[-1]))
    network = enumerate_network(widths, inputs, outputs, beta, potential, bonds)
    Z, energy_layer, K = brute_force(widths, inputs, outputs, beta, potential, bonds)
    # quad to 1e-13 absolute a perceptron
    assert network.log_partition == pytest.approx(math.log(Z), rel=1e-11)
    np.testing.assert_allclose(network.energy_layer, energy_layer, rtol=1e-11)
    np.testing.assert_allclose(network.neuron_correlation, K, rtol=0, atol=1e-11)


@pytest.mark.parametrize("bonds", ["spherical", "binary"])
@pytest.mark.parametrize("potential", ["soft", "count"])
def test_energy_and_variance_are_derivatives(potential: str, bonds: str) -> None:
    inputs, outputs = [[1, 1, -1], [1, -1, 1]], [[1, -1], [-1, 1]]

    def log_partition(beta: float) -> float:
        return enumerate_network([3, 2, 2], inputs, outputs, beta, potential, bonds).log_partition

    d, beta = 0.02, 1.3
    f = {k: log_partition(beta + k * d) for k in range(-3, 4)}
    first = (45 * (f[1] - f[-1]) - 9 * (f[2] - f[-2]) + f[3] - f[-3]) / (60 * d)
    second = (270 * (f[1] + f[-1]) - 27 * (f[2] + f[-2]) + 2 * (f[3] + f[-3]) - 490 * f[0]) / (180 * d * d)
    network = enumerate_network([3, 2, 2], inputs, outputs, beta, potential, bonds)
    assert network.energy == pytest.approx(-first, abs=1e-10)  # sixth order in d
    assert network.energy_variance == pytest.approx(second, abs=1e-9)  # and rounding / d^2


def test_bond_integrals_have_converged() -> None:
    inputs, outputs = [[-1, -1, -1], [-1, 1, 1]], [[-1], [1]]
    for beta in (1.0, 20.0):
        network = enumerate_network([3, 2, 1], inputs, outputs, beta)
        finer = enumerate_network([3, 2, 1], inputs, outputs, beta, n_nodes=60)
        assert network.energy == pytest.approx(finer.energy, rel=1e-13)
        assert network.energy_variance == pytest.approx(finer.energy_variance, rel=1e-12)


def test_law_of_the_hidden_states() -> None:
    network = enumerate_network([2, 2, 2], [[1, -1], [-1, -1]], [[1, 1], [-1, -1]], 1.0)
    states = layer_states(2, 2)
    assert len({state.tobytes() for state in states}) == 16
    given = [network.law[0] @ states.reshape(16, 4), network.law[2] @ states.reshape(16, 4)]
    np.testing.assert_allclose(given, [[1, -1, -1, -1], [1, 1, -1, -1]], rtol=1e-15)  # one probability of 1, rounded
    assert np.tensordot(network.law[1], states, 1) == pytest.approx(np.zeros((2, 2)), abs=1e-14)  # gauge freedom
    weights = {state.tobytes(): p for state, p in zip(states, network.law[1], strict=True)}
    for state in states:  # hidden neurons can be exchanged and flipped
        assert weights[state[:, ::-1].tobytes()] == pytest.approx(weights[state.tobytes()], rel=1e-12)
        assert weights[(state * [1.0, -1.0]).tobytes()] == pytest.approx(weights[state.tobytes()], rel=1e-12)


# ---- Identities of the count potential


def test_sum_over_outputs_is_that_of_free_neurons() -> None:
    """sum over S[L] of Z = (1 + e^-beta)^(L N M), and the mean over planted outputs of E is that of free neurons."""
    beta, widths = 0.8, [2, 3, 2]
    inputs = np.array([[1, 1], [1, -1]])
    networks = [enumerate_network(widths, inputs, outputs, beta, "count") for outputs in layer_states(2, 2)]
    Z = np.exp([network.log_partition for network in networks])
    assert Z.sum() == pytest.approx((1 + math.exp(-beta)) ** 10, rel=1e-13)
    mean, variance = planted_energy(widths, 2, beta)
    P = Z / Z.sum()
    E, V = (np.array([getattr(network, name) for network in networks]) for name in ("energy", "energy_variance"))
    np.testing.assert_allclose([P @ E, P @ (V + E**2) - mean**2], [mean, variance], rtol=1e-12)


# ---- One and two patterns


@pytest.mark.parametrize("n", [2, 3, 8, 64])
@pytest.mark.parametrize("beta", [0.3, 2.0, 5.0])
def test_one_pattern_by_hypergeometric_functions(n: int, beta: float) -> None:
    # cos^2 a ~ Beta(1/2, (N-1)/2); Kummer's transformation avoids the alternating series.
    def average(power: int) -> float:
        return math.exp(-beta * n) * float(special.hyp1f1((n - 1) / 2, n / 2 + power, beta * n))

    assert single_pattern_energy(n, beta) == pytest.approx(average(1) / (1 + average(0)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 4, 7])
@pytest.mark.parametrize("potential", POTENTIALS[:2])
def test_one_pattern_with_binary_bonds(n: int, potential: str) -> None:
    def energy_of(h: Array) -> float:
        return potential_energy(float(h[0]), potential)

    w, e = bond_average(energy_of, np.ones((1, n)), 1.7, "binary")
    assert single_pattern_energy(n, 1.7, potential, "binary") == pytest.approx(e / w, rel=1e-13)


def same_patterns(agree: int, n: int) -> Array:
    pair = np.ones((2, n))
    pair[1, agree:] = -1
    return pair


@pytest.mark.parametrize(
    ("widths", "bonds"),
    [
        ([3, 3, 3], "spherical"),
        ([3, 3, 3, 3], "spherical"),
        ([2, 3, 1, 2], "spherical"),
        ([3, 2, 5], "spherical"),
        ([3, 3, 3], "binary"),
        ([4, 2, 3], "binary"),
        ([2, 4, 4, 2], "binary"),
    ],
)
@pytest.mark.parametrize("potential", POTENTIALS)
def test_two_patterns_are_the_enumeration(widths: list[int], bonds: str, potential: str) -> None:
    for agree_in, agree_out in [(1, widths[-1]), (widths[0] - 1, 1), (widths[0], 0), (0, 0)]:
        data = same_patterns(agree_in, widths[0]), same_patterns(agree_out, widths[-1])
        try:
            network = enumerate_network(widths, *data, 1.4, potential, bonds)
        except ValueError:
            assert potential == "hard"
            with pytest.raises(ValueError, match="outputs must be possible"):
                two_pattern_network(widths, agree_in, agree_out, 1.4, potential, bonds)
            continue
        pair = two_pattern_network(widths, agree_in, agree_out, 1.4, potential, bonds)
        close: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13}
        np.testing.assert_allclose(pair.log_partition, network.log_partition, **close)
        np.testing.assert_allclose(pair.energy_layer, network.energy_layer, **close)
        np.testing.assert_allclose(pair.energy_variance, network.energy_variance, **close)
        np.testing.assert_allclose(pair.correlation, network.neuron_correlation[:, 0, 1], **close)


@pytest.mark.parametrize("n", [2, 3, 8, 25])
def test_pair_average_of_the_count_potential(n: int) -> None:
    """One layer, one output: ln Z = ln w(c), with the closed form of w."""
    beta = 1.1
    for agree in range(0, n + 1, n // 2):
        angle = math.asin(2 * agree / n - 1)
        w = (1 / 4 + angle / (2 * math.pi)) * (1 + math.exp(-2 * beta)) + (1 / 2 - angle / math.pi) * math.exp(-beta)
        log_partition = two_pattern_network([n, 1], agree, 1, beta, "count").log_partition
        assert log_partition == pytest.approx(math.log(w), rel=1e-13)


@pytest.mark.parametrize("n", [4, 9])
@pytest.mark.parametrize("agree_out", [0, 1])
def test_pair_average_of_the_soft_potential(n: int, agree_out: int) -> None:
    """Adaptive quadrature over the angle in the plane of both inputs; the radius by a confluent function."""
    beta, agree = 2.0, 3
    c, sign = 2 * agree / n - 1, 2 * agree_out - 1
    theta = math.acos(c)

    def radial(a: float) -> float:
        h1, h2 = math.cos(a), sign * math.cos(a - theta)
        x = beta * n * (min(h1, 0.0) ** 2 + min(h2, 0.0) ** 2)
        # E exp(-x rho^2), rho^2 ~ Beta(1, (n-2)/2)
        return math.exp(-x) * float(special.hyp1f1((n - 2) / 2, n / 2, x))

    ends = sorted(
        {0.0, 2 * math.pi, *((angle + k * math.pi / 2) % (2 * math.pi) for angle in (0, theta) for k in (1, 3))}
    )
    w = sum(integrate.quad(radial, *pair, epsabs=1e-14)[0] for pair in itertools.pairwise(ends)) / (2 * math.pi)
    assert two_pattern_network([n, 1], agree, agree_out, beta).log_partition == pytest.approx(math.log(w), rel=1e-12)


def test_two_patterns_have_converged() -> None:
    for n, beta in ((128, 10.0), (32, 100.0), (3, 50.0)):
        network, finer = (two_pattern_network([n] * 3, n - 1, 1, beta, n_nodes=nodes) for nodes in (24, 32))
        assert network.energy == pytest.approx(finer.energy, rel=1e-12)
        assert network.energy_variance == pytest.approx(finer.energy_variance, rel=1e-12)


def test_two_patterns_of_unequal_widths_by_simulation() -> None:
    """E of the count potential by forward sampling of the noisy network, kept where the outputs come out right."""
    random = np.random.default_rng(3)
    n_samples, widths, beta = 200_000, [5, 7, 2], 1.0
    agree_in, agree_out = 4, 1
    p = 1 / (1 + math.exp(beta))
    S = np.broadcast_to(same_patterns(agree_in, 5), (n_samples, 2, 5))
    errors, K = np.zeros(n_samples), np.zeros(n_samples)
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        h = np.einsum("sik,smk->smi", random.standard_normal((n_samples, n_out, n_in)), S)
        wrong = random.random(h.shape) < p
        errors += wrong.sum(axis=(1, 2))
        S = np.where(wrong, -1, 1) * np.sign(h)
        if layer == 0:
            K = (S[:, 0] * S[:, 1]).mean(axis=1)
    right = (S[:, 0] == S[:, 1]).sum(axis=1) == agree_out
    exact = two_pattern_network(widths, agree_in, agree_out, beta, "count")
    assert right.sum() > 50_000
    for sample, value in ((errors[right], exact.energy), (K[right], exact.correlation[0])):
        assert abs(sample.mean() - value) < 4 * sample.std() / math.sqrt(len(sample))
    fourth = ((errors[right] - errors[right].mean()) ** 2 - errors[right].var()).std() / math.sqrt(right.sum())
    assert abs(errors[right].var() - exact.energy_variance) < 4 * fourth


# ---- Wide networks


@pytest.mark.parametrize("potential", POTENTIALS[:2])
def test_liquid_is_a_gaussian_average(potential: str) -> None:
    beta = 1.5

    def average(power: int) -> float:
        def integrand(r: float) -> float:
            v = potential_energy(r, potential)
            return v**power * math.exp(-(r**2) / 2 - beta * v)

        return float(integrate.quad(integrand, -12, 0, epsabs=1e-14)[0] + integrate.quad(integrand, 0, 12)[0])

    assert liquid_energy(beta, potential) == pytest.approx(average(1) / average(0), rel=1e-10)


def test_narrow_networks_approach_the_liquid() -> None:
    """The deviation of one and of two patterns falls as 1/N."""
    gap = [single_pattern_energy(n, 2.0) - liquid_energy(2.0) for n in (64, 128)]
    assert gap[0] / gap[1] == pytest.approx(2, abs=0.05)
    gap = [two_pattern_network([n] * 4, n // 2, n // 2, 2.0).energy / (6 * n) - liquid_energy(2.0) for n in (32, 64)]
    assert gap[0] / gap[1] == pytest.approx(2, abs=0.1)


def perceptron_entropy(q: float, load: float, beta: float, potential: str) -> float:
    """ln(1-q)/2 + q/(2(1-q)) + load E ln g, g and the outer average by Gauss-Hermite and Gauss-Legendre sums."""
    z, w = np.polynomial.legendre.leggauss(200)
    z, w = 9 * z, 9 * w * np.exp(-((9 * z) ** 2) / 2) / math.sqrt(2 * math.pi)
    y, u = np.polynomial.legendre.leggauss(100)
    h, s = math.sqrt(q) * z, math.sqrt(1 - q)
    edge = np.clip(-h / s, -15, 15)  # where the gap changes sign
    g = np.zeros_like(h)
    for left, right in ((np.full_like(h, -15.0), edge), (edge, np.full_like(h, 15.0))):
        half = (right - left)[:, None] / 2
        points = left[:, None] + half * (1 + y)
        r = h[:, None] + s * points
        v = np.where(r < 0, r * r if potential == "soft" else 1.0, 0.0)
        g += (half * u * np.exp(-beta * v - points**2 / 2)).sum(axis=1) / math.sqrt(2 * math.pi)
    return math.log(1 - q) / 2 + q / (2 * (1 - q)) + load * float(w @ np.log(g))


@pytest.mark.parametrize(
    ("load", "beta", "potential"), [(1.0, 5.0, "soft"), (4.0, 5.0, "soft"), (1.0, 3.0, "count"), (0.5, 1.0, "count")]
)
def test_replica_symmetric_perceptron_by_extremisation(load: float, beta: float, potential: str) -> None:
    solution = replica_symmetric_perceptron(load, beta, potential)

    def slope(q: float, d: float = 1e-3) -> float:
        f = {k: perceptron_entropy(q + k * d, load, beta, potential) for k in (-2, -1, 1, 2)}
        return (8 * (f[1] - f[-1]) - f[2] + f[-2]) / (12 * d)

    q = optimize.brentq(slope, solution.overlap - 0.03, solution.overlap + 0.03, xtol=1e-12)
    assert solution.overlap == pytest.approx(q, abs=1e-7)  # differences of fourth order in 1e-3
    d, q = 1e-3, solution.overlap
    f = {k: perceptron_entropy(q, load, beta + k * d, potential) for k in (-2, -1, 1, 2)}
    energy = -(8 * (f[1] - f[-1]) - f[2] + f[-2]) / (12 * d) / load
    assert solution.energy == pytest.approx(energy, abs=1e-10)


@pytest.mark.parametrize(("potential", "beta"), [("soft", 2.0), ("count", 2.0), ("hard", math.inf)])
def test_replicon_is_the_curvature_of_the_gap_weight(potential: str, beta: float) -> None:
    """(ln g)'' by differences of ln g, which is an elementary Gaussian integral."""
    load = 1.2
    solution = replica_symmetric_perceptron(load, beta, potential)
    q, s = solution.overlap, math.sqrt(1 - solution.overlap)
    z = np.linspace(-9, 9, 3601)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])

    def log_g(h: Array) -> Array:
        right, left = special.ndtr(h / s), special.ndtr(-h / s)
        if potential == "soft":
            t = math.sqrt(1 + 2 * beta * s * s)
            left = np.exp(-beta * (h / t) ** 2) * special.ndtr(-h / (s * t)) / t
        elif potential == "count":
            left = math.exp(-beta) * left
        else:
            left = 0.0
        return np.asarray(np.log(right + left))

    h, d = math.sqrt(q) * z, 1e-3
    curvature = (log_g(h + d) - 2 * log_g(h) + log_g(h - d)) / d**2
    replicon = load * (1 - q) ** 2 * float(weight @ curvature**2)
    assert solution.replicon == pytest.approx(replicon, rel=1e-5)  # second order in d
    slope = (log_g(h + d) - log_g(h - d)) / (2 * d)
    assert q / (1 - q) ** 2 == pytest.approx(load * float(weight @ slope**2), rel=1e-5)


def test_capacity_of_the_perceptron() -> None:
    """The hard overlap goes to 1 at load 2 (Cover, Gardner); the count potential follows it at large beta."""
    overlaps = [replica_symmetric_perceptron(load, math.inf, "hard").overlap for load in (1.0, 1.9, 1.99)]
    assert overlaps[0] == pytest.approx(replica_symmetric_perceptron(1.0, 80.0, "count").overlap, abs=1e-13)
    assert 0.9 < overlaps[1] < overlaps[2] < 1
    assert overlaps[2] > 0.99
    with pytest.raises(ValueError, match=r"load must be >= 0 and < 2, got 2.0"):
        replica_symmetric_perceptron(2.0, math.inf, "hard")


def student_entropy(R: float, q: float, load: float, beta: float) -> float:
    z, w = np.polynomial.legendre.leggauss(300)
    z, w = 10 * z, 10 * w * np.exp(-((10 * z) ** 2) / 2) / math.sqrt(2 * math.pi)
    b = math.exp(-beta)
    log_g = np.log(b + (1 - b) * special.ndtr(z * math.sqrt(q / (1 - q))))
    p = special.ndtr(R * z / math.sqrt(q - R * R))
    return math.log(1 - q) / 2 + (q - R * R) / (2 * (1 - q)) + 2 * load * float(w @ (p * log_g))


@pytest.mark.parametrize(("load", "beta"), [(2.0, 2.0), (4.0, 3.0), (1.0, 0.5)])
def test_student_by_extremisation(load: float, beta: float) -> None:
    student = replica_symmetric_student(load, beta)
    R, q, d = student.teacher_overlap, student.overlap, 1e-3

    def slope(f: Any) -> float:
        return float((8 * (f(d) - f(-d)) - f(2 * d) + f(-2 * d)) / (12 * d))

    assert slope(lambda x: student_entropy(R + x, q, load, beta)) == pytest.approx(0, abs=1e-7)  # fourth order
    assert slope(lambda x: student_entropy(R, q + x, load, beta)) == pytest.approx(0, abs=1e-7)
    training = -slope(lambda x: student_entropy(R, q, load, beta + x)) / load
    assert student.training_error == pytest.approx(training, abs=1e-10)


@pytest.mark.parametrize("load", [0.1, 1.0, 4.0, 30.0])
def test_cold_student_is_bayes_optimal(load: float) -> None:
    cold, coldest = replica_symmetric_student(load, 40.0), replica_symmetric_student(load, math.inf)
    assert coldest.overlap == coldest.teacher_overlap
    assert cold.overlap == pytest.approx(coldest.overlap, abs=1e-12)
    assert cold.teacher_overlap == pytest.approx(coldest.teacher_overlap, abs=1e-12)
    # Noisy learning of noiseless rules is not: the teacher is further away than other students, or nearer.
    warm = replica_symmetric_student(load, 1.0)
    assert abs(warm.overlap - warm.teacher_overlap) > 1e-3


def test_student_without_examples() -> None:
    """Nothing learnt: the error is that of a coin tilted by beta."""
    for load, beta in ((0.0, 2.0), (3.0, 0.0)):
        student = replica_symmetric_student(load, beta)
        assert (student.teacher_overlap, student.overlap, student.generalisation_error) == (0, 0, 0.5)
        assert student.training_error == pytest.approx(1 / (1 + math.exp(beta)))
    few = replica_symmetric_student(1e-3, 2.0)
    assert few.training_error == pytest.approx(1 / (1 + math.exp(2.0)), abs=1e-3)


# ---- Slaved networks


@pytest.mark.parametrize("widths", [[2, 2, 2], [3, 3, 3], [2, 3, 1]])
def test_slaved_volume_is_the_hard_network(widths: list[int]) -> None:
    """The hard Gibbs measure: signed-majority and dictator cells against integrals over the sphere."""
    random = np.random.default_rng(5)
    inputs = random.choice([-1, 1], (2, widths[0]))
    total = 0.0
    for outputs in layer_states(widths[-1], 2):
        volume = slaved_volume(widths, inputs, outputs).volume
        total += volume
        try:
            hard = math.exp(enumerate_network(widths, inputs, outputs, 1.0, "hard", n_nodes=20).log_partition)
        except ValueError:
            hard = 0.0
        assert volume == pytest.approx(hard, rel=1e-12, abs=1e-15)
    assert total == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("widths", "bonds"), [([3, 3, 2], "binary"), ([2, 2, 2], "binary"), ([3, 2], "binary")])
def test_slaved_volume_machine_by_machine(widths: list[int], bonds: str) -> None:
    random = np.random.default_rng(11)
    inputs, outputs = random.choice([-1, 1], (3, widths[0])), random.choice([-1, 1], (3, widths[-1]))
    shapes = [(n_out, n_in) for n_in, n_out in itertools.pairwise(widths)]
    sizes = [a * b for a, b in shapes]
    J = 1 - 2 * (np.arange(2 ** sum(sizes))[:, None] >> np.arange(sum(sizes)) & 1)
    S = np.broadcast_to(inputs, (len(J), *inputs.shape))
    for bond, shape in zip(np.split(J, np.cumsum(sizes)[:-1], axis=1), shapes, strict=True):
        S = np.where(np.einsum("smk,sik->smi", S, bond.reshape(-1, *shape)) >= 0, 1, -1)
    wrong = (outputs != S).sum(axis=(1, 2))
    weight = np.exp(-1.3 * wrong)
    network = slaved_volume(widths, inputs, outputs, bonds, beta=1.3)
    law = np.bincount(wrong, minlength=len(network.n_wrong_law)) / len(J)
    np.testing.assert_allclose(network.n_wrong_law, law, rtol=1e-12)
    assert network.volume == pytest.approx((wrong == 0).mean(), rel=1e-12)
    assert network.n_wrong == pytest.approx((weight * wrong).sum() / weight.sum(), rel=1e-12)


def test_slaved_volume_by_simulation() -> None:
    """Forward passes of random machines, spherical bonds."""
    random = np.random.default_rng(2)
    inputs, outputs = np.array([[-1, -1, 1], [1, -1, -1], [1, 1, 1]]), np.array([[-1, -1, -1], [1, 1, 1], [-1, 1, -1]])
    n_samples = 300_000
    S = np.broadcast_to(inputs, (n_samples, 3, 3))
    for _ in range(2):
        S = np.sign(np.einsum("smk,sik->smi", S, random.standard_normal((n_samples, 3, 3))))
    wrong = (outputs != S).sum(axis=(1, 2))
    expected = slaved_volume([3] * 3, inputs, outputs).n_wrong_law * n_samples
    chi2 = float(((np.bincount(wrong, minlength=10) - expected) ** 2 / expected).sum())
    assert chi2 < special.chdtri(9, 1e-4)


def test_cold_slaved_network_has_the_fewest_errors() -> None:
    inputs, outputs = [[1, 1], [1, -1], [1, 1]], [[1, 1], [-1, -1], [1, 1]]
    assert slaved_volume([2] * 3, inputs, outputs, beta=math.inf).n_wrong == 0
    # Equal inputs, opposite outputs: one of each pair of bits is wrong, at any beta.
    impossible = slaved_volume([2] * 3, [[1, 1], [1, 1]], [[1, 1], [-1, -1]], beta=math.inf)
    assert (impossible.volume, impossible.n_wrong) == (0, 2)


# ---- Overlaps of the prior


@pytest.mark.parametrize("layer", [1, 2])
def test_prior_overlap_of_narrow_machines_by_enumeration(layer: int) -> None:
    """Two patterns through all machines of width 3: <K> and <K^2> given the inputs, averaged over coins."""
    states = layer_states(3, 2)
    K = (states[:, 0] * states[:, 1]).mean(axis=1)
    within = between = 0.0
    for agree, probability in enumerate((1 / 8, 3 / 8, 3 / 8, 1 / 8)):
        inputs = same_patterns(agree, 3)
        law = np.array([slaved_volume([3] * (layer + 1), inputs, outputs).volume for outputs in states])
        within += probability * float(law @ K**2)
        between += probability * float(law @ K) ** 2
    exact = prior_overlap(layer, 3)
    assert (exact.within, exact.between) == pytest.approx((within, between), rel=1e-12)
    assert exact.normalised == pytest.approx(between / within, rel=1e-12)


def test_prior_overlap_of_wide_machines() -> None:
    for layer in (0, 1, 2, 5):
        wide, wider, limit = prior_overlap(layer, 400), prior_overlap(layer, 800), prior_overlap(layer)
        deviation = [400 * wide.between - limit.between, 800 * wider.between - limit.between]
        if layer > 0:
            assert deviation[0] / deviation[1] == pytest.approx(2, abs=0.05)
        assert 800 * wider.within == pytest.approx(limit.within, rel=0.01)
        assert wider.normalised == pytest.approx(limit.normalised, rel=0.02)


def test_prior_overlap_by_simulation() -> None:
    """Machines of width 160, pairs on shared coin inputs: off-diagonal q2' within and between."""
    random = np.random.default_rng(160)
    n, n_patterns, n_instances, depth = 160, 40, 60, 3
    upper = np.triu_indices(n_patterns, 1)
    within, between = np.zeros((n_instances, depth)), np.zeros((n_instances, depth))
    for instance in range(n_instances):
        inputs = random.choice([-1.0, 1.0], (n_patterns, n))
        S = [inputs, inputs]
        for layer in range(depth):
            S = [np.sign(s @ random.standard_normal((n, n))) for s in S]
            K = [(s @ s.T / n)[upper] for s in S]
            within[instance, layer] = (K[0] ** 2 + K[1] ** 2).mean() / 2
            between[instance, layer] = (K[0] * K[1]).mean()
    for layer in range(depth):
        exact = prior_overlap(layer + 1, n)
        for sample, value in ((within[:, layer], exact.within), (between[:, layer], exact.between)):
            assert abs(sample.mean() - value) < 4 * sample.std(ddof=1) / math.sqrt(n_instances)


# ---- Arguments


def test_errors() -> None:
    ones = [[1, 1], [1, 1]]
    for message, call in [
        ("potential must be one of 'soft', 'count', 'hard', got 'square'", lambda: liquid_energy(1.0, "square")),
        ("bonds must be one of 'spherical', 'binary', got 'ising'", lambda: slaved_volume([2, 2], ones, ones, "ising")),
        ("beta must be a finite number >= 0, got -1.0", lambda: enumerate_network([2, 2], ones, ones, -1.0)),
        ("beta must be >= 0, got nan", lambda: replica_symmetric_student(1.0, math.nan)),
        ("beta must be >= 0, got -1", lambda: slaved_volume([2, 2], ones, ones, beta=-1)),
        ("load must be >= 0, got -1", lambda: replica_symmetric_student(-1, 1.0)),
        ("widths must be two or more integers >= 1", lambda: planted_energy([2], 1, 1.0)),
        ("widths must be at most 3", lambda: enumerate_network([4, 2], [[1] * 4], [[1, 1]], 1.0)),
        ("widths must be at most 3", lambda: slaved_volume([4, 2], [[1] * 4], [[1, 1]])),
        ("inputs must be \\+-1 of shape \\(M, 2\\)", lambda: enumerate_network([2, 2], [[0, 1]], [[1, 1]], 1.0)),
        ("outputs must be \\+-1 of shape \\(M, 2\\)", lambda: slaved_volume([2, 2], ones, [[1]])),
        ("outputs must have as many patterns", lambda: enumerate_network([2, 2], ones, [[1, 1]], 1.0)),
        (
            "a layer must have at most 2048 states",
            lambda: enumerate_network([2, 6, 2], ones, ones, 1.0, bonds="binary"),
        ),
        ("agree_in must be an integer from 0 to 4, got 5", lambda: two_pattern_network([4, 4], 5, 0, 1.0)),
        ("agree_out must be an integer from 0 to 4, got -1", lambda: two_pattern_network([4, 4], 4, -1, 1.0)),
        ("layer must be an integer >= 0, got -1", lambda: prior_overlap(-1)),
        ("outputs must be possible", lambda: enumerate_network([2, 2], ones, [[1, 1], [-1, -1]], 1.0, "hard")),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
