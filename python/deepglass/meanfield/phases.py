"""Fixed points of signal propagation, order and chaos, depth scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import number
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from ._arguments import AnyActivation, Array, Variances, array, layers, make, threads_of, variance
from .activations import Activation
from .propagation import propagate

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["critical_weight_variance", "depth_scale", "fixed_point", "phase_diagram"]

_FIELDS = ("q", "c", "chi_1", "chi_c", "chi_q", "xi_q", "xi_c", "residual")
# Below, the critical weight variance of a bias variance > 0 differs from that of none by less than rounding.
_SMALLEST_BIAS = 1e-18


def _many(name: str, value: Any) -> Array:
    return array(name, value, "a finite number >= 0", lambda x: x >= 0.0)


def _layers_to_decay(chi: Array) -> Array:
    """Give xi = -1 / ln |chi|; infinite at a marginal point, NaN at an unstable one."""
    size = np.abs(chi)
    with np.errstate(divide="ignore", invalid="ignore"):
        xi = -1.0 / np.log(size)
    xi = np.where(size > 1.0, np.nan, xi)
    return np.where(np.abs(size - 1.0) <= 1e-15, np.inf, xi)


def _solve(
    phi: Activation, weight: Array, bias: Array, q0: Any, correlation: bool, threads: int
) -> dict[str, npt.NDArray[Any]]:
    """Fields of the shape of `weight` and `bias`, with one warning where something did not converge."""
    start = number("q0", q0, "a finite number > 0", lambda x: x > 0.0)
    sw2, sb2 = (np.ascontiguousarray(x).reshape(-1) for x in (weight, bias))
    raw = _core.meanfield_fixed_points(phi._core, sw2, sb2, start, correlation=correlation, threads=threads)
    raw = {name: values.reshape(weight.shape) for name, values in raw.items()}
    raw["xi_q"] = _layers_to_decay(raw["chi_q"])
    raw["xi_c"] = _layers_to_decay(raw["chi_c"])
    lost = raw["exists"] & ~raw["converged"]
    if lost.any():
        warn(f"not converged at {lost.sum()} of {lost.size} points (see residual)", ConvergenceWarning)
    return raw


def fixed_point(
    activation: AnyActivation,
    weight_variance: Variances,
    bias_variance: Variances,
    *,
    q0: float = 1.0,
    threads: int = 0,
) -> xr.Dataset:
    """The stable fixed point of signal propagation, and how fast it is approached.

    q = weight_variance E phi(sqrt(q) z)^2 + bias_variance;  c = (weight_variance E phi(u1) phi(u2) +
    bias_variance) / q, u1 and u2 of variance q and correlation c.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0, or arrays of them of shape (n,)
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance).
    q0 : float > 0
        Where several fixed points of q are stable: a variance that the one wanted draws in.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        Of dims (), ("weight_variance",), ("bias_variance",) or, with two arrays, ("point",):

        ``q``: mean square of the pre-activations.  ``c``: the stable correlation in [0, 1]; 1 in the ordered
        phase, and where q = 0, as the limit of small bias.
        ``chi_q``, ``chi_1``, ``chi_c``: slopes of the map of q at q, of the map of c at 1 and at c.  chi_1 > 1
        is the chaotic phase.  ``xi_q``, ``xi_c``: depth scales -1 / ln chi (infinite at criticality).
        ``converged``, ``residual``: the larger one of both maps, relative.

    Raises
    ------
    ValueError
        No fixed point: the variance grows without bound (relu with weight_variance > 2, or at 2 with bias).

    Notes
    -----
    q to 1e-15 relative, by Newton's method; c to 1e-15 where chi_1 is not within 1e-5 of 1.  Some 30 us a point,
    with kinks and chi_1 close to 1 some ms.  chi_q is E z phi phi' / sqrt(q), right with kinks too.

    Examples
    --------
    >>> import deepglass as dg
    >>> point = dg.meanfield.fixed_point("tanh", 2.5, 0.1)
    >>> [round(float(point[name]), 12) for name in ("q", "chi_1", "chi_q", "c", "chi_c")]
    [1.149093029164, 1.099801098012, 0.397589352364, 0.664361346727, 0.928398958281]
    >>> dg.meanfield.fixed_point("relu", 2.0, 0.1)
    Traceback (most recent call last):
        ...
    ValueError: no fixed point of relu at weight_variance 2, bias_variance 0.1: the variance grows without bound
    """
    import xarray as xr

    phi, threads = make(activation), threads_of(threads)
    weight, bias = _many("weight_variance", weight_variance), _many("bias_variance", bias_variance)
    if weight.ndim and bias.ndim and weight.shape != bias.shape:
        raise ValueError(
            f"weight_variance and bias_variance must have the same shape, got {weight.shape} and {bias.shape} "
            "(phase_diagram takes a grid)"
        )
    dim = "point" if weight.ndim and bias.ndim else "weight_variance" if weight.ndim else "bias_variance"
    dims = (dim,) if weight.ndim or bias.ndim else ()
    coordinates = {
        "weight_variance": (dims if weight.ndim else (), weight),
        "bias_variance": (dims if bias.ndim else (), bias),
    }
    each = np.broadcast_arrays(weight, bias)
    raw = _solve(phi, each[0], each[1], q0, True, threads)
    missing = ~raw["exists"]
    if missing.any():
        first = np.flatnonzero(missing.reshape(-1))[0]
        at = [float(x.reshape(-1)[first]) for x in each]
        raise ValueError(
            f"no fixed point of {phi.name} at weight_variance {at[0]:g}, bias_variance {at[1]:g}: the variance grows "
            "without bound"
        )
    parameters = {"activation": phi.name, "weight_variance": weight, "bias_variance": bias, "q0": q0}
    return xr.Dataset(
        {name: (dims, raw[name]) for name in (*_FIELDS, "converged")},
        coordinates,
        provenance("deepglass.meanfield.fixed_point", parameters),
    )


def phase_diagram(
    activation: AnyActivation,
    weight_variances: npt.ArrayLike,
    bias_variances: npt.ArrayLike,
    *,
    correlation: bool = True,
    q0: float = 1.0,
    threads: int = 0,
) -> xr.Dataset:
    """Fixed points, slopes and depth scales over a grid of weight and bias variances.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variances, bias_variances : array_like of float >= 0
        The grid's lines.
    correlation : bool
        Whether c, chi_c and xi_c are wanted (NaN otherwise); they take most of the time.
    q0 : float > 0
        As in `fixed_point`.
    threads : int
        Number of threads, 0: the OpenMP default.  The result does not depend on it.

    Returns
    -------
    xarray.Dataset
        Dims (bias_variance, weight_variance): the fields of `fixed_point`, NaN where ``exists`` is False, and
        ``exists``.  Dim bias_variance: ``critical_weight_variance``, NaN where there is none.

    Notes
    -----
    Ctrl-C is answered.

    Examples
    --------
    >>> import deepglass as dg
    >>> diagram = dg.meanfield.phase_diagram("tanh", [0.5, 1.0, 2.5], [0.0, 0.1])
    >>> diagram.c.values.round(3)
    array([[1.   , 1.   , 0.   ],
           [1.   , 1.   , 0.664]])
    """
    import xarray as xr

    phi, threads = make(activation), threads_of(threads)
    weight, bias = (
        np.atleast_1d(_many(n, x))
        for n, x in (("weight_variances", weight_variances), ("bias_variances", bias_variances))
    )
    grid = np.meshgrid(weight, bias)
    raw = _solve(phi, grid[0], grid[1], q0, bool(correlation), threads)
    dims = ("bias_variance", "weight_variance")
    critical = _core.meanfield_critical_weight_variance(
        phi._core, np.where(bias < _SMALLEST_BIAS, 0.0, bias), threads=threads
    )
    parameters = {"activation": phi.name, "weight_variances": weight, "bias_variances": bias, "q0": q0}
    return xr.Dataset(
        {name: (dims, raw[name]) for name in (*_FIELDS, "converged", "exists")}
        | {"critical_weight_variance": ("bias_variance", critical)},
        {"weight_variance": weight, "bias_variance": bias},
        provenance("deepglass.meanfield.phase_diagram", parameters),
    )


def critical_weight_variance(activation: AnyActivation, bias_variance: npt.ArrayLike, *, threads: int = 0) -> Any:
    """Weight variance at the edge of chaos: chi_1 = 1 at the fixed point of q.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    bias_variance : float or array of float, shape (n,)
        0, or at least 1e-18.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    float or array
        The smallest such weight variance, to 1e-13.  At bias variance 0, for phi(0) = 0, it is 1 / phi'(0)^2 at
        q = 0; it grows fast with the bias (tanh: 1 at 0, 1.424 at 0.01).

    Raises
    ------
    ValueError
        There is none (relu with bias: chi_1 reaches 1 at weight variance 2 only, where q diverges).

    Examples
    --------
    >>> import deepglass as dg
    >>> round(dg.meanfield.critical_weight_variance("tanh", 0.1), 10)
    1.9860726411
    >>> dg.meanfield.critical_weight_variance("relu", 0.1)
    Traceback (most recent call last):
        ...
    ValueError: relu has no critical weight variance at bias_variance 0.1: chi_1 = 1 has no solution of finite q
    """
    phi, threads = make(activation), threads_of(threads)
    bias = array(
        "bias_variance", bias_variance, "0 or a finite number >= 1e-18", lambda x: (x == 0.0) | (x >= _SMALLEST_BIAS)
    )
    critical = _core.meanfield_critical_weight_variance(phi._core, bias.reshape(-1), threads=threads).reshape(
        bias.shape
    )
    if np.isnan(critical).any():
        raise ValueError(
            f"{phi.name} has no critical weight variance at bias_variance {bias[np.isnan(critical)].flat[0]:g}: "
            "chi_1 = 1 has no solution of finite q"
        )
    return critical if bias.ndim else float(critical)


def depth_scale(
    activation: AnyActivation,
    weight_variance: npt.ArrayLike,
    bias_variance: float,
    depth: int,
    *,
    q0: float = 1.0,
    c0: float = 0.5,
    threads: int = 0,
) -> xr.Dataset:
    """How much of the relation of two inputs is left at each depth, and the depth scales that tell.

    Deviations from the fixed point fall as exp(-l / xi_c): networks much deeper than xi_c cannot tell inputs
    apart; about 6 xi_c is where training was found to fail (Schoenholz et al. 2017, figure 5).

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance : array of float >= 0, shape (n,)
        Weight variances.
    bias_variance : float >= 0
        Bias variance.
    depth : int >= 1
        Number of weight layers.
    q0 : float > 0
        Mean square of the components of both inputs, as in `propagate`.
    c0 : float in [-1, 1]
        Cosine of the angle between them.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        Dims ``weight_variance`` and ``layer``: ``c`` and ``deviation`` |c^l - c*| (weight_variance, layer);
        ``xi_c``, ``xi_q``, ``chi_1``, ``c_fixed``, ``q_fixed`` (weight_variance).

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> scales = dg.meanfield.depth_scale("tanh", [1.5, 2.5], 0.05, depth=160)
    >>> decay = -1 / np.log(scales.deviation[:, 150] / scales.deviation[:, 149])
    >>> scales.xi_c.values.round(2), decay.values.round(2)
    (array([15.79, 11.8 ]), array([15.79, 11.8 ]))
    """
    import xarray as xr

    phi, depth = make(activation), layers(depth)
    weight, sb2 = np.atleast_1d(_many("weight_variance", weight_variance)), variance("bias_variance", bias_variance)
    start = number("q0", q0, "a finite number > 0", lambda x: x > 0.0)
    fixed = fixed_point(phi, weight, sb2, threads=threads)
    c = np.array([propagate(phi, float(sw2), sb2, depth, start, c0)["c"].values for sw2 in weight])
    parameters = {
        "activation": phi.name,
        "weight_variance": weight,
        "bias_variance": sb2,
        "depth": depth,
        "q0": q0,
        "c0": c0,
    }
    lines = {"xi_c": "xi_c", "xi_q": "xi_q", "chi_1": "chi_1", "c_fixed": "c", "q_fixed": "q"}
    return xr.Dataset(
        {
            "c": (("weight_variance", "layer"), c),
            "deviation": (("weight_variance", "layer"), np.abs(c - fixed["c"].values[:, np.newaxis])),
        }
        | {name: ("weight_variance", fixed[field].values) for name, field in lines.items()},
        {"weight_variance": weight, "bias_variance": sb2, "layer": np.arange(1, depth + 1)},
        provenance("deepglass.meanfield.depth_scale", parameters),
    )
