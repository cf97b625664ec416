"""Double descent: the risk of least squares against the number of features, exactly and simulated; networks by width.

Least squares on p features of n samples,  y = f*(x) + noise of variance s^2,

    b = argmin (1/n) |y - Phi b|^2 + ridge |b|^2   (ridge = 0: the one of least norm),

has the risk E (phi(x).b - f*(x))^2 = bias + variance, both given the features: bias is what is left without noise,
variance is s^2 times what the noise of the labels adds.  At p = n the variance without ridge diverges.

References
----------
T. Hastie, A. Montanari, S. Rosset, R. Tibshirani, "Surprises in high-dimensional ridgeless least squares
interpolation", Annals of Statistics 50, 949 (2022).
M. Belkin, D. Hsu, S. Ma, S. Mandal, arXiv:1812.11118.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._progress import Progress, reporting
from ..io import provenance
from ..meanfield import Activation
from ..meanfield import activation as make_activation
from ..random import SeedLike, child_seed, seed_entropy
from .data import DataLaw
from .experiment import Draw, drawing
from .training import labelled, train

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["least_squares_risk", "least_squares_simulation", "width_sweep"]

Array: TypeAlias = npt.NDArray[np.float64]


def least_squares_risk(
    n_features: int | Sequence[int],
    n_samples: int,
    *,
    noise_variance: float,
    signal: float = 1.0,
    ridge: float = 0.0,
) -> xr.Dataset:
    r"""Risk of least squares on independent standard normal features,  y = b.x + noise,  |b|^2 = signal.

    Without ridge exactly, for p features and n samples (means over the features):

        p < n - 1:  bias 0,                    variance  s^2 p / (n - p - 1),
        p > n + 1:  bias signal (1 - n / p),   variance  s^2 n / (p - n - 1),

    and an infinite variance between.  With ridge in the limit of large n at the ratio g = p / n,

        bias = signal ridge^2 m_2,   variance = s^2 g (m_1 - ridge m_2),   m_k = int dF_g(x) / (x + ridge)^k,

    F_g the law of Marchenko and Pastur (Hastie et al., corollary 5).

    Parameters
    ----------
    n_features : int or sequence of int >= 1
        p.
    n_samples : int >= 1
        n.
    noise_variance : float >= 0
        s^2.
    signal : float >= 0
        |b|^2.
    ridge : float >= 0
        Penalty.

    Returns
    -------
    xarray.Dataset
        ``bias``, ``variance`` and ``risk`` along ``n_features``.

    Examples
    --------
    >>> from deepglass.learning import least_squares_risk
    >>> least_squares_risk([40, 160, 250, 400], 200, noise_variance=0.25).risk.values.round(4)
    array([0.0629, 1.0256, 1.2204, 0.7513])
    """
    p = _counts("n_features", n_features).astype(float)
    n = integer("n_samples", n_samples, 1, 2**31)
    s2 = number("noise_variance", noise_variance, ">= 0", lambda value: value >= 0.0)
    signal = number("signal", signal, ">= 0", lambda value: value >= 0.0)
    ridge = number("ridge", ridge, ">= 0", lambda value: value >= 0.0)
    if ridge == 0.0:
        bias = signal * np.maximum(0.0, 1.0 - n / p)
        free = np.abs(p - n) - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(free > 0.0, s2 * np.minimum(p, n) / free, np.inf if s2 > 0.0 else 0.0)
    else:
        ratio = p / n
        first, second = _marchenko_pastur_moments(ratio, ridge)
        bias, variance = signal * ridge**2 * second, s2 * ratio * (first - ridge * second)
    parameters = {"n_samples": n, "noise_variance": s2, "signal": signal, "ridge": ridge}
    return _risk(p.astype(int), bias, variance, "deepglass.learning.least_squares_risk", parameters)


def _marchenko_pastur_moments(ratio: Array, ridge: float) -> tuple[Array, Array]:
    """Means of 1/(x + ridge) and its square: m_1 is the positive root of  g r m^2 + (1 - g + r) m - 1 = 0."""
    s = 1.0 - ratio + ridge
    root = np.sqrt(s * s + 4.0 * ratio * ridge)
    first = np.where(s > 0.0, 2.0 / (root + np.abs(s)), (root + np.abs(s)) / (2.0 * ratio * ridge))
    # - d m_1 / d ridge, from the equation
    return first, first * (1.0 + ratio * first) / root


def least_squares_simulation(
    n_features: int | Sequence[int],
    n_samples: int,
    *,
    noise_variance: float,
    dimension: int | None = None,
    activation: str | Activation = "relu",
    ridge: float = 0.0,
    n_repeats: int = 20,
    n_test: int = 1000,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    """Least squares on drawn features: independent ones, or the random features of a network with one hidden layer.

    Without `dimension` the features are the inputs, standard normal, and f* = b.x with |b| = 1 along all of them: the
    setting of `least_squares_risk`.  With it x is standard normal in so many dimensions, f* = b.x and the features
    phi(W x / sqrt(dimension)) / sqrt(n_features), W standard normal and fixed; with very many of them this is
    regression with the covariance kernel of the wide network, `deepglass.kernels.nngp`.

    Parameters
    ----------
    n_features : int or sequence of int >= 1
        p.
    n_samples : int >= 1
        n.
    noise_variance : float >= 0
        s^2.
    dimension : int, optional
        Of the inputs of random features.
    activation : str or Activation
        phi; see `deepglass.meanfield.activation`.
    ridge : float >= 0
        Penalty.
    n_repeats : int >= 2
        Draws of the features.
    n_test : int
        Test points of each; without `dimension` the mean over all inputs is taken exactly.
    seed : int, SeedSequence, Generator or None
        Of all of it.
    progress : bool or callable(done, total)
        Of draws.

    Returns
    -------
    xarray.Dataset
        ``bias``, ``variance``, ``risk`` along ``n_features`` and their standard errors over draws, ``bias_error``,
        ``variance_error`` and ``risk_error``.  Near p = n without ridge the variance has heavy tails, and its error is
        no bound.

    Examples
    --------
    >>> from deepglass.learning import least_squares_simulation
    >>> found = least_squares_simulation([25, 200], 50, noise_variance=0.25, seed=1)
    >>> [round(abs(float(x)), 1) for x in found.risk]  # exactly 0.2604 and 0.8339
    [0.3, 0.8]
    """
    p = _counts("n_features", n_features)
    n = integer("n_samples", n_samples, 1, 2**20)
    s2 = number("noise_variance", noise_variance, ">= 0", lambda value: value >= 0.0)
    ridge = number("ridge", ridge, ">= 0", lambda value: value >= 0.0)
    n_repeats = integer("n_repeats", n_repeats, 2, 2**20)
    n_test = integer("n_test", n_test, 1, 2**24)
    if dimension is not None:
        dimension = integer("dimension", dimension, 1, 2**20)
    phi = make_activation(activation)
    entropy = seed_entropy(seed)
    parts = np.empty((2, len(p), n_repeats))
    with reporting(progress, "least squares") as report:
        for repeat in range(n_repeats):
            rng = np.random.default_rng(child_seed(entropy, repeat))
            if dimension is None:
                wide = rng.standard_normal((n, p.max()))
                direction = rng.standard_normal(p.max())
                for i, count in enumerate(p):
                    b = direction[:count] / np.linalg.norm(direction[:count])
                    solve = _solution(wide[:, :count], ridge)
                    parts[:, i, repeat] = (
                        np.sum((solve @ (wide[:, :count] @ b) - b) ** 2), s2 * np.sum(solve**2)
                    )  # fmt: skip
            else:
                x, x_test = rng.standard_normal((n, dimension)), rng.standard_normal((n_test, dimension))
                b = rng.standard_normal(dimension)
                b /= np.linalg.norm(b)
                weights = rng.standard_normal((dimension, p.max())) / np.sqrt(dimension)
                wide, wide_test = (np.asarray(phi(part @ weights)) for part in (x, x_test))
                for i, count in enumerate(p):
                    solve = _solution(wide[:, :count] / np.sqrt(count), ridge)
                    predict = wide_test[:, :count] / np.sqrt(count) @ solve  # (n_test, n): of the labels
                    parts[:, i, repeat] = (
                        np.mean((predict @ (x @ b) - x_test @ b) ** 2), s2 * np.sum(predict**2) / n_test
                    )  # fmt: skip
            report(repeat + 1, n_repeats)
    parameters = {
        "n_samples": n, "noise_variance": s2, "dimension": dimension, "activation": phi.name, "ridge": ridge,
        "n_repeats": n_repeats, "n_test": n_test,
    }  # fmt: skip
    result = _risk(
        p, parts[0].mean(-1), parts[1].mean(-1), "deepglass.learning.least_squares_simulation", parameters, entropy
    )
    for name, values in (("bias", parts[0]), ("variance", parts[1]), ("risk", parts.sum(axis=0))):
        result[f"{name}_error"] = ("n_features", values.std(-1, ddof=1) / np.sqrt(n_repeats))
    return result


def _solution(features: Array, ridge: float) -> Array:
    """The matrix that makes coefficients of labels, (p, n): the pseudoinverse where ridge = 0."""
    n, p = features.shape
    if ridge == 0.0:
        return np.asarray(np.linalg.pinv(features))
    if p <= n:
        return np.asarray(np.linalg.solve(features.T @ features + n * ridge * np.eye(p), features.T))
    return np.asarray(np.linalg.solve(features @ features.T + n * ridge * np.eye(n), features).T)


def _risk(
    p: npt.NDArray[np.int64], bias: Array, variance: Array, function: str, parameters: dict[str, Any], seed: Any = None
) -> xr.Dataset:
    import xarray as xr

    return xr.Dataset(
        {
            "bias": ("n_features", bias),
            "variance": ("n_features", variance),
            "risk": ("n_features", bias + variance),
        },
        {"n_features": p},
        provenance(function, parameters, seed),
    )


def _counts(name: str, value: Any) -> npt.NDArray[np.int64]:
    counts = np.array([integer(name, one, 1, 2**31) for one in np.atleast_1d(np.asarray(value, dtype=object))])
    if not counts.size:
        raise ValueError(f"{name} must be an integer >= 1 or some of them, got none")
    return counts


def width_sweep(
    dataset: DataLaw | Draw,
    widths: Sequence[int],
    n_train: int,
    *,
    hidden_layers: int = 1,
    flipped: float = 0.0,
    learning_rate: float = 0.1,
    stop_loss: float = 1e-4,
    max_epochs: int = 2000,
    batch: int = 50,
    n_repeats: int = 10,
    n_test: int = 2000,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Test error, bias and variance of trained networks against their width.

    Networks with one output are trained with the squared loss to y = -1 and 1, each on samples of its own, a part of
    the labels flipped.  Over these repetitions k, at the same test points with labels that are not flipped,

        bias = < (mean_k f_k - y)^2 > - variance / n_repeats,   variance = < var_k f_k >   (both unbiased).

    Parameters
    ----------
    dataset : DataLaw or callable(n, seed)
        Gives n samples, inputs (n, n_inputs) and labels (n,) of two classes.
    widths : sequence of int >= 1
        Units of each hidden layer.
    n_train : int
        Samples of each network.
    hidden_layers : int >= 0
        Number of hidden layers.
    flipped : float from 0 to 1/2
        Part of the training labels that is the other one.
    learning_rate, stop_loss, max_epochs, batch, threads :
        See `train`.
    n_repeats : int >= 2
        Networks of each width.
    n_test : int
        Test points.
    seed : int, SeedSequence, Generator or None
        Of all of it.
    progress : bool or callable(done, total)
        Of networks.

    Returns
    -------
    xarray.Dataset
        Along ``width``: ``bias``, ``variance``, ``test_error`` (mean over repetitions) and ``test_error_error``,
        ``train_error`` and ``train_loss`` (means), ``n_fitted`` and ``n_dead`` (left out of all means),
        ``n_parameters``.

    Examples
    --------
    >>> from deepglass.learning import KLocal, width_sweep
    >>> found = width_sweep(KLocal(5, k=1, seed=1), [2, 20], 50, n_repeats=3, max_epochs=50, seed=1)
    >>> found.n_parameters.values.tolist(), bool((found.test_error < 0.3).all())
    ([15, 141], True)
    """
    import xarray as xr

    n_train = integer("n_train", n_train, 2, 2**31)
    n_test = integer("n_test", n_test, 1, 2**31)
    n_repeats = integer("n_repeats", n_repeats, 2, 2**20)
    flipped = number("flipped", flipped, "from 0 to 1/2", lambda value: 0.0 <= value <= 0.5)
    counts = _counts("widths", widths)
    draw = drawing(dataset)
    if draw is None:
        raise ValueError("dataset must be a DataLaw or a callable(n, seed)")
    entropy = seed_entropy(seed)
    x_test, y_test = labelled(*draw(n_test, child_seed(entropy, 0)))
    inputs, labels = [], []
    for repeat in range(n_repeats):
        own = child_seed(child_seed(entropy, 1), repeat)
        x, y = labelled(*draw(n_train, own))
        classes = np.unique(y)
        if len(classes) != 2:
            raise ValueError(f"dataset must give labels of 2 classes, got {len(classes)}")
        turned = np.random.default_rng(child_seed(own, 0)).random(n_train) < flipped
        inputs.append(x)
        labels.append(np.where(turned, classes[::-1][(y == classes[1]).astype(int)], y))
    x, y = np.concatenate(inputs), np.concatenate(labels)
    rows = [np.arange(n_train) + n_train * repeat for repeat in range(n_repeats)]
    target = np.where(y_test == np.unique(y)[1], 1.0, -1.0)
    columns: dict[str, list[float]] = {}
    with reporting(progress, "widths") as report:
        for i, width in enumerate(counts):
            seeds = [child_seed(child_seed(child_seed(entropy, 2), int(width)), repeat) for repeat in range(n_repeats)]
            trained = train(
                x, y, seeds, learning_rate, samples=rows, hidden_layers=hidden_layers, width=int(width), batch=batch,
                loss="squared", stop_loss=stop_loss, max_epochs=max_epochs, threads=threads,
            )  # fmt: skip
            alive = trained.state != "dead"
            n = int(alive.sum())
            f = trained.outputs(x_test)[alive, :, 0].astype(float)
            wrong = np.mean(f * target <= 0.0, axis=1)
            variance = float(f.var(axis=0, ddof=1).mean()) if n > 1 else np.nan
            for name, value in {
                "bias": float(np.mean((f.mean(axis=0) - target) ** 2)) - variance / n if n else np.nan,
                "variance": variance,
                "test_error": float(wrong.mean()) if n else np.nan,
                "test_error_error": float(wrong.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan,
                "train_error": float(trained.train_error[alive].mean()) if n else np.nan,
                "train_loss": float(trained.train_loss[alive].mean()) if n else np.nan,
                "n_fitted": int(np.sum(trained.state == "fitted")),
                "n_dead": n_repeats - n,
                "n_parameters": sum(
                    w[0].size + b[0].size for w, b in zip(trained.weights, trained.biases, strict=True)
                ),
            }.items():
                columns.setdefault(name, []).append(value)
            report(i + 1, len(counts))
    return xr.Dataset(
        {name: ("width", values) for name, values in columns.items()},
        {"width": counts},
        provenance(
            "deepglass.learning.width_sweep",
            {
                "dataset": repr(dataset), "n_train": n_train, "hidden_layers": hidden_layers, "flipped": flipped,
                "learning_rate": learning_rate, "stop_loss": stop_loss, "max_epochs": max_epochs, "batch": batch,
                "n_repeats": n_repeats, "n_test": n_test,
            },
            entropy,
        ),
    )  # fmt: skip
