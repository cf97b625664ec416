"""Stationary points of any index of a smooth function, by Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["StationaryPoint", "search"]

Array = npt.NDArray[np.float64]

_BISECTIONS = 20


class StationaryPoint(NamedTuple):
    """Where a search has come to."""

    x: Array
    residual: float  # root mean square of the gradient
    converged: bool


def search(
    start: Array,
    derivatives: Callable[[Array], tuple[Array, Array]],
    *,
    move: Callable[[Array, Array], Array] = np.add,
    longest: float,
    tolerance: float,
    max_iter: int,
) -> StationaryPoint:
    """Follow Newton's steps, which no saddle repels; where one is longer than `longest` the best one of that length.

    That is the step of Levenberg and Marquardt,  -(H^2 + lambda^2)^(-1) H g,  least of the linear |g + H step|^2.  As
    |g| may grow, the search does not end at minima of |g|^2 with g != 0, where H has a null vector: in many dimensions
    nearly all descents of |g|^2 would.

    `derivatives` gives the gradient g and the Hessian H, `move` the point that a step leads to.
    """
    x = start
    g, hessian = derivatives(x)
    for _ in range(max_iter):
        residual = float(np.sqrt(g @ g / len(g)))
        if not tolerance < residual < np.inf:
            break
        h, v = np.linalg.eigh(hessian)
        x = move(x, v @ _step(h, v.T @ g, longest))
        g, hessian = derivatives(x)
    residual = float(np.sqrt(g @ g / len(g)))
    return StationaryPoint(x, residual, residual <= tolerance)


def _step(h: Array, g: Array, longest: float) -> Array:
    """Along the eigenvectors."""
    tiny = np.finfo(float).tiny
    low, high = np.log(np.finfo(float).eps * np.abs(h).max() + tiny), np.log(np.linalg.norm(h * g) / longest + tiny) / 2

    def step(log_damping: float) -> Array:
        return np.asarray(-h * g / (h * h + np.exp(2.0 * log_damping)))

    if np.linalg.norm(step(low)) <= longest:
        return step(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(step(middle)) > longest else (low, middle)
    return step(high)
