"""Times of Ising chains: heat bath of 512 chains as bits, and clusters, against a vectorised NumPy checkerboard.

The target is 20 times the spin updates of NumPy, all on one thread.  The limit is that of the random bits alone: the
number of digits that decide whether u < p for all of 512 chains is 10.3 on average, so 10.3 bits a spin at the speed
of the generator, measured in the same run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from .. import _core
from ..learning import Ising
from ..reference.lattice import ising_log_partition_function
from . import Bench, Row

TARGET = 20.0
ROUNDS = 5
TEMPERATURE = 2.6
SIZES = [(16, 512), (32, 512), (64, 512), (64, 2048)]  # extent, chains


class Checkerboard:
    """Metropolis as one writes it in NumPy: half lattices, chains innermost, a table of single precision."""

    def __init__(self, size: int, n_chains: int, beta: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        start = self.rng.integers(0, 2, (2, size, size // 2, n_chains), dtype=np.int8)
        self.halves = 2 * start - np.int8(1)
        self.accept = np.exp(-2.0 * beta * np.arange(-4, 5)).astype(np.float32)
        self.uniform = np.empty(start.shape[1:], np.float32)

    def sweep(self) -> None:
        for colour in (0, 1):
            mine, other = self.halves[colour], self.halves[1 - colour]
            beside = np.empty_like(other)  # site (x, y) of a half is in column 2y + (x + colour) % 2
            shifted = (np.arange(len(other)) + colour) % 2 == 1
            beside[shifted] = np.roll(other[shifted], -1, axis=1)
            beside[~shifted] = np.roll(other[~shifted], 1, axis=1)
            field = other + beside
            field += np.roll(other, 1, axis=0)
            field += np.roll(other, -1, axis=0)
            field *= mine
            field += np.int8(4)
            self.rng.random(out=self.uniform, dtype=np.float32)
            np.negative(mine, out=mine, where=self.uniform < self.accept[field])

    def energy(self) -> float:
        """Of a site, averaged over chains."""
        _, size, _, n_chains = self.halves.shape
        full = np.empty((size, size, n_chains), np.int8)
        for colour in (0, 1):
            for x in range(size):
                full[x, (x + colour) % 2 :: 2] = self.halves[colour, x]
        bonds = sum((full * np.roll(full, 1, axis)).sum(dtype=np.int64) for axis in (0, 1))
        return -float(bonds) / full.size


def exact_energy(size: int, beta: float) -> float:
    h = 1e-5
    low, high = (ising_log_partition_function((size, size), beta + step) for step in (-h, h))
    return -(high - low) / (2 * h * size**2)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a spin update; the mean energies of all programs are compared with Kaufman's before.

    CPU time of this thread, so that other work beside it counts less.
    """
    beta = 1.0 / TEMPERATURE
    digits = sum(1.0 - (1.0 - 0.5**k) ** 512 for k in range(64))
    for size, n_chains in bench.some(SIZES):
        spins = size * size * n_chains
        board = Checkerboard(size, n_chains, beta, seed=1)
        bits = _core.LatticeChains([size, size], 2, np.full(n_chains, beta), algorithm="heat_bath", seed=1)
        ties = _core.LatticeChains([size, size], 2, np.full(n_chains, 2 * beta), algorithm="clusters", seed=1)
        n_bonds = 2 * size * size
        for _ in range(100):
            board.sweep()
        energies = {"NumPy": board.energy()}
        for name, chains in (("heat bath", bits), ("clusters", ties)):
            energies[name] = float((n_bonds - 2.0 * chains.run(1, 100)[0]).mean()) / size**2
        expected = exact_energy(size, beta)
        error = 2.0 * math.sqrt(2.0 / spins)  # variance of the energy of a site: about 2 here
        for name, energy in energies.items():
            assert abs(energy - expected) < 4 * error, (name, energy, expected, error)

        n_fast = max(1, round(1e8 / spins))
        times = bench.alternate(
            {
                "NumPy": board.sweep,
                "heat bath": lambda c=bits, n=n_fast: c.run(1, n, threads=1),
                "digits": lambda: _core.philox_words(1, 2, 4_000_000),
                "clusters": lambda c=ties: c.run(1, 1, threads=1),
            },
            ROUNDS,
            clock=time.thread_time,
        )
        fast = times["heat bath"] / (spins * n_fast)
        plain = times["NumPy"] / spins
        yield Row(
            f"{size} x {size}, {n_chains} chains",
            fast,
            numpy=plain,
            limit=times["digits"] * digits / (32 * 4_000_000),
            more={
                "ns of clusters": times["clusters"] / spins * 1e9,
                f"{TARGET:.0f} times NumPy": "met" if plain / fast >= TARGET else "missed",
            },
        )
    if not bench.quick:
        law = Ising((64, 64), [2.0 / math.log1p(math.sqrt(2.0))], n_chains=64)
        yield Row("640 configurations, 64 x 64, critical, all threads", bench.seconds(lambda: law.draw(640, seed=1)))
