"""Gamma method: by Fourier transform, against the twin's sums and, where installed, pyerrors."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator

import numpy as np
import xarray as xr

from .. import stats
from ..reference import stats as reference
from . import Bench, Row


def with_pyerrors(series: np.ndarray) -> float:
    obs = stats.to_pyerrors(series, "e")
    obs.gamma_method(S=2.0)
    return float(obs.dvalue)


def rows(bench: Bench) -> Iterator[Row]:
    """Of one chain with tau_int = 5; the twin up to 1000 draws."""
    rng = np.random.default_rng(1)
    for n in bench.some((300, 1000, 10_000, 1_000_000)):
        series = np.convolve(rng.standard_normal(n + 9), np.full(10, 0.1), "valid")
        estimate = stats.gamma_method(series)
        fast = bench.best(lambda series=series: stats.gamma_method(series), 5)
        slow, other, more = None, None, {}
        if n <= 1000:
            value, error, tau_int, _, _ = reference.gamma_method([series], 2.0)
            difference = max(abs(estimate.value - value), abs(estimate.error - error), abs(estimate.tau_int - tau_int))
            assert difference < 1e-12, (n, difference)
            slow = bench.best(lambda series=series: reference.gamma_method([series], 2.0), 1)
            more["difference"] = difference
        if importlib.util.find_spec("pyerrors"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                assert abs(with_pyerrors(series) / estimate.error - 1) < 1e-10
                other = bench.best(lambda series=series: with_pyerrors(series), 3)
        yield Row(f"{n} draws", fast, numpy=slow, others={"pyerrors": other}, more=more)
    data = xr.DataArray(rng.standard_normal((4, 1000, 50 if bench.quick else 5000)), dims=("chain", "draw", "neuron"))
    yield Row(
        f"summary of 4 chains, 1000 draws, {data.sizes['neuron']} neurons", bench.seconds(lambda: stats.summary(data))
    )
