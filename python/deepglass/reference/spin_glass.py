"""The Parisi recursion of Ising spins in a field: the slow twin of cpp parisi/spin_glass.hpp.

Everything in logarithms, on a grid twice as fine as the kernel's and by whole matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]


@dataclass
class SpinGlass:
    """Results: F, g_i, dF/dm_i and the averages over P_k of f', f''^2, f''^3, f'''^2."""

    value: float
    slope_square: Array
    breakpoint_slope: Array
    magnetisation: float
    curvature2: float
    curvature3: float
    third2: float


def recursion(covariance: ArrayLike, breakpoints: ArrayLike, field: float = 0.0) -> SpinGlass:
    r"""F and its derivatives for levels Lambda_i of the covariance of u and breakpoints m_i.

    f_k = ln 2cosh u,  exp(m_i f_{i-1}) = G_i * exp(m_i f_i),  F = (G_0 * f_0)(field)

    with G_i the Gaussian of variance Lambda_i - Lambda_{i-1};  dF/dLambda_i = (m_i - m_{i+1}) g_i / 2 for i < k.

    Parameters
    ----------
    covariance : array, shape (k+1,)
        Lambda_0 <= .. <= Lambda_k.
    breakpoints : array, shape (k,)
        m_1 < .. < m_k.
    field : float
        Mean of u.

    Returns
    -------
    SpinGlass
    """
    level, m = np.asarray(covariance, float), np.r_[0.0, np.asarray(breakpoints, float)]
    variance, k = np.diff(level, prepend=0.0), len(level) - 1
    spacing = min(0.125, np.sqrt(variance[variance > 0].min(initial=1.0)) / 3)
    reach = 10 * np.sqrt(level[-1]) + m @ variance + 1
    n = int(np.ceil(reach / spacing))
    u = field + np.arange(-n, n + 1) * spacing

    def log_gauss(i: int) -> Array:
        if variance[i] == 0:
            return np.where(np.eye(len(u)) > 0, 0.0, -np.inf)
        d = u[:, None] - u
        return np.asarray(-(d**2) / (2 * variance[i]) + np.log(spacing / np.sqrt(2 * np.pi * variance[i])))

    # Outwards: f_i, f_i' and the kernels T_i, whose rows sum to one (the grid ends where P does).
    f, slope = [np.logaddexp(u, -u)], [np.tanh(u)]
    kernel: list[Array] = []
    for i in range(k, 0, -1):
        exponent = log_gauss(i) + m[i] * f[0]
        f.insert(0, logsumexp(exponent, axis=1) / m[i])
        kernel.insert(0, np.exp(exponent - m[i] * f[0][:, None]))
        slope.insert(0, kernel[0] @ slope[0])

    # Inwards: P_i, g_i and what each step gains.
    p = np.exp(log_gauss(0)[n])
    value = mean = float(p @ f[0])
    g, dm = [p @ slope[0] ** 2], []
    for i in range(1, k + 1):
        p = p @ kernel[i - 1]
        g.append(p @ slope[i] ** 2)
        dm.append((p @ f[i] - mean) / m[i])
        mean = float(p @ f[i])
    t, c = np.tanh(u), 1 / np.cosh(u) ** 2
    moments = [float(p @ y) for y in (t, c**2, c**3, (2 * t * c) ** 2)]
    return SpinGlass(value, np.array(g), np.array(dm), *moments)
