"""Sweeps a second of the Monte Carlo kernels beside NumPy, Numba and JAX; one thread and all."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import deepglass as dg
import mc_numba
import mc_numpy
from deepglass import _core

DEPTH, BETA = 6, 5.0
# Vector instructions for one vector of gaps: loads, stores, products, sums.  The most restrictive port decides:
# spins 2.25 loads, 4 operations; bonds 2.25 loads, 1 store, 5.5 operations (Zen 3: 2 loads, 1 store, 4 operations, of
# which 2 products and 2 sums, a cycle).
CYCLES = {"spins": 1.125, "bonds": 1.375}


GIGAHERTZ = 3.3  # of the machine the limits are printed for


def lanes() -> int:
    return {"v1": 4, "v3": 8, "v4": 16}[_core.isa]


def simulation(width: int, n_patterns: int, n_chains: int, step: float, **network: object) -> dg.mc.Simulation:
    net = dg.mc.PerceptronNetwork(width=width, depth=DEPTH, **network)  # type: ignore[arg-type]
    data = dg.mc.random_data(net, n_patterns, seed=1)
    return dg.mc.Simulation(net, data, beta=BETA, n_chains=n_chains, seed=1, step=step, threads=1)


def sweeps(sim: dg.mc.Simulation, n: int, threads: int, **passes: int) -> Callable[[], object]:
    core = sim._engine._core  # type: ignore[attr-defined]
    step = np.broadcast_to(sim.step, (sim.n_chains, DEPTH))
    return lambda: core.run(1, n, sim.beta, step, threads=threads, **passes)


def alternating(calls: dict[str, tuple[Callable[[], object], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds a sweep of each call, in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, n) in calls.items():
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) / n)
    return times


def main() -> None:
    cores = _core.thread_count(0)
    print(f"level {_core.isa}, depth {DEPTH}, beta {BETA}; sweeps a second, medians of alternating runs (best)")
    for width, n_patterns, step in ((64, 256, 0.5), (128, 512, 0.3)):
        n = 512 // width
        numba, numpy = (m.Chain(width, DEPTH, n_patterns, BETA, step) for m in (mc_numba, mc_numpy))
        soft = simulation(width, n_patterns, 1, step)
        two = simulation(width, n_patterns, 2, step)
        calls: dict[str, tuple[Callable[[], object], float]] = {
            "Numba": (numba.sweep, 1),
            "soft": (sweeps(soft, n, 1), n),
            "soft, bonds": (sweeps(soft, n, 1, spin_passes=0), n),
            "soft, spins": (sweeps(soft, n, 1, bond_passes=0), n),
            "count": (sweeps(simulation(width, n_patterns, 1, step, potential="count"), n, 1), n),
            "binary count": (
                sweeps(simulation(width, n_patterns, 1, step, potential="count", bonds="binary"), n, 1),
                n,
            ),
            f"soft, {cores} threads": (sweeps(soft, n, 0), n),
            f"soft, 2 chains, {cores} threads (sweeps of a chain)": (sweeps(two, n, 0), 2 * n),
        }
        if importlib.util.find_spec("jax"):
            import mc_jax

            calls["JAX"] = (mc_jax.Chain(width, DEPTH, n_patterns, BETA, step).sweep, 1)
        for call, _ in calls.values():
            for _ in range(3):
                call()
        times = alternating(calls, 15)
        times["NumPy"] = alternating({"NumPy": (numpy.sweep, 1)}, 3)["NumPy"]
        reference = median(times["Numba"])
        print(f"\nN={width} M={n_patterns}: {'':36} {'sweeps/s':>18} {'to Numba':>9} {'to NumPy':>9}")
        for name, seconds in times.items():
            mid = median(seconds)
            print(
                f"  {name:48} {1 / mid:9.1f} ({1 / min(seconds):7.1f}) {reference / mid:9.2f}"
                f" {median(times['NumPy']) / mid:9.1f}"
            )
        updates = {
            "spins": (DEPTH - 1) * width**2 * n_patterns,
            "bonds": DEPTH * width * (width // 2) * n_patterns,
        }
        for phase, count in updates.items():
            each = median(times[f"soft, {phase}"]) / count * 1e9
            limit = CYCLES[phase] / lanes() / GIGAHERTZ
            print(f"  {phase}: {each:.4f} ns an update, {limit / each:.0%} of the port limit at {GIGAHERTZ} GHz")
        energy = soft.run(40, every=4)["energy"].sum("layer").mean() / (DEPTH * width * n_patterns)
        for _ in range(5):
            numba.sweep()
        print(f"  energy per gap {float(energy):.5f}, Numba {numba.energy():.5f}")
        assert math.isclose(float(energy), numba.energy(), rel_tol=0.1)
        overhead(soft, 64000 // width)


def overhead(sim: dg.mc.Simulation, n: int) -> None:
    """What measuring costs in a run of n sweeps, against bare sweeps before it: medians of ratios."""
    times = alternating(
        {
            "bare": (sweeps(sim, n, 1), n),
            "energy and acceptance at each sweep": (lambda: sim.run(n, every=1), n),
            "with C(t) at logarithmic lags": (lambda: sim.run(n, every=1, lags="log"), n),
        },
        7,
    )
    print(f"  cost of measuring in {n} sweeps:", end="")
    for name in list(times)[1:]:
        ratio = median(run / bare for run, bare in zip(times[name], times["bare"], strict=True))
        best = min(times[name]) / min(times["bare"])
        print(f"  {name} {ratio - 1:+.1%} ({best - 1:+.1%})", end="")
    print()


if __name__ == "__main__":
    main()
