"""The deep perceptron network with k steps of replica symmetry breaking: sweeps, solutions, continuation in the load.

Against NumPy (hierarchical_numpy.py) and Numba (hierarchical_numba.py).  Values are checked before times are printed;
times are medians of alternating repeats: CPU time on one thread, wall time on two, with the number of cores that other
processes left idle.  On a machine busy elsewhere two threads gain little, and can lose: each of the two regions of a
sweep then waits for a thread that has lost its core (OMP_WAIT_POLICY=passive loses least).

What limits the kernel: arithmetic, of one core.  An item (one node of one row) is 130 flops on the way out and some
45 on the way in; it keeps 24 bytes, and a term stays in the second-level cache.  Neither loop is all multiply-adds: a
root, a division, a logarithm and an exponential an item, gathers of 8 points, stores to overlapping cells.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time
import warnings

import numpy as np

import deepglass as dg
import hierarchical_numba
import hierarchical_numpy as by_numpy
from deepglass import _core

DEPTH, LOAD = 20, 200.0
# recursion.hpp: 130 flops an item outwards.  Inwards the weights again (12 + 8 flops), the share, 8 multiply-adds.
FLOPS = 130 + 37
BYTES = 24
FLOPS_A_CYCLE = 16  # two fused multiply-adds of four doubles: Zen 3 at level v3
MOST_PLAIN = 20000
REPEATS = 5  # in one call: a solver keeps its memory from sweep to sweep


def clocks():
    """CPU clock in Hz as the system states it, or NaN."""
    try:
        with open("/proc/cpuinfo", encoding="ascii") as lines:
            return float(next(line for line in lines if line.startswith("cpu MHz")).split(":")[1]) * 1e6
    except (OSError, StopIteration):
        return float("nan")


def free_cores(seconds=0.3):
    """Idle CPU seconds per second of all cores together."""

    def idle():
        with open("/proc/stat", encoding="ascii") as lines:
            values = next(lines).split()
        return (int(values[4]) + int(values[5])) / os.sysconf("SC_CLK_TCK")

    try:
        before = idle()
        time.sleep(seconds)
        return (idle() - before) / seconds
    except OSError:
        return float("nan")


def alternate(functions, repeats):
    """Median CPU and wall seconds of each function, called in turn."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(map(statistics.median, zip(*t, strict=True))) for name, t in times.items()}


def profile(k):
    """Breakpoints, 1 - q (depth+1, k+1) and 1 - Q (depth, k+1): 1 - q_EA(l) from 0.005 to 0.3, rising in x."""
    m, x = np.arange(1, k + 1) / (k + 1), np.arange(0.5, k + 1) / (k + 1)
    rise = 0.15 + 0.85 * np.arctan(4 * x) / np.arctan(4 * x[-1])
    layer, deficit = np.arange(DEPTH + 1), np.geomspace(0.005, 0.3, DEPTH // 2)
    q = (1 - np.r_[0.0, deficit])[np.minimum(layer, DEPTH - layer), None] * rise
    q[[0, -1]] = 1.0
    Q = (1 - deficit)[np.minimum(layer, DEPTH - 1 - layer)[:-1], None] * rise
    return m, 1 - q, 1 - Q


def solved(k):
    """The same of a solution: load 4000, wall width 0.2, where all layers are solid (9 steps, interpolated to k)."""
    model = dg.parisi.DeepPerceptron(DEPTH, 1.0, wall_width=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = dg.parisi.scan(model, [50.0, 4000.0], 9, load_ratio=1.3).isel(load=-1)
    assert solution.converged and (solution.neuron_overlap[:, -1] > 0).all()
    m, x = np.arange(1, k + 1) / (k + 1), np.arange(0.5, k + 1) / (k + 1)
    middle = (solution.x_left + solution.x_right).values / 2
    fields = (solution.neuron_deficit.values, solution.bond_deficit.values)
    return m, *(np.array([np.interp(x, middle, row) for row in field]) for field in fields)


def half(q_deficit, Q_deficit, n=DEPTH // 2):
    """Those of n layers of one side, as NumPy and Numba want them."""
    return q_deficit[: n + 1], Q_deficit[:n]


def terms(q_deficit, Q_deficit, m):
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


def kernel(m, deficits, load=LOAD, **options):
    return _core.deep_perceptron_sweep(DEPTH, load, m, 0.0, 0.0, *deficits, **options)


def sweeps(overlaps, title):
    """One sweep, all layers solid."""
    print(f"One sweep, depth {DEPTH}, all layers solid, {title}; ms on one thread")
    names = ("ours", "NumPy", "ratio", "Numba", "ratio", "error", "error", "2 threads", "gain", "cores")
    print(f"{'k':>3}", *(f"{name:>9}" for name in names))
    details = []
    for k in (19, 50):
        m, *deficits = overlaps(k)
        image = kernel(m, deficits, threads=1)["image"]
        assert (kernel(m, deficits, threads=2)["image"] == image).all()
        compiled = {"wall_terms": hierarchical_numba.wall_terms, "spin_terms": hierarchical_numba.spin_terms}
        functions = {
            "numpy": lambda m=m, d=deficits: by_numpy.sweep(*half(*d), LOAD, m),
            "numba": lambda m=m, d=deficits, c=compiled: by_numpy.sweep(*half(*d), LOAD, m, **c),
            "ours": lambda m=m, d=deficits: kernel(m, d, threads=1, repeats=REPEATS)["image"],
        }
        error = {n: np.abs(np.exp(-functions[n]()) - np.exp(-image)).max() for n in ("numpy", "numba")}
        assert error["numpy"] < 1e-6 and error["numba"] < 1e-9, error
        t = alternate(functions, 9)
        free, one, two = pairs(m, deficits)
        ms = {name: 1e3 * cpu for name, (cpu, _) in t.items()}
        ms["ours"] /= REPEATS
        print(
            f"{k:3d} {ms['ours']:9.2f} {ms['numpy']:9.1f} {ms['numpy'] / ms['ours']:9.1f} {ms['numba']:9.1f} "
            f"{ms['numba'] / ms['ours']:9.1f} {error['numpy']:9.1e} {error['numba']:9.1e} {two * 1e3:9.2f} "
            f"{one / two:9.2f} {free:9.2f}"
        )
        details.append((k, m, deficits, ms["ours"]))
    clock = clocks()
    print(
        f"\nWork of it; peak of one core: {FLOPS_A_CYCLE} flops x {clock * 1e-9:.2f} GHz (as /proc/cpuinfo states it)"
    )
    names = ("items", "of walls", "ns/item", "Mflop", "GF/s", "of peak", "MB kept", "limit")
    print(f"{'k':>3}", *(f"{name:>9}" for name in names))
    for k, m, deficits, ms in details:
        runs = [
            (kind, _core.parisi_recursion(kind, v, m, deficit=d)["n_items"])
            for kind, v, d in terms(*half(*deficits), m)
        ]
        items, of_walls = sum(n for _, n in runs), sum(n for kind, n in runs if kind == "wall")
        rate = items * FLOPS / ms * 1e-6
        print(
            f"{k:3d} {items:9d} {of_walls:9d} {ms * 1e6 / items:9.1f} {items * FLOPS * 1e-6:9.1f} {rate:9.1f} "
            f"{rate * 1e9 / (FLOPS_A_CYCLE * clock):9.0%} {items * BYTES * 1e-6:9.1f} {balance(runs):9.2f}"
        )
    print("limit: gain on two threads if regions cost nothing, terms being dealt in order to whoever is free")


def pairs(m, deficits, attempts=12):
    """Idle cores, CPU seconds on one thread and wall seconds on two, of the least disturbed attempt."""
    best = (0.0, np.inf, np.inf)
    for _ in range(attempts):
        free = free_cores(0.2)
        functions = {n: lambda n=n: kernel(m, deficits, repeats=REPEATS, threads=n) for n in (1, 2)}
        t = alternate(functions, 5)
        free = min(free, free_cores(0.1))
        best = min(best, (free, t[1][0] / REPEATS, t[2][1] / REPEATS), key=lambda found: found[2])
        if free > 1.9:
            break
    return best


def balance(runs):
    """Total work over that of the busier thread in each of the two regions, by items."""
    total = longest = 0
    for kind in ("wall", "spin"):
        load = [0, 0]
        for items in (n for name, n in runs if name == kind):
            load[load.index(min(load))] += items
        total += sum(load)
        longest += max(load)
    return total / longest


def plain(load, k, most=MOST_PLAIN, tolerance=1e-8):
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


def solutions():
    """From the liquid to residual 1e-8."""
    print("\nSolutions to residual 1e-8, one thread; plain iteration of NumPy = its sweep there x sweeps it needs")
    names = ("s", "sweeps", "residual", "plain", "residual", "NumPy ms", "NumPy s", "ratio", "difference")
    print(f"{'load':>5} {'k':>3}", *(f"{name:>10}" for name in names))
    for load, k in ((20.0, 4), (20.0, 9), (20.0, 19), (50.0, 9), (50.0, 19)):
        model = dg.parisi.DeepPerceptron(DEPTH, load)
        solution = dg.parisi.solve(model, k, threads=1)
        assert bool(solution.converged) and float(solution.residual) <= 1e-8
        ours = alternate({"ours": lambda model=model, k=k: dg.parisi.solve(model, k, threads=1)}, 3)["ours"][0]
        count, residual, q = plain(load, k)
        deficits = solution.neuron_deficit.values, solution.bond_deficit.values
        difference = np.abs(np.exp(-q) - deficits[0][1 : DEPTH // 2 + 1]).max()
        solid = int((deficits[0][1 : DEPTH // 2 + 1, -1] < 1).sum())
        m = np.arange(1, k + 1) / (k + 1)
        one = half(*deficits, solid)

        def sweep(one=one, load=load, m=m, solid=solid):
            return by_numpy.sweep(*one, load, m, whole=solid == DEPTH // 2)

        error = np.abs(np.exp(-sweep()) - np.concatenate([one[1], one[0][1:]])).max()
        assert error < 3e-6, error
        each = alternate({"numpy": sweep}, 9)["numpy"][0]
        print(
            f"{load:5g} {k:3d} {ours:10.2f} {int(solution.iterations):10d} {float(solution.residual):10.1e} "
            f"{'> ' if residual > 1e-8 else ''}{count:{8 if residual > 1e-8 else 10}d} {residual:10.1e} "
            f"{each * 1e3:10.1f} {count * each:10.1f} {count * each / ours:10.0f} {difference:10.1e}"
        )
    print(f"'>': plain iteration stopped at {MOST_PLAIN} sweeps; difference: of 1 - q, its end against the solution")
    m, *deficits = profile(19)
    t = alternate(
        {
            "sweep": lambda: kernel(m, deficits, threads=1, repeats=REPEATS),
            "jacobian": lambda: kernel(m, deficits, threads=1, repeats=REPEATS, jacobian=True),
        },
        5,
    )
    seconds, one = t["jacobian"][0] - t["sweep"][0], t["sweep"][0] / REPEATS
    print(
        f"Jacobian, k = 19, all layers solid: {seconds * 1e3:.0f} ms = {seconds / t['sweep'][0] * REPEATS:.1f} sweeps"
    )


def continuation():
    """Loads 50 to 4000."""
    loads = [50, 100, 200, 1000, 2000, 4000]
    print(f"\nContinuation through loads {loads}, k = 9")
    print(f"{'wall width':>10} {'s':>8} {'sweeps':>8} {'residual':>9} {'converged':>9} {'q_EA(2), 4000':>14}")
    total = 0.0
    for width in (0.0, 0.1, 0.2):
        start = time.perf_counter()
        found = dg.parisi.scan(dg.parisi.DeepPerceptron(DEPTH, wall_width=width), loads, 9)
        seconds = time.perf_counter() - start
        total += seconds
        print(
            f"{width:10g} {seconds:8.1f} {int(found.iterations.sum()):8d} {float(found.residual.max()):9.1e} "
            f"{int(found.converged.sum()):6d}/{len(loads)} {float(found.neuron_overlap[-1, 2, -1]):14.4f}"
        )
    print(f"together {total:.1f} s; sweeps: at the {len(loads)} loads alone, not on the way between them")


def main():
    warnings.simplefilter("ignore")
    print(f"deepglass {dg.__version__}, level {_core.isa}, {_core.thread_count(0)} threads on {os.cpu_count()} cores\n")
    sweeps(solved, "overlaps of the solution at load 4000, wall width 0.2")
    print()
    sweeps(profile, "steep: 1 - q_EA = 0.005 .. 0.3")
    solutions()
    continuation()


if __name__ == "__main__":
    main()
