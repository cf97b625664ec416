"""Free convolutions as in the papers: the fixed point of the subordination functions, point by point.

    sum      w1 <- z + h2(z + h1(w1)),        h(w) = 1/G(w) - w
    product  w1 <- z k2(z k1(w1)),            k(w) = (1 + 1/M(w))/w,   M(w) = w G(w) - 1
    powers   w <- (z + (t - 1)/G(w))/t,       w <- (z (1 + 1/M(w))^(t - 1))^(1/t)

(Belinschi and Bercovici 2007; in the product z, w and M stand for 1/z, 1/w and psi of the paper.)  The iteration always
converges inside the upper half plane; its rate tends to 1 at the real axis, which is reached by continuation with
secant steps.  Transforms are callables of one complex number.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "atoms",
    "free_power_product",
    "free_power_sum",
    "free_product",
    "free_sum",
    "marchenko_pastur",
    "marchenko_pastur_product_density",
    "semicircle",
]

Transform: TypeAlias = Callable[[complex], complex]


def semicircle(variance: float) -> Transform:
    """Give G of the semicircle law: the root of variance G^2 - z G + 1 = 0 that decays."""
    s = 2 * variance**0.5
    return lambda z: 2 / (z + cmath.sqrt(z - s) * cmath.sqrt(z + s))


def marchenko_pastur(ratio: float) -> Transform:
    """Give G of Y Y^T/p, Y of shape (n, p), ratio = n/p."""
    left, right = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    return lambda z: (z + ratio - 1 - cmath.sqrt(z - left) * cmath.sqrt(z - right)) / (2 * ratio * z)


def atoms(positions: Sequence[float], masses: Sequence[float]) -> Transform:
    """Give G of a measure of atoms."""
    return lambda z: sum(m / (z - x) for x, m in zip(positions, masses, strict=True))


def _fixed_point(step: Callable[[complex, complex], complex], path: Callable[[float], complex]) -> complex:
    """The fixed point of w -> step(z, w), followed along path from place 1 to place 0."""
    z = path(1.0)
    w = z
    for _ in range(2000):
        following = step(z, w)
        if abs(following - w) < 1e-15 * abs(w):
            break
        w = following
    for place in [0.7**k for k in range(1, 90)] + [0.0]:
        z = path(place)
        other = w * (1 + 1e-6j)
        residual, residual_other = step(z, w) - w, step(z, other) - other
        for _ in range(100):
            if residual == residual_other or abs(residual) < 4e-16 * abs(w):
                break
            following = w - residual * (w - other) / (residual - residual_other)
            if following.imag < 0:
                following = step(z, w)
            other, residual_other = w, residual
            w, residual = following, step(z, following) - following
    return w


def free_sum(g1: Transform, g2: Transform, z: complex, height: float = 10.0) -> complex:
    """Give G(z) of the free additive convolution, Im z >= 0."""

    def step(z: complex, w: complex) -> complex:
        w2 = z + 1 / g1(w) - w
        return z + 1 / g2(w2) - w2

    return g1(_fixed_point(step, lambda place: z + 1j * height * place))


def free_product(g1: Transform, g2: Transform, z: complex) -> complex:
    """Give G(z) of the free multiplicative convolution of measures on [0, inf), Im z >= 0, z not 0."""

    def k(g: Transform, w: complex) -> complex:
        return (1 + 1 / (w * g(w) - 1)) / w

    w = _fixed_point(lambda z, w: z * k(g2, z * k(g1, w)), _turning(z))
    return w * g1(w) / z


def free_power_sum(g: Transform, t: float, z: complex, height: float = 10.0) -> complex:
    """Give G(z) of the additive power t >= 1, Im z >= 0."""
    return g(_fixed_point(lambda z, w: (z + (t - 1) / g(w)) / t, lambda place: z + 1j * height * place))


def free_power_product(g: Transform, t: float, z: complex) -> complex:
    """Give G(z) of the multiplicative power t >= 1 of a measure on [0, inf), Im z >= 0, z not 0."""

    def step(z: complex, w: complex) -> complex:
        return cmath.exp((cmath.log(z) + (t - 1) * cmath.log(1 + 1 / (w * g(w) - 1))) / t)

    w = _fixed_point(step, _turning(z))
    return w * g(w) / z


def _turning(z: complex) -> Callable[[float], complex]:
    """From the imaginary axis to z, at the same distance from 0."""
    angle = cmath.phase(z)
    return lambda place: cmath.rect(abs(z), angle + place * (cmath.pi / 2 - angle)) if place else complex(z)


def marchenko_pastur_product_density(ratio1: float, ratio2: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the density of MP(ratio1) [x] MP(ratio2) from its cubic, without any continuation.

    u = x G - 1 is a root of (1 + u)(1 + ratio1 u)(1 + ratio2 u) = x u; the density is |Im u| / (pi x).
    """
    cubic = np.polymul(np.polymul([1.0, 1.0], [ratio1, 1.0]), [ratio2, 1.0])
    return np.array([max(np.roots(cubic - np.array([0, 0, point, 0])).imag) / (np.pi * point) for point in x])
