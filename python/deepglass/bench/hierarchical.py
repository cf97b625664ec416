"""The deep perceptron network with k steps of replica symmetry breaking: sweeps, solutions, continuation in the load.

Against NumPy (hierarchical_numpy.py) and Numba (hierarchical_numba.py).  Times of sweeps are medians of alternating
repeats: CPU time on one thread, wall time on all, with the number of cores that other processes left idle.  On a
machine busy elsewhere two threads gain little, and can lose: each of the two regions of a sweep then waits for a
thread that has lost its core (OMP_WAIT_POLICY=passive loses least).

What limits the kernel: arithmetic, of one core.  An item (one node of one row) is 130 flops on the way out and some
45 on the way in; it keeps 24 bytes, and a term stays in the second-level cache.  Neither loop is all multiply-adds: a
root, a division, a logarithm and an exponential an item, gathers of 8 points, stores to overlapping cells.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import deepglass as dg

from .. import _core
from . import Bench, Row, stated_peak
from ._programs import hierarchical_numpy as by_numpy

Array = NDArray[np.float64]
Deficits = tuple[Array, Array]  # 1 - q (depth+1, k+1) and 1 - Q (depth, k+1)
DEPTH, LOAD = 20, 200.0
# recursion.hpp: 130 flops an item outwards.  Inwards the weights again (12 + 8 flops), the share, 8 multiply-adds.
FLOPS = 130 + 37
BYTES = 24
MOST_PLAIN = 20000
REPEATS = 5  # in one call: a solver keeps its memory from sweep to sweep


def free_cores(seconds: float) -> float:
    """Idle CPU seconds per second of all cores together."""

    def idle() -> float:
        with open("/proc/stat", encoding="ascii") as lines:
            values = next(lines).split()
        return (int(values[4]) + int(values[5])) / os.sysconf("SC_CLK_TCK")

    try:
        before = idle()
        time.sleep(seconds)
        return (idle() - before) / seconds
    except OSError:
        return float("nan")


def profile(k: int) -> tuple[Array, Deficits]:
    """Breakpoints, 1 - q (depth+1, k+1) and 1 - Q (depth, k+1): 1 - q_EA(l) from 0.005 to 0.3, rising in x."""
    m, x = np.arange(1, k + 1) / (k + 1), np.arange(0.5, k + 1) / (k + 1)
    rise = 0.15 + 0.85 * np.arctan(4 * x) / np.arctan(4 * x[-1])
    layer, deficit = np.arange(DEPTH + 1), np.geomspace(0.005, 0.3, DEPTH // 2)
    q = (1 - np.r_[0.0, deficit])[np.minimum(layer, DEPTH - layer), None] * rise
    q[[0, -1]] = 1.0
    Q = (1 - deficit)[np.minimum(layer, DEPTH - 1 - layer)[:-1], None] * rise
    return m, (1 - q, 1 - Q)


def solved(k: int) -> tuple[Array, Deficits]:
    """The same of a solution: load 4000, wall width 0.2, where all layers are solid (9 steps, interpolated to k)."""
    model = dg.parisi.DeepPerceptron(DEPTH, 1.0, wall_width=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = dg.parisi.scan(model, [50.0, 4000.0], 9, load_ratio=1.3).isel(load=-1)
    assert solution.converged and (solution.neuron_overlap[:, -1] > 0).all()
    m, x = np.arange(1, k + 1) / (k + 1), np.arange(0.5, k + 1) / (k + 1)
    middle = (solution.x_left + solution.x_right).values / 2

    def at_x(field: Array) -> Array:
        return np.array([np.interp(x, middle, row) for row in field])

    return m, (at_x(solution.neuron_deficit.values), at_x(solution.bond_deficit.values))


def half(q_deficit: Array, Q_deficit: Array, n: int = DEPTH // 2) -> Deficits:
    """Those of n layers of one side, as NumPy and Numba want them."""
    return q_deficit[: n + 1], Q_deficit[:n]


def terms(q_deficit: Array, Q_deficit: Array, m: Array) -> list[tuple[str, Array, float]]:
    """("wall" or "spin", increments, 1 - lambda_k) of one half."""
    a, b, c = q_deficit[:-1], Q_deficit, q_deficit[1:]
    complement = a + b + c - a * b - b * c - c * a + a * b * c
    variance = np.maximum(-np.diff(complement, axis=1, prepend=1.0), 0.0)
    g = by_numpy.walls(variance, complement[:, -1], m)[1]
    eps = (1 - b) * (1 - a) * g
    eps[:-1] += ((1 - b) * (1 - c) * g)[1:]
    eps[-1] *= 2
    found = [("wall", v, d) for v, d in zip(variance, complement[:, -1], strict=True)]
    eps = np.maximum.accumulate(eps, axis=1)
    return found + [("spin", v, 1.0) for v in np.diff(eps, axis=1, prepend=0.0)]


def kernel(m: Array, deficits: Deficits, load: float = LOAD, **options: Any) -> Mapping[str, Array]:
    return _core.deep_perceptron_sweep(DEPTH, load, m, 0.0, 0.0, *deficits, **options)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a sweep; of a solution to residual 1e-8; of a continuation in the load."""
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")
        if not bench.quick:
            # Overlaps that hardly rise need finer grids of NumPy for its six digits.
            yield from sweeps(bench, solved, "solution at load 4000, wall width 0.2", 2.0)
        yield from sweeps(bench, profile, "steep, 1 - q_EA = 0.005 .. 0.3")
        if not bench.quick:
            yield from solutions(bench)
            yield continuation(bench)


def sweeps(
    bench: Bench, overlaps: Callable[[int], tuple[Array, Deficits]], title: str, resolution: float = 1.0
) -> Iterator[Row]:
    """One sweep, all layers solid."""
    grids = {
        "wall_terms": functools.partial(by_numpy.walls, resolution=resolution),
        "spin_terms": functools.partial(by_numpy.spins, resolution=resolution),
    }
    hierarchical_numba: Any = None
    if importlib.util.find_spec("numba"):
        from ._programs import hierarchical_numba
    for k in bench.some((19, 50)):
        m, deficits = overlaps(k)
        image = kernel(m, deficits, threads=1)["image"]
        assert (kernel(m, deficits, threads=bench.threads)["image"] == image).all()
        calls: dict[str, Callable[[], Array]] = {
            "NumPy": lambda m=m, d=deficits: by_numpy.sweep(*half(*d), LOAD, m, **grids),
            "ours": lambda m=m, d=deficits: kernel(m, d, threads=1, repeats=REPEATS)["image"],
        }
        if hierarchical_numba:
            compiled = {"wall_terms": hierarchical_numba.wall_terms, "spin_terms": hierarchical_numba.spin_terms}
            calls["Numba"] = lambda m=m, d=deficits, c=compiled: by_numpy.sweep(*half(*d), LOAD, m, **c)
        error = {name: np.abs(np.exp(-calls[name]()) - np.exp(-image)).max() for name in calls if name != "ours"}
        assert error["NumPy"] < 1e-6 and error.get("Numba", 0.0) < 1e-9, error
        t = bench.alternate(calls, 9, clock=time.process_time)
        ours = t["ours"] / REPEATS
        free, many = on_all_threads(bench, m, deficits)
        runs = [
            (kind, _core.parisi_recursion(kind, v, m, deficit=d)["n_items"])
            for kind, v, d in terms(*half(*deficits), m)
        ]
        items = sum(n for _, n in runs)
        yield Row(
            f"sweep, k = {k}, {title}",
            ours,
            all_threads=many,
            numpy=t["NumPy"],
            others={"Numba": t.get("Numba")},
            limit=items * FLOPS / peak if (peak := stated_peak()) else None,
            more={
                **{f"error of {name}": value for name, value in error.items()},
                "idle cores": free,
                "items": items,
                "of walls": sum(n for kind, n in runs if kind == "wall"),
                "ns an item": ours / items * 1e9,
                "MB kept": items * BYTES * 1e-6,
                "gain of two threads at most": balance(runs),
            },
        )


def on_all_threads(bench: Bench, m: Array, deficits: Deficits, attempts: int = 12) -> tuple[float, float]:
    """Idle cores, wall seconds of a sweep on all threads, of the least disturbed attempt."""
    best = (0.0, np.inf)
    for _ in range(bench.rounds(attempts)):
        free = free_cores(0.2)
        calls = {str(n): functools.partial(kernel, m, deficits, repeats=REPEATS, threads=n) for n in (1, bench.threads)}
        seconds = bench.alternate(calls, 5)[str(bench.threads)] / REPEATS
        free = min(free, free_cores(0.1))
        best = min(best, (free, seconds), key=lambda found: found[1])
        if free > bench.threads - 0.1:
            break
    return best


def balance(runs: list[tuple[str, int]]) -> float:
    """Total work over that of the busier thread in each of the two regions, by items."""
    total = longest = 0
    for kind in ("wall", "spin"):
        load = [0, 0]
        for items in (n for name, n in runs if name == kind):
            load[load.index(min(load))] += items
        total += sum(load)
        longest += max(load)
    return total / longest


def plain(load: float, k: int, most: int = MOST_PLAIN, tolerance: float = 1e-8) -> tuple[int, float, Array]:
    """Sweeps that plain iteration takes (every 7th with mixing 1/2, layers seeded from the ends), and its end."""
    m, n = np.arange(1, k + 1) / (k + 1), DEPTH // 2
    q, Q = np.zeros((n, k + 1)), np.zeros((n, k + 1))  # u = -ln(1 - overlap)
    rise = np.arange(1, k + 2) / (k + 1)
    for count in range(1, most + 1):
        solid = int((q[:, -1] > 0).sum())
        inner = 1.0 if solid == 0 else -np.expm1(-q[solid - 1, -1])
        seed = solid < n and load * (2 / np.pi) ** 2 * inner**2 > 1 + 1e-6
        if seed:
            q[solid], Q[solid] = 0.01 * rise, 0.01 * inner * rise
        q_all = np.concatenate([np.zeros((1, k + 1)), np.exp(-q), np.exp(-q[-2::-1]), np.zeros((1, k + 1))])
        Q_all = np.exp(-np.concatenate([Q, Q[::-1]]))
        image = kernel(m, (q_all, Q_all), load, threads=1)["image"]
        new_Q, new_q = image[:n], image[n:]
        residual = max(np.abs(np.exp(-new_q) - np.exp(-q)).max(), np.abs(np.expm1(Q - new_Q)).max())
        if residual < tolerance and not seed:
            break
        mix = 0.5 if count % 7 == 0 else 1.0
        q, Q = (np.where(u < 1e-9, 0.0, u) for u in (q + mix * (new_q - q), Q + mix * (new_Q - Q)))
    return count, residual, q


def solutions(bench: Bench) -> Iterator[Row]:
    """From the liquid to residual 1e-8; NumPy: plain iteration, its sweep there x sweeps it needs."""
    for load, k in ((20.0, 4), (20.0, 9), (20.0, 19), (50.0, 9), (50.0, 19)):
        model = dg.parisi.DeepPerceptron(DEPTH, load)
        solution = dg.parisi.solve(model, k, threads=1)
        assert bool(solution.converged) and float(solution.residual) <= 1e-8
        solve = functools.partial(dg.parisi.solve, model, k, threads=1)
        ours = bench.alternate({"ours": solve}, 3, clock=time.process_time)["ours"]
        count, residual, q = plain(load, k)
        deficits = solution.neuron_deficit.values, solution.bond_deficit.values
        difference = np.abs(np.exp(-q) - deficits[0][1 : DEPTH // 2 + 1]).max()
        solid = int((deficits[0][1 : DEPTH // 2 + 1, -1] < 1).sum())
        m = np.arange(1, k + 1) / (k + 1)
        one = half(*deficits, solid)
        sweep = functools.partial(by_numpy.sweep, *one, load, m, whole=solid == DEPTH // 2)
        error = np.abs(np.exp(-sweep()) - np.concatenate([one[1], one[0][1:]])).max()
        assert error < 3e-6, error
        each = bench.alternate({"NumPy": sweep}, 9, clock=time.process_time)["NumPy"]
        yield Row(
            f"solution, load {load:g}, k = {k}",
            ours,
            numpy=count * each,
            more={
                "sweeps": f"{int(solution.iterations)}",
                "residual": float(solution.residual),
                "sweeps of plain iteration": f"{'more than ' if residual > 1e-8 else ''}{count}",
                "its residual": residual,
                "difference of 1 - q": difference,
            },
        )
    m, deficits = profile(19)
    t = bench.alternate(
        {
            "sweep": lambda: kernel(m, deficits, threads=1, repeats=REPEATS),
            "jacobian": lambda: kernel(m, deficits, threads=1, repeats=REPEATS, jacobian=True),
        },
        5,
        clock=time.process_time,
    )
    seconds = t["jacobian"] - t["sweep"]
    yield Row("Jacobian, k = 19, all layers solid", seconds, more={"sweeps": seconds / t["sweep"] * REPEATS})


def continuation(bench: Bench) -> Row:
    """Three wall widths, together."""
    loads = [50, 100, 200, 1000, 2000, 4000]
    total, more = 0.0, {}
    for width in (0.0, 0.1, 0.2):
        start = time.perf_counter()
        found = dg.parisi.scan(dg.parisi.DeepPerceptron(DEPTH, wall_width=width), loads, 9, threads=bench.threads)
        total += time.perf_counter() - start
        more[f"wall width {width:g}"] = (
            f"{int(found.iterations.sum())} sweeps at the loads alone, residual {float(found.residual.max()):.1e}, "
            f"{int(found.converged.sum())} of {len(loads)} converged, "
            f"q_EA(2) = {float(found.neuron_overlap[-1, 2, -1]):.4f}"
        )
    return Row("continuation, load 50 to 4000, k = 9, all threads", total, more=more)
