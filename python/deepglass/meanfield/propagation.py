"""Signals, correlations and gradients layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import number, per_item
from ..io import provenance
from ._arguments import AnyActivation, Array, array, layers, make, threads_of, variance

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["correlation_map", "covariance", "gaussian_moments", "gradient_norms", "propagate"]


def _correlations(name: str, value: Any, ndim: int = 1) -> Array:
    return array(name, value, "a number from -1 to 1", lambda x: np.abs(x) <= 1.0, ndim)


def _variances(name: str, value: Any, ndim: int = 1) -> Array:
    return array(name, value, "a finite number >= 0", lambda x: x >= 0.0, ndim)


def gaussian_moments(activation: AnyActivation, variance: npt.ArrayLike, *, threads: int = 0) -> xr.Dataset:
    """Averages of an activation and its derivative over u = sqrt(variance) z, z standard normal.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    variance : float or array of float >= 0, shape (n,)
        Variance q of u.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        Of dims () or ("variance",): ``mean`` E phi, ``square`` E phi^2, ``slope`` E phi', ``slope_square``
        E phi'^2, ``slope_fourth`` E phi'^4 and ``cross`` E z phi phi', which is half the derivative of E phi^2
        by sqrt(q), kinks or not.  Error about 1e-15 of the average of the modulus.

    Examples
    --------
    >>> import deepglass as dg
    >>> round(float(dg.meanfield.gaussian_moments("tanh", 1.0).square), 12)
    0.394294490398
    """
    import xarray as xr

    phi, threads = make(activation), threads_of(threads)
    q = _variances("variance", variance)
    raw = _core.meanfield_moments(phi._core, q.reshape(-1), threads=threads)
    dims = ("variance",) if q.ndim else ()
    return xr.Dataset(
        {name: (dims, values.reshape(q.shape)) for name, values in raw.items()},
        {"variance": (dims, q)},
        provenance("deepglass.meanfield.gaussian_moments", {"activation": phi.name, "variance": q}),
    )


def covariance(
    activation: AnyActivation,
    variance_1: npt.ArrayLike,
    variance_2: npt.ArrayLike,
    correlation: npt.ArrayLike,
    *,
    threads: int = 0,
) -> tuple[Array, Array]:
    """Averages E phi(u1) phi(u2) and E phi'(u1) phi'(u2) over two correlated Gaussian variables.

    Mehler's series in the correlation, cut where its remainder, known by Parseval, is below rounding; next to
    correlation +-1 a quadrature in two dimensions, broken at the kinks; closed forms for linear, relu, erf.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    variance_1, variance_2 : array_like of float >= 0
        Variances of u1 and u2.
    correlation : array_like of float in [-1, 1]
        Correlation of u1 and u2.  The three are broadcast.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    tuple of two arrays
        E phi phi and E phi' phi', of the shape of the broadcast.  Error about 1e-15 of
        sqrt(E phi(u1)^2 E phi(u2)^2), and the same with phi'.

    Notes
    -----
    20 microseconds for the first correlation at given variances (tanh at 1), 0.1 for the next; where quadrature
    is needed about a millisecond each.

    Examples
    --------
    >>> import deepglass as dg
    >>> value, slope = dg.meanfield.covariance("relu", 1.0, 1.0, [0.0, 1.0])
    >>> value.round(12), slope.round(12)  # 1 / (2 pi) and 1/2; 1/4 and 1/2
    (array([0.15915494, 0.5       ]), array([0.25, 0.5 ]))
    """
    phi, threads = make(activation), threads_of(threads)
    parts = (
        _variances("variance_1", variance_1, 32),
        _variances("variance_2", variance_2, 32),
        _correlations("correlation", correlation, 32),
    )
    q1, q2, c = np.broadcast_arrays(*parts)
    flat = [np.ascontiguousarray(x).reshape(-1) for x in (q1, q2, c)]
    raw = _core.meanfield_two_point(phi._core, flat[0], flat[1], flat[2], threads=threads)
    return raw["value"].reshape(c.shape), raw["slope"].reshape(c.shape)


def correlation_map(
    activation: AnyActivation,
    weight_variance: float,
    bias_variance: float,
    correlation: npt.ArrayLike,
    *,
    q: float | None = None,
    threads: int = 0,
) -> xr.Dataset:
    """The map of the correlation of two inputs through one layer, at equal variances q.

    c -> (weight_variance E phi(u1) phi(u2) + bias_variance) / q',  q' = weight_variance E phi(u1)^2 + bias_variance

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        Of the layer.
    correlation : float or array of float in [-1, 1], shape (n,)
        Where the map is wanted.
    q : float > 0, optional
        Variance of the pre-activations; default: the stable fixed point, where q' = q.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        Of dims () or ("correlation",): ``image`` of the correlation, ``slope`` of the map there; ``q``.

    Examples
    --------
    >>> import deepglass as dg
    >>> step = dg.meanfield.correlation_map("tanh", 2.5, 0.1, [0.664361346726944, 1.0])
    >>> step.image.values.round(12), step.slope.values.round(12)
    (array([0.66436135, 1.        ]), array([0.92839896, 1.0998011 ]))
    """
    import xarray as xr

    from .phases import fixed_point

    phi = make(activation)
    sw2, sb2 = variance("weight_variance", weight_variance), variance("bias_variance", bias_variance)
    c = _correlations("correlation", correlation)
    at = float(fixed_point(phi, sw2, sb2).q) if q is None else number("q", q, "a finite number > 0", lambda x: x > 0.0)
    if not at > 0.0:
        raise ValueError("q must be given here: its stable fixed point is 0, where correlations are not defined")
    square = float(_core.meanfield_moments(phi._core, np.array([at]))["square"][0])
    value, slope = covariance(phi, at, at, c, threads=threads)
    image = sw2 * square + sb2
    if not image > 0.0:
        raise ValueError("weight_variance and bias_variance must not both be 0")
    dims = ("correlation",) if c.ndim else ()
    parameters = {"activation": phi.name, "weight_variance": sw2, "bias_variance": sb2, "correlation": c, "q": q}
    return xr.Dataset(
        {"image": (dims, (sw2 * value + sb2) / image), "slope": (dims, sw2 * slope * at / image), "q": at},
        {"correlation": (dims, c)},
        provenance("deepglass.meanfield.correlation_map", parameters),
    )


def propagate(
    activation: AnyActivation,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    q0: float | tuple[float, float] = 1.0,
    c0: float = 0.0,
    *,
    skip: float | None = None,
    input_mean: float | tuple[float, float] = 0.0,
) -> xr.Dataset:
    """Follow the second moments of two inputs, and their correlation, through a wide random network.

    q^l = weight_variance qhat^{l-1} + bias_variance,  qhat^l = E phi(sqrt(q^l) z)^2,  and the same for the product
    of the two inputs, with averages over two Gaussian variables of variances q_a^l, q_b^l.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance).
    depth : int >= 1
        Number of weight layers.
    q0 : float >= 0, or two of them
        Mean square |x|^2 / n of the components of the INPUT (qhat^0: not a pre-activation); one for both inputs
        or one for each.
    c0 : float in [-1, 1]
        Cosine of the angle between the two inputs.
    skip : float, optional
        Residual network: x^l = x^{l-1} + skip phi(u^l), of constant width.  Default: x^l = phi(u^l).
    input_mean : float, or two of them
        Mean of the components of the inputs; enters only with `skip`, through E x phi(u) = E x E phi(u).

    Returns
    -------
    xarray.Dataset
        Dims ``layer`` (1 .. depth) and ``input`` (2): ``q`` (layer, input) of the pre-activations u^l,
        ``second_moment`` (layer, input) of x^l; ``covariance``, ``c`` and ``second_moment_covariance`` (layer): mean
        product and correlation of u^l, mean product of x^l; ``chi`` (layer, input) and ``chi_cross`` (layer):
        weight_variance E phi'^2 and weight_variance E phi' phi' (with `skip`: 1 + skip^2 times that), the
        factors of the backward recursion.

    Examples
    --------
    >>> import deepglass as dg
    >>> signals = dg.meanfield.propagate("tanh", 2.25, 0.09, depth=4, q0=1.0, c0=0.5)
    >>> signals.q.values[-1].round(5), round(float(signals.covariance[-1]), 5)
    (array([1.01315, 1.01315]), 0.5359)
    >>> residual = dg.meanfield.propagate("tanh", 1.5, 0.1, depth=8, q0=1.0, c0=0.5, skip=1.0)
    >>> round(float(residual.second_moment[-1, 0]), 4)
    6.0688
    """
    import xarray as xr

    phi, sw2, sb2 = (
        make(activation),
        variance("weight_variance", weight_variance),
        variance("bias_variance", bias_variance),
    )
    depth = layers(depth)
    squares = per_item("q0", q0, 2, "finite and >= 0", lambda x: 0.0 <= x < np.inf)
    cosine = number("c0", c0, "a number from -1 to 1", lambda x: abs(x) <= 1.0)
    means = per_item("input_mean", input_mean, 2, "finite", lambda x: abs(x) < np.inf)
    if (means**2 > squares * (1.0 + 1e-12)).any():
        raise ValueError(
            f"input_mean must be at most sqrt(q0) in modulus, got {means.tolist()} with q0 {squares.tolist()}"
        )
    scale = None if skip is None else number("skip", skip, "None or a finite number", lambda x: True)
    norm = float(squares[0]) if squares[0] == squares[1] else float(np.sqrt(squares[0]) * np.sqrt(squares[1]))
    raw = _core.meanfield_propagate(
        phi._core, sw2, sb2, depth, squares[0], squares[1], cosine * norm, means[0], means[1], scale
    )

    def pair(name: str) -> tuple[tuple[str, str], Array]:
        return ("layer", "input"), np.column_stack([raw[f"{name}_a"], raw[f"{name}_b"]])

    parameters = {
        "activation": phi.name,
        "weight_variance": sw2,
        "bias_variance": sb2,
        "depth": depth,
        "q0": squares,
        "c0": cosine,
        "skip": scale,
        "input_mean": means,
    }
    return xr.Dataset(
        {
            "q": pair("q"),
            "second_moment": pair("qhat"),
            "covariance": ("layer", raw["q_ab"]),
            "second_moment_covariance": ("layer", raw["qhat_ab"]),
            "c": ("layer", raw["c"]),
            "chi": pair("chi"),
            "chi_cross": ("layer", raw["chi_ab"]),
        },
        {"layer": np.arange(1, depth + 1), "input": [0, 1]},
        provenance("deepglass.meanfield.propagate", parameters),
    )


def gradient_norms(
    activation: AnyActivation,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    q0: float | tuple[float, float] = 1.0,
    c0: float = 0.0,
) -> xr.Dataset:
    """Mean squared gradients layer by layer, of a network with a linear last layer.

    With delta^l = d f / d u^l, f one output:  qtilde^l = sum_i (delta_i^l)^2 = chi^l qtilde^{l+1},  chi^l =
    weight_variance E phi'(sqrt(q^l) z)^2,  qtilde^depth = 1; widths drop out.  The gradient by one weight
    W_ij^l has the mean square qtilde^l qhat^{l-1} / width of layer l.

    Parameters
    ----------
    activation : str or Activation
        Of the layers 1 .. depth - 1; see `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance).
    depth : int >= 1
        Number of weight layers, the last of them linear.
    q0 : float >= 0, or two of them
        Mean square of the components of the inputs, as in `propagate`.
    c0 : float in [-1, 1]
        Cosine of the angle between two inputs.

    Returns
    -------
    xarray.Dataset
        Dims ``layer`` (1 .. depth) and ``input`` (2): ``q``, ``gradient_norm`` qtilde^l and ``weight_gradient``
        qtilde^l qhat^{l-1} (layer, input); ``gradient_overlap`` sum_i delta_i delta_i' and
        ``weight_gradient_overlap`` (layer) of the two inputs.

    Examples
    --------
    >>> import deepglass as dg
    >>> gradients = dg.meanfield.gradient_norms("relu", 2.0, 0.1, depth=3)  # critical: norms stay
    >>> gradients.gradient_norm.values[:, 0].round(12)
    array([1., 1., 1.])
    """
    import xarray as xr

    signals = propagate(activation, weight_variance, bias_variance, depth, q0, c0)
    squares = per_item("q0", q0, 2, "finite and >= 0", lambda x: 0.0 <= x < np.inf)
    product = float(c0) * float(np.sqrt(squares[0]) * np.sqrt(squares[1]))

    def backward(factors: Array) -> Array:
        ones = np.ones_like(factors[:1])
        return np.concatenate([np.cumprod(factors[:-1][::-1], axis=0)[::-1], ones])

    norm, overlap = backward(signals["chi"].values), backward(signals["chi_cross"].values)
    inputs = np.concatenate([squares[np.newaxis], signals["second_moment"].values[:-1]])
    products = np.concatenate([[product], signals["second_moment_covariance"].values[:-1]])
    parameters = {
        "activation": make(activation).name,
        "weight_variance": weight_variance,
        "bias_variance": bias_variance,
        "depth": depth,
        "q0": squares,
        "c0": c0,
    }
    return xr.Dataset(
        {
            "q": signals["q"],
            "gradient_norm": (("layer", "input"), norm),
            "gradient_overlap": ("layer", overlap),
            "weight_gradient": (("layer", "input"), norm * inputs),
            "weight_gradient_overlap": ("layer", overlap * products),
        },
        signals.coords,
        provenance("deepglass.meanfield.gradient_norms", parameters),
    )
