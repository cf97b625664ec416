"""The deep perceptron network, to be read next to the paper: replica symmetric, and with k steps of breaking.

Symbols: depth L, load alpha, q(l) neuron overlaps l = 0..L, Q(l) bond overlaps l = 1..L (index l - 1 here),
n replicas kept in the replica limit (0: random data; 1: teacher).  Averages are trapezoid sums over the
standardised field z on [-10, 10], good to 1e-13 while the wall is not much sharper than the field.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr

from .parisi_recursion import recursion

Vector = npt.NDArray[np.float64]

_Z = np.linspace(-10.0, 10.0, 4001)
_GAUSS = np.exp(-(_Z**2) / 2) / np.sqrt(2 * np.pi) * (_Z[1] - _Z[0])


def _average(weight_exponent: Vector, *functions: Vector) -> list[float]:
    """E[exp(weight_exponent) F] / E[exp(weight_exponent)] for each F."""
    weight = _GAUSS * np.exp(weight_exponent - weight_exponent.max())
    return [float(np.sum(weight * F) / np.sum(weight)) for F in functions]


def wall_moments(
    variance: float, complement: float, replicas: int, wall_width: float = 0.0, wall_shift: float = 0.0
) -> tuple[float, float, float, float]:
    """E f, E f'^2, E f''^2 and the response d E f'^2 / d variance, for f(h) = ln Phi((h - shift)/s).

    ``s^2 = complement + wall_width^2`` with complement = 1 - variance; h is Gaussian, times exp(n f).
    """
    s = np.sqrt(complement + wall_width**2)
    u = (np.sqrt(variance) * _Z - wall_shift) / s
    f = log_ndtr(u)
    ratio = np.sqrt(2 / np.pi) / erfcx(-u / np.sqrt(2))  # phi / Phi; from exp(-u^2/2 - f), ratio + u lost digits
    f1, f2 = ratio / s, -ratio * (ratio + u) / s**2
    value, slope, curvature, mixed = _average(replicas * f, f, f1**2, f2**2, f1**2 * f2)
    return value, slope, curvature, curvature - 2 * (1 - replicas) * mixed


def ising_moments(variance: float, replicas: int) -> tuple[float, float, float, float, float]:
    """Spin term, q = E tanh^2 h, 1 - q, E sech^4 h and d q / d variance.

    The spin term is E ln 2cosh h - variance/2 + (1 - 2n) variance q/2: minus (plus, for n = 1) the Legendre
    transform back to the overlap.
    """
    # E_P with P ~ N(0, v) cosh^n: for n = 1 the even part of N(v, v).
    h = np.sqrt(variance) * _Z + replicas * variance
    tanh, e = np.tanh(h), np.exp(-2 * np.abs(h))
    sech2 = 4 * e / (1 + e) ** 2
    none = np.zeros_like(h)
    value, q, complement, curvature, mixed = _average(
        none, np.logaddexp(h, -h), tanh**2, sech2, sech2**2, tanh**2 * sech2
    )
    entropy = value - variance / 2 + (1 - 2 * replicas) * variance * q / 2
    return entropy, q, complement, curvature, curvature - 2 * (1 - replicas) * mixed


def bond_overlap(A: float, replicas: int) -> float:
    """Solve ``A = Q/(1-Q)^2`` (random data) or ``A = Q/(1-Q)`` (teacher) for Q."""
    if replicas == 1:
        return A / (1 + A)
    return 1 - 2 / (1 + math.sqrt(1 + 4 * A))


def iterate(
    q: Vector, Q: Vector, alpha: float, n: int, wall_width: float = 0.0, wall_shift: float = 0.0
) -> tuple[Vector, Vector, float]:
    """One step of the saddle-point equations and the free entropy per N M at (q, Q).

    Returns
    -------
    q, Q : arrays, shapes (L + 1,) and (L,)
        The new overlaps.
    free_entropy : float
    """
    L = len(Q)
    g = np.zeros(L)
    new_q, new_Q = q.copy(), Q.copy()
    entropy = 0.0
    for b in range(L):
        lam = q[b] * Q[b] * q[b + 1]
        value, g[b], _, _ = wall_moments(lam, 1 - lam, n, wall_width, wall_shift)
        new_Q[b] = bond_overlap(alpha * q[b] * q[b + 1] * g[b], n)
        entropy += value + (np.log(1 - Q[b]) + Q[b] / (1 - Q[b] if n == 0 else 1)) / (2 * alpha)
    for layer in range(1, L):
        eps = q[layer - 1] * Q[layer - 1] * g[layer - 1] + Q[layer] * q[layer + 1] * g[layer]
        value, new_q[layer], _, _, _ = ising_moments(eps, n)
        entropy += value
    return new_q, new_Q, entropy


def wetting_solution(
    depth: int,
    alpha: float,
    n: int,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
    tolerance: float = 1e-13,
    max_iter: int = 5000,
) -> tuple[Vector, Vector, float]:
    """The wetting branch: relax, order the next layer if it cannot stay liquid, and relax again.

    Returns
    -------
    q, Q, free_entropy
    """
    q, Q = np.zeros(depth + 1), np.zeros(depth)
    q[0] = q[-1] = 1.0
    g_liquid = wall_moments(0.0, 1.0, n, wall_width, wall_shift)[1]
    while True:
        for step in range(1, max_iter):
            new_q, new_Q, _ = iterate(q, Q, alpha, n, wall_width, wall_shift)
            residual = max(np.abs(new_q - q).max(), np.abs(new_Q - Q).max())
            mix = 0.5 if step % 7 == 0 else 1.0  # neurons and bonds alone can lock into a two-cycle
            q, Q = q + mix * (new_q - q), Q + mix * (new_Q - Q)
            if residual < tolerance:
                break
        unstable = [
            layer
            for layer in range(1, depth)
            if q[layer] < 1e-6 and alpha * g_liquid**2 * (q[layer - 1] ** 2 + q[layer + 1] ** 2) > 1
        ]
        if not unstable:
            return q, Q, iterate(q, Q, alpha, n, wall_width, wall_shift)[2]
        for layer in unstable:
            q[layer] = 0.02
        for layer in unstable:
            for b in (layer - 1, layer):
                Q[b] = bond_overlap(alpha * q[b] * q[b + 1] * g_liquid, n)


def hierarchical_bond_overlap(A: Vector, m: Vector) -> Vector:
    """Levels Q_0 .. Q_k from A_i = -(Q^-1)_i and the breakpoints m_1 .. m_k.

    ``beta_{i-1} = beta_i - m_i (A_i - A_{i-1})``, ``Q_0 = A_0/beta_0^2``, ``Q_i = Q_{i-1} + (1/beta_{i-1} -
    1/beta_i)/m_i``; beta_k is the root of ``Q_k + 1/beta_k = 1``.
    """
    steps = m * np.diff(A)

    def overlaps(beta_k: float) -> Vector:
        beta = beta_k - np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
        return np.cumsum(np.concatenate([[A[0] / beta[0] ** 2], np.diff(-1 / beta) / m]))

    lowest = max(1.0, steps.sum())
    root = brentq(
        lambda b: overlaps(b)[-1] + 1 / b - 1, lowest * (1 + 1e-12) + 1e-12, 1e6 * lowest, xtol=1e-300, rtol=1e-14
    )
    return overlaps(root)


def hierarchical_iterate(
    q: Vector, Q: Vector, alpha: float, m: Vector, wall_width: float = 0.0, wall_shift: float = 0.0
) -> tuple[Vector, Vector, float]:
    """One step of the saddle-point equations with k steps of replica symmetry breaking, random data.

    Parameters
    ----------
    q, Q : arrays, shapes (L + 1, k + 1) and (L, k + 1)
        Overlaps, levels last.
    alpha : float
        Load.
    m : array, shape (k,)
        Breakpoints.
    wall_width, wall_shift : float
        Of the constraint.

    Returns
    -------
    q, Q : arrays
        The new overlaps.
    free_entropy : float
        Per N M, at the saddle point.
    """
    L = len(Q)
    weights = np.diff(np.concatenate([[0.0], m, [1.0]]))
    g = np.zeros_like(Q)
    new_q, new_Q = q.copy(), Q.copy()
    entropy = 0.0
    for b in range(L):
        lam = q[b] * Q[b] * q[b + 1]
        term = recursion("wall", np.diff(lam, prepend=0.0), m, deficit=1 - lam[-1], width=wall_width, shift=wall_shift)
        g[b] = term.slope_square
        if lam[-1] > 0:
            A = np.maximum.accumulate(np.maximum(alpha * q[b] * q[b + 1] * g[b], 0.0))
            new_Q[b] = hierarchical_bond_overlap(A, m)
        Lam = 1 - Q[b, -1] + np.concatenate([np.cumsum((m * np.diff(Q[b]))[::-1])[::-1], [0.0]])
        ln_det = np.log(Lam[-1]) + np.sum(np.log(Lam[:-1] / Lam[1:]) / m) + Q[b, 0] / Lam[0]
        entropy += term.value + ln_det / (2 * alpha)
    for layer in range(1, L):
        eps = q[layer - 1] * Q[layer - 1] * g[layer - 1] + Q[layer] * q[layer + 1] * g[layer]
        eps = np.maximum.accumulate(eps)
        term = recursion("spin", np.diff(eps, prepend=0.0), m)
        new_q[layer] = np.maximum.accumulate(np.maximum(term.slope_square, 0.0))
        entropy += np.sum(weights * eps * q[layer]) / 2 + term.value - eps[-1] / 2
    return new_q, new_Q, entropy
