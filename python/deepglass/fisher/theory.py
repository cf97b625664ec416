"""Eigenvalues of the Fisher information of wide random networks, and the learning rates they allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer
from ..io import provenance
from ..meanfield import Activation, gradient_norms
from ..meanfield import activation as make_activation
from .network import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["max_learning_rate", "statistics"]

_MOST = 2**53


def statistics(
    activation: str | Activation,
    *,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    width: int,
    n_samples: int,
    n_outputs: int = 1,
    probabilities: npt.ArrayLike | None = None,
) -> xr.Dataset:
    """Mean, second moment and largest eigenvalues of the Fisher information of a wide random network.

    F = E_t sum_k grad f_k grad f_k^T over T samples has the non-zero eigenvalues of its dual, for each of the C outputs
    (alpha M / T) (kappa_1 on the diagonal, kappa_2 off it), M the width, alpha = depth - 1 and

        kappa_1 = sum_l qtilde^l qhat^{l-1} / alpha,  kappa_2 = the same of two different samples, l = 1 .. depth,

    of inputs with independent standard normal components and gradients by the weights W (parametrisation "standard" of
    `Network`); those by the biases add relative corrections of order 1 / M.  See R. Karakida, S. Akaho and S. Amari,
    "Universal statistics of Fisher information in deep neural networks: mean field approach" (2019) and "The
    normalization method for alleviating pathological sharpness in wide neural networks" (2019).

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance).
    depth : int >= 2
        Number of weight layers, the last of them linear.
    width : int >= 1
        Units of each hidden layer, and inputs.
    n_samples, n_outputs : int >= 1
        T and C.
    probabilities : array_like, shape (n_samples, n_outputs), optional
        Probabilities softmax f of the classes, for the Fisher information of the cross entropy; n_outputs >= 2.

    Returns
    -------
    xarray.Dataset
        ``kappa_1``, ``kappa_2``; ``trace``; ``mean`` and ``second_moment`` of the P = alpha M^2 eigenvalues;
        ``largest_eigenvalue``, of multiplicity ``n_largest`` = C, with eigenvectors E grad f_k.  Of the network with
        outputs centred over the samples: ``centred_lower`` and ``centred_upper``, asymptotic bounds of the largest
        eigenvalue, up to constants.  With `probabilities` also ``cross_entropy_trace`` and the C - 1 largest
        eigenvalues ``cross_entropy_eigenvalue`` (rank): Q_t = diag(g) - g g^T annihilates (1, .., 1), so that C - 1 of
        them, not C, grow as M kappa_2.

    Examples
    --------
    >>> import deepglass as dg
    >>> relu = dg.fisher.statistics("relu", weight_variance=2.0, bias_variance=0.1, depth=3, width=1500, n_samples=100)
    >>> round(float(relu.kappa_1), 12), round(float(relu.kappa_2), 12), round(float(relu.largest_eigenvalue) / 1500, 12)
    (1.575, 0.401494217255, 0.826458550165)
    """
    import xarray as xr

    phi = make_activation(activation)
    integer("depth", depth, 2, 1_000_000)
    m, t, c = (
        integer(name, value, 1, _MOST)
        for name, value in (("width", width), ("n_samples", n_samples), ("n_outputs", n_outputs))
    )
    gradients = gradient_norms(phi, weight_variance, bias_variance, depth, q0=1.0, c0=0.0)
    alpha = depth - 1
    kappa_1 = float(gradients.weight_gradient[:, 0].sum()) / alpha
    kappa_2 = float(gradients.weight_gradient_overlap.sum()) / alpha
    square = (t - 1) / t * kappa_2**2 + kappa_1**2 / t
    ratio, spread = m / t, kappa_1 - kappa_2
    variables: dict[str, Any] = {
        "kappa_1": kappa_1,
        "kappa_2": kappa_2,
        "trace": c * alpha * m * kappa_1,
        "mean": kappa_1 * c / m,
        "second_moment": c * alpha * square,
        "largest_eigenvalue": alpha * ((t - 1) / t * kappa_2 + kappa_1 / t) * m,
        "n_largest": c,
        "centred_lower": ratio * alpha * spread,
        "centred_upper": float(np.sqrt(c * alpha**2 * ratio * spread**2 * m)),
    }
    if probabilities is not None:
        g = _probabilities(probabilities, t, c)
        variables["cross_entropy_trace"] = alpha * m * kappa_1 * float((g * (1 - g)).sum(axis=1).mean())
        variables["cross_entropy_eigenvalue"] = ("rank", alpha * m / t * _cross_entropy_largest(g, kappa_2, spread))
    parameters = {
        "activation": phi.name,
        "weight_variance": weight_variance,
        "bias_variance": bias_variance,
        "depth": depth,
        "width": m,
        "n_samples": t,
        "n_outputs": c,
        "probabilities": probabilities,
    }
    return xr.Dataset(variables, attrs=provenance("deepglass.fisher.statistics", parameters))


def max_learning_rate(
    activation: str | Activation,
    *,
    loss: str,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    width: int,
    n_samples: int,
) -> float:
    """Largest learning rate with which gradient descent from random weights converges.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    loss : {"half_mse", "mse"}
        (1 / 2T) sum |y - f|^2, whose Hessian at zero residual is F: 2 / lambda_max.  Or (1 / T) sum |y - f|^2, whose
        Hessian is 2 F: 1 / lambda_max.  Learning rates of the parameters W and b themselves ("standard").
    weight_variance, bias_variance : float >= 0
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance).
    depth : int >= 2
        Number of weight layers, the last of them linear.
    width : int >= 1
        Units of each hidden layer, and inputs.
    n_samples : int >= 1
        Samples T of the loss.  The bound does not depend on the number of outputs.

    Returns
    -------
    float

    Examples
    --------
    >>> import deepglass as dg
    >>> relu = dict(weight_variance=2.0, bias_variance=0.1, depth=3, width=1500, n_samples=100)
    >>> round(dg.fisher.max_learning_rate("relu", loss="half_mse", **relu), 9)
    0.001613309
    """
    hessian = {"half_mse": 1.0, "mse": 2.0}[choice("loss", loss, ["half_mse", "mse"])]
    largest = statistics(
        activation,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
        depth=depth,
        width=width,
        n_samples=n_samples,
    ).largest_eigenvalue
    if not float(largest) > 0.0:
        raise ValueError("weight_variance must be such that the gradients do not vanish: the largest eigenvalue is 0")
    return 2.0 / (hessian * float(largest))


def _probabilities(value: Any, n: int, c: int) -> Array:
    if c < 2:
        raise ValueError(f"n_outputs must be at least 2 with probabilities, got {c}")
    g = finite_matrix("probabilities", value, c)
    if len(g) != n:
        raise ValueError(f"probabilities must have shape ({n}, {c}), got {g.shape}")
    if (g < 0.0).any() or np.abs(g.sum(axis=1) - 1.0).max() > 1e-8:
        raise ValueError("probabilities must be >= 0 with rows that add up to 1")
    return g


def _cross_entropy_largest(g: Array, kappa_2: float, spread: float) -> Array:
    """The C - 1 largest eigenvalues of Q^{1/2} (spread + kappa_2 1 1^T) Q^{1/2} over the samples, decreasing.

    Its product with (v_t) is spread B_t^T B_t v_t + kappa_2 B_t^T sum_s B_s v_s, Q_t = B_t B_t^T.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    from .network import likelihood_root

    n, c = g.shape
    root = likelihood_root(g)

    def product(v: Array) -> Array:
        each = np.einsum("tak,tk->ta", root, v.reshape(n, c))
        image: Array = np.einsum("tak,ta->tk", root, spread * each + kappa_2 * each.sum(axis=0)).reshape(-1)
        return image

    if n * c <= 200:
        values = np.linalg.eigvalsh(np.column_stack([product(v) for v in np.eye(n * c)]))
        return np.asarray(values[::-1][: c - 1])
    operator = LinearOperator((n * c, n * c), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n * c)
    return np.sort(eigsh(operator, k=c - 1, v0=start, return_eigenvectors=False))[::-1]
