"""Kernels of infinitely wide networks, and training with them, to be read next to the papers.

relu and erf in closed form, all other functions by quadrature in two dimensions, pair by pair.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

from .meanfield import ACTIVATIONS, Phi, moments, two_point

Array = npt.NDArray[np.float64]


def relu(k11: Array, k22: Array, k12: Array) -> tuple[Array, Array]:
    """E phi phi and E phi' phi' of relu (Cho and Saul 2009)."""
    norm = np.sqrt(k11 * k22)
    theta = np.arccos(np.clip(k12 / norm, -1, 1))
    value = norm * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    return value, (np.pi - theta) / (2 * np.pi)


def erf(k11: Array, k22: Array, k12: Array) -> tuple[Array, Array]:
    """E phi phi and E phi' phi' of erf (Williams 1997)."""
    product = (1 + 2 * k11) * (1 + 2 * k22)
    return 2 / np.pi * np.arcsin(2 * k12 / np.sqrt(product)), 4 / np.pi / np.sqrt(product - 4 * k12**2)


def linear(k11: Array, k22: Array, k12: Array) -> tuple[Array, Array]:
    """E u u' and 1."""
    return k12, np.ones_like(k12)


def by_quadrature(phi: Phi, k11: Array, k22: Array, k12: Array) -> tuple[Array, Array]:
    """E phi phi and E phi' phi' of any function; one-dimensional where the two variables are the same."""
    value, slope = np.empty_like(k12), np.empty_like(k12)
    for at in np.ndindex(k12.shape):
        q1, q2, c = float(k11[at]), float(k22[at]), float(np.clip(k12[at] / np.sqrt(k11[at] * k22[at]), -1, 1))
        if q1 == q2 and c > 1 - 1e-14:
            m = moments(phi, q1)
            value[at], slope[at] = m["square"], m["slope_square"]
        else:
            value[at], slope[at] = two_point(phi, q1, q2, c)
    return value, slope


def nngp_and_ntk(
    phi: str | Phi, x1: Array, x2: Array, hidden_layers: int, weight_variance: float, bias_variance: float
) -> tuple[Array, Array]:
    """K and Theta of the rows of x1 with those of x2."""
    closed = {"relu": relu, "erf": erf, "linear": linear}

    def average(k11: Array, k22: Array, k12: Array) -> tuple[Array, Array]:
        if isinstance(phi, str) and phi in closed:
            return closed[phi](k11, k22, k12)
        return by_quadrature(ACTIVATIONS[phi] if isinstance(phi, str) else phi, k11, k22, k12)

    def affine(mean_product: Array) -> Array:
        return weight_variance * mean_product + bias_variance

    d = x1.shape[1]
    shape = (len(x1), len(x2))
    k12 = affine(x1 @ x2.T / d)
    k11 = np.broadcast_to(affine((x1**2).sum(1) / d)[:, np.newaxis], shape)
    k22 = np.broadcast_to(affine((x2**2).sum(1) / d), shape)
    theta = k12
    for _ in range(hidden_layers):
        value, slope = average(k11, k22, k12)
        k11, k22, k12 = affine(average(k11, k11, k11)[0]), affine(average(k22, k22, k22)[0]), affine(value)
        theta = k12 + weight_variance * slope * theta
    return k12, theta


def gradient_flow(theta: Array, theta_test: Array, y: Array, rate: float, time: float) -> tuple[Array, Array]:
    """f_t on train and test from f_0 = 0: (I - exp(-rate Theta t)) y, Theta(x', X) Theta^{-1} of that."""
    train = y - expm(-rate * time * theta) @ y
    return train, theta_test @ np.linalg.solve(theta, train)
