"""Times of spin glasses with replica symmetry breaking: one sweep, k steps, full breaking, a scan in temperature.

A sweep is 3 convolutions a level, 2 N (2w+1) flops each, and some 4 exp or log a point and level; its limit is taken
as these flops at the speed of a matrix product (one thread) and the functions at the speed of `vmath`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from deepglass import _core, parisi

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


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def alternating(calls: list[Callable[[], object]], repeats: list[int], rounds: int = 7) -> list[float]:
    times = [[seconds(call, n) for call, n in zip(calls, repeats, strict=True)] for _ in range(rounds)]
    return [median(column) for column in zip(*times, strict=True)]


def limit(covariance: np.ndarray, points: int) -> float:
    """Seconds of the flops at the speed of a matrix product, and of exp and log at that of vmath."""
    a = np.ones((128, 128))  # short enough for the least of many to be undisturbed
    with threadpool_limits(1):
        speed = 2 * 128**3 / min(seconds(lambda: a @ a, 5) for _ in range(200))
    x = np.linspace(-5.0, 0.0, 4096)
    function = min(seconds(lambda: _core.vmath_exp(x), 20) for _ in range(10)) / x.size
    variance = np.diff(covariance)
    reach = 8.7 * np.sqrt(covariance[-1])
    taps = 2 * 8.7 * np.sqrt(variance) * points / (2 * reach)
    return float(3 * 2 * points * taps.sum() / speed + 2 * points * len(variance) * function)


def main() -> None:
    print("one sweep                    kernel ms  NumPy ms  ratio  limit ms  of limit  with Jacobian ms")
    for k, resolution in ((8, 1.0), (32, 1.0), (32, 2.7), (64, 2.7)):
        covariance, m = levels(k)
        found = _core.spin_glass_recursion(covariance, m, resolution=resolution)
        points = found["n_points"]
        value, g = numpy_sweep(covariance, m, points)
        if abs(value - found["value"]) > 1e-8 or np.abs(g - found["slope_square"]).max() > 1e-8:
            raise AssertionError(f"the NumPy program disagrees: {value - found['value']}")
        kernel, plain, jacobian = alternating(
            [
                lambda c=covariance, m=m, r=resolution: _core.spin_glass_recursion(c, m, resolution=r, repeats=INNER),
                lambda c=covariance, m=m, n=points: numpy_sweep(c, m, n),
                lambda c=covariance, m=m, r=resolution: _core.spin_glass_recursion(c, m, resolution=r, jacobian=True),
            ],
            [1, 5, 3],
        )
        kernel /= INNER
        bound = limit(covariance, points)
        print(
            f"k={k:<3d} N={points:<5d}              {1e3 * kernel:9.3f} {1e3 * plain:9.2f} {plain / kernel:6.1f} "
            f"{1e3 * bound:9.3f} {bound / kernel:9.2f} {1e3 * jacobian:17.2f}"
        )
    print("\nq of given steps             kernel ms  NumPy ms  ratio")
    for k in (8, 16):
        _, m = levels(k)
        ours, theirs = alternating(
            [lambda k=k, m=m: parisi.solve(SK(0.5), k, m, outer_overlap=0), lambda k=k: numpy_newton(k)], [1, 1], 3
        )
        difference = np.abs(parisi.solve(SK(0.5), k, m, outer_overlap=0).overlap.values[1:] - numpy_newton(k)).max()
        print(f"k={k:<3d} (differ by {difference:.0e})    {1e3 * ours:9.1f} {1e3 * theirs:9.0f} {theirs / ours:6.1f}")
    print("\nfull breaking                   seconds   error of f")
    models = {
        "SK T=0.5": SK(0.5),
        "SK T=0.2": SK(0.2),
        "SK T=0.1": SK(0.1),
        "SK T=0": SK(0.0),
        "SK T=0.5, h=0.3": SK(0.5, 0.3),
        "3-spin T=0.2": parisi.PSpin(3, 0.2),
    }
    for name, model in models.items():
        rtol = 1e-9 if model.temperature < 0.15 else 1e-11
        time_of_one = median(seconds(lambda model=model, rtol=rtol: parisi.full_rsb(model, rtol)) for _ in range(3))
        found = parisi.full_rsb(model, rtol)
        print(f"{name:28s} {time_of_one:10.2f} {float(found.free_energy_error):12.0e}")
    temperatures = np.linspace(0.2, 1.195, 200)
    times = [seconds(lambda n=n: parisi.temperature_scan(SK(1.0), temperatures, threads=n)) for n in (1, 2)]
    ratio = times[0] / times[1]
    print(f"200 temperatures             one thread {times[0]:.1f} s, two {times[1]:.1f} s: {ratio:.2f} times")


if __name__ == "__main__":
    main()
