"""Elementary functions and the Gaussian tail: the kernel against NumPy and SciPy, time and error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mpmath as mp
import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..reference import vmath as reference
from . import Bench, Row

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


def rows(bench: Bench) -> Iterator[Row]:
    """Of an element: N arguments in (-5, 5), for log e^-20 .. e^20, for log1p 0 .. 5."""
    rng = np.random.default_rng(1)
    for name, exact in bench.some(EXACT.items()):
        x = rng.uniform(-5.0, 5.0, N)
        x = np.exp(4.0 * x) if name == "log" else np.abs(x) if name == "log1p" else x
        kernel, twin = getattr(_core, f"vmath_{name}"), getattr(reference, name)
        with mp.workdps(60):
            values = [exact(mp.mpf(float(argument))) for argument in x[:CHECKED]]
            twin_error, kernel_error = ulps(twin(x[:CHECKED]), values), ulps(kernel(x[:CHECKED]), values)
        assert kernel_error < 9.0, (name, kernel_error)
        out = np.empty_like(x)
        times = bench.alternate(
            {
                "NumPy": lambda twin=twin, x=x: twin(x),
                "kernel": lambda kernel=kernel, x=x, out=out: kernel(x, out),
            },
            REPEATS,
        )
        yield Row(
            name,
            times["kernel"] / N,
            numpy=times["NumPy"] / N,
            more={"ulp": kernel_error, "ulp of the twin": twin_error},
        )
