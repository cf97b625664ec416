"""Convolutional networks with many channels: covariances between positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, integer
from ..io import provenance
from ._arguments import AnyActivation, Array, array, layers, make, threads_of, variance
from .phases import fixed_point

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["convolution_modes", "propagate_convolution"]

Kernel = str | npt.ArrayLike


def _filter(kernel: Kernel, kernel_size: Any, n_positions: int) -> Array:
    """Variances of the filter, centred, with sum 1."""
    if isinstance(kernel, str):
        choice("kernel", kernel, ("uniform", "delta"))
        size = integer("kernel_size", kernel_size, 1, max(n_positions, 1))
        if size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {size}")
        if kernel == "uniform":
            return np.full(size, 1.0 / size)
        return np.array(np.arange(size) == size // 2, dtype=np.float64)
    values: Array = np.atleast_1d(
        array("kernel", kernel, "'uniform', 'delta' or filter variances >= 0", lambda x: x >= 0.0)
    )
    if values.size % 2 == 0 or values.size > n_positions:
        raise ValueError(f"kernel must have an odd number of entries, at most {n_positions}, got {values.size}")
    if abs(values.sum() - 1.0) > 1e-12:
        raise ValueError(f"kernel must have the sum 1, got {float(values.sum())!r}")
    return values


def propagate_convolution(
    activation: AnyActivation,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    covariance: npt.ArrayLike,
    *,
    kernel: Kernel = "uniform",
    kernel_size: int = 3,
    threads: int = 0,
) -> xr.Dataset:
    """Covariance between positions through a circular convolutional network with many channels.

    S^l_{p,r} = bias_variance + weight_variance sum_b v_b E phi(u) phi(u')  with (u, u') of the covariance S^{l-1} at
    p + b, r + b (Xiao et al. 2018); layer 1 takes the covariance of the input in place of E phi phi.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        The weight from channel j to channel i at offset b is N(0, weight_variance v_b / channels).
    depth : int >= 1
        Number of weight layers.
    covariance : array, shape (n_positions, n_positions)
        Mean product over input channels of the input at two positions: symmetric, positive semidefinite.
    kernel : "uniform", "delta" or array of filter variances v_b, centred, with sum 1
        ``"delta"``: the delta-orthogonal initialisation, where positions do not mix.
    kernel_size : odd int
        Size of the uniform kernel.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    xarray.Dataset
        ``covariance`` (layer, position, position_2) of the pre-activations.

    Notes
    -----
    n_positions^2 / 2 two-point averages a layer, 20 to 60 us each.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> image = np.eye(4) + 0.5
    >>> layers = dg.meanfield.propagate_convolution("erf", 1.5, 0.1, 2, image, kernel="delta")
    >>> dense = dg.meanfield.propagate("erf", 1.5, 0.1, 2, q0=1.5, c0=1 / 3)
    >>> float(abs(layers.covariance[-1, 0, 1] - dense.covariance[-1])) < 1e-15
    True
    """
    import xarray as xr

    phi, threads = make(activation), threads_of(threads)
    sw2, sb2 = variance("weight_variance", weight_variance), variance("bias_variance", bias_variance)
    depth = layers(depth)
    start = array("covariance", covariance, "a finite number", lambda x: np.full(x.shape, True), ndim=2)
    if start.ndim != 2 or start.shape[0] != start.shape[1]:
        raise ValueError(f"covariance must have shape (n_positions, n_positions), got {start.shape}")
    scale = float(np.abs(start).max())
    if not np.allclose(start, start.T, rtol=0.0, atol=1e-12 * scale):
        raise ValueError("covariance must be symmetric")
    lowest = float(np.linalg.eigvalsh(start)[0])
    if lowest < -1e-10 * scale:
        raise ValueError(f"covariance must be positive semidefinite, got the eigenvalue {lowest:.3g}")
    n = start.shape[0]
    v = _filter(kernel, kernel_size, n)
    result = _core.meanfield_convolve(phi._core, sw2, sb2, depth, v, -(v.size // 2), start, threads=threads)
    positions = np.arange(n)
    parameters = {
        "activation": phi.name,
        "weight_variance": sw2,
        "bias_variance": sb2,
        "depth": depth,
        "covariance": start,
        "kernel": v,
    }
    return xr.Dataset(
        {"covariance": (("layer", "position", "position_2"), result)},
        {"layer": np.arange(1, depth + 1), "position": positions, "position_2": positions},
        provenance("deepglass.meanfield.propagate_convolution", parameters),
    )


def convolution_modes(
    activation: AnyActivation,
    weight_variance: float,
    bias_variance: float,
    n_positions: int,
    *,
    kernel: Kernel = "uniform",
    kernel_size: int = 3,
) -> xr.Dataset:
    """Factors by which deviations from the uniform fixed point are multiplied in each layer.

    A deviation of the covariance S_{p, p+d} that varies along p as exp(i k p) is multiplied by chi_c |v(k)|, v(k) =
    sum_b v_b exp(i k b); the delta kernel has |v(k)| = 1, so that every mode goes as deep as in a dense network.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        As in `propagate_convolution`.
    n_positions : int >= 1
        Number of positions, on a ring.
    kernel : "uniform", "delta" or array of filter variances
        As in `propagate_convolution`.
    kernel_size : odd int
        Size of the uniform kernel.

    Returns
    -------
    xarray.Dataset
        Dim ``wave_number`` k = 2 pi n / n_positions, n = 0 .. n_positions // 2: ``kernel_factor`` |v(k)|, ``factor``
        chi_c |v(k)| off the diagonal d = 0, ``diagonal_factor`` chi_q |v(k)| on it, ``xi`` = -1 / ln factor.

    Examples
    --------
    >>> import deepglass as dg
    >>> modes = dg.meanfield.convolution_modes("tanh", 2.5, 0.1, n_positions=8)
    >>> modes.kernel_factor.values.round(3)
    array([1.   , 0.805, 0.333, 0.138, 0.333])
    """
    import xarray as xr

    n = integer("n_positions", n_positions, 1, 2**30)
    v = _filter(kernel, kernel_size, n)
    fixed = fixed_point(
        activation, variance("weight_variance", weight_variance), variance("bias_variance", bias_variance)
    )
    k = 2.0 * np.pi * np.arange(n // 2 + 1) / n
    size = np.abs(np.exp(1j * np.outer(k, np.arange(v.size) - v.size // 2)) @ v)
    factor = float(fixed.chi_c) * size
    with np.errstate(divide="ignore"):
        xi = np.where(np.abs(factor - 1.0) <= 1e-15, np.inf, -1.0 / np.log(factor))
    parameters = {
        "activation": make(activation).name,
        "weight_variance": weight_variance,
        "bias_variance": bias_variance,
        "n_positions": n,
        "kernel": v,
    }
    return xr.Dataset(
        {
            "kernel_factor": ("wave_number", size),
            "factor": ("wave_number", factor),
            "diagonal_factor": ("wave_number", float(fixed.chi_q) * size),
            "xi": ("wave_number", xi),
        },
        {"wave_number": k},
        provenance("deepglass.meanfield.convolution_modes", parameters),
    )
