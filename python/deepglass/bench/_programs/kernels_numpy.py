"""Kernels of infinitely wide networks as one writes them in NumPy: whole matrices, layer by layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def relu_ntk(x: Array, hidden_layers: int, sw2: float, sb2: float) -> Array:
    k = sw2 * (x @ x.T) / x.shape[1] + sb2
    theta = k.copy()
    for _ in range(hidden_layers):
        sd = np.sqrt(np.diag(k))
        norm = np.outer(sd, sd)
        c = np.clip(k / norm, -1, 1)
        np.fill_diagonal(c, 1.0)
        angle = np.arccos(c)
        slope = (np.pi - angle) / (2 * np.pi)
        k = sw2 * norm * (np.sqrt(1 - c * c) / (2 * np.pi) + slope * c) + sb2
        theta = k + sw2 * slope * theta
    return np.asarray(theta)


def erf_ntk(x: Array, hidden_layers: int, sw2: float, sb2: float) -> Array:
    k = sw2 * (x @ x.T) / x.shape[1] + sb2
    theta = k.copy()
    for _ in range(hidden_layers):
        one = 1 + 2 * np.diag(k)
        product = np.outer(one, one)
        slope = 4 / np.pi / np.sqrt(product - 4 * k * k)
        k = sw2 * 2 / np.pi * np.arcsin(2 * k / np.sqrt(product)) + sb2
        theta = k + sw2 * slope * theta
    return np.asarray(theta)


def tanh_ntk(x: Array, hidden_layers: int, sw2: float, sb2: float, terms: int = 120, nodes: int = 400) -> Array:
    """Mehler's series: coefficients of every input, then Horner's rule in the correlation of all pairs."""
    edges = np.linspace(-13, 13, nodes // 20 + 1)
    unit, unit_weight = np.polynomial.legendre.leggauss(20)
    z = ((edges[1:] + edges[:-1])[:, np.newaxis] / 2 + np.outer(np.diff(edges) / 2, unit)).ravel()
    weight = np.outer(np.diff(edges) / 2, unit_weight).ravel() * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    hermite = np.empty((terms, len(z)))
    hermite[0], hermite[1] = 1.0, z
    for n in range(1, terms - 1):
        hermite[n + 1] = (z * hermite[n] - np.sqrt(n) * hermite[n - 1]) / np.sqrt(n + 1)
    projector = hermite * weight

    k = sw2 * (x @ x.T) / x.shape[1] + sb2
    theta = k.copy()
    for _ in range(hidden_layers):
        sd = np.sqrt(np.diag(k))
        phi = np.tanh(np.outer(sd, z))
        a, b = phi @ projector.T, (1 - phi * phi) @ projector.T
        c = k / np.outer(sd, sd)
        value, slope = np.zeros_like(k), np.zeros_like(k)
        for n in range(terms - 1, -1, -1):
            value = value * c + np.outer(a[:, n], a[:, n])
            slope = slope * c + np.outer(b[:, n], b[:, n])
        np.fill_diagonal(value, phi**2 @ weight)
        np.fill_diagonal(slope, (1 - phi * phi) ** 2 @ weight)
        k = sw2 * value + sb2
        theta = k + sw2 * slope * theta
    return theta
