"""Elementary functions and the Gaussian tail, as NumPy and SciPy have them: the twin of ``vmath.hpp``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = [
    "asin",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "inverse_mills_ratio",
    "inverse_mills_ratio_slope",
    "log",
    "log1p",
    "log_2cosh",
    "log_normal_cdf",
    "log_normal_sf",
    "normal_cdf",
    "tanh",
]

Array = NDArray[np.float64]


def _doubles(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def exp(x: ArrayLike) -> Array:
    """e^x."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(_doubles(x)))


def expm1(x: ArrayLike) -> Array:
    """e^x - 1."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.expm1(_doubles(x)))


def log(x: ArrayLike) -> Array:
    """Logarithm: ln x."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(_doubles(x)))


def log1p(x: ArrayLike) -> Array:
    """ln(1 + x)."""
    with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
        return np.asarray(np.log1p(_doubles(x)))


def tanh(x: ArrayLike) -> Array:
    """Hyperbolic tangent, tanh x."""
    with np.errstate(under="ignore"):
        return np.asarray(np.tanh(_doubles(x)))


def log_2cosh(h: ArrayLike) -> Array:
    """ln(2 cosh h) = |h| + ln(1 + e^{-2|h|})."""
    a = np.abs(_doubles(h))
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(a + np.log1p(np.exp(-2.0 * a)))


def asin(x: ArrayLike) -> Array:
    """Arcus sine, asin x; NaN outside [-1, 1]."""
    with np.errstate(invalid="ignore", under="ignore"):
        return np.asarray(np.arcsin(_doubles(x)))


def erf(x: ArrayLike) -> Array:
    """Error function: (2 / sqrt(pi)) int_0^x e^{-t^2} dt."""
    return np.asarray(special.erf(_doubles(x)))


def erfc(x: ArrayLike) -> Array:
    """Complementary error function: 1 - erf x."""
    return np.asarray(special.erfc(_doubles(x)))


def normal_cdf(x: ArrayLike) -> Array:
    """Phi(x), the distribution function of the standard normal law."""
    return np.asarray(special.ndtr(_doubles(x)))


def log_normal_cdf(x: ArrayLike) -> Array:
    """Logarithm: ln Phi(x)."""
    return np.asarray(special.log_ndtr(_doubles(x)))


def log_normal_sf(x: ArrayLike) -> Array:
    """Logarithm: ln Phi(-x)."""
    return log_normal_cdf(-_doubles(x))


def inverse_mills_ratio(x: ArrayLike) -> Array:
    """R(x) = phi(x) / Phi(x) = (d/dx) ln Phi(x) = sqrt(2/pi) / erfcx(-x / sqrt 2)."""
    x = _doubles(x)
    scaled_tail = special.erfcx(-np.maximum(x, -1e9) / np.sqrt(2.0))
    # Before -1e9 the ratio is -x to the last bit, and erfcx would run into the subnormal numbers.
    return np.asarray(np.where(x < -1e9, -x, np.sqrt(2.0 / np.pi) / scaled_tail))


def inverse_mills_ratio_slope(x: ArrayLike, *, n_levels: int = 60) -> Array:
    """The derivative of the inverse Mills ratio, -R (R + x), between -1 and 0.

    For x < -5, R + x is the difference of two nearly equal numbers; there it is taken from Laplace's
    continued fraction  R(-a) - a = 1/(a + 2/(a + 3/(a + ...))).

    Parameters
    ----------
    x : array
        Arguments, of any shape.
    n_levels : int
        Where the continued fraction is cut.

    Returns
    -------
    array, shape of x
    """
    x = _doubles(x)
    ratio = inverse_mills_ratio(x)
    a = np.clip(-x, 5.0, 1e9)  # beyond 1e9 the slope is -1 to the last bit
    fraction = np.zeros_like(a)
    for level in range(n_levels, 0, -1):
        fraction = level / (a + fraction)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        return np.asarray(np.where(x < -5.0, -(a + fraction) * fraction, -ratio * (ratio + np.minimum(x, 1e9))))
