"""Binary bonds with the count potential: chains in integers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepglass import _core
from deepglass.mc import PerceptronNetwork, teacher_data
from deepglass.reference.mc_exact import enumerate_network, two_pattern_network
from deepglass.reference.rng import philox_words
from deepglass.stats import gamma_method, mean_over_instances

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
    for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
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
    gaps = [s.astype(int) * (below.astype(int) @ J.astype(int).T) for J, below, s in zip(bonds, spins, spins[1:])]
    return np.array([(r < 0).sum() for r in gaps])


# ---- The twin


def minus_log_uniform(word: NDArray[np.uint32]) -> Float:
    """-log u as the kernels compute it, operation by operation in single precision."""
    one = np.float32
    x = (word >> np.uint32(1)).astype(np.int32).astype(np.float32) + one(0.5)
    bits = x.view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    f = (bits - (exponent << np.int32(23))).view(np.float32) - one(1)
    z = f * f
    p = f * one(-0.07902743772) + one(0.1262231985)
    for c in (-0.1299818376, 0.1421449592, -0.1664128146, 0.2000104509, -0.2500030642, 0.3333333073):
        p = p * f + one(c)
    result: Float = (31 - exponent).astype(np.float32) * one(0.69314718056) - (f - (z * one(0.5) - z * f * p))
    return result


class Twin:
    """The chain in plain NumPy: fields are computed anew for every move, and rises compared as numbers."""

    SPIN, BOND, ORDER = 0, 1, 2

    def __init__(self, state: State, seed: int, chain: int) -> None:
        self.seed, self.chain, self.graph, self.widths = seed, chain, state.graph, state.widths
        self.spins = [s.astype(int) for s in state.spins]
        self.bonds = [J.astype(int) for J in state.bonds]

    def words(self, purpose: int, layer: int, pass_: int, sweep: int, block: int, n: int) -> NDArray[np.uint32]:
        """n blocks of four words, from the given one on."""
        stream = self.chain | layer << 24 | purpose << 36 | pass_ << 40
        return philox_words(self.seed, stream, 4 * n, 4 * ((sweep << 32) + block)).reshape(n, 4)

    def bond_pass(self, beta: float, sweep: int, pass_: int) -> None:
        temperature = np.float32(1 / beta) if beta > 0 else np.float32(1e30)
        for layer, J in enumerate(self.bonds, start=1):
            inputs = self.graph[layer - 1]
            n = J.shape[1] if inputs is None else inputs.shape[1]
            order = list(range(n))
            words = self.words(self.ORDER, layer, pass_, sweep, 0, n).ravel()
            for done in range(n - 1):
                last = n - 1 - done
                other = int(words[done]) * (last + 1) >> 32
                order[last], order[other] = order[other], order[last]
            below, output = self.spins[layer - 1], self.spins[layer]
            for i in range(J.shape[0]):
                words = self.words(self.BOND, layer, pass_, sweep, i // 4 * n, n)[:, i % 4]
                limit = minus_log_uniform(words) * temperature
                for q in range(n):
                    k = order[q] if inputs is None else inputs[i, order[q]]
                    field = below @ J[i]
                    trial = field - 2 * J[i, k] * below[:, k]
                    rise = (output[:, i] * trial < 0).sum() - (output[:, i] * field < 0).sum()
                    if np.float32(rise) <= limit[q]:
                        J[i, k] *= -1

    def spin_pass(self, beta: float, sweep: int, pass_: int, backward: bool) -> None:
        temperature = np.float32(1 / beta) if beta > 0 else np.float32(1e30)
        hidden = range(1, len(self.widths) - 1)
        n_patterns = len(self.spins[0])
        patterns = np.arange(n_patterns)
        for layer in reversed(hidden) if backward else hidden:
            n = self.widths[layer]
            S, above = self.spins[layer], self.spins[layer + 1]
            blocks = 4 * ((n + 7) // 8 * 8)  # of sixteen patterns
            for i in range(n):
                word = np.empty(n_patterns, dtype=np.uint32)
                for first in range(0, n_patterns, 16):
                    block = self.words(self.SPIN, layer, pass_, sweep, first // 16 * blocks + 4 * i, 4)
                    word[first : first + 16] = block.T.ravel()[: n_patterns - first]
                gap = S[:, i] * (self.spins[layer - 1] @ self.bonds[layer - 1][i])
                fields = S @ self.bonds[layer].T
                trial = fields - 2 * S[:, i, None] * self.bonds[layer][:, i]
                rise = (above * trial < 0).sum(axis=1) - (above * fields < 0).sum(axis=1)
                rise += (-gap < 0).astype(int) - (gap < 0)
                accepted = rise.astype(np.float32) <= minus_log_uniform(word) * temperature
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
    for n, backward in enumerate((False, True, False)):
        result = run(networks, 1, beta, bond_passes=2, spin_passes=2, backward=backward)
        before = [s.copy() for s in twin.spins], [J.copy() for J in twin.bonds]
        for pass_ in range(2):
            twin.bond_pass(beta, 2**31 + 1 + n, pass_)
        for pass_ in range(2):
            twin.spin_pass(beta, 2**31 + 1 + n, pass_, backward)
        for got, expected in zip(networks.spins(0), twin.spins, strict=True):
            assert np.array_equal(got, expected)
        for got, expected in zip(networks.bonds(0), twin.bonds, strict=True):
            assert np.array_equal(got, expected)
        assert np.array_equal(result["energy"][0, 0], fresh_energy(networks))
        del before


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
