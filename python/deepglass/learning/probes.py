"""What the units of a network know: correlations with features of the samples, and linear probes.

References
----------
G. Alain, Y. Bengio, arXiv:1610.01644 (linear probes).
K.-I. Aoki, T. Fujita, T. Kobayashi, J. Phys. Soc. Jpn. 88, 054002 (2019) (temperatures of spin configurations).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._check import finite_matrix
from .data import Array
from .training import Trained

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["linear_probes"]

_STAGES = ("initial", "trained")


def linear_probes(trained: Trained, inputs: npt.ArrayLike, features: Mapping[str, npt.ArrayLike]) -> xr.Dataset:
    """Correlate all units of a network with features of the samples, and fit the features by each layer.

    The correlation is that of Pearson, over all samples.  A linear probe of a layer is the least-squares fit
    c + a . h of a feature y, on the first half of the samples; on the other half it explains

        R^2 = 1 - sum (y - c - a . h)^2 / sum (y - mean y)^2

    of the variance: 1 where the feature is a linear function of the layer, about 0 or less where nothing of it is.

    Parameters
    ----------
    trained : Trained
        Networks from `train`.
    inputs : array_like, shape (n, n_inputs)
        Samples that no network was trained on; four times as many as the widest layer has units, or more.
    features : mapping of str to array_like, shape (n,)
        Numbers of each sample, by name.

    Returns
    -------
    xarray.Dataset
        ``correlation`` (stage, network, layer, unit, feature), NaN for a unit that has one value and where a layer has
        fewer units; ``explained_variance`` R^2 (stage, network, layer, feature).  The yardsticks are layer 0, the
        inputs themselves, and the stage "initial" before "trained".  All NaN for networks with infinite weights.

    Raises
    ------
    ValueError
        Features that are constant over a half of the samples, too few samples, networks that were not trained.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import linear_probes, train
    >>> x = np.random.default_rng(1).normal(size=(3000, 20))
    >>> product = x[:, 0] * x[:, 1]
    >>> trained = train(x[:2000], product[:2000] > 0, [1], 0.1, hidden_layers=1, width=20, max_epochs=40)
    >>> probes = linear_probes(trained, x[2000:], {"x_0": x[2000:, 0], "x_0 x_1": product[2000:]})
    >>> explained = probes.explained_variance.sel(network=0)
    >>> explained.sel(feature="x_0").values.round(1)  # inputs and hidden layer, before and after
    array([[1. , 0.4],
           [1. , 1. ]])
    >>> before, after = explained.sel(feature="x_0 x_1", layer=1).values
    >>> bool(before < 0.2), bool(after > 0.8)
    (True, True)
    """
    import xarray as xr

    x = finite_matrix("inputs", inputs)
    names = list(features)
    y = _features(features, len(x))
    stages = [(x[np.newaxis], *trained.hidden(x, initial=stage == "initial")) for stage in _STAGES]
    widest = max(layer.shape[2] for layer in stages[0])
    if len(x) < 4 * widest:
        raise ValueError(f"inputs must have {4 * widest} rows or more, 4 for each of {widest} units, got {len(x)}")
    n_networks, n_layers = len(trained.epochs), len(stages[0])
    correlation = np.full((len(_STAGES), n_networks, n_layers, widest, len(names)), np.nan)
    explained = np.full((len(_STAGES), n_networks, n_layers, len(names)), np.nan)
    for s, layers in enumerate(stages):
        for layer, values in enumerate(layers):
            for network in range(len(values)):
                h = np.asarray(values[network], float)
                where = slice(None) if layer == 0 else network  # the inputs are those of all networks
                if np.isfinite(h).all():
                    correlation[s, where, layer, : h.shape[1]] = _correlation(h, y)
                    explained[s, where, layer] = _explained_variance(h, y)
    return xr.Dataset(
        {
            "correlation": (("stage", "network", "layer", "unit", "feature"), correlation),
            "explained_variance": (("stage", "network", "layer", "feature"), explained),
        },
        {"stage": list(_STAGES), "feature": names, "layer": np.arange(n_layers)},
    )


def _features(features: Mapping[str, npt.ArrayLike], n: int) -> Array:
    """Columns, checked."""
    if not features:
        raise ValueError("features must be one or more, got none")
    columns = []
    for name, values in features.items():
        column = np.asarray(values)
        if column.shape != (n,):
            raise ValueError(f"features[{name!r}] must have shape ({n},), one for each row, got {column.shape}")
        columns.append(finite_matrix(f"features[{name!r}]", column[:, np.newaxis])[:, 0])
        for half in (columns[-1][: n // 2], columns[-1][n // 2 :]):
            if not half.size or np.ptp(half) == 0.0:
                raise ValueError(f"features[{name!r}] must not be constant over a half of the samples")
    return np.stack(columns, axis=1)


def _correlation(h: Array, y: Array) -> Array:
    """Of each unit with each feature."""
    h, y = h - h.mean(axis=0), y - y.mean(axis=0)
    norms = np.linalg.norm(h, axis=0)
    norms[np.ptp(h, axis=0) == 0.0] = np.nan
    return np.asarray(h.T @ y / (norms[:, np.newaxis] * np.linalg.norm(y, axis=0)))


def _explained_variance(h: Array, y: Array) -> Array:
    """R^2 of each feature on the second half of the samples, fitted on the first."""
    half = len(h) // 2
    mean, offset = h[:half].mean(axis=0), y[:half].mean(axis=0)
    coefficients = np.linalg.lstsq(h[:half] - mean, y[:half] - offset, rcond=None)[0]
    rest = y[half:] - offset - (h[half:] - mean) @ coefficients
    return np.asarray(1.0 - (rest**2).sum(axis=0) / ((y[half:] - y[half:].mean(axis=0)) ** 2).sum(axis=0))
