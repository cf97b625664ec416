"""Replica-symmetric deep perceptron network: kernel against NumPy, Numba and the readable reference.

All in one run, medians of alternating repeats, values compared before times are printed.
"""

import statistics
import time
import warnings

import numpy as np

import deepglass as dg
from deepglass import _core
from parisi_numpy import numba_sweep, solve

CASES = [
    ("random data, load 4000", 4000.0, "random"),
    ("teacher, load 25", 25.0, "teacher"),
    ("teacher, load 250", 250.0, "teacher"),
    ("teacher, load 625", 625.0, "teacher"),
]
DEPTH = 20


def clock(function, least=0.0):
    """Seconds of one call; short calls are repeated."""
    start = time.perf_counter()
    function()
    one = time.perf_counter() - start
    calls = max(1, int(least / max(one, 1e-9)))
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def alternate(functions, repeats=5):
    """Median seconds of each function, called in turn."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, (function, least) in functions.items():
            times[name].append(clock(function, least))
    return {name: statistics.median(values) for name, values in times.items()}


def nanoseconds_per_node():
    """Cost of the special functions at one node of a wall and of a spin, from arrays that stay in cache."""
    x = np.linspace(-8.0, 8.0, 4096)
    negative = -np.abs(x)

    def cost(name, argument):
        function = getattr(_core, f"vmath_{name}")
        function(argument)
        return statistics.median(clock(lambda: function(argument), 2e-3) for _ in range(5)) / x.size * 1e9

    wall = [("log_normal_cdf", x), ("inverse_mills_ratio", x), ("inverse_mills_ratio_slope", x), ("exp", negative)]
    spin = [("exp", negative), ("log1p", np.exp(negative)), ("tanh", x), ("exp", negative)]
    return sum(cost(*item) for item in wall), sum(cost(*item) for item in spin)


def main():
    warnings.simplefilter("ignore", dg.ConvergenceWarning)
    print(f"deepglass {dg.__version__}, level {_core.isa}, {_core.thread_count(0)} threads, depth {DEPTH}")
    compiled = numba_sweep()
    header = f"{'solve':<24} {'ours ms':>8} {'NumPy ms':>9} {'ratio':>6} {'Numba ms':>9} {'ratio':>6} {'|dq|':>8}"
    print(header + f" {'sweeps ours/NumPy':>18}")
    for name, load, scenario in CASES:
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
        functions = {
            "ours": (
                lambda load=load, n=n, zero=zero: _core.deep_perceptron_solve(
                    DEPTH, [load], n, 0.0, 0.0, zero, np.ones(DEPTH), threads=1
                ),
                0.05,
            ),
            "numpy": (lambda load=load, n=n: solve(DEPTH, load, n), 0.0),
        }
        if compiled is not None:
            solve(DEPTH, load, n, one_sweep=compiled)
            functions["numba"] = (lambda load=load, n=n: solve(DEPTH, load, n, one_sweep=compiled), 0.0)
        t = alternate(functions)
        numba = t.get("numba", float("nan"))
        print(
            f"{name:<24} {t['ours'] * 1e3:8.2f} {t['numpy'] * 1e3:9.1f} {t['numpy'] / t['ours']:6.0f} "
            f"{numba * 1e3:9.1f} {numba / t['ours']:6.1f} {difference:8.1e} "
            f"{int(ours.iterations):>10}/{sweeps}"
        )

    print()
    limit()
    print()
    scan()


def limit():
    """One evaluation of the equations against the cost of its special functions alone."""
    from deepglass.reference import parisi as reference

    wall_ns, spin_ns = nanoseconds_per_node()
    lam = np.linspace(0.05, 0.95, DEPTH)
    eps = np.linspace(0.05, 3.0, DEPTH - 1)
    reach = np.arcsinh(9.5 * np.maximum(1, np.sqrt(lam / (1 - lam)))) / 0.125
    walls = int((2 * reach + 2).sum())
    last = np.arcsinh(np.minimum(9.5 * np.sqrt(eps), 45.0) / np.minimum(1, np.sqrt(eps))) / 0.125
    nodes = int((last + 2).sum())
    floor = (walls * wall_ns + nodes * spin_ns) * 1e-9

    def kernel():
        _core.wall_moments(lam, 1 - lam, 0)
        _core.ising_moments(eps, 0)

    def readable():
        for v in lam:
            reference.wall_moments(v, 1 - v, 0)
        for e in eps:
            reference.ising_moments(e, 0)

    t = alternate({"kernel": (kernel, 0.02), "reference": (readable, 0.05)})
    print(
        f"one sweep, all layers solid: {t['kernel'] * 1e6:.1f} us; readable reference {t['reference'] * 1e6:.0f} us "
        f"({t['reference'] / t['kernel']:.0f}x)"
    )
    print(
        f"limit: {walls} wall nodes x {wall_ns:.1f} ns + {nodes} spin nodes x {spin_ns:.1f} ns = {floor * 1e6:.1f} us "
        f"(special functions alone, data in L1): {floor / t['kernel']:.0%} of it reached"
    )


def scan():
    """200 loads on one thread and on two."""
    model = dg.parisi.DeepPerceptron(DEPTH)
    loads = np.geomspace(2.0, 4000.0, 200)
    one, two = dg.parisi.scan(model, loads, threads=1), dg.parisi.scan(model, loads, threads=2)
    assert one.drop_attrs().identical(two.drop_attrs())
    t = alternate(
        {threads: (lambda threads=threads: dg.parisi.scan(model, loads, threads=threads), 0.0) for threads in (1, 2)}
    )
    print(
        f"scan of 200 loads: {t[1] * 1e3:.0f} ms on one thread, {t[2] * 1e3:.0f} ms on two ({t[1] / t[2]:.2f}x), "
        "identical"
    )


if __name__ == "__main__":
    main()
