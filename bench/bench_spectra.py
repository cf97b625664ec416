"""Times of free convolutions: NumPy program, rmtool where it is installed, kernel.

The limit: a point needs at least two Newton steps from its neighbour's solution, each two transforms and their slopes.
A transform is a complex square root and two divisions, about 60 floating-point operations of which 3 square roots and 5
divisions are not pipelined: 110 cycles on this kind of core (13 to 20 for each), so 2 x 2 x 110 cycles a point.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from deepglass import _core
from deepglass.reference.spectra import marchenko_pastur_product_density
from deepglass.spectra import Atoms, FromEigenvalues, MarchenkoPastur, Measure, Semicircle, free_add, free_multiply
from spectra_numpy import free_product_density, free_sum_density, marchenko_pastur, semicircle

Array = NDArray[np.float64]
N_POINTS = 400
LIMIT_CYCLES = 440
GHZ = 3.4


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def rmtool_density(product: bool, x: Array) -> Callable[[], Array] | None:
    """The polynomial method, if rmtool is there (pip install rmtool)."""
    try:
        import rmtool
    except ModuleNotFoundError:
        return None

    def density() -> Array:
        if product:
            polynomial = rmtool.AtimesB(rmtool.wishartpol(0.5), rmtool.wishartpol(0.3))
        else:
            polynomial = rmtool.AplusB(rmtool.wignerpol(), rmtool.wignerpol())
        return np.asarray(rmtool.Lmz2pdf(polynomial, x).density, float)

    return density


def inside(mu: Measure, n: int) -> Array:
    a, b = mu.support()[0]
    return np.asarray(a + (b - a) * (np.arange(n) + 0.5) / n, float)


def main() -> None:
    """Print the tables."""
    print(f"CPU level {_core.isa}; {N_POINTS} points, one thread, medians of 7 alternating repeats")
    cases = (
        (
            "semicircle + semicircle",
            free_add(Semicircle(), Semicircle()),
            lambda x: free_sum_density(semicircle(1.0), semicircle(1.0), x),
            lambda x: np.sqrt(8 - x**2) / (4 * np.pi),
        ),
        (
            "MP(.5) x MP(.3)",
            free_multiply(MarchenkoPastur(0.5), MarchenkoPastur(0.3)),
            lambda x: free_product_density(marchenko_pastur(0.5), marchenko_pastur(0.3), x),
            lambda x: marchenko_pastur_product_density(0.5, 0.3, x),
        ),
    )
    print(f"{'task':26}{'ms':>8}{'NumPy ms':>10}{'ratio':>7}{'of limit':>10}{'error':>10}{'NumPy error':>13}")
    for name, mu, numpy_program, exact in cases:
        x = inside(mu, N_POINTS)
        wanted = exact(x)
        error, numpy_error = np.abs(mu.pdf(x) - wanted).max(), np.abs(numpy_program(x) - wanted).max()
        if not error < 1e-11:
            raise AssertionError(f"{name}: off by {error}")
        times = [
            (seconds(lambda: mu.pdf(x, threads=1), 10), seconds(lambda: numpy_program(x)))  # noqa: B023
            for _ in range(7)
        ]
        ours, numpys = (median(t) for t in zip(*times, strict=True))
        limit = LIMIT_CYCLES * N_POINTS / (GHZ * 1e9)
        print(
            f"{name:26}{ours * 1e3:8.3f}{numpys * 1e3:10.2f}{numpys / ours:7.0f}{limit / ours:10.0%}"
            f"{error:10.1e}{numpy_error:13.1e}"
        )
        try:
            other = rmtool_density(mu is cases[1][1], x)
            if other is not None:
                values = other()
                best = min(seconds(other) for _ in range(3))
                print(f"{'  rmtool':26}{best * 1e3:8.1f}{'':27}{np.abs(values - wanted).max():10.1e}")
        except Exception as error_of_rmtool:
            print(f"  rmtool: {error_of_rmtool!r}")

    print(f"\n{'cost':46}{'support ms':>12}{'400 points ms':>15}{'us a point':>12}")
    rng = np.random.default_rng(1)
    y = rng.normal(size=(500, 1000))
    eigenvalues = np.linalg.eigvalsh(y @ y.T / 1000)
    inner = free_multiply(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5]))
    for name, make in (
        ("MP x two atoms", lambda: free_multiply(MarchenkoPastur(0.5), Atoms([1, 3], [0.5, 0.5]))),
        ("two atoms + semicircle", lambda: free_add(Atoms([-1, 1], [0.5, 0.5]), Semicircle(0.36))),
        ("(MP x two atoms) + semicircle, nested", lambda: free_add(inner, Semicircle(0.2))),
        ("500 eigenvalues x MP", lambda: free_multiply(FromEigenvalues(eigenvalues), MarchenkoPastur(0.1))),
    ):
        supports, points = [], []
        for _ in range(5):
            mu = make()
            supports.append(seconds(mu.support))
            x = inside(mu, N_POINTS)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                points.append(seconds(lambda: mu.pdf(x, threads=1)))  # noqa: B023
        print(
            f"{name:46}{median(supports) * 1e3:12.2f}{median(points) * 1e3:15.2f}"
            f"{median(points) / N_POINTS * 1e6:12.2f}"
        )

    mu = free_multiply(MarchenkoPastur(0.5), MarchenkoPastur(0.3))
    x = inside(mu, 200_000)
    one, two = (median(seconds(lambda: mu.pdf(x, threads=t)) for _ in range(5)) for t in (1, 2))  # noqa: B023
    print(f"\n200000 points: {one * 1e3:.0f} ms on one thread, {two * 1e3:.0f} on two ({one / two:.2f} times)")


if __name__ == "__main__":
    main()
