"""Spectra of networks as a careful NumPy user would write them: all points at once, Newton on a fixed ladder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
LADDER = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-7, 0.0)


def stieltjes_marchenko_pastur(ratio: float) -> Callable[[Complex], Complex]:
    """m(z) = int dmu/(x - z) of the Marchenko-Pastur law."""
    left, right = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    return lambda z: (1 - ratio - z + np.sqrt(z - left) * np.sqrt(z - right)) / (2 * ratio * z)


def newton(residual: Callable[[Complex], Complex], x: Complex) -> Complex:
    """A zero of an analytic function of one unknown at each point, its derivative by differences."""
    for _ in range(40):
        value = residual(x)
        h = 1e-7 * (1 + np.abs(x))
        step = value * h / (residual(x + h) - value)
        x = x - step
        if np.abs(step / x).max() < 1e-13:
            break
    return x


def jacobian_density(squares: Array, masses: Array, weight_variance: float, depth: int, x: Array) -> Array:
    """tanh or another smooth activation, orthogonal weights: lambda = s^L w^L (u/(1 + u))^(L - 1), u = M_D(w)."""

    def moment(w: Complex) -> tuple[Complex, Complex]:
        r = 1 / (w[:, None] - squares)
        return (r * squares) @ masses, -((r * r * squares) @ masses)

    target = x * np.exp(1j * np.pi / 2)
    w = target ** (1 / depth) / weight_variance + squares.mean()
    for angle in (*np.linspace(np.pi / 2, 0.05, 12), 0.02, 0.01, 0.0):
        target = np.log(x) + 1j * angle
        for _ in range(60):
            u, slope = moment(w)
            value = depth * np.log(weight_variance * w) + (depth - 1) * (np.log(-u) - np.log(-1 - u)) - target
            gradient = depth / w + (depth - 1) * slope / (u * (1 + u))
            step = value / gradient
            step *= np.minimum(1, 0.3 * np.abs(w) / np.maximum(np.abs(step), 1e-300))
            w = w - step
            if np.abs(step / w).max() < 1e-13:
                break
    return -moment(w)[0].imag / (np.pi * x)


def conjugate_kernel_density(input_ratio: float, ratios: Sequence[float], slope: float, x: Array) -> Array:
    """The chain of one unknown: from zeta and m_0(zeta) outwards to z_L(zeta), layer by layer."""
    m0, b2 = stieltjes_marchenko_pastur(input_ratio), slope**2

    def chain(zeta: Complex) -> tuple[Complex, Complex]:
        z, m = zeta, m0(zeta)
        for ratio in ratios:
            a = b2 * z + 1 - b2
            t = 1 - ratio - ratio * a * m / b2
            z, m = t * a, m / (b2 * t)
        return z, m

    zeta = x + 20j
    for height in (20.0, 5.0, *LADDER):
        zeta = newton(lambda y: chain(y)[0] - (x + 1j * height), zeta)  # noqa: B023
    return chain(zeta)[1].imag / np.pi


def tangent_kernel_density(input_ratio: float, ratios: Sequence[float], slope: float, square: float, x: Array) -> Array:
    """Fan and Wang's equations in s_1 .. s_L together, their matrix of derivatives by differences."""
    m0, b2, depth = stieltjes_marchenko_pastur(input_ratio), slope**2, len(ratios)
    q = [b2 ** (depth - level) for level in range(depth)]
    shift = sum(square ** (depth - level) - q[level] for level in range(depth))

    def t(level: int, z: list[Complex], w: list[Complex], s: Complex) -> Complex:
        if level == 0:  # int (w_-1 + w_0 x)/(z_-1 + z_0 x) dmu_0
            return w[1] / z[1] + (w[0] - w[1] * z[0] / z[1]) / z[1] * m0(-z[0] / z[1])
        rest = [a - w[-1] / z[-1] * c for a, c in zip(w[:-1], z[:-1], strict=True)]
        return w[-1] / z[-1] + t(level - 1, before(z, s[level - 1]), rest, s)

    def before(z: list[Complex], s: Complex) -> list[Complex]:
        inner = list(z[:-1])
        inner[0] = inner[0] + (1 - b2) / s
        inner[-1] = inner[-1] + b2 / s
        return inner

    def residual(point: Complex, s: Complex) -> tuple[Complex, Complex]:
        top = z = [shift - point, *(value + 0 * point for value in q), 1 + 0 * point]
        values = []
        for level in range(depth, 0, -1):
            inner = before(z, s[level - 1])
            weights = [0 * point] * (level + 1)
            weights[0] = weights[0] + 1 - b2
            weights[-1] = weights[-1] + b2
            values.append(s[level - 1] - 1 / z[-1] - ratios[level - 1] * t(level - 1, inner, weights, s))
            z = inner
        one = [1 + 0 * point, *([0 * point] * (depth + 1))]
        return np.array(values[::-1]), t(depth, top, one, s)

    s = np.empty((depth, len(x)), complex)
    following: Complex = np.ones(len(x), complex)
    for level in range(depth, 0, -1):
        s[level - 1] = following
        if level > 1:
            following = 1 / (q[level - 1] + b2 / following)
    for height in (1000.0, 100.0, 30.0, 10.0, 3.0, *LADDER):
        point = x + 1j * height
        for _ in range(40):
            value, _m = residual(point, s)
            matrix = np.empty((len(x), depth, depth), complex)
            for k in range(depth):
                h = 1e-7 * (1 + np.abs(s[k]))
                moved = s.copy()
                moved[k] += h
                matrix[:, :, k] = ((residual(point, moved)[0] - value) / h).T
            step = np.linalg.solve(matrix, value.T[:, :, None])[:, :, 0].T
            s = s - step
            if np.abs(step / s).max() < 1e-13:
                break
    return residual(x + 0j, s)[1].imag / np.pi
