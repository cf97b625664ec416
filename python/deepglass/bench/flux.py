"""Worms of the flux representation, beside the same algorithm in Numba; one thread and all."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from .. import _core
from . import Bench, Row

CASES = [((4, 4), 1.0), ((8, 8), 1.0), ((8, 8), 1.4), ((32, 32), 1.0)]
SECONDS, ROUNDS = 0.3, 5


def rows(bench: Bench) -> Iterator[Row]:
    """Of a change tried, worm moves and pairs, at mass = coupling = 1; all threads have a chain each."""
    flux_numba: Any = None
    if importlib.util.find_spec("numba"):
        from ._programs import flux_numba
    for shape, mu in bench.some(CASES):
        volume = shape[0] * shape[1]
        _, ratios = _core.flux_site_weights(4000, 1.0, 1.0)
        kernels = {
            n: _core.FluxChains(*shape, 1.0, 1.0, mu, n_ratios=2000, n_chains=n, seed=1) for n in {1, bench.threads}
        }
        for chains in kernels.values():
            chains.thermalise(2000)
        n_worms = kernels[1].worms_in_sweep(0)
        n_draws = max(4, int(SECONDS / bench.seconds(lambda k=kernels[1]: k.run(20, 100, 1)) * 20))
        times: dict[str, list[float]] = {str(n): [] for n in kernels}
        means: dict[str, list[tuple[float, float]]] = {str(n): [] for n in kernels}
        if flux_numba:
            numba = flux_numba.Chain(shape, np.ascontiguousarray(ratios[::2]), mu)
            numba.run(2000, n_worms)
            times["Numba"], means["Numba"] = [], []
        for _ in range(bench.rounds(ROUNDS)):
            if flux_numba:
                start = time.perf_counter()
                density, square, moves = numba.run(100 * n_draws, n_worms)
                times["Numba"].append((time.perf_counter() - start) / (moves + 200 * n_draws * volume))
                means["Numba"].append((density, square))
            for n, chains in kernels.items():
                before = sum(chains.count(c)[1] for c in range(n))
                start = time.perf_counter()
                series = chains.run(n_draws, 100, n)
                seconds = time.perf_counter() - start
                moves = sum(chains.count(c)[1] for c in range(n)) - before
                times[str(n)].append(seconds / (moves + 200 * n_draws * volume * n))
                means[str(n)].append((float(series[0].mean()), float(series[1].mean())))
        more: dict[str, float | str] = {}
        if flux_numba and not bench.quick:
            a, b = (np.array(means[name]) for name in ("Numba", "1"))
            pulls = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / ROUNDS)
            assert np.abs(pulls).max() < 6.0  # errors from five numbers
            more = {"pulls of density and <phi^2>": f"{pulls[0]:+.1f} {pulls[1]:+.1f}"}
        yield Row(
            f"{shape[0]} x {shape[1]}, mu {mu}",
            median(times["1"]),
            all_threads=median(times[str(bench.threads)]),
            others={"Numba": median(times["Numba"]) if flux_numba else None},
            more=more,
        )
