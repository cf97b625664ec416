"""Free convolutions as a careful NumPy user would write them: subordination on all points at once.

The same equations as the kernels; transforms in closed form, Newton's method on arrays, continuation in Im z (sums)
or in the angle of z (products) on a fixed ladder, which works for the cases of the bench.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
Transform = Callable[[Complex], tuple[Complex, Complex]]


def semicircle(variance: float) -> Transform:
    """G and G' of the semicircle law."""
    s = 2 * np.sqrt(variance)

    def transform(z: Complex) -> tuple[Complex, Complex]:
        root = np.sqrt(z - s) * np.sqrt(z + s)
        g = 2 / (z + root)
        return g, -g / root

    return transform


def marchenko_pastur(ratio: float) -> Transform:
    """G and G' of the Marchenko-Pastur law."""
    left, right = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def transform(z: Complex) -> tuple[Complex, Complex]:
        root = np.sqrt(z - left) * np.sqrt(z - right)
        g = (z + ratio - 1 - root) / (2 * ratio * z)
        return g, g * (ratio * g - 1) / root

    return transform


def free_sum_density(one: Transform, two: Transform, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of the free additive convolution."""
    w = x + 10j
    for height in (10.0, 1.0, 0.1, 0.01, 1e-4, 0.0):
        z = x + 1j * height
        for _ in range(60):
            g1, slope1 = one(w)
            f1, f1_slope = 1 / g1, -slope1 / g1**2
            w2 = z + f1 - w
            g2, slope2 = two(w2)
            image = z + 1 / g2 - w2
            step = (image - w) / (1 - (f1_slope - 1) * (-slope2 / g2**2 - 1))
            w = w + step
            w = np.where(w.imag < 0, w.conj(), w)
            if np.abs(step).max() < 1e-13:
                break
    return -one(w)[0].imag / np.pi


def free_product_density(one: Transform, two: Transform, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density of the free multiplicative convolution."""

    def ratio(transform: Transform, w: Complex) -> tuple[Complex, Complex]:
        g, slope = transform(w)
        m, m_slope = w * g - 1, g + w * slope
        k = g / m
        return k, k * (slope / g - m_slope / m)

    w = x * np.exp(1j * np.pi / 2)
    for angle in (np.pi / 2, 1.0, 0.5, 0.2, 0.05, 0.01, 0.0):
        z = x * np.exp(1j * angle)
        for _ in range(60):
            k1, slope1 = ratio(one, w)
            w2 = z * k1
            k2, slope2 = ratio(two, w2)
            step = (z * k2 - w) / (1 - z * slope1 * z * slope2)
            w = w + step
            w = np.where(w.imag < 0, w.conj(), w)
            if np.abs(step / w).max() < 1e-13:
                break
    return -(w * one(w)[0] / x).imag / np.pi
