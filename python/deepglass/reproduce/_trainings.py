"""What the items about training share: hours from a short training, means over instances."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from .. import learning
from ..stats import Estimate
from ._experiment import Experiment, run_all

__all__ = ["mean_of", "products", "run_trainings"]


def products(n_inputs: int, width: int, hidden_layers: int) -> float:
    """Multiplications of one sample on its way through a network, and back."""
    return 3.0 * (n_inputs * width + (hidden_layers - 1) * width**2 + 2 * width)


def run_trainings(experiments: Sequence[Experiment], folder: Path, workers: int = 0) -> list[xr.Dataset]:
    """Run what is missing; `cost` is in products."""
    return run_all(experiments, folder, _estimated_hours, workers=workers)


def _estimated_hours(experiments: Iterable[Experiment]) -> float:
    total = sum(one.cost for one in experiments)
    if total == 0.0:
        return 0.0
    n, width, hidden_layers, epochs = 1000, 100, 2, 4
    x = np.random.default_rng(1).normal(size=(n, 100))
    options = {"hidden_layers": hidden_layers, "width": width, "max_epochs": epochs, "threads": 1}
    learning.train(x, x[:, 0] > 0, [1], 1e-4, **options)  # type: ignore[arg-type]
    start = time.perf_counter()
    learning.train(x, x[:, 0] > 0, [1, 2, 3, 4], 1e-4, **options)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    return total * seconds / (4 * n * epochs * products(100, width, hidden_layers)) / 3600.0


def mean_of(values: xr.DataArray) -> Estimate:
    """Mean over instances and its standard error; runs without a value (dead ones) are left out."""
    found = values.values[np.isfinite(values.values)]
    if not found.size:
        return Estimate(float("nan"), float("nan"))
    error = found.std(ddof=1) / np.sqrt(found.size) if found.size > 1 else float("nan")
    return Estimate(float(found.mean()), float(error))
