"""Hamiltonian dynamics of spherical bonds: kernel and twin, the integrator, exact energies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepglass import _core
from deepglass.reference import mc_exact
from deepglass.reference import mc_trajectory as reference

pytestmark = pytest.mark.same_bits

Array = NDArray[np.float64]
Spins = NDArray[np.int8]


def coins(rng: np.random.Generator, *shape: int) -> Spins:
    return rng.choice(np.array([-1, 1], dtype=np.int8), shape)


class Case:
    """A network on random data, from a random start."""

    def __init__(
        self,
        widths: list[int],
        n_patterns: int,
        *,
        seed: int = 0,
        data: tuple[Any, Any] | None = None,
        graph: list[NDArray[np.int32] | None] | None = None,
        n_chains: int = 1,
        **options: Any,
    ) -> None:
        self.binary = bool(options.get("binary", False))
        rng = np.random.default_rng(seed)
        self.widths, self.n_chains, self.graph = widths, n_chains, graph or [None] * (len(widths) - 1)
        self.inputs, self.outputs = coins(rng, n_patterns, widths[0]), coins(rng, n_patterns, widths[-1])
        if data is not None:
            self.inputs, self.outputs = (np.array(x, dtype=np.int8) for x in data)
        self.networks = _core.FreeNetworks(
            widths, self.inputs, self.outputs, graph=self.graph, n_chains=n_chains, seed=seed, **options
        )
        for c in range(n_chains):
            self.networks.set_state(c, [coins(rng, n_patterns, n) for n in widths[1:-1]], self.random_bonds(rng))

    def random_bonds(self, rng: np.random.Generator) -> list[Array]:
        bonds = [rng.standard_normal((n, below)) for below, n in zip(self.widths[:-1], self.widths[1:], strict=True)]
        for J, graph in zip(bonds, self.graph, strict=True):
            if graph is not None:
                there = np.zeros(J.shape, dtype=bool)
                np.put_along_axis(there, graph.astype(np.int64), True, axis=1)
                J[~there] = 0
        return [np.where(J < 0, -1.0, 1.0) * (J != 0) for J in bonds] if self.binary else bonds

    def run(
        self, n_draws: int, beta: float, n_steps: int, step: float, every: int = 1, threads: int = 1, **options: Any
    ) -> Any:
        n_chains, depth = self.n_chains, len(self.widths) - 1
        return self.networks.run(
            n_draws,
            every,
            np.full(n_chains, beta),
            np.ones((n_chains, depth)),
            trajectory_steps=n_steps,
            trajectory_step=step,
            threads=threads,
            **options,
        )


def random_perceptrons(n: int, n_inputs: int, n_patterns: int, seed: int = 0) -> tuple[Array, Array, Spins, Spins]:
    rng = np.random.default_rng(seed)
    bonds, momentum = rng.standard_normal((2, n, n_inputs))
    bonds *= np.sqrt(n_inputs) / np.linalg.norm(bonds, axis=1, keepdims=True)
    momentum -= bonds * (bonds * momentum).sum(axis=1, keepdims=True) / n_inputs
    return bonds, momentum, coins(rng, n_patterns, n_inputs), coins(rng, n_patterns, n)


# ---- Kernel = reference


@given(
    n=st.integers(1, 35),
    n_inputs=st.integers(2, 37),
    n_patterns=st.integers(1, 150),
    beta=st.floats(0, 5),
    n_steps=st.integers(1, 4),
    phase=st.floats(0.02, 0.5),
    seed=st.integers(0, 2**32),
)
def test_trajectory_is_reference(
    n: int, n_inputs: int, n_patterns: int, beta: float, n_steps: int, phase: float, seed: int
) -> None:
    step = phase / np.sqrt(1 + 2 * beta * n_patterns / n_inputs)  # of the fastest oscillation
    arguments = (*random_perceptrons(n, n_inputs, n_patterns, seed), beta, n_steps, step)
    J, w, rise = _core.mc_trajectory(*arguments)
    expected = reference.trajectory(*arguments)
    scale = 1 + np.abs(expected[1]).max()
    np.testing.assert_allclose(J, expected[0], atol=1e-5)
    np.testing.assert_allclose(w, expected[1], atol=3e-6 * scale)
    # Gaps of size 1 in single precision, 1e-7 each, M of them in the energy.
    np.testing.assert_allclose(rise, expected[2], rtol=1e-5, atol=1e-5 * scale**2 + 1e-7 * beta * n_patterns)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_inputs", [7, 16, 21])
def test_passes_are_those_of_the_reference(n_inputs: int, sparse: bool) -> None:
    rng = np.random.default_rng(1)
    n, n_patterns, beta, n_steps = 19, 31, 2.0, 3
    step = 1.6 / np.sqrt(1 + 2 * beta * n_patterns / (5 if sparse else n_inputs))  # some are rejected
    graph = np.sort(rng.permuted(np.tile(np.arange(n_inputs), (n, 1)), axis=1)[:, :5]).astype(np.int32)
    case = Case([n_inputs, n], n_patterns, seed=5, graph=[graph] if sparse else None, n_chains=3, first_chain=4)
    case.networks.sweep = sweep = (1 << 32) - 3
    n_accepted = np.zeros(3, dtype=int)
    for t in range(3):
        start = [case.networks.bonds(c)[0] for c in range(3)]
        result = case.run(1, beta, n_steps, step, bond_passes=2)
        for c in range(3):
            J, before = start[c], n_accepted[c]
            for bond_pass in range(2):
                J, accepted = reference.trajectory_pass(
                    J,
                    case.inputs,
                    case.outputs,
                    beta,
                    n_steps,
                    step,
                    graph=graph if sparse else None,
                    seed=5,
                    chain=4 + c,
                    bond_pass=bond_pass,
                    sweep=sweep + t,
                )
                n_accepted[c] += accepted.sum()
            np.testing.assert_allclose(case.networks.bonds(c)[0], J, atol=2e-5)
            assert result["bonds_accepted"][c, 0, 1] == n_accepted[c] - before
    assert np.all((n_accepted > 0.2 * 6 * n) & (n_accepted < 0.95 * 6 * n))
    if sparse:
        there = np.zeros((n, n_inputs), dtype=bool)
        np.put_along_axis(there, graph.astype(np.int64), True, axis=1)
        assert np.all((case.networks.bonds(0)[0] != 0) == there)


# ---- The integrator


@given(n=st.integers(1, 20), n_inputs=st.integers(2, 40), n_patterns=st.integers(1, 80), seed=st.integers(0, 2**32))
def test_trajectories_can_be_run_back(n: int, n_inputs: int, n_patterns: int, seed: int) -> None:
    J, w, inputs, outputs = random_perceptrons(n, n_inputs, n_patterns, seed)
    how = 2.0, 8, 0.3 / np.sqrt(1 + 4 * n_patterns / n_inputs)
    there_J, there_w, rise = _core.mc_trajectory(J, w, inputs, outputs, *how)
    back_J, back_w, fall = _core.mc_trajectory(there_J, -there_w, inputs, outputs, *how)
    scale = 1 + np.abs(there_w).max()
    assert np.abs(there_J - J).max() > 1e-4  # it has moved
    np.testing.assert_allclose(back_J, J, atol=2e-5)
    np.testing.assert_allclose(back_w, -w, atol=1e-5 * scale)
    np.testing.assert_allclose(fall, -rise, atol=2e-6 * (scale**2 + 2 * n_patterns))  # of terms of that size


def test_trajectories_stay_on_the_sphere() -> None:
    J, w, inputs, outputs = random_perceptrons(20, 33, 70)
    J, w, _ = _core.mc_trajectory(J, w, inputs, outputs, 3.0, 200, 0.1)
    np.testing.assert_allclose((J**2).sum(axis=1), 33, rtol=2e-5)
    np.testing.assert_allclose((J * w).sum(axis=1), 0, atol=1e-4)


def test_energy_error_is_of_second_order() -> None:
    """Kinetic and potential energy change by several units, their sum by eps^2."""
    arguments = random_perceptrons(48, 32, 64, seed=3)
    error = [
        np.sqrt(np.mean(_core.mc_trajectory(*arguments, 2.0, n_steps, 1.6 / n_steps)[2] ** 2))
        for n_steps in (16, 32, 64, 128)
    ]
    assert 0.02 < error[0] < 1
    ratios = np.array(error[:-1]) / error[1:]
    assert np.all((ratios > 3.4) & (ratios < 4.8)), (error, ratios)


@pytest.mark.parametrize("step", [0.3, 7.0])  # the second: by more than half a circle
def test_free_motion_is_along_great_circles(step: float) -> None:
    J, w, inputs, outputs = random_perceptrons(18, 12, 5)
    speed = np.linalg.norm(w, axis=1, keepdims=True)
    angle = 4 * step * speed / np.sqrt(12)
    there, momentum, rise = _core.mc_trajectory(J, w, inputs, outputs, 0.0, 4, step)
    np.testing.assert_allclose(there, J * np.cos(angle) + w / speed * np.sqrt(12) * np.sin(angle), atol=3e-5)
    np.testing.assert_allclose(momentum, w * np.cos(angle) - J * speed / np.sqrt(12) * np.sin(angle), atol=3e-5)
    np.testing.assert_allclose(rise, 0, atol=1e-4)


def test_one_input_has_nowhere_to_go() -> None:
    case = Case([1, 5, 1, 3], 20)
    before = case.networks.bonds(0)
    result = case.run(5, 1.0, 4, 0.2)
    for layer, J in enumerate(case.networks.bonds(0)):
        assert np.array_equal(J, before[layer]) == (layer != 1)
    assert np.all(np.isfinite(result["energy"]))


# ---- What is kept


@pytest.mark.parametrize(("widths", "n_patterns"), [([5, 17, 3, 20], 37), ([16, 16, 16], 16), ([33, 1], 70)])
def test_fields_are_those_of_the_bonds(widths: list[int], n_patterns: int) -> None:
    case = Case(widths, n_patterns)
    case.run(7, 1.5, 5, 0.2)
    kept = case.networks.energy()
    assert case.networks.rebuild(0) < 2e-5
    np.testing.assert_allclose(kept, case.networks.energy(), rtol=1e-5, atol=1e-5)
    spins, bonds = case.networks.spins(0), case.networks.bonds(0)
    for layer, (J, below, own) in enumerate(zip(bonds, spins[:-1], spins[1:], strict=True)):
        np.testing.assert_allclose((J**2).sum(axis=1), widths[layer], rtol=1e-6)
        gaps = own * (below @ J.T) / np.sqrt(widths[layer])
        assert kept[0, layer] == pytest.approx((np.minimum(gaps, 0) ** 2).sum(), rel=1e-5, abs=1e-5)


@pytest.mark.no_sanitizer
def test_norm_is_kept_through_many_trajectories() -> None:
    case = Case([24, 24, 24], 50)
    result = case.run(1, 2.0, 10, 0.15, every=99)  # short of the sweep that computes all anew
    for J in case.networks.bonds(0):
        np.testing.assert_allclose((J**2).sum(axis=1), 24, rtol=1e-5)
    assert case.networks.rebuild(0) < 1e-4
    assert result["bonds_accepted"].sum() > 0.5 * 99 * 48


def trajectory_digest(threads: int = 1) -> str:
    case = Case([37, 50, 21, 40], 70, n_chains=1, seed=9)
    result = case.run(4, 1.7, 6, 0.2, every=2, bond_passes=2, threads=threads)
    digest = hashlib.sha256(b"".join(part.tobytes() for part in case.networks.memory(0)))
    digest.update(result["energy"].tobytes() + result["bonds_accepted"].tobytes())
    J, w, rise = _core.mc_trajectory(*random_perceptrons(20, 33, 200), 2.0, 9, 0.1)
    digest.update(J.tobytes() + w.tobytes() + rise.tobytes())
    return digest.hexdigest()


def test_bits_do_not_depend_on_threads() -> None:
    assert trajectory_digest(threads=1) == trajectory_digest(threads=2) == trajectory_digest(threads=3)


@pytest.mark.no_sanitizer
def test_bits_do_not_depend_on_the_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(trajectory_digest) == trajectory_digest()


def test_chains_do_not_depend_on_one_another() -> None:
    data = Case([9, 9], 20, seed=2)
    many = Case([9, 9], 20, seed=2, n_chains=3)
    alone = Case([9, 9], 20, seed=2, n_chains=1, first_chain=2)
    start = data.random_bonds(np.random.default_rng(7))
    for c in range(3):
        many.networks.set_state(c, [], start)
    alone.networks.set_state(0, [], start)
    for case in (many, alone):
        case.run(3, 1.0, 4, 0.3)
    assert np.array_equal(many.networks.bonds(2)[0], alone.networks.bonds(0)[0])
    assert not np.array_equal(many.networks.bonds(1)[0], many.networks.bonds(2)[0])


# ---- Equilibrium


def mean_and_error(energy: Array) -> tuple[Array, Array]:
    """Of independent chains (the first axis), averaged over draws."""
    chain = energy.mean(axis=1)
    return chain.mean(axis=0), chain.std(axis=0, ddof=1) / np.sqrt(len(chain))


def assert_energies(energy: Array, expected: Any) -> None:
    mean, error = mean_and_error(energy)
    pull = (mean - expected) / error
    assert np.abs(pull).max() < 4, (mean, error, pull)
    assert np.all(error < 0.03 * np.maximum(expected, 0.1))  # a check that means something


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(("n", "beta", "step"), [(2, 1.0, 0.7), (3, 1.0, 0.6), (8, 2.0, 0.4), (64, 2.0, 0.3)])
def test_single_pattern(n: int, beta: float, step: float) -> None:
    n_out = 64
    case = Case([n, n_out], 1, n_chains=30)
    case.run(1, beta, 5, step, every=20)
    energy = case.run(300, beta, 5, step)["energy"] / n_out
    assert_energies(energy, mc_exact.single_pattern_energy(n, beta))


@pytest.mark.no_sanitizer
@pytest.mark.parametrize(
    ("widths", "inputs", "outputs"),
    [
        ([2, 2, 2], [[1, -1], [-1, -1]], [[1, 1], [-1, -1]]),
        ([3, 3, 3], [[-1, -1, -1], [-1, -1, -1], [-1, 1, 1]], [[-1, 1, 1], [-1, -1, -1], [1, -1, -1]]),
    ],
)
def test_tiny_networks(widths: list[int], inputs: Any, outputs: Any) -> None:
    exact = mc_exact.enumerate_network(widths, inputs, outputs, 1.0)
    case = Case(widths, len(inputs), data=(inputs, outputs), n_chains=60)
    case.run(1, 1.0, 4, 1.2, every=50)
    result = case.run(2000, 1.0, 4, 1.2)
    assert_energies(result["energy"], exact.energy_layer)
    acceptance = result["bonds_accepted"][:, :, 1:].mean(axis=(0, 1)) / widths[1:]
    assert np.all((acceptance > 0.4) & (acceptance < 0.9))  # so that rejections matter


def pair_of_patterns(n: int, agree: int) -> Spins:
    spins = np.ones((2, n), dtype=np.int8)
    spins[1, agree:] = -1
    return spins


@pytest.mark.no_sanitizer
def test_two_patterns() -> None:
    n = 16
    exact = mc_exact.two_pattern_network([n] * 4, 12, 10, beta=2.0)
    data = pair_of_patterns(n, 12), pair_of_patterns(n, 10)
    case = Case([n] * 4, 2, data=data, n_chains=32)
    case.run(1, 2.0, 6, 0.4, every=100)
    result = case.run(700, 2.0, 6, 0.4, every=2)
    assert_energies(result["energy"], exact.energy_layer)


def load_four(n: int, n_chains: int, seed: int) -> Array:
    """Energies per gap of one layer, M = 4 N random patterns, beta = 5, trajectories from a random start."""
    case = Case([n, n], 4 * n, n_chains=n_chains, seed=seed)
    energy: Array = case.run(120, 5.0, 10, 0.06)["energy"][:, :, 0] / (4 * n * n)
    return energy


@pytest.mark.parametrize(("n", "expected", "error"), [(32, 0.0723, 0.0007), (64, 0.0705, 0.0005)])
@pytest.mark.no_sanitizer
def test_one_layer_reaches_equilibrium_from_a_random_start(n: int, expected: float, error: float) -> None:
    data_sets = np.array([load_four(n, 1, seed) for seed in range(12)])[:, 0]
    early, late = data_sets[:, 40:60].mean(axis=1), data_sets[:, 80:].mean(axis=1)
    scatter = late.std(ddof=1) / np.sqrt(len(late))
    assert abs(late.mean() - expected) < 3 * np.hypot(scatter, error)
    assert abs(early.mean() - late.mean()) < 0.02 * expected  # on the same data
    assert data_sets[:, 0].mean() > 1.5 * expected


# ---- Errors


def test_bad_arguments() -> None:
    case = Case([4, 4], 6)
    with pytest.raises(ValueError, match="trajectory_steps must be >= 0, got -1"):
        case.run(1, 1.0, -1, 0.1)
    for step in (0.0, -0.1, np.inf, np.nan):
        with pytest.raises(ValueError, match="trajectory_step must be positive and finite, got"):
            case.run(1, 1.0, 3, step)
    with pytest.raises(ValueError, match="beta must be finite for trajectories, got inf"):
        case.run(1, np.inf, 3, 0.1)
    for options in ({"potential": "count"}, {"binary": True}):
        with pytest.raises(ValueError, match="trajectory_steps must be 0 unless the potential is soft"):
            Case([4, 4], 6, **options).run(1, 1.0, 3, 0.1)
        Case([4, 4], 6, **options).run(1, 1.0, 0, 0.0)


def test_bad_arguments_of_a_trajectory() -> None:
    J, w, inputs, outputs = random_perceptrons(3, 4, 5)
    for bad, message in [
        ((J[0], w, inputs, outputs, 1.0, 2, 0.1), r"bonds must have shape \(n_perceptrons, n_inputs\), got \(4,\)"),
        ((0 * J, w, inputs, outputs, 1.0, 2, 0.1), "bonds must not vanish"),
        ((J, w[:2], inputs, outputs, 1.0, 2, 0.1), r"momentum must have shape \(3, 4\), got \(2, 4\)"),
        ((J, w * np.nan, inputs, outputs, 1.0, 2, 0.1), "momentum must be finite"),
        ((J, w, inputs[:, :3], outputs, 1.0, 2, 0.1), r"inputs must have shape \(n_patterns, 4\)"),
        ((J, w, inputs, outputs[:4], 1.0, 2, 0.1), r"outputs must have shape \(5, 3\)"),
        ((J, w, inputs, outputs, -1.0, 2, 0.1), "beta must be >= 0 and finite, got -1"),
        ((J, w, inputs, outputs, 1.0, 0, 0.1), "n_steps must be >= 1, got 0"),
        ((J, w, inputs, outputs, 1.0, 2, 0.0), "trajectory_step must be positive and finite, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.mc_trajectory(*bad)
