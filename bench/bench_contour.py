"""Times of complex phi^4 on the linear contour: the force, and hybrid Monte Carlo; NumPy and kernel.

The target is 25 ns a site for the force on one thread.  Below it, the least time the arithmetic of the force can
take: four complex Fourier transforms and some 50 operations at each site, of which a core with 256-bit vectors
does 16 each cycle (two additions and two multiplications of four numbers); all data stay in the second cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from deepglass import _core
from deepglass.contour import ComplexPhi4, LinearContour
from deepglass.contour.contours import kernel_transform

TARGET = 25.0  # ns a site
CYCLES = 3.0  # a ns, about
OPERATIONS = 16.0  # a cycle


def numpy_gradient(t: np.ndarray, transform: np.ndarray, action: ComplexPhi4) -> np.ndarray:
    """The force as one would write it: all chains at once, the convolutions by FFT."""

    def slope(field: np.ndarray) -> np.ndarray:
        shifted = np.fft.ifft2(1j * transform * np.fft.fft2(field[:, 0] + 1j * field[:, 1]))
        return np.stack([shifted.imag, -shifted.real], axis=1)  # eps_ab C t_b

    force = action.gradient(t + 1j * slope(t))
    return np.asarray(force.real - slope(force.imag))


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    best = math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def main() -> None:
    """Print a table for each size; the values are compared before a time is printed."""
    print(f"kernels: {_core.isa}; ns a site and leapfrog step, best of 5")
    print("lattice   NumPy force   kernel HMC 1 thread   all threads   NumPy/kernel   arithmetic   difference")
    rng = np.random.default_rng(1)
    for n in (4, 8, 16, 32, 64):
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
        slow = seconds(lambda t=t, s=transform, a=action: numpy_gradient(t, s, a), 3) / sites

        # Few long trajectories: next to nothing but forces, with the steps of fields and momenta.
        n_steps, n_draws = 50, max(1, 200000 // (50 * sites))

        def sample(threads: int, s: np.ndarray = transform, m: tuple[float, ...] = model, c: int = n_chains,
                   d: int = n_draws) -> object:  # fmt: skip
            return _core.LinearPhi4(s, *m).sample(
                n_chains=c, n_draws=d, n_thermal=0, every=1, n_steps=50, step=0.01, seed=1, threads=threads
            )

        work = sites * n_steps * n_draws
        one, all_threads = (seconds(lambda k=k, run=sample: run(k)) / work for k in (1, 0))
        operations = 4 * 5 * math.log2(n * n) + 50
        limit = operations / OPERATIONS / CYCLES
        print(
            f"{n:3d}x{n:<3d} {slow * 1e9:14.1f} {one * 1e9:21.1f} {all_threads * 1e9:13.1f} {slow / one:14.1f}"
            f" {limit:12.1f} {difference:12.1e}"
        )
        if n in (16, 32):
            print(f"          {'meets' if one * 1e9 <= TARGET else 'misses'} the target of {TARGET:.0f} ns a site")


if __name__ == "__main__":
    main()
