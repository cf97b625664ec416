"""Natural gradient descent of wide networks with the exact metric and its approximations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer, number
from ..io import provenance
from .network import MAX_MEMORY, Array, LayerGradients, Network

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["natural_gradient"]

_MOST_AT_ONCE = 2**24  # numbers


class _Metric(NamedTuple):
    """What G^{-1} J^T v / N is: for layer l the matrix step(l, v)^T inputs of the units of the layer."""

    alpha: float
    step: Callable[[int, Array], Array]  # (l, v of shape (m, N C)) -> (m, N, n_units)


def natural_gradient(
    network: Network,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    metric: str = "exact",
    damping: float = 0.0,
    learning_rate: float | None = None,
    steps: int = 1,
    X_test: npt.ArrayLike | None = None,
) -> xr.Dataset:
    """Train a linearised network by natural gradient descent on the loss (1 / 2N) sum |f - y|^2.

        theta <- theta - learning_rate (G + damping)^{-1} J^T (f - y) / N,   f <- f - learning_rate Thetabar (f - y),

    Thetabar = J (G + damping)^{-1} J^T / N, with the gradients J of the network as given.  An isotropic metric,
    Thetabar = alpha 1, trains all modes alike: f_t = y + (1 - learning_rate alpha)^t (f_0 - y), in one step at
    learning_rate 1 / alpha, while 0 < learning_rate alpha < 2.  See R. Karakida, K. Osawa, "Understanding approximate
    Fisher information for fast convergence of natural gradient descent in wide neural networks" (2020).

    Parameters
    ----------
    network : Network
        Whose parameters are where training begins.
    X : array_like, shape (N, n_inputs)
        Inputs.
    y : array_like, shape (N, n_outputs)
        Targets.
    metric : {"exact", "block_diagonal", "block_tridiagonal", "kfac", "unit_wise"}
        G = J^T J / N; its blocks of single layers; those and the blocks of neighbouring layers; for each layer the
        Kronecker product of the second moments of its inputs and of the gradients by its pre-activations; the blocks of
        single units.
    damping : float >= 0
        Added to G (kfac: its root, to both factors).  0: the limit, by (J^T J + r)^{-1} J^T = J^T (J J^T + r)^{-1}.
    learning_rate : float > 0, optional
        Default: 1 / alpha.
    steps : int >= 0
        Number of updates.
    X_test : array_like, shape (n_test, n_inputs), optional
        Inputs at which the trained function is wanted, too.

    Returns
    -------
    xarray.Dataset
        ``alpha``, the trace of Thetabar over N C without damping, from ranks; ``residual``, the largest element of
        Thetabar - alpha in modulus, over alpha; ``learning_rate``; ``train`` (step, sample, output), ``loss`` (step)
        and ``test`` (step, test_sample, output); ``displacement`` (parameter), of the parameters after all steps.

    Raises
    ------
    ValueError
        Without damping, where the gradients lack the rank that the metric needs: N C of all layers together (exact) or
        of each (blocks), N of the inputs of each layer (kfac, unit_wise); block_tridiagonal at depths 2, 5, 8, ...,
        where it is singular.

    Notes
    -----
    With N inputs in general position, not more than units or input dimensions, alpha is 1 (exact), depth
    (block_diagonal), s and s + 1 for depth 3 s and 3 s + 1 (block_tridiagonal, which is not positive definite),
    N (depth - 1) + 1 (kfac: the gradients of the last layer are the same for all samples) and, with C outputs,
    width (depth - 1) / C + 1 (unit_wise; with relu only the active units of a sample count; with relu or several
    outputs the metric is isotropic for infinite width only).

    No matrix of the size of the parameters is made.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> network = dg.fisher.Network(depth=3, width=100, n_inputs=30, activation="tanh", weight_variance=1.5,
    ...                             bias_variance=0.1, seed=1)
    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(size=(10, 30)), rng.normal(size=(10, 1))
    >>> for metric in ("exact", "block_diagonal", "block_tridiagonal", "kfac", "unit_wise"):
    ...     trained = dg.fisher.natural_gradient(network, x, y, metric=metric)
    ...     print(metric, float(trained.alpha), bool(trained.loss[1] < 1e-15 * trained.loss[0]))
    exact 1.0 True
    block_diagonal 3.0 True
    block_tridiagonal 1.0 True
    kfac 21.0 True
    unit_wise 201.0 True
    """
    import xarray as xr

    if not isinstance(network, Network):
        raise ValueError(f"network must be a Network, got {type(network).__name__}")
    x, targets = finite_matrix("X", X, network.n_inputs), finite_matrix("y", y, network.n_outputs)
    if len(targets) != len(x):
        raise ValueError(f"y must have shape ({len(x)}, {network.n_outputs}), got {targets.shape}")
    build = _METRICS[choice("metric", metric, list(_METRICS))]
    rho = number("damping", damping, "a finite number >= 0", lambda value: value >= 0.0)
    steps = integer("steps", steps, 0, 1_000_000)
    layers = network.gradients(x)
    alpha, step = build(layers, rho)
    if not alpha > 0.0:
        raise ValueError("X must be inputs at which the network has gradients, all are 0 here")
    rate = (
        1.0 / alpha
        if learning_rate is None
        else number("learning_rate", learning_rate, "a finite number > 0", lambda value: value > 0.0)
    )
    kernel = _response(layers, layers, step)
    outputs = [network(x).reshape(-1)]
    errors = np.zeros_like(outputs[0])  # the sum of f - y over the steps
    for _ in range(steps):
        error = outputs[-1] - targets.reshape(-1)
        errors += error
        outputs.append(outputs[-1] - rate * kernel @ error)
    train = np.array(outputs).reshape(steps + 1, len(x), network.n_outputs)
    displacement = [-rate * step(i, errors[np.newaxis])[0].T @ layer.inputs for i, layer in enumerate(layers)]
    variables: dict[str, Any] = {
        "alpha": alpha,
        "residual": float(np.abs(kernel - alpha * np.eye(len(kernel))).max()) / alpha,
        "learning_rate": rate,
        "train": (("step", "sample", "output"), train),
        "loss": ("step", 0.5 * ((train - targets) ** 2).sum(axis=(1, 2)) / len(x)),
        "displacement": ("parameter", np.concatenate([block.reshape(-1) for block in displacement])),
    }
    if X_test is not None:
        other = finite_matrix("X_test", X_test, network.n_inputs)
        response = _response(layers, network.gradients(other), step)
        before = np.cumsum(train - targets, axis=0).reshape(steps + 1, -1)  # sums of f - y up to each step
        before = np.vstack([np.zeros_like(before[:1]), before[:-1]])
        test = network(other)[np.newaxis] - rate * (before @ response.T).reshape(steps + 1, len(other), -1)
        variables["test"] = ("step", "test_sample", "output"), test
    parameters = {
        "X": x,
        "y": targets,
        "metric": metric,
        "damping": rho,
        "learning_rate": rate,
        "steps": steps,
        "network": network.arguments,
    }
    attributes = provenance("deepglass.fisher.natural_gradient", parameters)
    return xr.Dataset(variables, {"step": np.arange(steps + 1)}, attributes)


def _response(
    layers: Sequence[LayerGradients], others: Sequence[LayerGradients], step: Callable[[int, Array], Array]
) -> Array:
    """J' G^{-1} J^T / N, J' the gradients of others: (n' C, N C)."""
    n, c = layers[0].delta.shape[:2]
    m = len(others[0].inputs)
    columns, identity = np.zeros((n * c, m, c)), np.eye(n * c)
    for i, (layer, other) in enumerate(zip(layers, others, strict=True)):
        gram = other.gram(layer)
        some = max(1, _MOST_AT_ONCE // ((n + m) * layer.delta.shape[2]))
        for begin in range(0, n * c, some):
            rows = slice(begin, begin + some)
            signals = gram @ step(i, identity[rows])  # change of the pre-activations, (some, n', n_units)
            columns[rows] += np.einsum("mti,tbi->mtb", signals, other.delta, optimize=True)
    return columns.reshape(n * c, -1).T


def _along_samples(layer: LayerGradients, c: Array) -> Array:
    """Sum over outputs of c[s, k] delta[s, k], for c of shape (m, N C)."""
    n, k = layer.delta.shape[:2]
    combined: Array = np.einsum("msk,ski->msi", c.reshape(-1, n, k), layer.delta, optimize=True)
    return combined


def _matrix(layer: LayerGradients) -> Array:
    n, c = layer.delta.shape[:2]
    return layer.kernel().reshape(n * c, n * c)


def _rank(gram: Array) -> int:
    """Number of eigenvalues that rounding has not made."""
    values = np.linalg.eigvalsh(gram)
    return int((values > len(gram) * np.finfo(float).eps * max(values[-1], 0.0)).sum())


def _full_rank(gram: Array, what: str, rho: float) -> int:
    rank = _rank(gram)
    if rho == 0.0 and rank < len(gram):
        raise ValueError(
            f"damping must be > 0 here: {what} have rank {rank}, less than {len(gram)} (more samples than units or "
            "inputs, or inputs that are equal)"
        )
    return rank


def _solved(matrix: Array, v: Array) -> Array:
    """Rows of v times the inverse of a symmetric matrix."""
    return np.asarray(np.linalg.solve(matrix, v.T).T)


def _damped(matrix: Array, damping: float) -> Array:
    return matrix + damping * np.eye(len(matrix))


def _exact(layers: Sequence[LayerGradients], rho: float) -> _Metric:
    n = len(layers[0].inputs)
    kernel: Array = np.sum([_matrix(layer) for layer in layers], axis=0)
    rank = _full_rank(kernel, "the gradients", rho)
    damped = _damped(kernel, n * rho)
    return _Metric(rank / len(kernel), lambda i, v: _along_samples(layers[i], _solved(damped, v)))


def _block_diagonal(layers: Sequence[LayerGradients], rho: float) -> _Metric:
    n = len(layers[0].inputs)
    kernels = [_matrix(layer) for layer in layers]
    ranks = [_full_rank(k, f"the gradients of layer {i + 1}", rho) for i, k in enumerate(kernels)]
    return _Metric(
        sum(ranks) / len(kernels[0]),
        lambda i, v: _along_samples(layers[i], _solved(_damped(kernels[i], n * rho), v)),
    )


def _block_tridiagonal(layers: Sequence[LayerGradients], rho: float) -> _Metric:
    """G = Jt^T (S (x) 1) Jt / N, Jt = diag of the J_l, S = tridiag(1, 1, 1); J = sum of the rows of blocks of Jt."""
    n, depth = len(layers[0].inputs), len(layers)
    if depth % 3 == 2:
        raise ValueError(f"metric must not be 'block_tridiagonal' at depth 2, 5, 8, ..., where it is singular: {depth}")
    neighbours = np.eye(depth) + np.eye(depth, k=1) + np.eye(depth, k=-1)
    shares = np.linalg.solve(neighbours, np.ones(depth))
    kernels = [_matrix(layer) for layer in layers]
    for i, kernel in enumerate(kernels):
        _full_rank(kernel, f"the gradients of layer {i + 1}", rho)
    size = len(kernels[0])
    if rho == 0.0:
        return _Metric(float(shares.sum()), lambda i, v: _along_samples(layers[i], shares[i] * _solved(kernels[i], v)))
    big = np.block([[neighbours[i, j] * kernels[j] for j in range(depth)] for i in range(depth)])
    weights = np.linalg.solve(_damped(big, n * rho), np.tile(np.eye(size), (depth, 1))).reshape(depth, size, size)
    return _Metric(float(shares.sum()), lambda i, v: _along_samples(layers[i], v @ weights[i].T))


def _kfac(layers: Sequence[LayerGradients], rho: float) -> _Metric:
    """Each factor by itself: A^{-1} of the inputs, B^{-1} of the deltas of all samples and outputs."""
    n, c = layers[0].delta.shape[:2]
    root, alpha = float(np.sqrt(rho)), 0.0
    prepared: list[tuple[Array, LayerGradients]] = []
    for i, layer in enumerate(layers):
        rows = layer.delta.reshape(n * c, -1)
        gram, products = layer.gram(), rows @ rows.T
        rank = _full_rank(gram, f"the inputs of layer {i + 1}", rho)
        alpha += rank * _rank(products) / (n * c)
        inverse = np.linalg.pinv(products, hermitian=True) if rho == 0.0 else np.linalg.inv(_damped(products, n * root))
        solved = (inverse @ rows).reshape(layer.delta.shape)
        prepared.append((_damped(gram, n * root), LayerGradients(layer.inputs, solved)))

    def step(i: int, v: Array) -> Array:
        gram, solved = prepared[i]
        return np.asarray(n * np.linalg.solve(gram, _along_samples(solved, v)))

    return _Metric(alpha, step)


def _unit_wise(layers: Sequence[LayerGradients], rho: float) -> _Metric:
    """G of a unit = X^T diag(e) X / N, e[s] = sum_k delta[s, k]^2; only samples with e > 0 count."""
    n, c = layers[0].delta.shape[:2]
    needed = 8 * n**2 * sum(layer.delta.shape[2] for layer in layers)
    if needed > MAX_MEMORY:
        raise ValueError(f"metric 'unit_wise' needs {needed} bytes for {n} samples, more than {MAX_MEMORY}")
    alpha = 0.0
    prepared: list[tuple[Array, Array]] = []
    for i, layer in enumerate(layers):
        gram = layer.gram()
        _full_rank(gram, f"the inputs of layer {i + 1}", rho)
        weights = (layer.delta**2).sum(axis=1).T  # (n_units, N)
        active = weights >= np.finfo(float).tiny  # what underflows is no gradient
        alpha += sum(_ranks(gram, active)) / (n * c)
        if rho == 0.0:
            both = active[:, :, np.newaxis] & active[:, np.newaxis, :]
            matrices = np.where(both, gram, np.eye(n))
            scale = np.where(active, 1.0, 0.0) / np.where(active, weights, 1.0)
        else:
            matrices = weights[:, :, np.newaxis] * gram + n * rho * np.eye(n)
            scale = np.ones_like(weights)
        prepared.append((matrices, scale))

    def step(i: int, v: Array) -> Array:
        matrices, scale = prepared[i]
        right = _along_samples(layers[i], v).transpose(2, 1, 0) * scale[:, :, np.newaxis]  # (n_units, N, m)
        return np.asarray(np.linalg.solve(matrices, right).transpose(2, 1, 0))

    return _Metric(alpha, step)


def _ranks(gram: Array, active: npt.NDArray[np.bool_]) -> list[int]:
    """Rank of the inputs at which each unit is active."""
    if _rank(gram) == len(gram):
        return [int(count) for count in active.sum(axis=1)]
    return [_rank(gram[np.ix_(on, on)]) if on.any() else 0 for on in active]


_METRICS: dict[str, Callable[[Sequence[LayerGradients], float], _Metric]] = {
    "exact": _exact,
    "block_diagonal": _block_diagonal,
    "block_tridiagonal": _block_tridiagonal,
    "kfac": _kfac,
    "unit_wise": _unit_wise,
}
