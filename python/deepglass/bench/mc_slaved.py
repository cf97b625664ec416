"""The slaved perceptron network: an attempt, against Numba (same algorithm) and NumPy (full forward pass).

Rows: N, L, M and where the chain stands: "start", greedy some sweeps after a random start, or "solved", at the
teacher with no error.  One thread; contestants take turns, medians over the rounds.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from . import Bench, Row

mc_slaved_numba: Any = None
if importlib.util.find_spec("numba"):
    from ._programs import mc_slaved_numba

ROUNDS, STEP = 15, 0.5


def coins(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    return rng.choice(np.array([-1, 1], dtype=np.int8), shape)


def random_bonds(rng: np.random.Generator, n: int, depth: int, binary: bool) -> list[NDArray[Any]]:
    if binary:
        return [coins(rng, n, n) for _ in range(depth)]
    bonds = rng.normal(size=(depth, n, n))
    bonds *= np.sqrt(n) / np.linalg.norm(bonds, axis=2, keepdims=True)
    return list(bonds.astype(np.float32))


class Case:
    """One chain, placed by the kernel; contestants start from there each time."""

    def __init__(self, n: int, depth: int, m: int, *, solved: bool, binary: bool) -> None:
        rng = np.random.default_rng([n, depth, m])
        self.n, self.depth, self.m, self.binary = n, depth, m, binary
        self.inputs = coins(rng, m, n)
        teacher = random_bonds(rng, n, depth, binary)
        self.outputs = _core.slaved_forward(teacher, self.inputs)[-1]
        self.networks = _core.SlavedNetworks(
            [n] * (depth + 1), self.inputs, self.outputs, binary=binary, n_chains=1, seed=1
        )
        self.networks.set_bonds(0, teacher if solved else random_bonds(rng, n, depth, binary))
        self.per_sweep = depth * n * n // (1 if binary else 2)
        self.n_sweeps = max(1, 20_000 // self.per_sweep)
        self.step = np.full(depth, STEP)
        self.networks.run(20, [np.inf], self.step, threads=1)
        self.state = self.networks.state(0)
        self.energy = int(self.networks.energy()[0])

    def kernel(self, early_stop: bool) -> float:
        self.networks.set_state(0, self.state)
        start = time.perf_counter()
        self.networks.run(self.n_sweeps, [np.inf], self.step, early_stop=early_stop, threads=1)
        seconds = time.perf_counter() - start
        assert np.array_equal(self.networks.energy(), self.networks.fresh_energy())
        return seconds / (self.n_sweeps * self.per_sweep)

    def numba(self) -> float:
        bonds = np.array(self.state["bonds"])
        fields = np.array(self.state["fields"])
        negative = fields[-1].T < 0
        wrong = negative != (self.outputs < 0)
        arguments = (
            bonds,
            2 * bonds.transpose(0, 2, 1).copy(),
            fields,
            fields.transpose(0, 2, 1).copy(),
            self.inputs.T.astype(np.float32).copy(),
            wrong,
            wrong.sum(axis=1),
        )
        n_attempts, rng = self.n_sweeps * self.per_sweep, np.random.default_rng(1)
        start = time.perf_counter()
        energy, _ = mc_slaved_numba.sweeps(*arguments, self.energy, n_attempts, np.inf, STEP, True, rng)
        seconds = time.perf_counter() - start
        assert energy == np.sum(_core.slaved_forward(list(bonds), self.inputs)[-1] != self.outputs)
        return seconds / n_attempts

    def numpy(self, n_attempts: int = 200) -> float:
        """The whole network for each move, as matrix products: what one writes first."""
        rng = np.random.default_rng(1)
        bonds = [layer.astype(np.float32) for layer in self.state["bonds"]]
        inputs, outputs, energy = self.inputs.T.astype(np.float32), self.outputs.T, self.energy
        start = time.perf_counter()
        layers, neurons, firsts = rng.integers([[self.depth], [self.n], [self.n]], size=(3, n_attempts)).tolist()
        seconds = rng.integers(self.n - 1, size=n_attempts).tolist()
        angles = rng.uniform(-STEP, STEP, n_attempts).astype(np.float32)
        cosines, sines = np.cos(angles), np.sin(angles)
        moves = zip(layers, neurons, firsts, seconds, cosines, sines, strict=True)
        for layer, i, a, b, c, s in moves:
            kept = bonds[layer][i].copy()
            if self.binary:
                bonds[layer][i, a] *= -1
            else:
                b += b >= a
                bonds[layer][i, a], bonds[layer][i, b] = kept[a] * c - kept[b] * s, kept[a] * s + kept[b] * c
            spins = inputs
            for matrix in bonds:
                spins = np.where(matrix @ spins < 0, np.float32(-1), np.float32(1))
            new_energy = int(np.count_nonzero(spins != outputs))
            if new_energy <= energy:
                energy = new_energy
            else:
                bonds[layer][i] = kept
        return (time.perf_counter() - start) / n_attempts

    def pattern_layers(self) -> float:
        """Mean number of (touched pattern, layer behind) of a flip: what is calculated without early stop."""
        total = 0
        for layer, (bonds, spins) in enumerate(zip(self.state["bonds"], self.networks.spins(0)[:-1], strict=True)):
            fields = spins.astype(int) @ bonds.T
            flipped = fields[:, :, np.newaxis] - 2 * bonds * spins[:, np.newaxis, :]
            touched = int(np.count_nonzero((flipped < 0) != (fields < 0)[:, :, np.newaxis]))
            total += touched * (self.depth - 1 - layer)
        return total / self.per_sweep


def rows(bench: Bench) -> Iterator[Row]:
    """Of an attempt."""
    sizes = [(False, 10, 3, 40), (False, 20, 3, 160), (False, 20, 5, 320), (False, 40, 3, 640)]
    sizes += [(True, 11, 3, 44), (True, 64, 3, 256)]
    for (binary, n, depth, m), solved in bench.some(itertools.product(sizes, (False, True))):
        case = Case(n, depth, m, solved=solved, binary=binary)
        contestants: dict[str, Callable[[], float]] = {
            "kernel": lambda case=case: case.kernel(True),
            "no stop": lambda case=case: case.kernel(False),
            "NumPy": case.numpy,
        }
        if mc_slaved_numba is not None and not binary:
            contestants["Numba"] = case.numba
            case.numba()  # compiles
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(bench.rounds(ROUNDS)):
            for name, run in contestants.items():
                times[name].append(run())
        t = {name: median(values) for name, values in times.items()}
        more: dict[str, float | str] = {"ns without early stop": t["no stop"] * 1e9}
        if binary:
            more["touched patterns and layers"] = case.pattern_layers()
            more["ns each"] = t["no stop"] * 1e9 / case.pattern_layers()
        bonds, place = "binary" if binary else "spherical", "solved" if solved else "start"
        yield Row(
            f"{bonds}, N = {n}, L = {depth}, M = {m}, {place}",
            t["kernel"],
            numpy=t["NumPy"],
            others={} if binary else {"Numba": t.get("Numba")},
            more=more,
        )
