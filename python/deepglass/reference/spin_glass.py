"""The Parisi recursion of Ising spins in a field: the slow twin of cpp parisi/spin_glass.hpp and _ground_state.hpp.

Everything in logarithms, on a grid twice as fine as the kernel's and by whole matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, logsumexp

Array = NDArray[np.float64]


@dataclass
class SpinGlass:
    """Results: F, g_i, dF/dm_i, E f_k' and the averages over P_i of f_i''^2, f_i''^3, f_i'''^2."""

    value: float
    slope_square: Array
    breakpoint_slope: Array
    magnetisation: float
    curvature2: Array
    curvature3: Array
    third2: Array


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

    # Outwards: f_i, its derivatives and the kernels T_i, whose rows sum to one (the grid ends where P does).
    f, slope, second = [np.logaddexp(u, -u)], [np.tanh(u)], [1 / np.cosh(u) ** 2]
    third = [-2 * slope[0] * second[0]]
    kernel: list[Array] = []
    for i in range(k, 0, -1):
        exponent = log_gauss(i) + m[i] * f[0]
        f.insert(0, logsumexp(exponent, axis=1) / m[i])
        kernel.insert(0, np.exp(exponent - m[i] * f[0][:, None]))
        inner = (slope[0], second[0], third[0])
        slope.insert(0, kernel[0] @ inner[0])
        second.insert(0, kernel[0] @ (inner[1] + m[i] * inner[0] ** 2) - m[i] * slope[0] ** 2)
        tilted = inner[2] + 3 * m[i] * inner[0] * inner[1] + m[i] ** 2 * inner[0] ** 3
        third.insert(0, kernel[0] @ tilted - 3 * m[i] * slope[0] * second[0] - m[i] ** 2 * slope[0] ** 3)

    # Inwards: P_i, g_i and what each step gains.
    p = [np.exp(log_gauss(0)[n])]
    for i in range(1, k + 1):
        p.append(p[-1] @ kernel[i - 1])
    mean = np.array([p[i] @ f[i] for i in range(k + 1)])
    g, curvature2, curvature3, third2 = (
        np.array([p[i] @ y[i] ** power for i in range(k + 1)])
        for y, power in ((slope, 2), (second, 2), (second, 3), (third, 2))
    )
    return SpinGlass(mean[0], g, np.diff(mean) / m[1:], float(p[k] @ slope[k]), curvature2, curvature3, third2)


@dataclass
class GroundState:
    """Results: F, g_i and dF/da_i."""

    value: float
    slope_square: Array
    breakpoint_slope: Array


def ground_state(covariance: ArrayLike, breakpoints: ArrayLike, field: float = 0.0) -> GroundState:
    r"""The same at zero temperature, in units of the field: f_k = |h|, a_i = beta m_i.

    exp(a_i f_{i-1}) = G_i * exp(a_i f_i),  F = (G_0 * f_0)(field),  T_i = G_i exp(a_i [f_i - f_{i-1}])

    The last step, over |h|, is an integral over z that ends at z = -h/s:

        E exp(a |h + s z|) = exp(a^2 s^2/2) [exp(a h) Phi(h/s + a s) + exp(-a h) Phi(-h/s + a s)].

    Parameters
    ----------
    covariance : array, shape (k+1,)
        Lambda_0 <= .. < Lambda_k.
    breakpoints : array, shape (k,)
        a_1 < .. < a_k.
    field : float
        Mean of h.

    Returns
    -------
    GroundState
        g_i of the k outer levels; at the innermost one it is 1.
    """
    level, a = np.asarray(covariance, float), np.r_[0.0, np.asarray(breakpoints, float)]
    variance, k = np.diff(level, prepend=0.0), len(level) - 1
    # f_{k-1} has poles at a distance of 1.2 widths s/sqrt(1 + a^2 s^2) or more.
    s = np.sqrt(variance[k])
    spacing = min(s / np.hypot(1, a[k] * s) / 5, np.sqrt(variance[variance > 0].min()) / 3)
    n = int(np.ceil((10 * np.sqrt(level[-1]) + a @ variance + 1) / spacing))
    h = field + np.arange(-n, n + 1) * spacing

    up, down = (x * a[k] * h + log_ndtr(x * h / s + a[k] * s) for x in (1, -1))
    f = [a[k] * s**2 / 2 + np.logaddexp(up, down) / a[k]]
    slope = [np.tanh((up - down) / 2)]
    # int T_k |h'|, the derivative of a f_{k-1} by a
    kink = np.exp(-(h**2) / (2 * s**2) - a[k] * f[0]) * s * np.sqrt(2 / np.pi)
    gain = [a[k] * s**2 + h * slope[0] + kink - f[0]]
    kernel: list[Array] = []
    for i in range(k - 1, 0, -1):
        d = h[:, None] - h
        exponent = -(d**2) / (2 * variance[i]) + np.log(spacing / np.sqrt(2 * np.pi * variance[i])) + a[i] * f[0]
        f.insert(0, logsumexp(exponent, axis=1) / a[i])
        kernel.insert(0, np.exp(exponent - a[i] * f[0][:, None]))
        slope.insert(0, kernel[0] @ slope[0])
        gain.insert(0, kernel[0] @ f[1] - f[0])

    p = np.exp(-((h - field) ** 2) / (2 * variance[0])) if variance[0] > 0 else (h == h[n]).astype(float)
    p /= p.sum()
    value, g, da = float(p @ f[0]), [], []
    for i in range(1, k + 1):
        g.append(p @ slope[i - 1] ** 2)
        da.append(p @ gain[i - 1] / a[i])
        p = p @ kernel[i - 1] if i < k else p
    return GroundState(value, np.array(g), np.array(da))
