"""Spectra of wide random networks, as slowly as the papers write them: fixed points within fixed points.

Everything is given at points z of the upper half plane, well above the axis: the plain iterations converge there.
Laws are lists of positions and masses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .quadrature import gauss_legendre

__all__ = [
    "conditional_fisher",
    "conjugate_kernel",
    "free_product",
    "gaussian_law",
    "haar_orthogonal",
    "jacobian",
    "neural_tangent_kernel",
    "residual_limit",
    "ridge_risk",
]

Array = NDArray[np.float64]
Law = tuple[Array, Array]
Transform = Callable[[complex], complex]


def gaussian_law(function: Callable[[Array], Array], breaks: Sequence[float] = (), n_panels: int = 120) -> Law:
    """Law of function(h), h standard normal, as positions and masses; panels end at the breaks."""
    x, w = gauss_legendre(20)
    edges = np.unique(np.concatenate([np.linspace(-13, 13, n_panels + 1), np.asarray(breaks, float)]))
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    h = (middle[:, None] + half[:, None] * x).ravel()
    mass = (half[:, None] * w).ravel() * np.exp(-0.5 * h**2) / np.sqrt(2 * np.pi)
    return function(h), mass


def moment_transform(law: Law) -> Transform:
    """M(z) = E x/(z - x)."""
    position, mass = law
    return lambda z: complex(np.sum(mass * position / (z - position)))


def _fixed_point(step: Callable[[complex], complex], start: complex) -> complex:
    x = start
    for _ in range(3000):
        new = step(x)
        if abs(new - x) <= 2e-14 * abs(new):
            return new
        x = new
    raise ArithmeticError("no convergence: z is too close to the axis")


def free_product(first: Transform, second: Transform) -> Transform:
    """M of the free product from those of the factors: H = 1 + 1/M, H(z) = H1(w1) = H2(w2), w1 w2 = z H(z)."""

    def ratio(transform: Transform, w: complex) -> complex:
        return (1 + 1 / transform(w)) / w

    def product(z: complex) -> complex:
        w1 = _fixed_point(lambda w: z * ratio(second, z * ratio(first, w)), z)
        return first(w1)

    return product


def _affine(transform: Transform, shift: float, scale: float) -> Transform:
    def image(z: complex) -> complex:
        inner = (z - shift) / scale
        return z * (1 + transform(inner)) / (inner * scale) - 1

    return image


def _marchenko_pastur(ratio: float) -> Transform:
    def transform(z: complex) -> complex:  # (1 + M)(1 + ratio M) = z M, the root that is small at infinity
        roots = np.roots([ratio, 1 + ratio - z, 1])
        return complex(roots[np.argmin(np.abs(roots))])

    return transform


def jacobian(z: complex, law: Law, weight_variance: float, depth: int, gaussian: bool) -> complex:
    """G(z) of J J^T: the free product of depth copies of weight_variance d^2, each times MP_1 for Gaussian weights."""
    layer = moment_transform((weight_variance * law[0], law[1]))
    if gaussian:
        layer = free_product(layer, _marchenko_pastur(1.0))
    product = layer
    for _ in range(depth - 1):
        product = free_product(layer, product)
    return (1 + product(z)) / z


def residual_limit(z: complex, strength: float) -> complex:
    """G(z) of prod (1 + a D W): z = (1 + u)/u exp(c (1 + 2u)), followed in c from the point mass at 1."""
    u = 1 / (z - 1)
    for c in np.linspace(0, strength, 200)[1:]:
        for _ in range(50):
            value = (1 + u) / u * np.exp(c * (1 + 2 * u))
            step = (z - value) / (value * (1 / (1 + u) - 1 / u + 2 * c))
            u += step
            if abs(step) < 1e-15 * abs(u):
                break
    return (1 + u) / z


def conjugate_kernel(z: complex, ratios: Sequence[float], slope: float, law: Law) -> complex:
    """G(z) of mu_l = MP_ratio [x] (1 - b^2 + b^2 mu_{l-1}), mu_0 = law."""
    transform = moment_transform(law)
    for ratio in ratios:
        transform = free_product(_affine(transform, 1 - slope**2, slope**2), _marchenko_pastur(ratio))
    return (1 + transform(z)) / z


def fan_wang(z: list[complex], w: list[complex], ratios: Sequence[float], b2: float, law: Law) -> complex:
    """t_L(z, w) by the recursions of Fan and Wang (arXiv:2005.11879) for t_l(z, w) and s_l(z), word for word."""
    position, mass = law

    def t(level: int, z: list[complex], w: list[complex]) -> complex:  # z, w = entries -1, 0, ..., level
        if level == 0:
            return complex(np.sum(mass * (w[0] + w[1] * position) / (z[0] + z[1] * position)))
        before = previous(z, s(level, z))
        rest = [a - w[-1] / z[-1] * c for a, c in zip(w[:-1], z[:-1], strict=True)]
        return w[-1] / z[-1] + t(level - 1, before, rest)

    def previous(z: list[complex], s: complex) -> list[complex]:
        before = list(z[:-1])
        before[0] += (1 - b2) / s
        before[-1] += b2 / s
        return before

    def s(level: int, z: list[complex]) -> complex:
        weights: list[complex] = [0.0] * (level + 1)
        weights[0] += 1 - b2
        weights[-1] += b2
        return _fixed_point(
            lambda s: 1 / z[-1] + ratios[level - 1] * t(level - 1, previous(z, s), weights), 1 / z[-1] + 1j
        )

    return t(len(ratios), z, w)


def _tangent(ratios: Sequence[float], b2: float, mean_slope_square: float) -> tuple[float, list[float]]:
    """Give r and q_0 .. q_{L-1} of the tangent kernel r + X_L^T X_L + sum_l q_l X_l^T X_l."""
    depth = len(ratios)
    q = [b2 ** (depth - level) for level in range(depth)]
    return sum(mean_slope_square ** (depth - level) - q[level] for level in range(depth)), q


def neural_tangent_kernel(
    z: complex, ratios: Sequence[float], slope: float, mean_slope_square: float, law: Law
) -> complex:
    """m(z) = t_L((r - z, q_0, .., q_{L-1}, 1), (1, 0, .., 0))."""
    shift, q = _tangent(ratios, slope**2, mean_slope_square)
    return fan_wang([shift - z, *q, 1.0], [1.0, *[0.0] * (len(ratios) + 1)], ratios, slope**2, law)


def ridge_risk(
    ridge: float,
    ratios: Sequence[float],
    slope: float,
    mean_slope_square: float,
    law: Law,
    trained: str,
    signal: float,
    noise: float,
) -> float:
    """Test error -(signal dh/dz + noise dm/dz) / m^2; derivatives by Cauchy's formula on a circle around z."""
    shift, q = _tangent(ratios, slope**2, mean_slope_square) if trained == "all" else (0.0, [0.0] * len(ratios))
    centre, n = ridge + shift, 64
    rest = [0.0] * len(ratios)
    turns = np.exp(-2j * np.pi * (np.arange(n // 2) + 0.5) / n)  # the lower half; the upper one is the mirror image

    def around(w: list[complex]) -> NDArray[np.complex128]:
        points = [centre + centre / 2 * turn for turn in turns]
        return np.array([fan_wang([z, *q, 1.0], w, ratios, slope**2, law) for z in points])

    m, h = around([1.0, 0.0, *rest]), around([0.0, 1.0, *rest])
    dm, dh = (float(np.mean((values / turns).real)) / (centre / 2) for values in (m, h))
    return -(signal * dh + noise * dm) / float(np.mean(m.real)) ** 2


def conditional_fisher(z: complex, law: Law, squares: Sequence[float], weight_variance: float) -> complex:
    """G(z) of mu_L: mu_{l+1} = (qhat_l + weight_variance .)_* (law [x] mu_l), mu_1 = qhat_0, all layers alike."""
    slopes = moment_transform(law)
    transform = moment_transform((np.array([squares[0]]), np.array([1.0])))
    for square in squares[1:]:
        transform = _affine(free_product(slopes, transform), square, weight_variance)
    return (1 + transform(z)) / z


def haar_orthogonal(n: int, generator: np.random.Generator) -> Array:
    """An orthogonal n x n matrix, uniform: QR of a Gaussian matrix, with a positive diagonal of R."""
    q, r = np.linalg.qr(generator.normal(size=(n, n)))
    return np.asarray(q * np.sign(np.diag(r)))
