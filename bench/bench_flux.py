"""Moves a second of the worms of the flux representation, beside the same algorithm in Numba; one thread and all."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

import flux_numba
from deepglass import _core

CASES = [((4, 4), 1.0), ((8, 8), 1.0), ((8, 8), 1.4), ((32, 32), 1.0)]
SECONDS, ROUNDS = 0.3, 5


def main() -> None:
    threads = _core.thread_count(0)
    print(f"level {_core.isa}, mass = coupling = 1; million changes tried a second (worm moves and pairs), medians")
    columns = ("Numba", "1 chain", f"{threads} chains", "ratio 1", f"ratio {threads}")
    print(f"{'lattice':10} {'mu':>4} " + " ".join(f"{name:>10}" for name in columns) + "   density, <phi^2>: pulls")
    for shape, mu in CASES:
        volume = shape[0] * shape[1]
        _, ratios = _core.flux_site_weights(4000, 1.0, 1.0)
        numba = flux_numba.Chain(shape, np.ascontiguousarray(ratios[::2]), mu)
        kernels = {n: _core.FluxChains(*shape, 1.0, 1.0, mu, n_ratios=2000, n_chains=n, seed=1) for n in {1, threads}}
        for chains in kernels.values():
            chains.thermalise(2000)
        n_worms = kernels[1].worms_in_sweep(0)
        numba.run(2000, n_worms)
        start = time.perf_counter()
        kernels[1].run(20, 100, 1)
        n_draws = max(4, int(SECONDS / (time.perf_counter() - start) * 20))
        speeds: dict[str, list[float]] = {"Numba": [], **{str(n): [] for n in kernels}}
        means: dict[str, list[tuple[float, float]]] = {name: [] for name in speeds}
        for _ in range(ROUNDS):
            start = time.perf_counter()
            density, square, moves = numba.run(100 * n_draws, n_worms)
            speeds["Numba"].append((moves + 200 * n_draws * volume) / (time.perf_counter() - start))
            means["Numba"].append((density, square))
            for n, chains in kernels.items():
                before = sum(chains.count(c)[1] for c in range(n))
                start = time.perf_counter()
                series = chains.run(n_draws, 100, n)
                seconds = time.perf_counter() - start
                moves = sum(chains.count(c)[1] for c in range(n)) - before
                speeds[str(n)].append((moves + 200 * n_draws * volume * n) / seconds)
                means[str(n)].append((float(series[0].mean()), float(series[1].mean())))
        speed = {name: median(values) / 1e6 for name, values in speeds.items()}
        pulls = []
        for quantity in range(2):
            a, b = (np.array([row[quantity] for row in means[name]]) for name in ("Numba", "1"))
            pulls.append((a.mean() - b.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / ROUNDS))
        assert max(map(abs, pulls)) < 6.0  # errors from five numbers
        row = (speed["Numba"], speed["1"], speed[str(threads)])
        print(
            f"{shape[0]:>4} x {shape[1]:<3} {mu:>4} "
            + " ".join(f"{value:10.1f}" for value in (*row, row[1] / row[0], row[2] / row[0]))
            + f"   {pulls[0]:+.1f} {pulls[1]:+.1f}"
        )


if __name__ == "__main__":
    main()
