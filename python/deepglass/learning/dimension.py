"""Intrinsic dimension of data, from distances to nearest neighbours."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer
from ..random import SeedLike, seed_entropy
from ..stats import Estimate
from .data import Array, uniform

__all__ = ["intrinsic_dimension", "nearest_distances"]

_OWN = ("two_nn", "mle", "nearest_neighbour")
_FEW_INPUTS = 15  # up to here a tree is faster than all distances
_BLOCK = 2**22  # distances at one time
_SMALLEST_SET = 100


def intrinsic_dimension(
    data: npt.ArrayLike, *, method: str = "two_nn", n_neighbours: int = 20, seed: SeedLike = 0
) -> Estimate:
    """Dimension of the manifold on which points lie, from distances r_1 < r_2 < ... to their nearest neighbours.

    - "two_nn": d = (n - 1) / sum ln(r_2 / r_1) (E. Facco et al., Sci. Rep. 7, 12140 (2017));
    - "mle": d = (k - 1) / mean sum_{j<k} ln(r_k / r_j), the average being one of inverses (E. Levina, P. Bickel 2004;
      D. MacKay, Z. Ghahramani 2005);
    - "nearest_neighbour": the mean of r_1 among n points falls as n^{-1/d} (S. Spigler, M. Geiger, M. Wyart,
      arXiv:1905.10843); d is from the slope over n = 100, 200, ... points.

    Parameters
    ----------
    data : array, shape (n_points, n_inputs)
        Points; repeated ones count once.
    method : str
        One of the above, or a class of ``skdim.id`` (scikit-dimension, extra ``learning``): "DANCo", "ESS", "lPCA", ...
    n_neighbours : int >= 3
        k of "mle".
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of the subsets of "nearest_neighbour".

    Returns
    -------
    Estimate
        Its error is statistical, as if neighbourhoods did not share points: 20% too small for "mle", which has large
        ones.  NaN for other packages.

    Raises
    ------
    ValueError
        If there are too few distinct points, or the method is not known.

    Notes
    -----
    All of them find too little from 10 dimensions on, as the points are too sparse: 9.3 of 10, 16 of 20 for some
    thousands of points.

    Examples
    --------
    >>> cube = np.random.default_rng(1).uniform(size=(2000, 2)) @ np.ones((2, 30))
    >>> print(intrinsic_dimension(cube))  # of rank 1
    1.0...
    """
    points = finite_matrix("data", data)
    if not isinstance(method, str) or (method not in _OWN and not _others(method)):
        choice("method", method, (*_OWN, "the name of a class of skdim.id"))
    points = np.unique(points, axis=0)
    n = len(points)
    k = integer("n_neighbours", n_neighbours, 3, 10_000)
    least = {"two_nn": 10, "mle": k + 1, "nearest_neighbour": 4 * _SMALLEST_SET}.get(method, 10)
    if n < least:
        raise ValueError(f"data must have at least {least} distinct points with method={method!r}, got {n}")
    if method == "two_nn":
        first, second = nearest_distances(points, 2).T
        value = (n - 1) / np.log(second / first).sum()
        return Estimate(float(value), float(value / math.sqrt(n)))
    if method == "mle":
        distances = nearest_distances(points, k)
        inverse = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)
        value = 1.0 / inverse.mean()
        return Estimate(float(value), float(value**2 * inverse.std(ddof=1) / math.sqrt(n)))
    if method == "nearest_neighbour":
        return _slope(points, seed)
    return Estimate(float(_others(method)().fit_transform(points)), math.nan)


def _others(method: str) -> Any:
    """A class of skdim.id, or None."""
    try:
        known = importlib.import_module("skdim.id")
    except ModuleNotFoundError as error:
        message = f"method={method!r} needs scikit-dimension: pip install 'deepglass[learning]'"
        raise ModuleNotFoundError(message, name="skdim") from error
    return getattr(known, method) if method in getattr(known, "__all__", dir(known)) else None


def _slope(points: Array, seed: SeedLike) -> Estimate:
    """Fit of ln n against ln mean r_1, over disjoint subsets of equal size, all sizes having the same weight."""
    order = points[np.argsort(uniform(len(points), seed_entropy(seed), 0), kind="stable")]
    sizes = _SMALLEST_SET * 2 ** np.arange(int(math.log2(len(points) / _SMALLEST_SET)) + 1)
    log_distance = []
    for size in sizes:
        parts = order[: len(order) // size * size].reshape(-1, size, order.shape[1])
        log_distance.append(math.log(np.mean([nearest_distances(part, 1).mean() for part in parts])))
    x = np.log(sizes) - np.log(sizes).mean()
    slope = float(x @ log_distance / (x @ x))
    rest = np.array(log_distance) - np.mean(log_distance) - slope * x
    error = math.sqrt(float(rest @ rest) / (len(sizes) - 2) / float(x @ x)) if len(sizes) > 2 else math.nan
    return Estimate(-1.0 / slope, error / slope**2)


def nearest_distances(points: npt.ArrayLike, k: int) -> Array:
    """Distances from each point to its k nearest neighbours.

    Parameters
    ----------
    points : array, shape (n_points, n_inputs)
        More than k of them.
    k : int >= 1
        How many neighbours.

    Returns
    -------
    array, shape (n_points, k)
        In increasing order.

    Examples
    --------
    >>> nearest_distances([[0.0], [1.0], [3.0]], 2)
    array([[1., 3.],
           [1., 2.],
           [2., 3.]])
    """
    x = finite_matrix("points", points)
    n = len(x)
    k = integer("k", k, 1, n - 1)
    if x.shape[1] <= _FEW_INPUTS:
        from scipy.spatial import cKDTree

        return np.asarray(cKDTree(x).query(x, k + 1)[0][:, 1:])
    x = x - x.mean(axis=0)
    squares = np.einsum("ij,ij->i", x, x)
    found = np.empty((n, k))
    rows = max(1, _BLOCK // n)
    for first in range(0, n, rows):
        mine = slice(first, min(first + rows, n))
        rough = squares[mine, np.newaxis] + squares - 2.0 * (x[mine] @ x.T)
        rough[np.arange(mine.stop - first), np.arange(first, mine.stop)] = math.inf
        near = np.argpartition(rough, k - 1, axis=1)[:, :k]
        # Afresh, without the cancellation above.
        found[mine] = np.sort([np.linalg.norm(x[near[i - first]] - x[i], axis=1) for i in range(first, mine.stop)])
    return found
