"""Replica-symmetric deep perceptron network: kernel against NumPy, Numba and the readable reference.

All in one run, medians of alternating repeats, values compared before times are printed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator

import numpy as np

import deepglass as dg

from .. import _core
from ..parisi.deep_perceptron import Scenario
from ..reference import parisi as reference
from . import Bench, Row
from ._programs.parisi_numpy import numba_sweep, solve

CASES: list[tuple[str, float, Scenario]] = [
    ("random data, load 4000", 4000.0, "random"),
    ("teacher, load 25", 25.0, "teacher"),
    ("teacher, load 250", 250.0, "teacher"),
    ("teacher, load 625", 625.0, "teacher"),
]
DEPTH = 20


def rows(bench: Bench) -> Iterator[Row]:
    """Of a solution; of one evaluation of the equations; of 200 loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.ConvergenceWarning)
        for name, load, scenario in bench.some(CASES):
            yield solution(bench, name, load, scenario)
        yield sweep(bench)
        yield scan(bench)


def solution(bench: Bench, name: str, load: float, scenario: Scenario) -> Row:
    n = int(scenario == "teacher")
    model = dg.parisi.DeepPerceptron(DEPTH, load, scenario)
    ours = dg.parisi.solve(model)
    q, Q, entropy, sweeps = solve(DEPTH, load, n)
    difference = max(
        abs(ours.neuron_overlap.values[:, 0] - q).max(),
        abs(ours.bond_overlap.values[:, 0] - Q).max(),
        abs(float(ours.free_entropy) - entropy),
    )
    assert difference < 2e-6, difference  # the yardsticks' quadrature and tolerance
    zero = np.ones(DEPTH + 1)
    zero[[0, -1]] = 0.0
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: _core.deep_perceptron_solve(DEPTH, [load], n, 0.0, 0.0, zero, np.ones(DEPTH), threads=1),
        "NumPy": lambda: solve(DEPTH, load, n),
    }
    compiled = numba_sweep()
    if compiled is not None:
        calls["Numba"] = lambda: solve(DEPTH, load, n, one_sweep=compiled)
        calls["Numba"]()  # compiles
    t = bench.alternate(calls, least=0.05)
    return Row(
        f"solve, {name}",
        t["ours"],
        numpy=t["NumPy"],
        others={"Numba": t.get("Numba")},
        more={"difference": difference, "sweeps": f"{int(ours.iterations)}/{sweeps}"},
    )


def nanoseconds_per_node(bench: Bench) -> tuple[float, float]:
    """Cost of the special functions at one node of a wall and of a spin, from arrays that stay in cache."""
    x = np.linspace(-8.0, 8.0, 4096)
    negative = -np.abs(x)

    def cost(name: str, argument: np.ndarray) -> float:
        call = functools.partial(getattr(_core, f"vmath_{name}"), argument)
        call()
        return bench.alternate({name: call}, least=2e-3)[name] / x.size * 1e9

    wall = [("log_normal_cdf", x), ("inverse_mills_ratio", x), ("inverse_mills_ratio_slope", x), ("exp", negative)]
    spin = [("exp", negative), ("log1p", np.exp(negative)), ("tanh", x), ("exp", negative)]
    return sum(cost(*item) for item in wall), sum(cost(*item) for item in spin)


def sweep(bench: Bench) -> Row:
    """All layers solid; the limit is the cost of its special functions alone, data in L1."""
    wall_ns, spin_ns = nanoseconds_per_node(bench)
    lam = np.linspace(0.05, 0.95, DEPTH)
    eps = np.linspace(0.05, 3.0, DEPTH - 1)
    reach = np.arcsinh(9.5 * np.maximum(1, np.sqrt(lam / (1 - lam)))) / 0.125
    walls = int((2 * reach + 2).sum())
    last = np.arcsinh(np.minimum(9.5 * np.sqrt(eps), 45.0) / np.minimum(1, np.sqrt(eps))) / 0.125
    nodes = int((last + 2).sum())
    floor = (walls * wall_ns + nodes * spin_ns) * 1e-9

    def kernel() -> None:
        _core.wall_moments(lam, 1 - lam, 0)
        _core.ising_moments(eps, 0)

    def readable() -> None:
        for v in lam:
            reference.wall_moments(v, 1 - v, 0)
        for e in eps:
            reference.ising_moments(e, 0)

    t = bench.alternate({"kernel": kernel, "reference": readable}, least=0.02)
    return Row(
        f"one sweep, depth {DEPTH}, all layers solid",
        t["kernel"],
        others={"reference": t["reference"]},
        limit=floor,
        more={"nodes of walls": walls, "ns each": wall_ns, "nodes of spins": nodes, "ns each of these": spin_ns},
    )


def scan(bench: Bench) -> Row:
    model = dg.parisi.DeepPerceptron(DEPTH)
    loads = np.geomspace(2.0, 4000.0, 200)
    one, many = (functools.partial(dg.parisi.scan, model, loads, threads=threads) for threads in (1, bench.threads))
    assert one().drop_attrs().identical(many().drop_attrs())
    t = bench.alternate({"one": one, "all": many})
    return Row("scan of 200 loads", t["one"], all_threads=t["all"])
