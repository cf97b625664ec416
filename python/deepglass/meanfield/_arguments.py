"""Arguments that several functions of the family take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .activations import Activation, Function, activation

Array = npt.NDArray[np.float64]
AnyActivation = str | Activation

__all__ = ["AnyActivation", "Array", "Function", "Variances", "array", "layers", "make", "threads_of", "variance"]

_MOST_LAYERS = 1_000_000
_MOST_THREADS = 2**30

Variances = float | npt.ArrayLike


def make(phi: AnyActivation) -> Activation:
    """An Activation; a bare callable is told what it lacks."""
    return activation(phi)


def variance(name: str, value: Any) -> float:
    return number(name, value, "a finite number >= 0", lambda x: x >= 0.0)


def layers(depth: Any) -> int:
    return integer("depth", depth, 1, _MOST_LAYERS)


def threads_of(threads: Any) -> int:
    return integer("threads", threads, 0, _MOST_THREADS)


def array(name: str, value: Any, allowed: str, ok: Callable[[Array], npt.NDArray[np.bool_]], ndim: int = 1) -> Array:
    """A number or an array of at most ndim dimensions, of finite numbers in a range."""
    try:
        values = np.asarray(value)
    except (TypeError, ValueError):  # ragged
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be {allowed}, or an array of such numbers, got {value!r}")
    if values.ndim > ndim:
        raise ValueError(f"{name} must have at most {ndim} dimension(s), got shape {values.shape}")
    if values.size == 0:
        raise ValueError(f"{name} must not be empty")
    values = values.astype(np.float64)
    bad = ~(np.isfinite(values) & ok(np.where(np.isfinite(values), values, 0.0)))
    if bad.any():
        raise ValueError(f"{name} must be {allowed}, got {float(values[bad].flat[0])!r}")
    return values
