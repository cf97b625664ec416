"""Gamma method: by Fourier transform, against the twin's sums and, where installed, pyerrors."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import xarray as xr

from deepglass import stats
from deepglass.reference import stats as reference


def best(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds, the best of some repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def with_pyerrors(series: np.ndarray) -> float:
    obs = stats.to_pyerrors(series, "e")
    obs.gamma_method(S=2.0)
    return float(obs.dvalue)


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    rng = np.random.default_rng(1)
    header = ("draws", "reference", "gamma_method", "ratio", "pyerrors", "largest difference")
    print("milliseconds, one chain, tau_int = 5")
    print("{:>9} {:>11} {:>13} {:>7} {:>9} {:>19}".format(*header))
    for n in (300, 1000, 10_000, 1_000_000):
        series = np.convolve(rng.standard_normal(n + 9), np.full(10, 0.1), "valid")
        estimate = stats.gamma_method(series)
        fast = best(lambda series=series: stats.gamma_method(series), 5)
        slow = difference = other = float("nan")
        if n <= 1000:
            value, error, tau_int, _, _ = reference.gamma_method([series], 2.0)
            difference = max(abs(estimate.value - value), abs(estimate.error - error), abs(estimate.tau_int - tau_int))
            assert difference < 1e-12, (n, difference)
            slow = best(lambda series=series: reference.gamma_method([series], 2.0), 1)
        try:
            assert abs(with_pyerrors(series) / estimate.error - 1) < 1e-10
            other = best(lambda series=series: with_pyerrors(series), 3)
        except ModuleNotFoundError:
            pass
        print(f"{n:>9} {slow:>11.1f} {fast:>13.2f} {slow / fast:>7.0f} {other:>9.2f} {difference:>19.1e}")
    data = xr.DataArray(rng.standard_normal((4, 1000, 5000)), dims=("chain", "draw", "neuron"))
    print(f"summary of 4 chains, 1000 draws, 5000 neurons: {best(lambda: stats.summary(data), 1):.0f} ms")


if __name__ == "__main__":
    main()
