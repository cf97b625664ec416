"""Times of the spectra of networks: NumPy program (all points at once), kernel on one thread and all.

The limit: a point needs two Newton steps from its neighbour's solution.  A step of the tanh Jacobian sums over the law
of the squared slopes, about 1000 nodes of 25 operations each, one a division: 2 x 1000 x 5 cycles with AVX2 (four
nodes at a time).  A step of a kernel's chain is one complex square root and six divisions a layer, 130 cycles.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .. import meanfield
from ..reference.network_spectra import gaussian_law
from ..spectra import (
    MarchenkoPastur,
    Measure,
    conditional_fisher_spectrum,
    conjugate_kernel_spectrum,
    jacobian_spectrum,
    ntk_spectrum,
)
from . import Bench, Row
from ._programs.network_spectra_numpy import conjugate_kernel_density, jacobian_density, tangent_kernel_density

Array = NDArray[np.float64]
N_POINTS = 400
CLOCK = 3.4e9  # Hz, of the machine the limits are for
RATIOS = (0.6, 0.75, 0.8, 0.9)


def inside(mu: Measure, n: int, first: float = 0.0) -> Array:
    a, b = mu.support()[0]
    return np.asarray(a + (b - a) * (first + (1 - first) * (np.arange(n) + 0.5) / n), float)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a density at N_POINTS points; growth with depth (support and points) and number of points."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=UserWarning)
        yield from densities(bench)
        if not bench.quick:
            yield from growth(bench)


def densities(bench: Bench) -> Iterator[Row]:
    tanh = meanfield.activation("tanh").normalised()
    slope, square = (float(meanfield.gaussian_moments(tanh, 1.0)[name]) for name in ("slope", "slope_square"))
    q = float(meanfield.fixed_point("tanh", 1.3, 0.005).q)
    squares, masses = gaussian_law(lambda h: np.cosh(np.sqrt(q) * h) ** -4, n_panels=50)
    cases: tuple[tuple[str, Measure, Callable[[Array], Array], float, float], ...] = (
        (
            "tanh Jacobian, depth 4, orthogonal",
            jacobian_spectrum("tanh", 1.3, 0.005, 4),
            lambda x: jacobian_density(squares, masses, 1.3, 4, x),
            1e-2,
            2 * 1000 * 5,
        ),
        (
            "conjugate kernel, depth 4",
            conjugate_kernel_spectrum(tanh, RATIOS, MarchenkoPastur(0.5)),
            lambda x: conjugate_kernel_density(0.5, RATIOS, slope, x),
            0.0,
            2 * 5 * 130,
        ),
        (
            "NTK, 3 hidden layers",
            ntk_spectrum(tanh, RATIOS[:3], MarchenkoPastur(0.5)),
            lambda x: tangent_kernel_density(0.5, RATIOS[:3], slope, square, x),
            0.0,
            2 * 3 * 4 * 130,
        ),
    )
    for name, mu, numpy_program, first, cycles in bench.some(cases):
        x = inside(mu, N_POINTS, first)
        difference = np.abs(mu.pdf(x) / numpy_program(x) - 1)[5:-5].max()
        assert difference < 1e-6, (name, difference)
        t = bench.alternate(
            {
                "one": functools.partial(mu.pdf, x, threads=1),
                "all": functools.partial(mu.pdf, x, threads=bench.threads),
                "NumPy": functools.partial(numpy_program, x),
            },
            7,
        )
        yield Row(
            name,
            t["one"],
            all_threads=t["all"],
            numpy=t["NumPy"],
            limit=cycles * N_POINTS / CLOCK,
            more={"difference": difference},
        )


def growth(bench: Bench) -> Iterator[Row]:
    tanh = meanfield.activation("tanh").normalised()
    kinds: tuple[tuple[str, Callable[[int], Measure]], ...] = (
        ("tanh Jacobian, orthogonal", lambda d: jacobian_spectrum("tanh", 1.3, 0.005, d)),
        ("tanh Jacobian, Gaussian", lambda d: jacobian_spectrum("tanh", 1.3, 0.005, d, "gaussian")),
        ("conjugate kernel", lambda d: conjugate_kernel_spectrum(tanh, [0.7] * d, MarchenkoPastur(0.5))),
        ("NTK", lambda d: ntk_spectrum(tanh, [0.7] * d, MarchenkoPastur(0.5))),
        ("conditional Fisher, tanh", lambda d: conditional_fisher_spectrum("tanh", 1.3, 0.005, d)),
    )
    for name, make in kinds:
        for depth in (1, 2, 4, 8, 16):
            mu = make(depth)
            support = bench.seconds(mu.support)
            if len(mu.support()):  # else there are only atoms
                yield Row(
                    f"{name}, {depth} layers",
                    bench.best(functools.partial(mu.pdf, inside(mu, N_POINTS, 1e-2), threads=1), 3),
                    more={"ms of the support": support * 1e3},
                )
    mu = conjugate_kernel_spectrum(tanh, RATIOS, MarchenkoPastur(0.5))
    for n in (100, 400, 1600, 6400):
        yield Row(
            f"conjugate kernel, depth 4, {n} points",
            bench.best(functools.partial(mu.pdf, inside(mu, n), threads=1), 3),
        )
