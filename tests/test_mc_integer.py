"""Binary bonds with the count potential: chains in integers."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepglass import _core
from deepglass.mc import PerceptronNetwork, teacher_data
from deepglass.reference.mc import _minus_log_uniform, _Numbers
from deepglass.reference.mc_exact import enumerate_network, two_pattern_network
from deepglass.stats import gamma_method, mean_over_instances

pytestmark = pytest.mark.same_bits

Spins = NDArray[np.int8]
Float = NDArray[np.float32]
Graph = list[NDArray[np.int32] | None]


class State:
    """Data and a configuration: coins from ``seed``."""

    def __init__(self, widths: list[int], n_patterns: int, seed: int, graph: Graph | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.widths, self.graph = widths, graph or [None] * (len(widths) - 1)
        self.spins = [rng.choice(np.array([-1, 1], dtype=np.int8), (n_patterns, n)) for n in widths]
        self.bonds = []
        for inputs, n_in, n_out in zip(self.graph, widths[:-1], widths[1:], strict=True):
            bonds = rng.choice([-1.0, 1.0], (n_out, n_in))
            if inputs is not None:
                there = np.zeros((n_out, n_in), dtype=bool)
                np.put_along_axis(there, inputs.astype(np.int64), True, axis=1)
                bonds[~there] = 0
            self.bonds.append(bonds)

    def networks(self, n_chains: int = 1, seed: int = 7, first_chain: int = 0) -> Any:
        networks = _core.FreeNetworks(
            self.widths,
            self.spins[0],
            self.spins[-1],
            potential="count",
            binary=True,
            graph=self.graph,
            n_chains=n_chains,
            seed=seed,
            first_chain=first_chain,
        )
        for c in range(n_chains):
            networks.set_state(c, self.spins[1:-1], self.bonds)
        return networks


def random_graph(widths: list[int], n_inputs: int, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    graph: Graph = []
    for n_in, n_out in itertools.pairwise(widths):
        graph.append(np.array([rng.permutation(n_in)[:n_inputs] for _ in range(n_out)], dtype=np.int32))
    return graph


def run(networks: Any, n_draws: int, beta: float, every: int = 1, **options: Any) -> dict[str, Any]:
    n_chains, depth = networks.energy().shape
    result: dict[str, Any] = networks.run(
        n_draws, every, np.full(n_chains, beta), np.full((n_chains, depth), 0.5), **options
    )
    return result


def fresh_energy(networks: Any, chain: int = 0) -> NDArray[np.int64]:
    """Errors by layer, of spins and bonds."""
    spins, bonds = networks.spins(chain), networks.bonds(chain)
    gaps = [
        s.astype(int) * (below.astype(int) @ J.astype(int).T)
        for J, (below, s) in zip(bonds, itertools.pairwise(spins), strict=True)
    ]
    return np.array([(r < 0).sum() for r in gaps])


# ---- The twin


class Twin:
    """The chain in plain NumPy: fields are computed anew for every move, and rises compared as numbers."""

    def __init__(self, state: State, seed: int, chain: int) -> None:
        self.numbers = _Numbers(seed, chain)
        self.graph, self.widths = state.graph, state.widths
        self.spins = [s.astype(int) for s in state.spins]
        self.bonds = [J.astype(int) for J in state.bonds]

    def bond_pass(self, beta: float, sweep: int, pass_: int) -> None:
        temperature = np.float32(1 / beta) if beta > 0 else np.float32(1e30)
        for layer, J in enumerate(self.bonds, start=1):
            inputs = self.graph[layer - 1]
            n = J.shape[1] if inputs is None else inputs.shape[1]
            order = self.numbers.order(layer, pass_, sweep, n)
            words = self.numbers.bonds(layer, pass_, sweep, n, J.shape[0])[0]
            below, output = self.spins[layer - 1], self.spins[layer]
            for i in range(J.shape[0]):
                limit = _minus_log_uniform(words[:, i]) * temperature
                for q in range(n):
                    k = order[q] if inputs is None else inputs[i, order[q]]
                    field = below @ J[i]
                    trial = field - 2 * J[i, k] * below[:, k]
                    rise = (output[:, i] * trial < 0).sum() - (output[:, i] * field < 0).sum()
                    if np.float32(rise) <= limit[q]:
                        J[i, k] *= -1

    def spin_pass(self, beta: float, sweep: int, pass_: int) -> None:
        temperature = np.float32(1 / beta) if beta > 0 else np.float32(1e30)
        hidden = range(1, len(self.widths) - 1)
        n_patterns = len(self.spins[0])
        patterns = np.arange(n_patterns)
        for layer in hidden:
            n = self.widths[layer]
            S, above = self.spins[layer], self.spins[layer + 1]
            limit = _minus_log_uniform(self.numbers.spins(layer, pass_, sweep, n, n_patterns)) * temperature
            for i in range(n):
                gap = S[:, i] * (self.spins[layer - 1] @ self.bonds[layer - 1][i])
                fields = S @ self.bonds[layer].T
                trial = fields - 2 * S[:, i, None] * self.bonds[layer][:, i]
                rise = (above * trial < 0).sum(axis=1) - (above * fields < 0).sum(axis=1)
                rise += (-gap < 0).astype(int) - (gap < 0)
                accepted = rise.astype(np.float32) <= limit[i]
                S[patterns[accepted], i] *= -1


CASES: dict[str, tuple[list[int], int, int | None]] = {  # widths, patterns, inputs of a perceptron
    "odd": ([5, 7, 3, 9], 17, None),
    "even": ([4, 6, 8, 2], 21, None),
    "one neuron": ([1, 1, 1], 3, None),
    "one pattern": ([6, 5, 6], 1, None),
    "one layer": ([9, 4], 70, None),
    "two tiles": ([3, 10, 5, 3], 67, None),
    "graph": ([8, 9, 10, 7], 33, 3),
    "even graph": ([8, 9, 10, 7], 70, 4),
    "wide": ([130, 3, 132, 2], 9, None),
    "int16": ([260, 3, 257, 2], 5, None),
}


def case(name: str, seed: int = 3) -> State:
    widths, n_patterns, n_inputs = CASES[name]
    graph = None if n_inputs is None else random_graph(widths, n_inputs, seed)
    return State(widths, n_patterns, seed, graph)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("beta", [0.0, 0.7, 3.0])
def test_trajectory_is_that_of_the_twin(name: str, beta: float) -> None:
    state = case(name)
    networks, twin = state.networks(n_chains=1, seed=2**40 + 5, first_chain=3), Twin(state, 2**40 + 5, 3)
    networks.sweep = 2**31 + 1
    for n in range(3):
        result = run(networks, 1, beta, bond_passes=2, spin_passes=2)
        for pass_ in range(2):
            twin.bond_pass(beta, 2**31 + 1 + n, pass_)
        for pass_ in range(2):
            twin.spin_pass(beta, 2**31 + 1 + n, pass_)
        for got, expected in zip(networks.spins(0), twin.spins, strict=True):
            assert np.array_equal(got, expected)
        for got, expected in zip(networks.bonds(0), twin.bonds, strict=True):
            assert np.array_equal(got, expected)
        assert np.array_equal(result["energy"][0, 0], fresh_energy(networks))


@pytest.mark.parametrize("name", CASES)
def test_running_energy(name: str) -> None:
    networks = case(name).networks()
    assert np.array_equal(networks.energy()[0], fresh_energy(networks))
    for _ in range(20):
        energy = run(networks, 1, 1.0, every=3)["energy"][0, 0]
        assert np.array_equal(energy, fresh_energy(networks))
    assert networks.rebuild(0) == 0


@pytest.mark.parametrize("width", [1, 2, 126, 127, 128, 129, 254, 255, 256, 257, 511])
def test_extreme_fields(width: int) -> None:
    # All spins and bonds +1: the largest field there is, of both signs of the output.
    n_patterns = 5
    ones = np.ones((n_patterns, width), dtype=np.int8)
    outputs = ones.copy()
    outputs[:, ::2] = -1
    networks = _core.FreeNetworks([width] * 3, ones, outputs, potential="count", binary=True)
    bonds = np.ones((width, width))
    for sign in (1, -1):
        networks.set_state(0, [sign * ones], [bonds, bonds])
        assert np.array_equal(networks.energy()[0], fresh_energy(networks))
        # At beta = 0 every flip is accepted, so each field runs from one end to the other.
        run(networks, 1, 0.0, spin_passes=0)
        assert all(np.all(J == -1) for J in networks.bonds(0))
        assert np.array_equal(networks.energy()[0], fresh_energy(networks))
        run(networks, 1, 0.0, bond_passes=0)
        assert np.all(networks.spins(0)[1] == -sign)
        assert np.array_equal(networks.energy()[0], fresh_energy(networks))
        assert networks.rebuild(0) == 0


def test_no_field_is_no_error() -> None:
    inputs, outputs = np.array([[1, -1]], dtype=np.int8), np.array([[1, -1]], dtype=np.int8)
    networks = _core.FreeNetworks([2, 2], inputs, outputs, potential="count", binary=True)
    networks.set_state(0, [], [np.ones((2, 2))])
    assert networks.energy().tolist() == [[0.0]]


# ---- Exact results


def check_energy(state: State, exact: NDArray[np.float64], beta: float, n_chains: int, n_draws: int) -> None:
    networks = state.networks(n_chains, seed=11)
    run(networks, 1, beta, every=n_draws // 10)
    energy = run(networks, n_draws, beta)["energy"]
    for layer, value in enumerate(exact):
        estimate = gamma_method(energy[:, :, layer])
        assert abs(estimate.value - value) < 4 * estimate.error, (layer, estimate, value)
    total = gamma_method(energy.sum(axis=2))
    assert abs(total.value - exact.sum()) < 4 * total.error
    assert total.error < 0.02 * exact.sum()  # the test says something


@pytest.mark.parametrize("widths", [[3, 3, 3], [2, 3, 2, 2]])
@pytest.mark.parametrize("beta", [0.5, 2.0])
@pytest.mark.no_sanitizer
def test_tiny_network(widths: list[int], beta: float) -> None:
    state = State(widths, 3, seed=4)
    exact = enumerate_network(widths, state.spins[0], state.spins[-1], beta, "count", "binary")
    check_energy(state, exact.energy_layer, beta, n_chains=8, n_draws=4000)


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.no_sanitizer
def test_two_patterns(n: int) -> None:
    state = State([n] * 4, 2, seed=5)
    for layer, agree in ((0, 26), (-1, 12)):
        state.spins[layer][1] = state.spins[layer][0] * np.where(np.arange(n) < agree, 1, -1)
    exact = two_pattern_network([n] * 4, 26, 12, 2.0, "count", "binary")
    check_energy(state, exact.energy_layer, 2.0, n_chains=8, n_draws=4000)


def test_planted_state_stays_in_equilibrium() -> None:
    """Averaged over planted data E = L N M p at all times, with variance L N M p (1 - p)."""
    beta, n_instances = 1.5, 300
    net = PerceptronNetwork(width=9, depth=3, bonds="binary", potential="count")
    p = 1 / (1 + np.exp(beta))
    n_terms = 9 * 3 * 12
    start, later = np.empty(n_instances), np.empty(n_instances)
    for instance in range(n_instances):
        data = teacher_data(net, 12, seed=instance, noise="gibbs", beta=beta, n_test=0)
        assert data.planted_spins is not None and data.teacher is not None
        networks = _core.FreeNetworks([9] * 4, data.inputs, data.outputs, potential="count", binary=True, seed=instance)
        networks.set_state(0, data.planted_spins[1:-1], list(data.teacher))
        start[instance] = networks.energy().sum()
        later[instance] = run(networks, 1, beta, every=40)["energy"].sum()
    assert abs(np.corrcoef(start, later)[0, 1]) < 0.95  # it has moved
    for energies in (start, later):
        estimate = mean_over_instances(energies)
        assert abs(estimate.value - n_terms * p) < 4 * np.sqrt(n_terms * p * (1 - p) / n_instances)


# ---- What must not matter


def configuration(networks: Any, chain: int = 0) -> bytes:
    return b"".join(x.tobytes() for x in [*networks.spins(chain), *networks.bonds(chain)])


@pytest.mark.parametrize("name", ["odd", "two tiles", "graph", "int16"])
def test_chains_do_not_depend_on_each_other_or_on_threads(name: str) -> None:
    state = case(name)
    many = state.networks(n_chains=3)
    energies = run(many, 4, 0.8, threads=2)["energy"]
    for c in range(3):
        one = state.networks(n_chains=1, first_chain=c)
        assert np.array_equal(run(one, 4, 0.8, threads=1)["energy"][0], energies[c])
        assert configuration(one) == configuration(many, c)
    assert configuration(many, 0) != configuration(many, 1)


def test_threads_within_a_sweep() -> None:
    # Large enough for the sweep to be shared.
    state = State([64] * 6, 300, seed=8)
    outcomes = set()
    for threads in (1, 2, 3):
        networks = state.networks()
        result = run(networks, 2, 1.0, threads=threads)
        outcomes.add((configuration(networks), *(result[key].tobytes() for key in sorted(result))))
    assert len(outcomes) == 1


def test_memory_continues() -> None:
    state = case("two tiles")
    networks = state.networks()
    run(networks, 3, 1.0)
    other = State(state.widths, 67, seed=3).networks()
    other.set_memory(0, networks.memory(0))
    other.sweep = networks.sweep
    assert np.array_equal(run(networks, 3, 1.0)["energy"], run(other, 3, 1.0)["energy"])
    assert configuration(networks) == configuration(other)
    # A byte for each bond, 7 bits for each gap, one for each spin, but for the padding to 256 patterns.
    assert sum(part.size for part in state_memory(100)) < 1.1 * (5 * 100**2 + (5 * 7 + 6) * 100 * 256 / 8)


def state_memory(n: int) -> list[NDArray[np.uint8]]:
    parts: list[NDArray[np.uint8]] = State([n] * 6, 256, seed=0).networks().memory(0)
    return parts


def test_accepted_moves_are_those_of_real_patterns() -> None:
    # At beta = 0 all moves are accepted, and there are as many as spins and bonds.
    networks = case("odd").networks()
    result = run(networks, 1, 0.0, every=5)
    assert result["spins_accepted"][0, 0].tolist() == [0, 5 * 7 * 17, 5 * 3 * 17, 0]
    assert result["bonds_accepted"][0, 0].tolist() == [0, 5 * 5 * 7, 5 * 7 * 3, 5 * 3 * 9]
    assert result["drift"].tolist() == [0.0]


def level_digest() -> str:
    digest = hashlib.sha256()
    for name in CASES:
        networks = case(name).networks()
        digest.update(run(networks, 5, 1.0, every=3)["energy"].tobytes())
        digest.update(configuration(networks))
    return digest.hexdigest()


@pytest.mark.no_sanitizer
def test_trajectory_does_not_depend_on_the_level(at_level: Callable[[Callable[[], str]], str]) -> None:
    assert at_level(level_digest) == level_digest()


# ---- Errors


def test_bonds_are_signs() -> None:
    state = case("odd")
    networks = state.networks()
    state.bonds[1][0, 0] = 0.5
    with pytest.raises(ValueError, match=r"bonds must be \+1 or -1 for binary bonds, got 0.5"):
        networks.set_state(0, state.spins[1:-1], state.bonds)
