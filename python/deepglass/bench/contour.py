"""Times of complex phi^4 on the linear contour: the force, and hybrid Monte Carlo; NumPy and kernel.

The target is 25 ns a site for the force on one thread.  Below it, the least time the arithmetic of the force can
take: four complex Fourier transforms and some 50 operations at each site, of which a core with 256-bit vectors
does 16 each cycle (two additions and two multiplications of four numbers); all data stay in the second cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .. import _core
from ..contour import ComplexPhi4, LinearContour
from ..contour.contours import kernel_transform
from . import Bench, Row

TARGET = 25e-9  # s a site
CYCLES = 3e9  # a second, about
OPERATIONS = 16.0  # a cycle


def numpy_gradient(t: np.ndarray, transform: np.ndarray, action: ComplexPhi4) -> np.ndarray:
    """The force as one would write it: all chains at once, the convolutions by FFT."""

    def slope(field: np.ndarray) -> np.ndarray:
        shifted = np.fft.ifft2(1j * transform * np.fft.fft2(field[:, 0] + 1j * field[:, 1]))
        return np.stack([shifted.imag, -shifted.real], axis=1)  # eps_ab C t_b

    force = action.gradient(t + 1j * slope(t))
    return np.asarray(force.real - slope(force.imag))


def rows(bench: Bench) -> Iterator[Row]:
    """Of a site and leapfrog step of the kernel, of a force in NumPy; the gradients are compared before."""
    rng = np.random.default_rng(1)
    for n in bench.some((4, 8, 16, 32, 64)):
        action = ComplexPhi4((n, n), chemical_potential=1.0)
        transform = kernel_transform(LinearContour(action).kernel)
        model = (action.mass, action.coupling, action.chemical_potential)
        n_chains = max(8, 4096 // n**2)
        t = rng.standard_normal((n_chains, 2, n, n))
        expected = numpy_gradient(t, transform, action)
        found = _core.LinearPhi4(transform, *model).gradient(t)
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        assert difference < 1e-13
        sites = n_chains * n * n
        slow = bench.best(lambda t=t, s=transform, a=action: numpy_gradient(t, s, a), 3) / sites

        # Few long trajectories: next to nothing but forces, with the steps of fields and momenta.
        n_steps, n_draws = 50, max(1, 200000 // (50 * sites))

        def sample(threads: int, s: np.ndarray = transform, m: tuple[float, ...] = model, c: int = n_chains,
                   d: int = n_draws) -> object:  # fmt: skip
            return _core.LinearPhi4(s, *m).sample(
                n_chains=c, n_draws=d, n_thermal=0, every=1, n_steps=50, step=0.01, seed=1, threads=threads
            )

        work = sites * n_steps * n_draws
        one, many = (bench.best(lambda k=k, run=sample: run(k), 5) / work for k in (1, bench.threads))
        operations = 4 * 5 * math.log2(n * n) + 50
        more: dict[str, float | str] = {"difference": difference}
        if n in (16, 32):
            more[f"target of {TARGET * 1e9:.0f} ns"] = "met" if one <= TARGET else "missed"
        yield Row(f"{n} x {n}", one, all_threads=many, numpy=slow, limit=operations / OPERATIONS / CYCLES, more=more)
