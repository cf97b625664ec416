"""Sweeps of the Monte Carlo kernels beside NumPy, Numba and JAX: depth 6, beta = 5, one thread and all."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator

import numpy as np

import deepglass as dg

from .. import _core
from . import Bench, Row
from ._programs import mc_numpy

DEPTH, BETA = 6, 5.0
# Vector instructions for one vector of gaps: loads, stores, products, sums.  The most restrictive port decides:
# spins 2.25 loads, 4 operations; bonds 2.25 loads, 1 store, 5.5 operations (Zen 3: 2 loads, 1 store, 4 operations, of
# which 2 products and 2 sums, a cycle).
CYCLES = {"spins": 1.125, "bonds": 1.375}
CLOCK = 3.3e9  # Hz, of the machine the limits are for


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


def rows(bench: Bench) -> Iterator[Row]:
    """Of a sweep of one chain; of measuring, in a run."""
    for width, n_patterns, step in bench.some(((64, 256, 0.5), (128, 512, 0.3))):
        yield from one_size(bench, width, n_patterns, step)


def one_size(bench: Bench, width: int, n_patterns: int, step: float) -> Iterator[Row]:
    n = 512 // width
    size = f"N = {width}, M = {n_patterns}"
    numpy = mc_numpy.Chain(width, DEPTH, n_patterns, BETA, step)
    soft = simulation(width, n_patterns, 1, step)
    two = simulation(width, n_patterns, bench.threads, step)
    count = simulation(width, n_patterns, 1, step, potential="count")
    binary = simulation(width, n_patterns, 1, step, potential="count", bonds="binary")
    calls: dict[str, Callable[[], object]] = {
        "soft": sweeps(soft, n, 1),
        "bonds": sweeps(soft, n, 1, spin_passes=0),
        "spins": sweeps(soft, n, 1, bond_passes=0),
        "count": sweeps(count, n, 1),
        "binary count": sweeps(binary, n, 1),
        "threads": sweeps(soft, n, bench.threads),
        "chains": sweeps(two, n, bench.threads),
    }
    repeats = dict.fromkeys(calls, n) | {"chains": n * bench.threads}
    others: dict[str, float | None] = {"Numba": None, "JAX": None}
    if importlib.util.find_spec("numba"):
        from ._programs import mc_numba

        numba = mc_numba.Chain(width, DEPTH, n_patterns, BETA, step)
        calls["Numba"] = numba.sweep
    if importlib.util.find_spec("jax"):
        from ._programs import mc_jax

        calls["JAX"] = mc_jax.Chain(width, DEPTH, n_patterns, BETA, step).sweep
    for call in calls.values():
        for _ in range(3):
            call()
    times = {name: seconds / repeats.get(name, 1) for name, seconds in bench.alternate(calls, 15).items()}
    plain = bench.alternate({"NumPy": numpy.sweep}, 3)["NumPy"]
    others |= {name: times[name] for name in others if name in times}
    energy = float(soft.run(40, every=4)["energy"].sum("layer").mean() / (DEPTH * width * n_patterns))
    more: dict[str, float | str] = {"energy per gap": energy}
    if "Numba" in times:
        for _ in range(5):
            numba.sweep()
        more["of Numba"] = numba.energy()
        assert math.isclose(energy, numba.energy(), rel_tol=0.1)
    yield Row(f"soft, {size}", times["soft"], all_threads=times["threads"], numpy=plain, others=others, more=more)
    updates = {"spins": (DEPTH - 1) * width**2, "bonds": DEPTH * width * (width // 2)}
    for phase, each in updates.items():
        n_updates = each * n_patterns
        yield Row(
            f"soft, {phase} alone, {size}",
            times[phase],
            limit=CYCLES[phase] * n_updates / lanes() / CLOCK,
            more={"ns an update": times[phase] / n_updates * 1e9},
        )
    for name in ("count", "binary count"):
        yield Row(f"{name}, {size}", times[name])
    yield Row(f"soft, {bench.threads} chains, all threads, of one, {size}", times["chains"])
    yield measured(bench, soft, 64000 // width, size)


def measured(bench: Bench, sim: dg.mc.Simulation, n: int, size: str) -> Row:
    """What measuring costs in a run of n sweeps, against bare sweeps before it."""
    times = bench.alternate(
        {
            "bare": sweeps(sim, n, 1),
            "each": lambda: sim.run(n, every=1),
            "lags": lambda: sim.run(n, every=1, lags="log"),
        },
        7,
    )
    return Row(
        f"soft, energy and acceptance at each sweep, {size}",
        times["each"] / n,
        more={
            "cost of measuring": f"{times['each'] / times['bare'] - 1:+.1%}",
            "with C(t) at logarithmic lags": f"{times['lags'] / times['bare'] - 1:+.1%}",
        },
    )
