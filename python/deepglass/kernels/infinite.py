"""Kernels of infinitely wide networks, in memory or block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, finite_matrix, integer, number
from .._progress import Progress, reporting
from ..meanfield import Activation
from ..meanfield import activation as make_activation

__all__ = ["nngp", "nngp_and_ntk", "ntk", "smallest_eigenvalue"]

Array = npt.NDArray[np.float64]
Kernel = npt.NDArray[Any]  # float64 or float32

MAX_MEMORY = 4 * 2**30
_TILE = int(_core.kernels_tile)
_CLOSED_FORMS = ("linear", "relu", "leaky_relu", "erf")
_LARGEST_BLOCK = 32 * _TILE  # the progress bar moves, and Ctrl-C does not lose much


class Architecture:
    """The checked arguments that all functions of the family share."""

    def __init__(
        self, activation: str | Activation, hidden_layers: Any, weight_variance: Any, bias_variance: Any, threads: Any
    ) -> None:
        self.activation = make_activation(activation)
        self.hidden_layers = integer("hidden_layers", hidden_layers, 0, 1_000_000)
        self.weight_variance = number("weight_variance", weight_variance, "a finite number >= 0", lambda x: x >= 0.0)
        self.bias_variance = number("bias_variance", bias_variance, "a finite number >= 0", lambda x: x >= 0.0)
        self.threads = integer("threads", threads, 0, 2**30)

    def parameters(self) -> dict[str, Any]:
        """For the provenance of results."""
        return {
            "activation": self.activation.name,
            "hidden_layers": self.hidden_layers,
            "weight_variance": self.weight_variance,
            "bias_variance": self.bias_variance,
        }

    def kernel(self, x1: Array, x2: Array | None) -> _core.InfiniteKernel:
        """What computes blocks of the kernel of these inputs."""
        return _core.InfiniteKernel(
            self.activation._core,
            self.hidden_layers,
            self.weight_variance,
            self.bias_variance,
            x1,
            x2,
            threads=self.threads,
        )

    def memory(self, x1: Array, x2: Array | None) -> int:
        """Bytes that the kernel of these inputs needs beside its blocks, about."""
        n, d = len(x1) + (0 if x2 is None else len(x2)), x1.shape[1]
        # Directions and shares of every layer; tiles of every thread; tables of coefficients, where there are any.
        tables = 0 if self.activation._build[0] in _CLOSED_FORMS else 40_000 * self.hidden_layers
        return 8 * int(
            n * (2 * d + 10 * (self.hidden_layers + 1)) + 100_000 * _core.thread_count(self.threads) + tables
        )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.3g} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.3g} MiB"


def _kind(dtype: Any) -> np.dtype[Any]:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = dtype
    return np.dtype(choice("dtype", name, ["float64", "float32"]))


def _kernels(
    wanted: tuple[bool, bool],
    X1: Any,
    X2: Any,
    architecture: Architecture,
    out: tuple[Any, ...] | None,
    dtype: npt.DTypeLike,
    max_memory: Any,
    progress: Progress,
) -> tuple[Any, ...]:
    """Covariance and tangent kernel, those that are wanted."""
    x1 = finite_matrix("X1", X1)
    x2 = None if X2 is None else finite_matrix("X2", X2, x1.shape[1])
    kind = _kind(dtype)
    cap = number("max_memory", max_memory, "a number of bytes > 0", lambda x: x > 0.0)
    shape = (len(x1), len(x1 if x2 is None else x2))
    n_kernels = sum(wanted)
    own, item = architecture.memory(x1, x2), kind.itemsize * n_kernels
    if out is None:
        needed = own + item * shape[0] * shape[1]
        if needed > cap:
            raise ValueError(
                f"max_memory must be at least {_size(needed)} for kernels of shape {shape} in {kind.name}, got "
                f"{_size(cap)}: give out=, an array on disk, or dtype='float32'"
            )
        edge = max(shape) if progress is False else _LARGEST_BLOCK
        results: tuple[Any, ...] = tuple(np.empty(shape, kind) for _ in range(n_kernels))
    else:
        for target in out:
            if tuple(getattr(target, "shape", ())) != shape:
                raise ValueError(f"out must have shape {shape}, got {getattr(target, 'shape', type(target).__name__)}")
            if np.dtype(getattr(target, "dtype", kind)).kind != "f":
                raise ValueError(f"out must hold floating-point numbers, got {target.dtype}")
        # A block and its mirror image.
        room = math.isqrt(max(0, int((cap - own) / (2 * item))))
        edge, results = min(_LARGEST_BLOCK, room // _TILE * _TILE), out
        if edge == 0:
            raise ValueError(f"max_memory must be at least {_size(own + 2 * item * _TILE**2)} here, got {_size(cap)}")
    kernel = architecture.kernel(x1, x2)
    if out is None and edge >= max(shape):
        _compute(kernel, wanted, (0, shape[0]), (0, shape[1]), results, architecture.threads)
    else:
        _by_blocks(kernel, wanted, x2 is None, edge, kind, results, architecture.threads, progress)
    return results


def _compute(
    kernel: _core.InfiniteKernel,
    wanted: tuple[bool, bool],
    rows: tuple[int, int],
    columns: tuple[int, int],
    into: Sequence[Kernel],
    threads: int,
) -> None:
    left = list(into)
    covariance, tangent = (left.pop(0) if want else None for want in wanted)
    kernel.compute(rows, columns, covariance, tangent, threads=threads)


def _by_blocks(
    kernel: _core.InfiniteKernel,
    wanted: tuple[bool, bool],
    symmetric: bool,
    edge: int,
    kind: np.dtype[Any],
    out: Sequence[Any],
    threads: int,
    progress: Progress,
) -> None:
    """Square blocks; of a symmetric kernel those on and above the diagonal, and their mirror images."""
    n1, n2 = out[0].shape
    places = [
        ((i, min(i + edge, n1)), (j, min(j + edge, n2)))
        for i in range(0, n1, edge)
        for j in range(i if symmetric else 0, n2, edge)
    ]
    with reporting(progress, "kernel blocks") as report:
        for done, (rows, columns) in enumerate(places):
            blocks = [np.empty((rows[1] - rows[0], columns[1] - columns[0]), kind) for _ in out]
            _compute(kernel, wanted, rows, columns, blocks, threads)
            for target, block in zip(out, blocks, strict=True):
                target[slice(*rows), slice(*columns)] = block
                if symmetric and rows != columns:
                    target[slice(*columns), slice(*rows)] = np.ascontiguousarray(block.T)
            report(done + 1, len(places))


def nngp(
    X1: npt.ArrayLike,
    X2: npt.ArrayLike | None = None,
    *,
    activation: str | Activation,
    hidden_layers: int,
    weight_variance: float,
    bias_variance: float,
    out: Any = None,
    dtype: npt.DTypeLike = np.float64,
    max_memory: float = MAX_MEMORY,
    progress: Progress = False,
    threads: int = 0,
) -> Any:
    """Covariance kernel (NNGP) of an infinitely wide network.

    K^{l+1} = weight_variance E phi(u) phi(u') + bias_variance,  (u, u') Gaussian with covariance K^l, from
    K^1 = weight_variance x.x' / d + bias_variance, once for each hidden layer.

    Parameters
    ----------
    X1 : array_like, shape (n1, d)
        Inputs, one a row.
    X2 : array_like, shape (n2, d), optional
        Other inputs; default: X1, whose symmetric kernel is computed once.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    hidden_layers : int >= 0
        Number of hidden layers, depth - 1.
    weight_variance, bias_variance : float >= 0
        Of all layers.
    out : object with a shape and slice assignment, optional
        Where the kernel is written, block by block: an array, a memory map, an HDF5 dataset (h5py), a zarr array.
    dtype : float64 or float32
        Of the result.  The arithmetic is in double precision.
    max_memory : float
        Bytes that may be used.  A result that is larger needs `out`.
    progress : bool or callable(done, total)
        Of blocks.
    threads : int
        Number of threads, 0: the OpenMP default.  The result does not depend on it.

    Returns
    -------
    array, shape (n1, n2), or `out`

    Raises
    ------
    ValueError
        Inputs that are not finite or do not fit each other; a kernel beyond `max_memory`.

    Notes
    -----
    Closed forms for linear, relu, leaky_relu and erf, scaled and shifted too (error 1e-15 of (K_ii K_jj)^{1/2}), next
    to correlation 1 in the angle of the two inputs.  Mehler's series for all other functions, cut where the rest is
    below 1e-16.  Where that needs more than 512 terms (correlations above 0.93 for functions with kinks, large ones at
    variances above 6 for tanh): hard_tanh by an integral over the angle, a microsecond a pair and layer; others by
    quadrature in two dimensions, a millisecond.

    Examples
    --------
    >>> import deepglass as dg
    >>> x = [[1.0, 0.2, -0.5, 0.3], [0.4, -1.0, 0.1, 0.8]]
    >>> network = dict(hidden_layers=3, weight_variance=2.0, bias_variance=0.1)
    >>> dg.kernels.nngp(x, activation="relu", **network).round(12)
    array([[1.09      , 0.89987467],
           [0.89987467, 1.305     ]])
    """
    architecture = Architecture(activation, hidden_layers, weight_variance, bias_variance, threads)
    targets = None if out is None else (out,)
    return _kernels((True, False), X1, X2, architecture, targets, dtype, max_memory, progress)[0]


def ntk(
    X1: npt.ArrayLike,
    X2: npt.ArrayLike | None = None,
    *,
    activation: str | Activation,
    hidden_layers: int,
    weight_variance: float,
    bias_variance: float,
    out: Any = None,
    dtype: npt.DTypeLike = np.float64,
    max_memory: float = MAX_MEMORY,
    progress: Progress = False,
    threads: int = 0,
) -> Any:
    """Tangent kernel (NTK) of an infinitely wide network.

    Theta^{l+1} = K^{l+1} + weight_variance E phi'(u) phi'(u') Theta^l,  Theta^1 = K^1, with the covariances K^l of
    `nngp`.  It governs training by gradient descent, see `ntk_regression`.

    Parameters
    ----------
    X1 : array_like, shape (n1, d)
        Inputs, one a row.
    X2 : array_like, shape (n2, d), optional
        Other inputs; default: X1, whose symmetric kernel is computed once.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    hidden_layers : int >= 0
        Number of hidden layers, depth - 1.
    weight_variance, bias_variance : float >= 0
        Of all layers.
    out : object with a shape and slice assignment, optional
        Where the kernel is written, block by block: an array, a memory map, an HDF5 dataset (h5py), a zarr array.
    dtype : float64 or float32
        Of the result.  The arithmetic is in double precision.
    max_memory : float
        Bytes that may be used.  A result that is larger needs `out`.
    progress : bool or callable(done, total)
        Of blocks.
    threads : int
        Number of threads, 0: the OpenMP default.  The result does not depend on it.

    Returns
    -------
    array, shape (n1, n2), or `out`

    Raises
    ------
    ValueError
        Inputs that are not finite or do not fit each other; a kernel beyond `max_memory`.

    Notes
    -----
    Accuracy and cost as of `nngp`.

    Examples
    --------
    >>> import deepglass as dg
    >>> x = [[1.0, 0.2, -0.5, 0.3], [0.4, -1.0, 0.1, 0.8]]
    >>> network = dict(hidden_layers=3, weight_variance=2.0, bias_variance=0.1)
    >>> dg.kernels.ntk(x, activation="tanh", **network).round(12)
    array([[3.25271191, 1.11982948],
           [1.11982948, 3.41448496]])
    """
    architecture = Architecture(activation, hidden_layers, weight_variance, bias_variance, threads)
    targets = None if out is None else (out,)
    return _kernels((False, True), X1, X2, architecture, targets, dtype, max_memory, progress)[0]


def nngp_and_ntk(
    X1: npt.ArrayLike,
    X2: npt.ArrayLike | None = None,
    *,
    activation: str | Activation,
    hidden_layers: int,
    weight_variance: float,
    bias_variance: float,
    out: tuple[Any, Any] | None = None,
    dtype: npt.DTypeLike = np.float64,
    max_memory: float = MAX_MEMORY,
    progress: Progress = False,
    threads: int = 0,
) -> tuple[Any, Any]:
    """Covariance and tangent kernel together, at the cost of the tangent kernel.

    Parameters
    ----------
    X1 : array_like, shape (n1, d)
        Inputs, one a row.
    X2 : array_like, shape (n2, d), optional
        Other inputs; default: X1, whose symmetric kernels are computed once.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    hidden_layers : int >= 0
        Number of hidden layers, depth - 1.
    weight_variance, bias_variance : float >= 0
        Of all layers.
    out : two objects with a shape and slice assignment, optional
        Where the kernels are written, block by block, see `nngp`.
    dtype : float64 or float32
        Of the results.  The arithmetic is in double precision.
    max_memory : float
        Bytes that may be used.
    progress : bool or callable(done, total)
        Of blocks.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    tuple of two arrays, shape (n1, n2), or `out`

    Examples
    --------
    >>> import deepglass as dg
    >>> k, theta = dg.kernels.nngp_and_ntk([[1.0, 1.0]], activation="relu", hidden_layers=2, weight_variance=2.0,
    ...                                    bias_variance=0.0)
    >>> k, theta
    (array([[2.]]), array([[6.]]))
    """
    architecture = Architecture(activation, hidden_layers, weight_variance, bias_variance, threads)
    if out is not None and not (isinstance(out, (tuple, list)) and len(out) == 2):
        raise ValueError(f"out must be a pair, of the covariance and the tangent kernel, got {type(out).__name__}")
    targets = None if out is None else tuple(out)
    k, theta = _kernels((True, True), X1, X2, architecture, targets, dtype, max_memory, progress)
    return k, theta


def smallest_eigenvalue(
    X: npt.ArrayLike,
    *,
    activation: str | Activation,
    hidden_layers: int | Sequence[int],
    weight_variance: float,
    bias_variance: float,
    kernel: str = "ntk",
    max_memory: float = MAX_MEMORY,
    threads: int = 0,
) -> Any:
    """Smallest eigenvalue of the kernel of some inputs, against depth.

    It is the rate at which the slowest part of the training error decays, and what ridge or jitter have to be
    compared with.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Inputs, one a row.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    hidden_layers : int or sequence of int
        Number of hidden layers.
    weight_variance, bias_variance : float >= 0
        Of all layers.
    kernel : {"ntk", "nngp"}
        Which kernel.
    max_memory : float
        Bytes that may be used.
    threads : int
        Number of threads, 0: the OpenMP default.

    Returns
    -------
    float, or array with one entry for each depth
        Its error is about 1e-15 of the largest eigenvalue.

    Notes
    -----
    Cost n^3 for each depth, by LAPACK.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> x = np.random.default_rng(1).normal(size=(20, 10))
    >>> dg.kernels.smallest_eigenvalue(x, activation="relu", hidden_layers=[1, 2, 4], weight_variance=2.0,
    ...                                bias_variance=0.0).round(4)
    array([0.2857, 0.6322, 1.306 ])
    """
    from scipy.linalg import eigvalsh

    function = {"ntk": ntk, "nngp": nngp}[choice("kernel", kernel, ["ntk", "nngp"])]
    depths = np.atleast_1d(np.asarray(hidden_layers, dtype=object))
    if depths.ndim != 1 or depths.size == 0:
        raise ValueError(f"hidden_layers must be an integer or a sequence of integers, got {hidden_layers!r}")
    eigenvalues = []
    for layers in depths:
        matrix = function(
            X,
            activation=activation,
            hidden_layers=layers,
            weight_variance=weight_variance,
            bias_variance=bias_variance,
            max_memory=max_memory,
            threads=threads,
        )
        eigenvalues.append(float(eigvalsh(matrix, subset_by_index=[0, 0], overwrite_a=True)[0]))
    return eigenvalues[0] if np.ndim(hidden_layers) == 0 else np.array(eigenvalues)
