"""The k-step Parisi recursion of one Gaussian-field term: the slow twin of cpp parisi/recursion.hpp.

The same discretisation, written to be read: grids x = b sinh(j dt), Gauss-Hermite nodes (equidistant ones where
a spin's variance is large), 8-point Lagrange interpolation in t, and the transposed weights for the measures P_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, log_ndtr

Array = NDArray[np.float64]

GRID_SCALE, GRID_SPACING, LOG_TOLERANCE = 1.2, 0.07, 19.5
STENCIL, MARGIN, BEYOND, MOST_NODES = 8, 3, 1, 40


@dataclass
class Recursion:
    """Results: F, g_i, K, 1 - g_k (spin), the masses of P_i and dF/dm_i."""

    value: float
    slope_square: Array
    replicon: float
    one_minus_last: float
    mass: Array
    breakpoint_slope: Array


def lagrange_weights(xi: Array) -> Array:
    """Weights of the points -7/2 .. 7/2 for a value at xi, shape (..., 8)."""
    points = np.arange(STENCIL) - (STENCIL - 1) / 2
    weights = np.ones((*xi.shape, STENCIL))
    for a in range(STENCIL):
        for b in range(STENCIL):
            if a != b:
                weights[..., a] *= (xi - points[b]) / (points[a] - points[b])
    return weights


def _tail(x: Array, b: float) -> tuple[Array, Array]:
    """Q = (sqrt(x^2+b^2) - x)/2 and x^2 - q^2, neither with cancellation."""
    large = (np.hypot(x, b) + np.abs(x)) / 2
    small = b * b / 4 / large
    return np.where(x < 0, large, small), np.where(x < 0, small**2 - b * b / 2, x * x - small**2)


def hermite(n: int) -> tuple[Array, Array]:
    """Nodes and weights for the standard normal."""
    z, w = np.polynomial.hermite_e.hermegauss(n)
    return z, w / w.sum()


def trapezoid(m: float, variance: float, tolerance: float) -> tuple[Array, Array]:
    """The same for a wide step of a spin, whose f has its poles at +-i pi/2."""
    width = np.sqrt(variance)
    spacing = min(np.sqrt(2 * np.pi**2 / (tolerance + 6)), np.pi**2 / ((tolerance + 6) * width))
    n = int(np.ceil(2 * (np.sqrt(2 * tolerance) + m * width) / spacing)) + 1
    z = (np.arange(n) - (n - 1) / 2) * spacing
    w = np.exp(-(z**2) / 2)
    return z, w / w.sum()


def recursion(
    terminal: Literal["wall", "spin"],
    variance: ArrayLike,
    breakpoints: ArrayLike,
    *,
    deficit: float = 1.0,
    width: float = 0.0,
    shift: float = 0.0,
    outer_breakpoint: float = 0.0,
    resolution: float = 1.0,
) -> Recursion:
    r"""F, its derivatives and the replicon of one k-step Gaussian-field term.

    f_{k+1}(h) = ln Phi((h - shift)/sqrt(deficit + width^2)) for a wall, ln 2cosh h for a spin;
    exp(m_i f_i) = gamma_{variance_i} * exp(m_i f_{i+1}),  F = f_0(0)  (m_0 = outer_breakpoint).

    Parameters
    ----------
    terminal : {"wall", "spin"}
        Which f_{k+1}.
    variance : array, shape (k+1,)
        lambda_0, lambda_1 - lambda_0, ...; zeros are skipped.
    breakpoints : array, shape (k,)
        m_1 .. m_k.
    deficit, width, shift : float
        1 - lambda_k, w and kappa of a wall; a spin has none of them.
    outer_breakpoint : float
        m_0: 0, or the number of replicas where that is finite (F is then the value for each).
    resolution : float in [0.5, 4]
        Divides the spacing of the grids and makes the rules longer; errors fall as its 8th power.

    Returns
    -------
    Recursion
    """
    v_level, m = np.asarray(variance, float), np.r_[outer_breakpoint, np.asarray(breakpoints, float)]
    k, wall = len(v_level) - 1, terminal == "wall"
    dt, tolerance = GRID_SPACING / resolution, LOG_TOLERANCE + 8 * np.log(resolution)
    reach = np.sqrt((1.5 if wall else 2) * tolerance)
    largest = 1.0 if wall else (25 - 0.13 * tolerance) / (0.17 * tolerance**2)

    # The steps, from inside: (level, m, variance, nodes); S and s before and after them.
    size = [deficit + width**2 if wall else 1.0]
    s, steps, level_grid = [size[0]], [], [0] * (k + 2)
    for i in range(k, -1, -1):
        rest = v_level[i]
        while rest > 0:
            smooth = size[-1] if m[i] == 0 else min(size[-1], s[-1] / m[i] if wall else 1 / m[i] ** 2)
            v = largest * smooth
            v = rest if rest <= v * (1 + 1e-12) else rest / 2 if rest < 2 * v else v
            a = v / smooth
            n = 1 + tolerance / np.log(1 + 2 / a) if wall else 5 + 0.13 * tolerance + 0.17 * tolerance**2 * a
            rule = hermite(int(min(MOST_NODES, max(3, np.ceil(n - 1e-9)))))
            if not wall:  # whichever costs less for its variance
                widest = min(rest, 64.0) if m[i] > 0 else rest
                wide = trapezoid(m[i], widest, tolerance)
                if len(wide[0]) * v < len(rule[0]) * widest:
                    rule, v = wide, widest
            rest -= v
            steps.append((i, m[i], v, rule))
            capped = size[-1] + v if wall or m[i] == 0 else min(size[-1] + v, max(size[-1], 1 / m[i] ** 2))
            size.append(capped)
            s.append(s[-1] + m[i] * v if wall else s[-1])
        level_grid[i] = len(steps)

    # The grids, from outside.
    start = -shift if wall else 0.0
    x: list[Array] = [np.array([start])]
    b = [GRID_SCALE * np.sqrt(w if wall else 1.0) for w in size]
    first, closed = [0.0], [False]
    total = tilt = spread = 0.0
    mean = min(start, 0.0)
    for j in range(len(steps) - 1, -1, -1):
        _, mj, v, _ = steps[j]
        total, tilt = total + v, tilt + mj * v
        if wall:
            c = s[j] / s[j + 1]
            mean, spread = c * mean, c * (c * spread + v)
            safe = np.sqrt(1.5 * (tolerance + max(0.0, -np.log(size[j]))))
            end, safe = reach * np.sqrt(total) + max(start, 0.0), safe * np.sqrt(size[j])
            right = min(end, safe)
            closed.insert(0, end > safe)
            left = max(mean - reach * np.sqrt(spread), start - reach * np.sqrt(total))
            last = np.ceil(np.arcsinh(right / b[j]) / dt) + MARGIN
            first.insert(0, min(np.floor(np.arcsinh(left / b[j]) / dt) - MARGIN, last - STENCIL + 1))
        else:
            end = np.arcsinh((reach * np.sqrt(total) + tilt) / b[j]) / dt + 0.5
            first.insert(0, 0.5)
            last = max(STENCIL, np.ceil(end) + MARGIN) - 0.5
        x.insert(0, b[j] * np.sinh(np.arange(first[0], last + 0.5) * dt))

    # f_{k+1}, stored as chi = f + q^2/(2s) and psi = f' - q/s (wall).
    q, rest2 = _tail(x[0], b[0])
    curve = np.array([1 / w for w in s]) if wall else np.zeros(len(s))
    if wall:
        u = x[0] / np.sqrt(s[0])
        ratio = np.sqrt(2 / np.pi) / erfcx(-np.minimum(u, 37.0) / np.sqrt(2))
        tail_chi = -0.5 * np.log(2 * np.pi) - np.log(ratio) - rest2 * curve[0] / 2
        chi = [np.where(u < 0, tail_chi, log_ndtr(u) + q * q * curve[0] / 2)]
        slope = [ratio / np.sqrt(s[0])]
        r = 1 / np.maximum(-u, 50.0)
        second = -ratio * np.where(u < -50, r - 2 * r**3 + 10 * r**5 - 74 * r**7, u + ratio) / s[0]
    else:
        chi, slope = [np.abs(x[0]) + np.log1p(np.exp(-2 * np.abs(x[0])))], [np.tanh(x[0])]
        second = 1 / np.cosh(np.minimum(x[0], 350.0)) ** 2
    f = [chi[0] - q * q * curve[0] / 2]

    # Outwards: f, f', the kernel T_i and what a step gains, int T f - f.
    kernel = []
    for j, (_, mj, v, (z, w)) in enumerate(steps):
        row = x[j + 1][:, None]
        left = (row < 0) & wall & (mj > 0)
        c = s[j] / s[j + 1] if wall else 1.0
        y = np.where(left, c * row + np.sqrt(c * v) * z, row + np.sqrt(v) * z)
        if wall and closed[j]:  # the last point stands for all beyond it
            y = np.minimum(y, x[j][-1])
        tau = np.arcsinh((y if wall else np.abs(y)) / b[j]) / dt - first[j]
        count = len(x[j])
        tau = np.clip(tau, -BEYOND if wall else -0.5, count - 1 + BEYOND)
        cell = np.clip(np.floor(tau) - (STENCIL // 2 - 1), 0 if wall else -(STENCIL // 2), count - STENCIL)
        weights = lagrange_weights(tau - cell - (STENCIL - 1) / 2)
        index = cell.astype(int)[..., None] + np.arange(STENCIL)
        sign = np.where(index < 0, -1.0, 1.0)  # images of a spin's even f
        index = np.where(index < 0, -1 - index, index)

        q, _ = _tail(x[j], b[j])
        at_chi = (weights * chi[j][index]).sum(-1)
        at_psi = (weights * sign * (slope[j] - q * curve[j])[index]).sum(-1)
        q, rest2 = _tail(y, b[j])
        at_f = at_chi - q * q * curve[j] / 2
        at_slope = at_psi + q * curve[j] if wall else at_psi * np.sign(y)
        phi = np.where(left, at_chi + rest2 * curve[j] / 2, at_f)
        middle = phi[:, len(z) // 2]
        e = w * np.exp(mj * (phi - middle[:, None]))
        norm = e.sum(1)
        transition = e / norm[:, None]
        value = middle + (np.log(norm) / mj if mj > 0 else (e * (phi - middle[:, None])).sum(1))
        base = -0.5 * np.log1p(mj * v / s[j]) / mj if wall and mj > 0 else 0.0
        q, rest2 = _tail(x[j + 1], b[j + 1])
        half = curve[j + 1] / 2
        chi.append(value + np.where(left[:, 0], base - rest2 * half, q * q * half))
        f.append(chi[-1] - q * q * half)
        slope.append((transition * at_slope).sum(1))
        gain = (transition * at_f).sum(1) - f[-1]
        kernel.append((transition[..., None] * weights, index, gain))

    # Inwards: P_i by the transposed weights.
    mass, g, dm = np.zeros(k + 1), np.zeros(k + 1), np.zeros(k + 1)
    p, j = np.ones(1), len(steps)
    for i in range(k + 1):
        while j > level_grid[i + 1]:
            j -= 1
            level, mj, _, _ = steps[j]
            weights, index, gain = kernel[j]
            if level > 0:
                dm[level] += (p * gain).sum() / mj
            new = np.zeros(len(x[j]))
            np.add.at(new, index, p[:, None, None] * weights)
            p = new
        mass[i], g[i] = p.sum(), (p * slope[j] ** 2).sum()
    one_minus = float("nan") if wall else float((p * second).sum())
    return Recursion(float(f[-1][0]), g, float((p * second**2).sum()), one_minus, mass, dm[1:])
