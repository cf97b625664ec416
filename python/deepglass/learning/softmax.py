"""Multinomial logistic regression: the linear head of a classifier on given features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import finite_matrix
from .._warnings import ConvergenceWarning, warn
from .data import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["softmax_regression"]

_SMALL_STEP = 1e-3
_CONVERGED = 1e-9  # of the gradient of the mean loss, for features of unit variance


def softmax_regression(
    features: npt.ArrayLike, labels: npt.ArrayLike, *, weights: npt.ArrayLike | None = None
) -> xr.Dataset:
    """Fit P(label n | features) proportional to exp(w_n . features + b_n), the mean cross entropy being least.

    For configurations of Gibbs ensembles, exp(-beta_n E) / Z_n, with the energy as the feature, the optimal weights are
    -beta_n and the optimal biases -ln Z_n, up to constants: the biases record the free energy (K.-I. Aoki, T. Fujita,
    T. Kobayashi, J. Phys. Soc. Jpn. 88, 054002 (2019)).

    Parameters
    ----------
    features : array, shape (n_samples, n_features)
        Of any scale.
    labels : array of int, shape (n_samples,)
        Classes 0 .. n_classes-1, all of them present.
    weights : array, shape (n_classes, n_features), optional
        Given weights, so that biases alone are fitted.

    Returns
    -------
    xarray.Dataset
        ``weights`` (class, feature) and ``biases`` (class), each with mean 0 over the classes, and their standard
        errors ``weights_error`` and ``biases_error`` from the Fisher information; ``loss``, ``accuracy``; ``residual``,
        the gradient in units of the standard deviations of the features, and ``converged``.

    Warns
    -----
    ConvergenceWarning
        If no minimum was found: there is none where a plane separates a class from the others.

    Notes
    -----
    Newton steps in a trust region; samples of equal features count as one.  Cost of a step n_different (n_classes
    n_features)^2.

    Examples
    --------
    >>> x = np.repeat([[0.0], [0.0], [1.0], [1.0]], [30, 10, 10, 30], axis=0)
    >>> fit = softmax_regression(x, np.repeat([0, 1, 0, 1], [30, 10, 10, 30]))
    >>> fit.weights.values.round(6).ravel(), round(fit.accuracy.item(), 6)  # ln(3) = 1.0986
    (array([-1.098612,  1.098612]), 0.75)
    """
    import xarray as xr
    from scipy.optimize import minimize

    x = finite_matrix("features", features)
    classes = np.asarray(labels)
    if classes.shape != (len(x),) or classes.dtype.kind not in "iub":
        raise ValueError(f"labels must be {len(x)} whole numbers, got {classes.dtype} of shape {classes.shape}")
    n_classes = int(classes.max()) + 1
    if classes.min() < 0 or n_classes < 2 or np.bincount(classes, minlength=n_classes).min() == 0:
        raise ValueError(f"labels must be 0 .. n_classes-1, two classes or more, all there, got {np.unique(classes)}")
    n_features = x.shape[1]
    if weights is not None:
        given = finite_matrix("weights", weights, n_features)
        if len(given) != n_classes:
            raise ValueError(f"weights must have shape ({n_classes}, {n_features}), got {given.shape}")

    rows, place = np.unique(x, axis=0, return_inverse=True)
    counts = np.zeros((len(rows), n_classes))
    np.add.at(counts, (place.ravel(), classes), 1.0 / len(x))
    total = counts.sum(axis=1)
    mean = total @ rows
    scale = np.sqrt(total @ (rows - mean) ** 2)
    scale[scale == 0.0] = 1.0
    z = (rows - mean) / scale
    if weights is None:
        design, offset = np.column_stack([z, np.ones(len(rows))]), np.zeros((len(rows), n_classes))
    else:
        design, offset = np.ones((len(rows), 1)), (rows - mean) @ given.T
    width = design.shape[1]

    def logits(parameters: Array) -> Array:  # those of class 0 are 0
        free = np.vstack([np.zeros((1, width)), parameters.reshape(n_classes - 1, width)])
        return np.asarray(offset + design @ free.T)

    def probabilities(scores: Array) -> tuple[Array, Array]:
        top = scores.max(axis=1, keepdims=True)
        log_sum = top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        return np.exp(scores - log_sum), log_sum[:, 0]

    def loss(parameters: Array) -> tuple[float, Array]:
        scores = logits(parameters)
        p, log_sum = probabilities(scores)
        slope = (total[:, np.newaxis] * p - counts)[:, 1:].T @ design
        return float(total @ log_sum - (counts * scores).sum()), slope.ravel()

    def hessian(parameters: Array) -> Array:
        p = probabilities(logits(parameters))[0][:, 1:]
        size = (n_classes - 1) * width
        every = (p[:, :, np.newaxis] * design[:, np.newaxis]).reshape(len(rows), size)
        result = -every.T @ (total[:, np.newaxis] * every)
        for n in range(n_classes - 1):
            part = slice(n * width, (n + 1) * width)
            result[part, part] += design.T @ ((total * p[:, n])[:, np.newaxis] * design)
        return np.asarray(result)

    start = np.zeros((n_classes - 1) * width)
    options = {"gtol": _CONVERGED, "maxiter": 500, "max_trust_radius": 1e3}
    found = minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options=options)
    # One more step of Newton: the last ones may lie below the rounding of the loss.  Where classes can be separated
    # the minimum is at infinity, gradient and curvature vanish together, and steps do not become small.
    step = np.linalg.lstsq(hessian(found.x), found.jac, rcond=1e-15)[0]
    best = min((found.x, found.x - step), key=lambda at: float(np.abs(loss(at)[1]).max()))
    value, slope = loss(best)
    residual = float(np.abs(slope).max())
    scores = logits(best)
    converged = residual <= _CONVERGED and bool((np.abs(step) <= _SMALL_STEP * (1.0 + np.abs(best))).all())
    if not converged:
        message = f"softmax_regression found no minimum: residual {residual:.1e}, loss {value:.1e}"
        warn(message, ConvergenceWarning)

    # From class 0 = 0 and scaled features to mean 0 and the features as they are.
    to_mean = np.eye(n_classes) - 1.0 / n_classes
    unscale = np.eye(width)
    if weights is None:
        unscale[:-1, :-1] /= scale[:, np.newaxis]
        unscale[-1, :-1] = -mean / scale
    to_own = np.einsum("ab,ij->aibj", to_mean, unscale).reshape(n_classes * width, n_classes * width)[:, width:]
    own = (to_own @ best).reshape(n_classes, width)
    covariance = to_own @ np.linalg.pinv(len(x) * hessian(best), hermitian=True) @ to_own.T
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0)).reshape(n_classes, width)
    variables: dict[str, Any] = {
        "biases": ("class", own[:, -1]),
        "biases_error": ("class", error[:, -1]),
        "loss": value,
        "accuracy": float(counts[np.arange(len(rows)), scores.argmax(axis=1)].sum()),
        "residual": residual,
        "converged": converged,
    }
    if weights is None:
        variables |= {"weights": (("class", "feature"), own[:, :-1])}
        variables |= {"weights_error": (("class", "feature"), error[:, :-1])}
    else:
        centred = given - given.mean(axis=0)
        variables["biases"] = "class", own[:, -1] - centred @ mean
        variables |= {"weights": (("class", "feature"), centred)}
        variables |= {"weights_error": (("class", "feature"), np.zeros_like(given))}
    return xr.Dataset(variables)
