"""The phase diagram as one would write it in NumPy: all points at once, a Gaussian rule, Mehler's series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gaussian_rule(n_panels: int = 26, n_nodes: int = 20) -> tuple[Array, Array]:
    """Panels of Gauss-Legendre on [-13, 13]: what tanh needs for 1e-15 at variances up to ten."""
    x, w = np.polynomial.legendre.leggauss(n_nodes)
    half = 13.0 / n_panels
    centres = -13.0 + half * (2 * np.arange(n_panels) + 1)
    z = np.add.outer(centres, half * x).reshape(-1)
    return z, np.tile(half * w, n_panels) * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def variances(sw2: Array, sb2: Array, block: int = 2000) -> tuple[Array, Array]:
    """q* and chi_1 of tanh by Newton's method in blocks of points; odd, so that z > 0 is enough."""
    z, w = gaussian_rule()
    z, w = z[z > 0], 2 * w[z > 0]
    q_out, chi_out = np.empty(sw2.size), np.empty(sw2.size)
    for first in range(0, sw2.size, block):
        part = slice(first, first + block)
        v, b = sw2[part], sb2[part]
        q = np.ones(v.size)
        for _ in range(60):
            sd = np.sqrt(q)[:, np.newaxis]
            t = np.tanh(sd * z)
            slope = 1.0 - t**2
            excess = v * (t**2 @ w) + b - q
            step = excess / (v * ((t * slope) @ (w * z)) / sd[:, 0] - 1.0)
            new = np.maximum(q - step, 0.125 * q)
            done = np.abs(new - q) <= 1e-14 * q
            q = new
            if done.all():
                break
        slope = 1.0 - np.tanh(np.sqrt(q)[:, np.newaxis] * z) ** 2
        q_out[part], chi_out[part] = q, v * (slope**2 @ w)
    return q_out, chi_out


def correlations(sw2: Array, sb2: Array, q: Array, chi_1: Array, n_terms: int = 160, block: int = 500) -> Array:
    """c* of tanh where chi_1 > 1, by Newton's method on the series of its map."""
    z, w = gaussian_rule()
    z, w = z[z > 0], 2 * w[z > 0]
    hermite = np.empty((n_terms, z.size))  # orthonormal, of odd degree only below
    hermite[0], hermite[1] = 1.0, z
    for k in range(1, n_terms - 1):
        hermite[k + 1] = (z * hermite[k] - np.sqrt(k) * hermite[k - 1]) / np.sqrt(k + 1)
    odd = np.arange(1, n_terms, 2)
    weighted = (hermite[odd] * w).T
    c_out = np.ones(sw2.size)
    chaotic = np.flatnonzero(chi_1 > 1.0)
    for first in range(0, chaotic.size, block):
        at = chaotic[first : first + block]
        a2 = (np.tanh(np.sqrt(q[at])[:, np.newaxis] * z) @ weighted) ** 2 * (sw2[at] / q[at])[:, np.newaxis]
        bias = sb2[at] / q[at]
        c = np.zeros(at.size)
        for _ in range(200):  # convex: monotone from 0
            powers = c[:, np.newaxis] ** (odd - 1)
            value, slope = c * (a2 * powers).sum(axis=1) + bias, (a2 * odd * powers).sum(axis=1)
            step = (value - c) / (1.0 - slope)
            c = np.clip(c + step, 0.0, 1.0)
            if (np.abs(step) <= 1e-13).all():
                break
        c_out[at] = c
    return c_out
