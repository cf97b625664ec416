"""Times of the spectra of networks: NumPy program (all points at once), kernel on one and two threads.

The limit: a point needs two Newton steps from its neighbour's solution.  A step of the tanh Jacobian sums over the law
of the squared slopes, about 1000 nodes of 25 operations each, one a division: 2 x 1000 x 5 cycles with AVX2 (four
nodes at a time).  A step of a kernel's chain is one complex square root and six divisions a layer, 130 cycles.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from deepglass import _core, meanfield
from deepglass.reference.network_spectra import gaussian_law
from deepglass.spectra import (
    MarchenkoPastur,
    Measure,
    conditional_fisher_spectrum,
    conjugate_kernel_spectrum,
    jacobian_spectrum,
    ntk_spectrum,
)
from network_spectra_numpy import conjugate_kernel_density, jacobian_density, tangent_kernel_density

Array = NDArray[np.float64]
N_POINTS = 400
GHZ = 3.4
RATIOS = (0.6, 0.75, 0.8, 0.9)


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def inside(mu: Measure, n: int, first: float = 0.0) -> Array:
    a, b = mu.support()[0]
    return np.asarray(a + (b - a) * (first + (1 - first) * (np.arange(n) + 0.5) / n), float)


def fastest(mu: Measure, x: Array) -> float:
    """Of three evaluations on one thread."""
    return min(seconds(lambda: mu.pdf(x, threads=1)) for _ in range(3))


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("error", category=UserWarning)
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
    print(f"CPU level {_core.isa}; {N_POINTS} points, medians of 7 alternating repeats, new support each time")
    print(f"{'task':38}{'ms':>8}{'2 threads':>11}{'NumPy ms':>10}{'ratio':>7}{'of limit':>10}{'difference':>12}")
    for name, mu, numpy_program, first, cycles in cases:
        x = inside(mu, N_POINTS, first)
        difference = np.abs(mu.pdf(x) / numpy_program(x) - 1)[5:-5].max()
        if not difference < 1e-6:
            raise AssertionError(f"{name}: kernel and NumPy program differ by {difference}")
        one, two, other = [], [], []
        for _ in range(7):
            one.append(seconds(lambda: mu.pdf(x, threads=1)))  # noqa: B023
            two.append(seconds(lambda: mu.pdf(x, threads=2)))  # noqa: B023
            other.append(seconds(lambda: numpy_program(x)))  # noqa: B023
        limit = cycles * N_POINTS / (GHZ * 1e9)
        print(
            f"{name:38}{median(one) * 1e3:8.2f}{median(two) * 1e3:11.2f}{median(other) * 1e3:10.1f}"
            f"{median(other) / median(one):7.0f}{limit / median(one):10.0%}{difference:12.1e}"
        )

    print(f"\n{'cost against depth: support / 400 points, ms':50}" + "".join(f"{d:>16}" for d in (1, 2, 4, 8, 16)))
    kinds: tuple[tuple[str, Callable[[int], Measure]], ...] = (
        ("tanh Jacobian, orthogonal", lambda d: jacobian_spectrum("tanh", 1.3, 0.005, d)),
        ("tanh Jacobian, Gaussian", lambda d: jacobian_spectrum("tanh", 1.3, 0.005, d, "gaussian")),
        ("conjugate kernel", lambda d: conjugate_kernel_spectrum(tanh, [0.7] * d, MarchenkoPastur(0.5))),
        ("NTK", lambda d: ntk_spectrum(tanh, [0.7] * d, MarchenkoPastur(0.5))),
        ("conditional Fisher, tanh", lambda d: conditional_fisher_spectrum("tanh", 1.3, 0.005, d)),
    )
    for name, make in kinds:
        cells = []
        for depth in (1, 2, 4, 8, 16):
            mu = make(depth)
            support = seconds(mu.support)
            if not len(mu.support()):
                cells.append("atoms only")
                continue
            x = inside(mu, N_POINTS, 1e-2)
            cells.append(f"{support * 1e3:.1f} / {fastest(mu, x) * 1e3:.1f}")
        print(f"{name:50}" + "".join(f"{cell:>16}" for cell in cells))

    mu = cases[1][1]
    print("\nconjugate kernel, depth 4, against the number of points, ms: ", end="")
    for n in (100, 400, 1600, 6400):
        x = inside(mu, n)
        print(f"{n}: {fastest(mu, x) * 1e3:.2f}", end="  ")
    print()


if __name__ == "__main__":
    main()
