"""Monte Carlo of networks with free hidden neurons: kernel = twin bit by bit, exact cases, detailed balance, bits.

Where a mean is compared, chains (or instances of the data) are independent samples and give its error: z < 4.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

from deepglass import _core
from deepglass.mc import PerceptronNetwork, matched_overlap, teacher_data
from deepglass.reference import mc as reference
from deepglass.reference.mc_exact import (
    enumerate_network,
    layer_states,
    planted_energy,
    replica_symmetric_perceptron,
    single_pattern_energy,
    two_pattern_network,
)

pytestmark = pytest.mark.same_bits

Array = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """Architecture and data."""

    widths: tuple[int, ...]
    inputs: Array
    outputs: Array
    potential: str = "soft"
    binary: bool = False
    graph: tuple[Array, ...] = ()

    @property
    def depth(self) -> int:
        return len(self.widths) - 1

    def arguments(self) -> dict[str, Any]:
        return {"potential": self.potential, "binary": self.binary, "graph": list(self.graph)}

    def networks(self, n_chains: int = 1, seed: int = 1, first_chain: int = 0) -> Any:
        return _core.FreeNetworks(
            list(self.widths),
            self.inputs,
            self.outputs,
            n_chains=n_chains,
            seed=seed,
            first_chain=first_chain,
            **self.arguments(),
        )

    def random_state(self, rng: np.random.Generator) -> tuple[list[Array], list[Array]]:
        """Hidden spins and bonds from the prior."""
        spins = [coins(rng, len(self.inputs), n) for n in self.widths[1:-1]]
        bonds = []
        for layer, (n_in, n_out) in enumerate(itertools.pairwise(self.widths)):
            J = coins(rng, n_out, n_in).astype(float) if self.binary else rng.normal(size=(n_out, n_in))
            if self.graph:
                connected = np.zeros_like(J)
                np.put_along_axis(connected, self.graph[layer], 1.0, axis=1)
                J = J * connected
            bonds.append(J)
        return spins, bonds

    def started(self, n_chains: int = 1, seed: int = 1, first_chain: int = 0) -> Any:
        """Chains that start from random states, each from its own."""
        networks = self.networks(n_chains, seed, first_chain)
        for c in range(n_chains):
            networks.set_state(c, *self.random_state(np.random.default_rng([seed, first_chain + c])))
        return networks


def coins(rng: np.random.Generator, *shape: int) -> Array:
    return rng.choice(np.array([-1, 1], np.int8), shape)


def random_problem(
    widths: Sequence[int],
    n_patterns: int,
    potential: str = "soft",
    binary: bool = False,
    connectivity: int | None = None,
    seed: int = 0,
) -> Problem:
    rng = np.random.default_rng([77, seed])
    graph: tuple[Array, ...] = ()
    if connectivity:
        graph = tuple(
            np.array([np.sort(rng.choice(n_in, connectivity, replace=False)) for _ in range(n_out)], np.int32)
            for n_in, n_out in itertools.pairwise(widths)
        )
    inputs, outputs = coins(rng, n_patterns, widths[0]), coins(rng, n_patterns, widths[-1])
    return Problem(tuple(widths), inputs, outputs, potential, binary, graph)


def sweep(
    networks: Any, n_draws: int, every: int = 1, *, beta: float, step: float = 0.8, **passes: Any
) -> dict[str, Array]:
    shape = networks.energy().shape
    passes.setdefault("threads", 1)
    result: dict[str, Array] = networks.run(n_draws, every, np.full(shape[0], beta), np.full(shape, step), **passes)
    return result


def fresh_gaps(networks: Any, chain: int = 0) -> list[Array]:
    """Gaps (M, N_l) of layers 1..L, from spins and bonds of chains where all inputs are connected."""
    spins, bonds = networks.spins(chain), networks.bonds(chain)
    return [S * (below @ J.T) / math.sqrt(J.shape[1]) for below, S, J in zip(spins, spins[1:], bonds, strict=False)]


def pull(samples: ArrayLike, exact: ArrayLike) -> Array:
    """(mean - exact) / error of independent samples (axis 0)."""
    x = np.asarray(samples, float)
    result: Array = (x.mean(axis=0) - exact) / (x.std(axis=0, ddof=1) / math.sqrt(len(x)))
    return result


def largest(samples: ArrayLike, exact: ArrayLike) -> float:
    return float(np.abs(pull(samples, exact)).max())


# ---- Kernel = twin


def check_twin(
    problem: Problem, *, seed: int, chain: int, first_sweep: int, n_sweeps: int, beta: float, step: float, **passes: Any
) -> None:
    spins, bonds = problem.random_state(np.random.default_rng(5))
    networks = problem.networks(seed=seed, first_chain=chain)
    networks.set_state(0, spins, bonds)
    networks.sweep = first_sweep
    got = sweep(networks, n_sweeps, beta=beta, step=step, **passes)
    twin = reference.run(
        problem.widths,
        problem.inputs,
        problem.outputs,
        spins,
        bonds,
        **problem.arguments(),
        seed=seed,
        chain=chain,
        beta=beta,
        step=step,
        n_sweeps=n_sweeps,
        first_sweep=first_sweep,
        **passes,
    )
    assert np.array_equal(got["energy"][0], twin.energy)
    assert np.array_equal(got["bonds_accepted"][0], twin.bonds_accepted)
    assert np.array_equal(got["spins_accepted"][0], twin.spins_accepted)
    assert got["drift"][0] == twin.drift
    assert all(np.array_equal(S, expected) for S, expected in zip(networks.spins(0), twin.spins, strict=True))
    assert all(np.array_equal(J, expected) for J, expected in zip(networks.bonds(0), twin.bonds, strict=True))


@settings(max_examples=60)
@given(
    widths=st.lists(st.integers(1, 20), min_size=2, max_size=4),
    n_patterns=st.sampled_from([1, 5, 16, 17, 40]),
    kind=st.sampled_from([("soft", False), ("count", False), ("soft", True)]),
    connected=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
    chain=st.integers(0, 2**24 - 1),
    first_sweep=st.integers(0, 200) | st.integers(2**32 - 20, 2**32 - 3),
    beta=st.sampled_from([0.0, 0.5, 3.0, 50.0, math.inf]),
    step=st.floats(0.01, math.pi),
    bond_passes=st.integers(0, 2),
    spin_passes=st.integers(0, 2),
)
def test_trajectory_is_that_of_the_twin(
    widths: list[int],
    n_patterns: int,
    kind: tuple[str, bool],
    connected: bool,
    seed: int,
    chain: int,
    first_sweep: int,
    beta: float,
    step: float,
    bond_passes: int,
    spin_passes: int,
) -> None:
    connectivity = None if connected else -(-min(widths[:-1]) // 2)
    check_twin(
        random_problem(widths, n_patterns, *kind, connectivity, seed=seed % 1000),
        seed=seed,
        chain=chain,
        first_sweep=first_sweep,
        n_sweeps=3,
        beta=beta,
        step=step,
        bond_passes=bond_passes,
        spin_passes=spin_passes,
    )


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
@pytest.mark.parametrize("connectivity", [None, 5])
def test_twin_across_rebuilds(kind: tuple[str, bool], connectivity: int | None) -> None:
    problem = random_problem((8, 12, 9), 20, *kind, connectivity)
    check_twin(problem, seed=3, chain=1, first_sweep=0, n_sweeps=210, beta=2.0, step=0.5)


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
@pytest.mark.parametrize("widths", [(70, 64, 37, 40), (70, 64, 37, 90)])  # blocks of 32 patterns, of 16
@pytest.mark.no_sanitizer
def test_twin_at_a_larger_size(widths: tuple[int, ...], kind: tuple[str, bool]) -> None:
    check_twin(random_problem(widths, 100, *kind), seed=4, chain=0, first_sweep=98, n_sweeps=3, beta=2.0, step=0.3)


# ---- Exact: all states of tiny networks

TINY = {  # widths, beta, potential, binary, inputs, outputs
    "A": ((2, 2, 2), 1.0, "soft", False, [[1, -1], [-1, -1]], [[1, 1], [-1, -1]]),
    "B": ((2, 2, 2, 2), 2.0, "soft", False, [[-1, 1], [1, 1], [1, -1]], [[1, 1], [1, -1], [-1, -1]]),
    "C": (
        (2, 2, 2),
        1.5,
        "count",
        False,
        [[-1, 1], [1, 1], [1, -1], [-1, -1]],
        [[1, 1], [1, 1], [-1, 1], [1, 1]],
    ),
    "D": ((3, 3, 3), 1.0, "soft", False, [[-1, -1, -1], [-1, -1, -1], [-1, 1, 1]], [[-1, 1, 1], [-1] * 3, [1, -1, -1]]),
    "unequal": ((3, 2, 3, 2), 1.5, "soft", False, [[1, 1, -1], [1, -1, -1]], [[1, 1], [-1, 1]]),
    "count": ((3, 3, 2), 1.0, "count", False, [[1, 1, -1], [1, -1, -1], [1, 1, 1]], [[1, 1], [-1, 1], [-1, -1]]),
    "binary": ((3, 3, 3), 1.0, "soft", True, [[1, 1, -1], [1, -1, -1], [1] * 3], [[1, 1, 1], [-1, 1, 1], [1, -1, -1]]),
    "binary, even": ((4, 2, 4, 2), 0.7, "soft", True, [[1, 1, -1, 1], [1, -1, -1, -1]], [[1, 1], [-1, 1]]),
}  # fmt: skip


def tiny(case: str) -> tuple[Problem, float, Any]:
    widths, beta, potential, binary, inputs, outputs = TINY[case]
    problem = Problem(widths, np.array(inputs, np.int8), np.array(outputs, np.int8), potential, binary)
    exact = enumerate_network(widths, inputs, outputs, beta, potential, "binary" if binary else "spherical")
    return problem, beta, exact


@pytest.mark.parametrize("case", TINY)
@pytest.mark.parametrize("moves", [{}, {"bond_passes": 2, "spin_passes": 3, "step": math.pi}])
@pytest.mark.no_sanitizer
def test_energies_of_tiny_networks(case: str, moves: dict[str, Any]) -> None:
    problem, beta, exact = tiny(case)
    networks = problem.started(n_chains=64)
    sweep(networks, 1, 200, beta=beta, **moves)
    energy = sweep(networks, 1000, 2, beta=beta, **moves)["energy"]
    assert largest(energy.mean(axis=1), exact.energy_layer) < 4
    total = energy.sum(axis=-1)
    assert largest(((total - exact.energy) ** 2).mean(axis=1), exact.energy_variance) < 4


@pytest.mark.parametrize("case", ["A", "C", "unequal", "binary, even"])
@pytest.mark.no_sanitizer
def test_law_of_hidden_states(case: str) -> None:
    problem, beta, exact = tiny(case)
    n_chains, n_patterns = 2000, len(problem.inputs)
    networks = problem.started(n_chains)
    sweep(networks, 1, 200, beta=beta)
    spins = [networks.spins(c) for c in range(n_chains)]
    for layer in range(1, problem.depth):
        states = layer_states(problem.widths[layer], n_patterns)
        number = {state.astype(np.int8).tobytes(): k for k, state in enumerate(states)}
        counts = np.bincount([number[chain[layer].tobytes()] for chain in spins], minlength=len(states))
        assert stats.chisquare(counts, n_chains * exact.law[layer] / exact.law[layer].sum()).pvalue > 1e-4


@pytest.mark.no_sanitizer
def test_a_graph_of_two_networks() -> None:
    """Where the graph falls into two parts, energies are those of the parts."""
    problem, beta, exact = tiny("A")
    first, second = np.array([0, 2]), np.array([1, 3])  # neurons of the first and of the second in every layer
    rows = np.empty((4, 2), np.int32)
    rows[first], rows[second] = first, second
    wide = Problem(
        (4, 4, 4),
        np.repeat(problem.inputs, 2, axis=1),
        np.repeat(problem.outputs, 2, axis=1),
        graph=(rows, rows),
    )
    networks = wide.started(n_chains=64)
    sweep(networks, 1, 300, beta=beta)
    energy = sweep(networks, 2000, 2, beta=beta)["energy"]
    assert largest(energy.mean(axis=1), 2 * exact.energy_layer) < 4
    assert largest(((energy.sum(axis=-1) - 2 * exact.energy) ** 2).mean(axis=1), 2 * exact.energy_variance) < 4


# ---- Exact: one pattern, two patterns, at any width


@pytest.mark.parametrize(
    ("n", "beta", "potential"),
    [(2, 1.0, "soft"), (3, 1.0, "soft"), (8, 2.0, "soft"), (64, 2.0, "soft"), (128, 5.0, "soft"), (64, 1.5, "count")],
)
@pytest.mark.no_sanitizer
def test_single_pattern(n: int, beta: float, potential: str) -> None:
    networks = random_problem((n, n, n), 1, potential).started(n_chains=32)
    sweep(networks, 1, 50, beta=beta)
    energy = sweep(networks, 2000 if n < 10 else 50, 2, beta=beta)["energy"]
    assert largest(energy.mean(axis=1) / n, single_pattern_energy(n, beta, potential)) < 4


def two_patterns(
    n: int, depth: int, beta: float, potential: str, agree: tuple[int, int], n_chains: int, n_draws: int
) -> tuple[Array, Array, Any]:
    """Mean energies (n_chains, L) and correlations K_12 (n_chains, L - 1), and the exact result."""
    rows = [np.ones((2, n), np.int8) for _ in range(2)]
    for row, n_agree in zip(rows, agree, strict=True):
        row[1, n_agree:] = -1
    networks = Problem((n,) * (depth + 1), rows[0], rows[1], potential).started(n_chains)
    sweep(networks, 1, 200, beta=beta)
    energy, correlation = np.zeros((n_chains, depth)), np.zeros((n_chains, depth - 1))
    for _ in range(n_draws):
        energy += sweep(networks, 5, 2, beta=beta)["energy"].mean(axis=1) / n_draws
        for c in range(n_chains):
            correlation[c] += [np.mean(S[0] * S[1]) / n_draws for S in networks.spins(c)[1:-1]]
    exact = two_pattern_network([n] * (depth + 1), *agree, beta, potential)
    return energy, correlation, exact


TWO_PATTERNS = [  # N, L, beta, potential, agreeing inputs and outputs
    (16, 3, 2.0, "soft", (12, 10)),
    (32, 4, 4.0, "count", (28, 20)),
    (64, 6, 2.0, "soft", (48, 48)),
    (64, 6, 3.0, "soft", (64, 0)),
    (128, 6, 10.0, "soft", (100, 90)),
]


@pytest.mark.parametrize("row", TWO_PATTERNS[:2])
@pytest.mark.no_sanitizer
def test_two_patterns(row: tuple[int, int, float, str, tuple[int, int]]) -> None:
    energy, correlation, exact = two_patterns(*row, n_chains=64, n_draws=60)
    assert largest(energy, exact.energy_layer) < 4
    assert largest(correlation, exact.correlation) < 4


@pytest.mark.slow
@pytest.mark.parametrize("row", TWO_PATTERNS)
def test_two_patterns_long(row: tuple[int, int, float, str, tuple[int, int]]) -> None:
    energy, correlation, exact = two_patterns(*row, n_chains=64, n_draws=200 if row[0] < 128 else 60)
    assert largest(energy, exact.energy_layer) < 4
    assert largest(energy.sum(axis=1), exact.energy) < 4
    assert largest(correlation, exact.correlation) < 4


# ---- Exact: planted data


@pytest.mark.parametrize(
    ("widths", "n_patterns", "beta", "n_instances"),
    [((8,) * 4, 12, 1.5, 300), ((16,) * 3, 16, 2.0, 200), ((20, 9, 33), 24, 1.0, 100), ((64,) * 3, 64, 2.0, 20)],
)
@pytest.mark.no_sanitizer
def test_planted_energy(widths: tuple[int, ...], n_patterns: int, beta: float, n_instances: int) -> None:
    net = PerceptronNetwork(widths, len(widths) - 1, potential="count")
    exact, variance = planted_energy(widths, n_patterns, beta)
    error = math.sqrt(variance / n_instances)  # exact too, at all times
    start, end = [], []
    change = []  # of the overlap between times 0, t and times t, 2 t
    for instance in range(n_instances):
        data = teacher_data(net, n_patterns, seed=instance, noise="gibbs", beta=beta, n_test=0)
        assert data.teacher is not None and data.planted_spins is not None
        networks = Problem(net.widths, data.inputs, data.outputs, "count").networks(seed=instance)
        networks.set_state(0, list(data.planted_spins[1:-1]), list(data.teacher))
        start.append(networks.energy().sum())
        history = [networks.spins(0)[1]]
        for _ in range(2):
            end.append(sweep(networks, 1, 30, beta=beta)["energy"].sum())
            history.append(networks.spins(0)[1])
        overlap = [matched_overlap(a, b) for a, b in itertools.pairwise(history)]
        change.append(overlap[1] - overlap[0])
    middle, last = end[::2], end[1::2]
    for energies in (start, middle, last):
        assert abs(np.mean(energies) - exact) < 4 * error
        # Of binomial energies, nearly normal: the variance of their sample variance is 2 variance^2 / (n - 1).
        assert abs(np.var(energies, ddof=1) / variance - 1) < 4 * math.sqrt(2 / (n_instances - 1))
    assert largest(last, exact) < 4
    # The teacher is like any later time: correlations depend on differences of times only.
    assert largest(change, 0.0) < 4


# ---- Exact: one move, one sweep


def flip_matrix(energies: Array, spin: int, beta: float) -> Array:
    """Metropolis flips of one of n spins: transition matrix (2^n, 2^n); spin k is bit k of the state."""
    states = np.arange(len(energies))
    flipped = states ^ (1 << spin)
    accepted = np.exp(-beta * np.maximum(energies[flipped] - energies, 0.0))
    matrix = np.zeros((len(states), len(states)))
    matrix[states, flipped], matrix[states, states] = accepted, 1 - accepted
    return matrix


def check_transitions(before: Array, after: Array, matrix: Array) -> None:
    """Numbers of transitions are those of the matrix, element by element."""
    counts = np.zeros(matrix.shape)
    np.add.at(counts, (before, after), 1)
    n = np.broadcast_to(counts.sum(axis=1, keepdims=True), matrix.shape)
    variance = n * matrix * (1 - matrix)
    assert not counts[matrix == 0].any()
    often = variance > 10  # nearly normal
    assert often.any()
    z = (counts - n * matrix)[often] / np.sqrt(variance[often])
    assert np.abs(z).max() < stats.norm.isf(stats.norm.sf(4.0) / z.size)  # z < 4 for all of them together


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
@pytest.mark.parametrize("widths", [(3, 1, 2), (3, 2, 2, 2)])
@pytest.mark.no_sanitizer
def test_spins_with_frozen_bonds(widths: tuple[int, ...], kind: tuple[str, bool]) -> None:
    """A pass over the spins is the product of Metropolis flips, in the order stated; patterns are copies."""
    n_copies, n_sweeps, beta = 250, 1000, 1.3
    one = random_problem(widths, 1, *kind, seed=9)
    copies = replace(one, inputs=np.repeat(one.inputs, n_copies, 0), outputs=np.repeat(one.outputs, n_copies, 0))
    networks = copies.started()
    bonds, hidden = networks.bonds(0), sum(widths[1:-1])
    energies = np.zeros(2**hidden)
    for state in range(2**hidden):
        spins = np.split(1 - 2 * (state >> np.arange(hidden) & 1), np.cumsum(widths[1:-2]))
        path = [one.inputs[0], *spins, one.outputs[0]]
        for below, S, J in zip(path, path[1:], bonds, strict=False):
            r = S * (J @ below) / math.sqrt(len(below))
            r[np.abs(r) < 1e-9] = 0.0
            energies[state] += ((r < 0) * (r * r if kind[0] == "soft" else 1.0)).sum()
    law = np.exp(-beta * energies)
    matrix = np.eye(2**hidden)
    for spin in range(hidden):
        flip = flip_matrix(energies, spin, beta)
        np.testing.assert_allclose(law[:, None] * flip, (law[:, None] * flip).T, rtol=1e-12)  # detailed balance
        matrix = matrix @ flip

    history = np.zeros((n_sweeps + 1, n_copies), int)
    for t in range(n_sweeps + 1):
        if t > 0:
            sweep(networks, 1, beta=beta, bond_passes=0)
        history[t] = (np.concatenate(networks.spins(0)[1:-1], axis=1) < 0) @ 2 ** np.arange(hidden)
    check_transitions(history[:-1], history[1:], matrix)
    for J, same in zip(bonds, networks.bonds(0), strict=True):
        assert np.array_equal(J, same)


def perceptron_energies(J: Array, problem: Problem) -> Array:
    """Of perceptrons J (..., N) of a single layer, all with the first output."""
    r = (J @ problem.inputs.T) * problem.outputs[:, 0] / math.sqrt(J.shape[-1])
    r = np.where(np.abs(r) < 1e-9, 0.0, r)
    result: Array = ((r < 0) * (r * r if problem.potential == "soft" else 1.0)).sum(axis=-1)
    return result


@pytest.mark.no_sanitizer
def test_binary_bonds_of_one_perceptron() -> None:
    """A pass over binary bonds is the product of Metropolis flips, averaged over their orders."""
    problem, beta = random_problem((3, 1), 5, "soft", True, seed=2), 0.6
    states = 1 - 2 * (np.arange(8)[:, None] >> np.arange(3) & 1)
    energies = perceptron_energies(states.astype(float), problem)
    flips = [flip_matrix(energies, k, beta) for k in range(3)]
    matrix = np.mean([flips[a] @ flips[b] @ flips[c] for a, b, c in itertools.permutations(range(3))], axis=0)
    n_chains, n_sweeps = 100, 500
    networks = problem.started(n_chains)
    history = np.zeros((n_sweeps + 1, n_chains), int)
    for t in range(n_sweeps + 1):
        if t > 0:
            sweep(networks, 1, beta=beta)
        history[t] = [(networks.bonds(c)[0][0] < 0) @ 2 ** np.arange(3) for c in range(n_chains)]
    check_transitions(history[:-1], history[1:], matrix)


@pytest.mark.parametrize("potential", ["soft", "count"])
@pytest.mark.parametrize("step", [0.7, math.pi])
@pytest.mark.no_sanitizer
def test_one_rotation(potential: str, step: float) -> None:
    """From one state, the angle of two bonds goes to its neighbours with the Metropolis probabilities."""
    n_copies, beta, start = 4000, 1.1, 0.4
    one = random_problem((2, 1), 6, potential, seed=7)
    problem = replace(one, widths=(2, n_copies), outputs=np.repeat(one.outputs, n_copies, axis=1))

    def energy(angle: ArrayLike) -> Array:
        J = math.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return perceptron_energies(J, one)

    edges = np.linspace(-step, step, 25)
    fine = np.linspace(-step, step, 24 * 2000, endpoint=False) + step / (24 * 2000)  # midpoints
    accepted = np.exp(-beta * np.maximum(0.0, energy(start + fine) - energy(start)))
    moved = accepted.reshape(24, 2000).mean(axis=1) / 24
    probability = np.append(moved, 1 - moved.sum())
    assert probability[-1] > 0.05
    networks = problem.networks()
    J = np.tile(math.sqrt(2) * np.array([math.cos(start), math.sin(start)]), (n_copies, 1))
    counts = np.zeros(len(probability))
    for _ in range(10):
        networks.set_state(0, [], [J])
        n_accepted = int(sweep(networks, 1, beta=beta, step=step)["bonds_accepted"].sum())
        after = networks.bonds(0)[0]
        change = np.arctan2(after[:, 1], after[:, 0]) - start
        change = (change + math.pi) % (2 * math.pi) - math.pi
        changed = np.abs(change) > 1e-6  # of less than one rotation in a million
        assert n_accepted - changed.sum() in (0, 1)
        counts += np.append(np.histogram(change[changed], edges)[0], n_copies - changed.sum())
    expected = 10 * n_copies * probability
    assert stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(expected) - 1) > 1e-4


@pytest.mark.parametrize("potential", ["soft", "count"])
@pytest.mark.parametrize("n_inputs", [2, 3])
@pytest.mark.no_sanitizer
def test_fluxes_of_rotations_balance(n_inputs: int, potential: str) -> None:
    """With two or three inputs a pass is one rotation of a pair: as many go from cell to cell as come back."""
    problem, beta, n_chains, n_sweeps = random_problem((n_inputs, 1), 6, potential, seed=6), 1.1, 200, 600
    networks = problem.started(n_chains)
    sweep(networks, 1, 100, beta=beta)
    n_cells = 2**n_inputs

    def cells() -> Array:
        J = np.array([networks.bonds(c)[0][0] for c in range(n_chains)])
        result: Array = (J < 0) @ 2 ** np.arange(n_inputs)
        return result

    flux, occupied = np.zeros((n_chains, n_cells, n_cells)), np.zeros((n_chains, n_cells))
    chains, before = np.arange(n_chains), cells()
    for _ in range(n_sweeps):
        sweep(networks, 1, beta=beta)
        after = cells()
        flux[chains, before, after] += 1
        occupied[chains, after] += 1 / n_sweeps
        before = after
    net = (flux - flux.swapaxes(1, 2))[:, *np.triu_indices(n_cells, 1)]
    net = net[:, np.abs(net).sum(axis=0) > 50]
    assert net.shape[1] >= 3
    assert largest(net, 0.0) < 4
    if n_inputs == 2:

        def weight(angle: Array) -> Array:
            J = math.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            return np.exp(-beta * perceptron_energies(J, problem))

        quadrants = [
            integrate.trapezoid(weight(x), x)
            for x in np.linspace(0, math.pi / 2, 20001) + np.arange(4)[:, None] * math.pi / 2
        ]
        law = np.array(quadrants)[[0, 1, 3, 2]] / sum(quadrants)  # bits: J_1 < 0, J_2 < 0
        assert largest(occupied, law) < 4


# ---- Wide networks: one layer, by replicas


def one_layer(n: int, load: int, beta: float, potential: str, n_instances: int, burn: int, n_draws: int) -> Array:
    """Energy per gap and overlap of two replicas, (n_instances, 2)."""
    result = np.zeros((n_instances, 2))
    for instance in range(n_instances):
        problem = random_problem((n, n), load * n, potential, seed=instance)
        networks = problem.started(n_chains=2, seed=instance)
        for step in (0.8, 0.4):
            sweep(networks, 1, burn // 2, beta=beta, step=step, threads=0)
        for _ in range(n_draws):
            energy = sweep(networks, 5, 2, beta=beta, step=0.4, threads=0)["energy"].mean() / (n * load * n)
            a, b = networks.bonds(0)[0], networks.bonds(1)[0]
            result[instance] += np.array([energy, np.mean(a * b)]) / n_draws
    return result


@pytest.mark.slow
@pytest.mark.parametrize(("load", "beta", "potential"), [(4, 5.0, "soft"), (1, 5.0, "soft")])
def test_one_layer_against_replicas(load: int, beta: float, potential: str) -> None:
    """Energy and overlap at N = 32, 64, 128, continued to infinite N along a straight line in 1/N."""
    theory = replica_symmetric_perceptron(load, beta, potential)
    x, mean, error = [], [], []
    for n, n_instances in ((32, 64), (64, 32), (128, 12)):
        samples = one_layer(n, load, beta, potential, n_instances, burn=3000, n_draws=100)
        x.append(1 / n)
        mean.append(samples.mean(axis=0))
        error.append(samples.std(axis=0, ddof=1) / math.sqrt(n_instances))
    for k, exact in enumerate((theory.energy, theory.overlap)):
        weight = 1 / np.array(error)[:, k]
        (_, intercept), covariance = np.polyfit(x, np.array(mean)[:, k], 1, w=weight, cov="unscaled")
        assert abs(intercept - exact) < 4 * math.sqrt(covariance[1, 1])
        assert abs(mean[-1][k] / exact - 1) < 0.03  # of order 1/N


# ---- Invariants


def welch(a: Array, b: Array) -> Array:
    error = np.sqrt(a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b))
    result: Array = np.abs(a.mean(axis=0) - b.mean(axis=0)) / error
    return result


@pytest.mark.no_sanitizer
def test_random_and_planted_starts_agree() -> None:
    net = PerceptronNetwork(8, 3, potential="count")
    data = teacher_data(net, 12, seed=3, noise="gibbs", beta=1.5, n_test=0)
    assert data.teacher is not None and data.planted_spins is not None
    problem = Problem(net.widths, data.inputs, data.outputs, "count")
    random, planted = problem.started(48, seed=1), problem.networks(48, seed=2)
    for c in range(48):
        planted.set_state(c, list(data.planted_spins[1:-1]), list(data.teacher))
    means = []
    for networks in (random, planted):
        sweep(networks, 1, 500, beta=1.5)
        means.append(sweep(networks, 300, 5, beta=1.5)["energy"].mean(axis=1))
    assert welch(*means).max() < 4


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.no_sanitizer
def test_random_and_quenched_starts_agree(binary: bool) -> None:
    problem, beta = random_problem((8, 8, 8), 12, "soft", binary), 1.0
    random, quenched = problem.started(48, seed=1), problem.started(48, seed=2)
    sweep(quenched, 1, 200, beta=math.inf)
    assert quenched.energy().mean() < 0.5 * random.energy().mean()
    means = []
    for networks in (random, quenched):
        sweep(networks, 1, 500, beta=beta)
        means.append(sweep(networks, 300, 5, beta=beta)["energy"].mean(axis=1))
    assert welch(*means).max() < 4


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
@pytest.mark.parametrize("n_patterns", [5, 48])
def test_running_energy_is_that_of_spins_and_bonds(kind: tuple[str, bool], n_patterns: int) -> None:
    networks = random_problem((20, 33, 17, 16), n_patterns, *kind).started()
    for _ in range(120):
        running = sweep(networks, 1, beta=2.0)["energy"][0, 0]
        assert np.array_equal(running, networks.energy()[0])
        for energy, r in zip(running, fresh_gaps(networks), strict=True):
            if kind[0] == "soft":
                assert abs(energy - (np.minimum(r, 0) ** 2).sum()) < 1e-5 * r.size  # float32 gaps drift
            else:
                assert (r < -1e-5).sum() <= energy <= (r < 1e-5).sum()


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
def test_norms_and_entries(kind: tuple[str, bool]) -> None:
    problem = random_problem((20, 33, 17), 40, *kind, connectivity=10)
    networks = problem.started()
    sweep(networks, 1, 150, beta=2.0)
    for J, rows in zip(networks.bonds(0), problem.graph, strict=True):
        connected = np.zeros_like(J)
        np.put_along_axis(connected, rows, 1.0, axis=1)
        assert not J[connected == 0].any()
        if kind[1]:
            # w = 2 J / sqrt(c) is float32
            np.testing.assert_allclose(np.abs(J[connected == 1]), 1.0, rtol=1e-7)
        else:
            # 50 rotations of each bond, of which each adds 1e-7 at random
            np.testing.assert_allclose((J**2).sum(axis=1), 10.0, rtol=3e-6)
    spins = networks.spins(0)
    assert all(set(np.unique(S)) == {-1, 1} for S in spins)
    assert np.array_equal(spins[0], problem.inputs) and np.array_equal(spins[-1], problem.outputs)


@pytest.mark.parametrize(
    ("kind", "passes"),
    [(("soft", True), {}), (("soft", False), {"bond_passes": 0}), (("count", False), {"bond_passes": 0})],
)
@pytest.mark.no_sanitizer
def test_gauge_symmetry(kind: tuple[str, bool], passes: dict[str, int]) -> None:
    """A hidden neuron of the other sign, with its bonds: where moves are flips, the same trajectory to the last bit."""
    problem, neuron = random_problem((9, 12, 7, 10), 20, *kind), 5
    spins, bonds = problem.random_state(np.random.default_rng(1))
    first, second = problem.networks(), problem.networks()
    first.set_state(0, spins, bonds)
    spins[0][:, neuron] *= -1
    bonds[0][neuron] *= -1
    bonds[1][:, neuron] *= -1
    second.set_state(0, spins, bonds)
    results = [sweep(networks, 110, beta=2.0, **passes) for networks in (first, second)]
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])
    assert not np.array_equal(first.spins(0)[1], spins[0])
    signs = np.where(np.arange(12) == neuron, -1, 1)
    assert np.array_equal(first.spins(0)[1] * signs, second.spins(0)[1])
    assert np.array_equal(first.bonds(0)[0] * signs[:, None], second.bonds(0)[0])
    assert np.array_equal(first.bonds(0)[1] * signs, second.bonds(0)[1])


@pytest.mark.parametrize("potential", ["soft", "count"])
def test_a_vanishing_gap_costs_nothing(potential: str) -> None:
    """v(0) = 0 for either sign of the output, so that flips of such a spin are always accepted."""
    both = np.array([[1, 1], [1, 1]], np.int8)
    problem = Problem((2, 2, 2), both, both, potential)
    networks = problem.networks()
    hidden, up = np.array([[1, -1], [-1, 1]], np.int8), np.array([[1.0, -1.0], [-1.0, 1.0]])
    networks.set_state(0, [hidden], [up, up])  # h = 0 in layer 1; r = +-sqrt(2) in layer 2
    expected = 2.0 * (2.0 if potential == "soft" else 1.0)
    assert networks.energy()[0, 0] == 0
    assert abs(networks.energy()[0, 1] - expected) < 1e-6  # sqrt(2) in float32
    networks.set_state(0, [both], [up, up])  # h = 0 in both
    assert np.array_equal(networks.energy(), [[0.0, 0.0]])
    result = sweep(networks, 1, beta=math.inf, bond_passes=0)
    # First spins cost nothing in layer 1; in layer 2 they make one gap positive and one negative.
    assert result["spins_accepted"][0, 0, 1] == 0
    one = Problem((2, 1, 2), both[:, :2], both, potential).networks()
    one.set_state(0, [np.array([[1], [-1]], np.int8)], [up[:1], np.array([[1.0], [-1.0]])])
    # One gap of layer 2 is positive and one negative, before and after a flip.
    result = sweep(one, 1, beta=math.inf, bond_passes=0)
    assert result["spins_accepted"][0, 0, 1] == 2


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
def test_all_moves_are_accepted_at_beta_0(kind: tuple[str, bool]) -> None:
    widths, n_patterns = (9, 16, 7, 5), 21
    networks = random_problem(widths, n_patterns, *kind).started(2)
    result = sweep(networks, 2, 10, beta=0.0, bond_passes=2, spin_passes=3, step=math.pi)
    moves = [n_out * (n_in if kind[1] else n_in // 2) for n_in, n_out in itertools.pairwise(widths)]
    assert np.all(result["bonds_accepted"] == 20 * np.array([0, *moves]))
    assert np.all(result["spins_accepted"] == 30 * n_patterns * np.array([0, *widths[1:-1], 0]))


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
def test_energy_never_rises_at_beta_infinity(kind: tuple[str, bool]) -> None:
    networks = random_problem((16, 16, 16), 32, *kind).started(4)
    start = networks.energy().sum(axis=1, keepdims=True)
    result = sweep(networks, 90, beta=math.inf, step=0.5)  # no rebuild in 90 sweeps
    total = np.append(start, result["energy"].sum(axis=2), axis=1)
    # Exact if energies are integers; else each of the 700 moves of a sweep compares float32 sums of order 10.
    assert np.diff(total, axis=1).max() <= (0 if kind[0] == "count" else 700 * 10 * 2.0**-24)
    assert np.all(total[:, -1] < 0.5 * total[:, 0])


def test_moves_without_cost_are_accepted_at_beta_infinity() -> None:
    """Where E = 0, rotations go on; flips of spins would change the sign of their own gap."""
    one = np.ones((1, 6), np.int8)
    networks = Problem((6, 6, 6), one, one, "count").networks()
    networks.set_state(0, [one], [np.ones((6, 6))] * 2)
    result = sweep(networks, 50, beta=math.inf, step=0.5)
    assert not result["energy"].any() and not result["spins_accepted"].any()
    assert np.all(result["bonds_accepted"][0, :, 1:].sum(axis=0) > 50)
    assert np.all(result["bonds_accepted"][0, :, 1:].sum(axis=0) < 50 * 18)


def test_drift_is_small() -> None:
    networks = random_problem((64, 64, 64, 64), 64).started()
    drift = sweep(networks, 1, 600, beta=2.0, step=0.3)["drift"]
    assert 0 < drift[0] < 1e-3
    assert networks.rebuild(0) < 1e-6  # just done: what remains is the rounding of gaps to float32


# ---- Independence of threads, chains, interruptions and CPU level


def digest(networks: Any, n_chains: int) -> list[str]:
    return [
        hashlib.sha256(b"".join(part.tobytes() for part in networks.memory(c))).hexdigest() for c in range(n_chains)
    ]


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
@pytest.mark.parametrize("n_chains", [1, 3])
def test_threads_do_not_matter(n_chains: int, kind: tuple[str, bool]) -> None:
    problem = random_problem((64, 70, 64), 200, *kind)
    results = []
    for threads in (1, 2, 3):
        networks = problem.started(n_chains)
        networks.sweep = 95
        result = sweep(networks, 2, 5, beta=2.0, threads=threads)
        results.append((digest(networks, n_chains), {name: array.tolist() for name, array in result.items()}))
    assert results[0] == results[1] == results[2]


def test_chains_do_not_know_of_one_another() -> None:
    problem = random_problem((10, 11, 12), 20)
    all_chains, some = problem.started(5), problem.started(2, first_chain=3)
    for networks in (all_chains, some):
        sweep(networks, 1, 20, beta=2.0)
    states = digest(all_chains, 5)
    assert states[3:] == digest(some, 2)
    assert len(set(states)) == 5
    other = problem.started(5, seed=2)
    sweep(other, 1, 20, beta=2.0)
    assert not set(digest(other, 5)) & set(states)


def test_each_chain_has_its_own_beta_and_step() -> None:
    problem = random_problem((10, 11, 12), 20)
    together = problem.started(2)
    beta, step = np.array([0.5, 5.0]), np.array([[0.3, 1.0], [2.0, 0.1]])
    result = together.run(3, 2, beta, step)
    for c in range(2):
        alone = problem.started(1, first_chain=c)
        own = alone.run(3, 2, beta[c : c + 1], step[c : c + 1])
        assert all(np.array_equal(own[name][0], result[name][c]) for name in own)
        assert digest(alone, 1)[0] == digest(together, 2)[c]


@pytest.mark.parametrize("kind", [("soft", False), ("count", False), ("soft", True)])
def test_a_run_can_be_split(kind: tuple[str, bool]) -> None:
    problem = random_problem((10, 11, 12), 20, *kind)
    whole, first = problem.started(2), problem.started(2)
    sweep(whole, 25, 10, beta=2.0)
    assert whole.sweep == 250
    sweep(first, 1, 87, beta=2.0)
    second = problem.networks(2)
    for c in range(2):
        second.set_memory(c, first.memory(c))
    second.sweep = first.sweep
    sweep(second, 163, beta=2.0)
    assert digest(second, 2) == digest(whole, 2)
    assert np.array_equal(second.energy(), whole.energy())


def trajectories() -> str:
    total = hashlib.sha256()
    rng = np.random.default_rng(8)

    def coins(*shape: int) -> NDArray[np.int8]:
        return rng.choice(np.array([-1, 1], np.int8), shape)

    widths, n_patterns = [20, 33, 50, 17], 70
    for potential, binary in (("soft", False), ("count", False), ("soft", True)):
        networks = _core.FreeNetworks(
            widths, coins(n_patterns, 20), coins(n_patterns, 17), potential=potential, binary=binary, seed=11
        )
        bonds = [coins(b, a) * (1.0 if binary else 0.5 + rng.random((b, a))) for a, b in itertools.pairwise(widths)]
        networks.set_state(0, [coins(n_patterns, n) for n in widths[1:-1]], bonds)
        result = networks.run(11, 10, np.array([2.0]), np.full((1, 3), 0.5), spin_passes=2)
        for part in (*(result[name] for name in sorted(result)), *networks.spins(0), *networks.bonds(0)):
            total.update(part.tobytes())
    return total.hexdigest()


@pytest.mark.no_sanitizer
def test_bits_do_not_depend_on_the_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(trajectories) == trajectories()


# ---- Errors


def small(**changes: Any) -> Any:
    arguments = {"widths": [2, 3, 2], "inputs": np.ones((4, 2), np.int8), "outputs": np.ones((4, 2), np.int8)}
    return _core.FreeNetworks(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [2]}, "widths must have at least two entries"),
        ({"widths": [2, 0, 2]}, "widths must be >= 1, got 0"),
        ({"widths": [2] * 4097}, "widths must have at most 4096 entries"),
        ({"potential": "hard"}, "potential must be 'soft' or 'count', got 'hard'"),
        ({"n_chains": 0}, r"n_chains must be >= 1, .*, got 0 and 0"),
        ({"first_chain": -1}, "first_chain >= 0"),
        ({"first_chain": 2**24}, r"at most 2\^24, got 1 and 16777216"),
        ({"inputs": np.ones((4, 3), np.int8)}, r"inputs must have shape \(n_patterns, 2\), got \(4, 3\)"),
        ({"inputs": np.ones((0, 2), np.int8), "outputs": np.ones((0, 2), np.int8)}, "at least one pattern"),
        ({"inputs": np.zeros((4, 2), np.int8)}, r"inputs must be \+1 or -1, got 0"),
        ({"outputs": np.ones((3, 2), np.int8)}, r"outputs must have shape \(4, 2\), got \(3, 2\)"),
        ({"outputs": np.full((4, 2), 2, np.int8)}, r"outputs must be \+1 or -1, got 2"),
        ({"graph": [None]}, "graph must have an entry for each layer"),
        ({"graph": [None, np.zeros((3, 1), np.int32)]}, r"graph must have entries of shape \(N_l, n_inputs\), got"),
        ({"graph": [None, np.full((2, 1), 3, np.int32)]}, "graph must name inputs that exist, got 3"),
    ],
)
def test_bad_problems(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


SPINS, BONDS = [np.ones((4, 3), np.int8)], [np.ones((3, 2)), np.ones((2, 3))]


@pytest.mark.parametrize(
    ("spins", "bonds", "message"),
    [
        ([], BONDS, "spins must have an entry for each hidden layer"),
        (SPINS, BONDS[:1], "bonds must have an entry for each layer"),
        ([SPINS[0].T], BONDS, r"spins must have shape \(4, 3\), got \(3, 4\)"),
        ([0 * SPINS[0]], BONDS, r"spins must be \+1 or -1, got 0"),
        (SPINS, BONDS[::-1], r"bonds must have shape \(3, 2\), got \(2, 3\)"),
        (SPINS, [BONDS[0], np.full((2, 3), np.nan)], "bonds must be finite"),
        (SPINS, [BONDS[0], np.array([[1.0, 1, 1], [0, 0, 0]])], "bonds must not vanish, .* perceptron of layer 2"),
    ],
)  # fmt: skip
def test_bad_states(spins: list[Array], bonds: list[Array], message: str) -> None:
    networks = small()
    networks.set_state(0, SPINS, BONDS)
    before = digest(networks, 1)
    with pytest.raises(ValueError, match=message):
        networks.set_state(0, spins, bonds)
    assert digest(networks, 1) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_draws": -1}, "n_draws must be >= 0, got -1"),
        ({"every": 0}, "every must be >= 1, got 0"),
        ({"beta": np.array([-1.0])}, "beta must be >= 0, got -1"),
        ({"beta": np.array([math.nan])}, "beta must be >= 0, got nan"),
        ({"beta": np.ones(2)}, r"beta must have shape \(1,\), got \(2,\)"),
        ({"step": np.zeros((1, 2))}, r"step must be in \(0, pi\], got 0"),
        ({"step": np.full((1, 2), 3.2)}, r"step must be in \(0, pi\], got 3.2"),
        ({"step": np.full((1, 2), math.nan)}, r"step must be in \(0, pi\], got nan"),
        ({"step": np.ones((1, 3))}, r"step must have shape \(1, 2\), got \(1, 3\)"),
        ({"bond_passes": -1}, "passes must be from 0 to 256, got -1"),
        ({"spin_passes": 257}, "passes must be from 0 to 256, got 257"),
        ({"n_draws": 2**31, "every": 3}, r"a chain has at most 2\^32 sweeps"),
    ],
)
def test_bad_runs(changes: dict[str, Any], message: str) -> None:
    networks = small()
    networks.set_state(0, SPINS, BONDS)
    arguments = {"n_draws": 1, "every": 1, "beta": np.ones(1), "step": np.ones((1, 2))}
    with pytest.raises(ValueError, match=message):
        networks.run(**(arguments | changes))
    assert networks.sweep == 0


def test_the_clock_ends() -> None:
    networks = small()
    networks.set_state(0, SPINS, BONDS)
    networks.sweep = 2**32 - 2
    sweep(networks, 2, beta=1.0)
    with pytest.raises(ValueError, match=r"a chain has at most 2\^32 sweeps"):
        sweep(networks, 1, beta=1.0)


@pytest.mark.parametrize("chain", [-1, 2])
def test_chains_that_do_not_exist(chain: int) -> None:
    networks = small(n_chains=2)
    message = f"chain must be from 0 to 1, got {chain}"
    for call in (networks.spins, networks.bonds, networks.memory, networks.rebuild):
        with pytest.raises(IndexError, match=message):
            call(chain)
    with pytest.raises(IndexError, match=message):
        networks.set_state(chain, SPINS, BONDS)
    with pytest.raises(IndexError, match=message):
        networks.set_memory(chain, [])


def test_memory_of_another_network() -> None:
    networks = small()
    before = digest(networks, 1)
    with pytest.raises(ValueError, match="memory must have 9 parts"):
        networks.set_memory(0, networks.memory(0)[:-1])
    wide = _core.FreeNetworks([20, 3, 2], np.ones((4, 20), np.int8), np.ones((4, 2), np.int8))
    with pytest.raises(ValueError, match="memory is not that of such a network: part 1 has"):
        networks.set_memory(0, wide.memory(0))
    assert digest(networks, 1) == before
