"""Times of spin glasses with replica symmetry breaking: one sweep, k steps, full breaking, a scan in temperature.

A sweep is 3 convolutions a level, 2 N (2w+1) flops each, and some 4 exp or log a point and level; its limit is taken
as these flops at the speed of a matrix product (one thread) or at the stated peak, whichever is higher (BLAS may not
use the widest vectors), and the functions at the speed of `vmath`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from .. import _core, parisi
from . import Bench, Row, stated_peak

SK = parisi.SherringtonKirkpatrick
PLACES = 0.5, 0.48160977683  # temperature and x_c
INNER = 20


def levels(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Covariance and breakpoints of k equal steps, a rough q(x)."""
    x = np.linspace(0.0, 1.0, k + 1)
    return 0.638 * np.sin(1.2 * x) / np.sin(1.2) / PLACES[0] ** 2, PLACES[1] * (np.arange(k) + 0.5) / k


def numpy_sweep(covariance: np.ndarray, m: np.ndarray, points: int) -> tuple[float, np.ndarray]:
    """F and g_i as one would write them in NumPy, with np.convolve on one grid of as many points."""
    variance = np.diff(covariance)
    reach = 8.7 * np.sqrt(covariance[-1]) + m @ variance
    u = np.linspace(-reach, reach, points)
    dh = u[1] - u[0]
    width = int(np.ceil(9.5 * np.sqrt(variance.max()) / dh))
    outside = dh * np.arange(1, width + 1)
    f, slope = np.logaddexp(u, -u), np.tanh(u)
    slopes, weights, norms, gaussians = [slope], [], [], []
    for v, breakpoint in zip(variance[::-1], m[::-1], strict=True):
        gauss = np.exp(-((dh * np.arange(-width, width + 1)) ** 2) / (2 * v))
        gauss /= gauss.sum()
        top = f[-1]
        padded = np.concatenate([f[0] - slope[0] * outside[::-1], f, f[-1] + slope[-1] * outside])
        weight = np.exp(breakpoint * (padded - top))
        norm = np.convolve(weight, gauss, "valid")
        f = top + np.log(norm) / breakpoint
        edges = np.concatenate([np.full(width, slope[0]), slope, np.full(width, slope[-1])])
        slope = np.convolve(weight * edges, gauss, "valid") / norm
        slopes.append(slope)
        weights.append(weight[width:-width])
        norms.append(norm)
        gaussians.append(gauss)
    p = np.zeros(points)
    p[points // 2] = 1.0
    g = [p @ slopes.pop() ** 2]
    for weight, norm, gauss in zip(weights[::-1], norms[::-1], gaussians[::-1], strict=True):
        p = weight * np.convolve(p / norm, gauss, "same")
        g.append(p @ slopes.pop() ** 2)
    return float(f[points // 2]), np.array(g)


def numpy_newton(k: int) -> np.ndarray:
    """Overlaps of k given steps by Newton's method, its matrix by differences, from the sweep above."""
    beta2, m = PLACES[0] ** -2, PLACES[1] * (np.arange(k) + 0.5) / k
    q = 0.638 * np.sin(1.2 * np.arange(1, k + 1) / k) / np.sin(1.2)

    def miss(q: np.ndarray) -> np.ndarray:
        return numpy_sweep(beta2 * np.r_[0.0, q], m, 301)[1][1:] - q

    for _ in range(8):
        here = miss(q)
        step = 1e-6
        matrix = np.stack([(miss(q + step * unit) - here) / step for unit in np.eye(k)], axis=1)
        q = q - np.linalg.solve(matrix, here)
    return q


def limit(bench: Bench, covariance: np.ndarray, points: int) -> float:
    """Seconds of the flops at the highest speed known, and of exp and log at that of vmath."""
    a = np.ones((128, 128))  # short enough for the least of many to be undisturbed
    with threadpool_limits(1):
        speed = max(2 * 128**3 / bench.best(lambda: a @ a, 200, repeats=5), stated_peak() or 0.0)
    x = np.linspace(-5.0, 0.0, 4096)
    function = bench.best(lambda: _core.vmath_exp(x), 10, repeats=20) / x.size
    variance = np.diff(covariance)
    reach = 8.7 * np.sqrt(covariance[-1])
    taps = 2 * 8.7 * np.sqrt(variance) * points / (2 * reach)
    return float(3 * 2 * points * taps.sum() / speed + 2 * points * len(variance) * function)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a sweep, of k given steps, of full breaking, of a scan."""
    yield from sweeps(bench)
    yield from given_steps(bench)
    yield from full_breaking(bench)
    if not bench.quick:
        yield scan(bench)


def sweeps(bench: Bench) -> Iterator[Row]:
    for k, resolution in bench.some(((8, 1.0), (32, 1.0), (32, 2.7), (64, 2.7))):
        covariance, m = levels(k)
        kernel = functools.partial(_core.spin_glass_recursion, covariance, m, resolution=resolution)
        found = kernel()
        points = found["n_points"]
        value, g = numpy_sweep(covariance, m, points)
        if abs(value - found["value"]) > 1e-8 or np.abs(g - found["slope_square"]).max() > 1e-8:
            raise AssertionError(f"the NumPy program disagrees: {value - found['value']}")
        t = bench.alternate(
            {
                "kernel": functools.partial(kernel, repeats=INNER),
                "NumPy": functools.partial(numpy_sweep, covariance, m, points),
                "jacobian": functools.partial(kernel, jacobian=True),
            },
            7,
            repeats={"NumPy": 5, "jacobian": 3},
        )
        yield Row(
            f"sweep, k = {k}, {points} points",
            t["kernel"] / INNER,
            numpy=t["NumPy"],
            limit=limit(bench, covariance, points),
            more={"ms with Jacobian": t["jacobian"] * 1e3},
        )


def given_steps(bench: Bench) -> Iterator[Row]:
    for k in bench.some((8, 16)):
        _, m = levels(k)
        solve = functools.partial(parisi.solve, SK(0.5), k, m, outer_overlap=0)
        t = bench.alternate({"ours": solve, "NumPy": functools.partial(numpy_newton, k)}, 3)
        difference = np.abs(solve().overlap.values[1:] - numpy_newton(k)).max()
        yield Row(f"q of {k} given steps", t["ours"], numpy=t["NumPy"], more={"difference": difference})


def full_breaking(bench: Bench) -> Iterator[Row]:
    models = {
        "SK, T = 0.5": SK(0.5),
        "SK, T = 0.2": SK(0.2),
        "SK, T = 0.1": SK(0.1),
        "SK, T = 0": SK(0.0),
        "SK, T = 0.5, h = 0.3": SK(0.5, 0.3),
        "3-spin, T = 0.2": parisi.PSpin(3, 0.2),
    }
    for name, model in bench.some(models.items()):
        solve = functools.partial(parisi.full_rsb, model, 1e-9 if model.temperature < 0.15 else 1e-11)
        yield Row(
            f"full breaking, {name}",
            bench.alternate({name: solve}, 3)[name],
            more={"error of f": float(solve().free_energy_error)},
        )


def scan(bench: Bench) -> Row:
    temperatures = np.linspace(0.2, 1.195, 200)
    one, many = (
        bench.seconds(functools.partial(parisi.temperature_scan, SK(1.0), temperatures, threads=n))
        for n in (1, bench.threads)
    )
    return Row("200 temperatures", one, all_threads=many)
