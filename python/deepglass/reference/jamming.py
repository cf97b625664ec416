"""The Parisi recursion before a wall, hard or soft, and the exponents of jamming: slow twins.

The recursion in logarithms, on one grid for all levels and by whole matrices; the exponents by shooting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import root
from scipy.special import log_ndtr, logsumexp

from .perceptron import response

Array = NDArray[np.float64]


@dataclass
class Wall:
    """Results: F, E f', g_i, dF/dy_i (the last one 0 but at jamming), E_{P_n} f_n''^2 and -dF/dbeta."""

    value: float
    slope: float
    slope_square: Array
    breakpoint_slope: Array
    curvature_square: float
    energy: float


def terminal(t: Array, width: float, y: float | None) -> tuple[Array, Array, Array, Array]:
    """f_{n-1}, f_{n-1}', df_{n-1}/dy_n and E f_n''^2 at t = wall - h; y = None in the satisfiable phase."""
    s = np.sqrt(width)
    if y is None:
        f = log_ndtr(-t / s)
        R = np.exp(-(t**2) / (2 * width) - f) / np.sqrt(2 * np.pi)
        return f, R / s, np.zeros_like(t), (R * (R - t / s) / width) ** 2
    D = 1 + y * width
    u = t / (s * np.sqrt(D))
    before = log_ndtr(u) - y * t**2 / (2 * D) - np.log(D) / 2  # Gaussian part before the wall
    f = np.logaddexp(log_ndtr(-t / s), before) / y
    share = np.exp(before - y * f)
    mills = np.exp(-(u**2) / 2 - log_ndtr(u)) / np.sqrt(2 * np.pi)
    mean = share * (t / D + s / np.sqrt(D) * mills)
    square = t / D * mean + share * width / D
    return f, mean, (-square / 2 - f) / y, share


def recursion(
    overlap: ArrayLike,
    breakpoints: ArrayLike,
    margin: float,
    *,
    jamming: bool = True,
    potential: str = "hard",
    beta: float = 0.0,
) -> Wall:
    """F and its derivatives for overlaps q_0 .. q_{n-1} and y_1 .. y_n (satisfiable phase: m_1 .. m_{n-1}).

    exp(y_i f_{i-1}) = G_i * exp(y_i f_i),  F = (G_0 * f_0)(0),  G_i of variance q_i - q_{i-1}; at jamming f_n =
    -(margin - h)_+^2/2 and q_n = 1, in the satisfiable phase f_{n-1} = ln Phi((h - margin)/sqrt(1 - q_{n-1})), or what
    another potential has in its place.

    Parameters
    ----------
    overlap : array, shape (n,)
        Increasing, within (0, 1).
    breakpoints : array, shape (n,) or (n - 1,)
        Increasing.
    margin : float
        The wall.
    jamming : bool
        Which of the two.
    potential, beta : str, float
        "hard", "soft" or "count", and the inverse temperature of the last two.

    Returns
    -------
    Wall
    """
    q, y = np.asarray(overlap, float), np.r_[0.0, np.asarray(breakpoints, float)]
    variance, n, width = np.diff(q, prepend=0.0), len(q), 1 - q[-1]
    fine = max(4.0, 3.0 * np.sqrt(beta)) if potential == "count" else 3.0
    spacing = 1 / np.sqrt(1 / variance.min() + 1 / width) / fine
    h = spacing * np.arange(int((-9.0 - abs(margin)) / spacing), int(9.0 / spacing))  # steps of it to rounding
    if potential != "hard":
        f, force, bend, cost = response((h - margin) / np.sqrt(width), potential, beta, width)
        slope, curved, by_y = force / np.sqrt(width), (bend / width) ** 2, np.zeros_like(h)
    else:
        f, slope, by_y, curved = terminal(margin - h, width, y[n] if jamming else None)
        cost = np.zeros_like(h)

    # Outwards: f_i, f_i' and T_i, whose rows sum to one.
    fs, slopes = [f], [slope]
    kernels: list[Array] = []
    for i in range(n - 1, 0, -1):
        exponent = -((h[:, None] - h) ** 2) / (2 * variance[i]) + y[i] * fs[0]
        log_norm = logsumexp(exponent, axis=1)
        kernels.insert(0, np.exp(exponent - log_norm[:, None]))
        fs.insert(0, (log_norm + np.log(spacing / np.sqrt(2 * np.pi * variance[i]))) / y[i])
        slopes.insert(0, kernels[0] @ slopes[0])

    # Inwards: P_i, g_i and what each step gains.
    p = spacing / np.sqrt(2 * np.pi * q[0]) * np.exp(-(h**2) / (2 * q[0]))
    value = mean = float(p @ fs[0])
    g, by = [p @ slopes[0] ** 2], []
    for i in range(1, n):
        p = p @ kernels[i - 1]
        g.append(p @ slopes[i] ** 2)
        by.append((p @ fs[i] - mean) / y[i])
        mean = float(p @ fs[i])
    return Wall(value, float(p @ slope), np.array(g), np.array([*by, p @ by_y]), float(p @ curved), float(p @ cost))


def places(
    overlap: ArrayLike, breakpoints: ArrayLike, load: float, margin: float, potential: str, beta: float
) -> Array:
    """x(q_i), where the continuous q(x) that steps take the place of has q_i.

    On a continuous part  load E f''^2 = 1/D^2  (marginality); its derivative by q, with D' = -x, is

        load [ E f'''^2 - 2 x E f''^3 ] = 2 x / D^3.

    Parameters
    ----------
    overlap, breakpoints : array, shapes (n,) and (n - 1,)
        Steps.
    load, margin, potential, beta
        The model.

    Returns
    -------
    array, shape (n,)
    """
    q, m = np.asarray(overlap, float), np.r_[0.0, np.asarray(breakpoints, float)]
    variance, width = np.diff(q, prepend=0.0), 1 - q[-1]
    spacing = (
        1 / np.sqrt(1 / variance.min() + 1 / width) / max(3.0, 2.5 * np.sqrt(beta) if potential == "count" else 0.0)
    )
    h = np.arange(-9.0 - abs(margin), 9.0, spacing)
    u, s = (h - margin) / np.sqrt(width), np.sqrt(width)
    f, first, second, _ = response(u, potential, beta, width)
    step = 1e-2
    ahead, behind, further, back = (response(u + n * step, potential, beta, width)[2] for n in (1, -1, 2, -2))
    third = (8 * (ahead - behind) - (further - back)) / (12 * step)
    levels = [(f, first / s, second / s**2, third / s**3)]
    kernels: list[Array] = []
    for i in range(len(q) - 1, 0, -1):
        f, first, second, third = levels[0]
        exponent = -((h[:, None] - h) ** 2) / (2 * variance[i]) + m[i] * f
        log_norm = logsumexp(exponent, axis=1)
        T = np.exp(exponent - log_norm[:, None])
        a, b = T @ first, T @ (second + m[i] * first**2)
        c = T @ (third + 3 * m[i] * first * second + m[i] ** 2 * first**3)
        outer = b - m[i] * a**2
        kernels.insert(0, T)
        scale = spacing / np.sqrt(2 * np.pi * variance[i])
        levels.insert(0, ((log_norm + np.log(scale)) / m[i], a, outer, c - m[i] * a * b - 2 * m[i] * a * outer))
    p = spacing / np.sqrt(2 * np.pi * q[0]) * np.exp(-(h**2) / (2 * q[0]))
    found = np.empty(len(q))
    D = width + np.r_[np.cumsum((m[1:] * variance[1:])[::-1])[::-1], 0.0]  # D(q_i)
    for i, (_, _, second, third) in enumerate(levels):
        p = p @ kernels[i - 1] if i else p
        found[i] = load * (p @ third**2) / (2 * (1 / D[i] ** 3 + load * (p @ second**3)))
    return found


def entropy(overlap: ArrayLike, breakpoints: ArrayLike) -> float:
    """(1/2) [ ln D_{k+1} + sum_i ln(D_i/D_{i+1})/y_i + q_0/D_1 ],  D_i = D_{i+1} + y_i (q_i - q_{i-1}).

    q_0 .. q_k and D_{k+1} = 1 - q_k; at jamming, with as many overlaps as y_i, q_k = 1 and D_{k+1} = 1.
    """
    q, y = np.asarray(overlap, float), np.asarray(breakpoints, float)
    D = 1.0 if len(q) == len(y) else 1.0 - q[-1]
    q = np.r_[q, 1.0]
    total = np.log(D)
    for i in range(len(y), 0, -1):
        outer = D + y[i - 1] * (q[i] - q[i - 1])
        total += np.log(outer / D) / y[i - 1]
        D = outer
    return float(total + q[0] / D) / 2


def jamming_load(overlap: ArrayLike, breakpoints: ArrayLike, margin: float) -> float:
    """-S/F at given overlaps and breakpoints: an upper bound on the load, lowest where it is stationary."""
    return -entropy(overlap, breakpoints) / recursion(overlap, breakpoints, margin).value


def free_entropy(
    overlap: ArrayLike, breakpoints: ArrayLike, load: float, margin: float, potential: str = "hard", beta: float = 0.0
) -> float:
    """S + load F at given overlaps and breakpoints, of a potential."""
    wall = recursion(overlap, breakpoints, margin, jamming=False, potential=potential, beta=beta)
    return entropy(overlap, breakpoints) + load * wall.value


def jamming_exponents(left: float = 12.0, right: float = 8.0) -> tuple[float, float, float]:
    """kappa, gamma, theta: the equations of parisi/jamming_exponents.py, integrated from both ends towards t = 0.

    There M, M' and p'/p must agree and the integral vanish; what the start at a finite t misses dies out inwards.
    """

    def fields(t: float, x: Array, kappa: float, eta: float, straight: float) -> list[float]:
        d, d1, p, p1, _ = x  # M = d - straight t
        s = 1 - 1 / kappa
        M, M1 = d - straight * t, d1 - straight
        d2 = 2 * (0.5 - s + straight) * d - (2 * M + t) * d1
        p2 = p1 * (2 * M + t) + 2 * p * (M1 - eta)
        return [d1, d2, p1, p2, p * (d2**2 - 2 * M1**2 * (d1 + s - straight))]

    def miss(z: Array) -> Array:
        kappa, eta, a, b = z
        s = 1 - 1 / kappa
        c = 1 - 2 * s
        ends = []
        for t, size, pull, power, straight, order in (
            (-left, a, c, 1 + 1 / c, s, 2 * (s + eta) / c),
            (right, b, 1.0, 2 / kappa, 0.0, 2 * eta),
        ):
            d = size * np.exp(-pull * t**2 / 2) / abs(t) ** power
            start = [d, -d * (pull * t + power / t), 1.0, order / t, 0.0]
            options = {"method": "DOP853", "rtol": 1e-12, "atol": [1e-22, 1e-22, 1e-14, 1e-14, 1e-14]}
            x = solve_ivp(fields, (t, 0.0), start, args=(kappa, eta, straight), **options).y[:, -1]
            ends.append([x[0], x[1] - straight, x[3] / x[2], x[4] / x[2]])
        return np.asarray(np.array(ends[0]) - np.array(ends[1]))

    found = root(miss, [1.41, -0.2, 1.3, 0.11], tol=1e-13)
    kappa, eta = found.x[:2]
    s = 1 - 1 / kappa
    return float(kappa), float(-2 * eta), float((eta + s) / (0.5 - s))
