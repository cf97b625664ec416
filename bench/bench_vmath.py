"""Elementary functions and the Gaussian tail: the kernel against NumPy and SciPy, time and error."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

from deepglass import _core
from deepglass.reference import vmath as reference

Array = NDArray[np.float64]
N, REPEATS, CHECKED = 4096, 101, 500


def hazard(x: mp.mpf) -> mp.mpf:
    return mp.npdf(x) / (mp.erfc(x / mp.sqrt(2)) / 2)


# Closed forms good for the arguments below, at 60 digits.
EXACT: dict[str, Callable[[mp.mpf], mp.mpf]] = {
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "tanh": mp.tanh,
    "log_2cosh": lambda h: mp.log(2 * mp.cosh(h)),
    "erf": mp.erf,
    "erfc": mp.erfc,
    "normal_cdf": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2,
    "log_normal_cdf": lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2),
    "log_normal_sf": lambda x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2),
    "inverse_mills_ratio": lambda x: hazard(-x),
    "inverse_mills_ratio_slope": lambda x: -hazard(-x) * (hazard(-x) + x),
}


def ulps(got: Array, exact: list[mp.mpf]) -> float:
    """Largest error in units in the last place."""
    errors = (abs(mp.mpf(float(g)) - e) / mp.ldexp(1, mp.frexp(e)[1] - 53) for g, e in zip(got, exact, strict=True))
    return float(max(errors))


def timings(functions: list[Callable[[], object]]) -> list[float]:
    """Nanoseconds an element: the functions take turns, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(REPEATS):
        for function, own in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            own.append(time.perf_counter() - start)
    return [median(own) / N * 1e9 for own in times]


def main() -> None:
    rng = np.random.default_rng(1)
    print(f"ns an element, {N} arguments in (-5, 5) (log: e^-20 .. e^20, log1p: 0 .. 5), level {_core.isa}")
    print(f"{'':>26} {'NumPy, SciPy':>13} {'kernel':>8} {'ratio':>7} {'ulp twin':>9} {'ulp kernel':>11}")
    for name, exact in EXACT.items():
        x = rng.uniform(-5.0, 5.0, N)
        x = np.exp(4.0 * x) if name == "log" else np.abs(x) if name == "log1p" else x
        kernel, twin = getattr(_core, f"vmath_{name}"), getattr(reference, name)
        with mp.workdps(60):
            values = [exact(mp.mpf(float(argument))) for argument in x[:CHECKED]]
            twin_error, kernel_error = ulps(twin(x[:CHECKED]), values), ulps(kernel(x[:CHECKED]), values)
        assert kernel_error < 9.0, (name, kernel_error)
        out = np.empty_like(x)
        pair = [lambda twin=twin, x=x: twin(x), lambda kernel=kernel, x=x, out=out: kernel(x, out)]
        slow, fast = timings(pair)
        row = f"{slow:>13.2f} {fast:>8.2f} {slow / fast:>7.1f} {twin_error:>9.1f} {kernel_error:>11.1f}"
        print(f"{name:>26} {row}")


if __name__ == "__main__":
    main()
