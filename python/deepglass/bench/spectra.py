"""Times of free convolutions: NumPy program, rmtool where it is installed, kernel.

The limit: a point needs at least two Newton steps from its neighbour's solution, each two transforms and their slopes.
A transform is a complex square root and two divisions, about 60 floating-point operations of which 3 square roots and 5
divisions are not pipelined: 110 cycles on this kind of core (13 to 20 for each), so 2 x 2 x 110 cycles a point.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ..reference.spectra import marchenko_pastur_product_density
from ..spectra import Atoms, FromEigenvalues, MarchenkoPastur, Measure, Semicircle, free_add, free_multiply
from . import Bench, Row
from ._programs.spectra_numpy import free_product_density, free_sum_density, marchenko_pastur, semicircle

Array = NDArray[np.float64]
N_POINTS = 400
LIMIT_CYCLES = 440
CLOCK = 3.4e9  # Hz, of the machine the limits are for


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


def rows(bench: Bench) -> Iterator[Row]:
    """Of a density at N_POINTS points."""
    yield from closed(bench)
    if not bench.quick:
        yield from nested(bench)
        yield many_points(bench)


def closed(bench: Bench) -> Iterator[Row]:
    """Where the density is known."""
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
    for name, mu, numpy_program, exact in bench.some(cases):
        x = inside(mu, N_POINTS)
        wanted = exact(x)
        error, numpy_error = np.abs(mu.pdf(x) - wanted).max(), np.abs(numpy_program(x) - wanted).max()
        assert error < 1e-11, (name, error)
        t = bench.alternate(
            {"ours": functools.partial(mu.pdf, x, threads=1), "NumPy": functools.partial(numpy_program, x)},
            7,
            repeats={"ours": 10},
        )
        more: dict[str, float | str] = {"error": error, "error of NumPy": numpy_error}
        other, seconds = rmtool_density(mu is cases[1][1], x), None
        if other is not None:
            try:
                more["error of rmtool"] = np.abs(other() - wanted).max()
                seconds = bench.best(other, 3)
            except Exception as failure:
                more["rmtool"] = repr(failure)
        yield Row(
            name,
            t["ours"],
            numpy=t["NumPy"],
            others={"rmtool": seconds} if other is None or seconds else {},
            limit=LIMIT_CYCLES * N_POINTS / CLOCK,
            more=more,
        )


def nested(bench: Bench) -> Iterator[Row]:
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
        for _ in range(bench.rounds(5)):
            mu = make()
            supports.append(bench.seconds(mu.support))
            x = inside(mu, N_POINTS)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                points.append(bench.seconds(functools.partial(mu.pdf, x, threads=1)))
        yield Row(name, median(points), more={"ms of the support": median(supports) * 1e3})


def many_points(bench: Bench) -> Row:
    mu = free_multiply(MarchenkoPastur(0.5), MarchenkoPastur(0.3))
    x = inside(mu, 200_000)
    one, many = (median(bench.seconds(lambda n=n: mu.pdf(x, threads=n)) for _ in range(5)) for n in (1, bench.threads))
    return Row("MP(.5) x MP(.3), 200000 points", one, all_threads=many)
