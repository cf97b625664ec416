"""Binary bonds with the count potential: the integer chain against the single-precision one with spherical bonds.

An elementary update is one gap computed on trial: N^2 M in a layer for single flips of bonds or of spins, N^2 M / 2
for rotations of pairs.  For 256 patterns of a perceptron a bond takes 13 operations on vectors of 256 bits (2 to find
the patterns, 11 to count them), a spin 5 P + 6 on the P planes of a gap and 6 to count its errors.  The limit supposes
four such operations a cycle (AVX2 without ternary logic).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _core
from . import Bench, Row

DEPTH = 6
CLOCK = 3.2e9  # Hz, of the machine the limits are for
OPERATIONS_PER_CYCLE = {"v1": 2, "v3": 4, "v4": 4}  # on 256 bits
PHASES = {"bonds": (1, 0), "spins": (0, 1), "sweep": (1, 1)}


def networks(width: int, n_patterns: int, binary: bool) -> Any:
    """One chain with data and start of coins."""
    rng = np.random.default_rng(1)
    spins = [rng.choice(np.array([-1, 1], dtype=np.int8), (n_patterns, width)) for _ in range(DEPTH + 1)]
    bonds = [rng.choice([-1.0, 1.0], (width, width)) for _ in range(DEPTH)]
    chain = _core.FreeNetworks([width] * (DEPTH + 1), spins[0], spins[-1], potential="count", binary=binary)
    chain.set_state(0, spins[1:-1], bonds)
    return chain


def check(chain: Any) -> None:
    """The running energy is that of spins and bonds."""
    spins, bonds = chain.spins(0), chain.bonds(0)
    gaps = [s * (b.astype(float) @ J.T) for b, J, s in zip(spins[:-1], bonds, spins[1:], strict=True)]
    np.testing.assert_array_equal(chain.energy()[0], [(r < -1e-3).sum() for r in gaps])  # far above any rounding


def rows(bench: Bench) -> Iterator[Row]:
    """Of a sweep at beta = 1: CPU time, the least of seven turns."""
    for width, n_patterns in bench.some(((64, 256), (127, 512), (128, 512), (255, 512), (256, 512))):
        chains = {binary: networks(width, n_patterns, binary) for binary in (False, True)}
        n_sweeps = max(1, 20 * 64**2 * 256 // (width**2 * n_patterns))
        times: dict[tuple[bool, str], list[float]] = {}
        for _ in range(bench.rounds(7)):
            for phase, (bond_passes, spin_passes) in PHASES.items():
                for binary, chain in chains.items():
                    run = functools.partial(
                        chain.run,
                        1,
                        n_sweeps,
                        np.ones(1),
                        np.full((1, DEPTH), 0.5),
                        bond_passes=bond_passes,
                        spin_passes=spin_passes,
                        threads=1,
                    )
                    times.setdefault((binary, phase), []).append(bench.seconds(run, clock=time.thread_time) / n_sweeps)
        check(chains[True])
        layer = width**2 * n_patterns
        for phase, (bond_passes, spin_passes) in PHASES.items():
            single, integer = min(times[False, phase]), min(times[True, phase])
            spin_updates = spin_passes * (DEPTH - 1) * layer
            of_single = bond_passes * DEPTH * layer / 2 + spin_updates
            of_integer = bond_passes * DEPTH * layer + spin_updates
            limit = None
            operations = {"bonds": 13, "spins": 5 * ((width // 2).bit_length() + 1) + 12}
            if phase in operations:
                limit = operations[phase] / OPERATIONS_PER_CYCLE[_core.isa] / 256 * of_integer / CLOCK
            yield Row(
                f"{phase}, N = {width}, M = {n_patterns}",
                integer,
                others={"spherical": single},
                limit=limit,
                more={
                    "ns an update": integer / of_integer * 1e9,
                    "spherical": single / of_single * 1e9,
                    "ratio": single / of_single / (integer / of_integer),
                },
            )
