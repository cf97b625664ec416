"""Arguments that are out of range: ValueErrors that name the argument, the range and what came."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def number(name: str, value: Any, allowed: str, ok: Callable[[float], bool]) -> float:
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and ok(number):
            return number
    raise ValueError(f"{name} must be {allowed}, got {value!r}")


def integer(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_)) and low <= int(value) <= high:
        return int(value)
    allowed = f"{low}" if low == high else f"an integer from {low} to {high}"
    raise ValueError(f"{name} must be {allowed}, got {value!r}")


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def per_item(name: str, value: Any, n: int, allowed: str, ok: Callable[[float], bool]) -> npt.NDArray[np.float64]:
    """Give n checked numbers; one stands for all of them."""
    try:
        values = np.array(np.broadcast_to(np.asarray(value, float), (n,)))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number {allowed}, or {n} of them, got {value!r}") from None
    for entry in values:
        if math.isnan(entry) or not ok(float(entry)):
            raise ValueError(f"{name} must be {allowed}, got {float(entry)!r}")
    return values


def finite_matrix(name: str, value: Any, columns: int | None = None) -> npt.NDArray[np.float64]:
    """Give rows of finite numbers, as many in each as asked for."""
    try:
        x = np.asarray(value)
    except (TypeError, ValueError):  # ragged
        x = np.empty(0, dtype=object)
    shape = f"(n, {'d' if columns is None else columns})"
    if x.dtype.kind not in "iufb" or x.ndim != 2 or 0 in x.shape or (columns is not None and x.shape[1] != columns):
        raise ValueError(f"{name} must be an array of numbers of shape {shape}, got {x.dtype} of shape {x.shape}")
    x = np.ascontiguousarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"{name} must be finite, got {float(x[row, column])} in row {row}, column {column}")
    return x
