"""The Franz-Parisi potential of the deep perceptron network, to be read next to the paper.

Symbols: teacher = replica 0, students a >= 1, n -> 0 of them; q(l), Q(l) student-student and r(l), R(l)
teacher-student overlaps of neurons l = 0..L and bonds l = 1..L (index l - 1 here); load alpha.  Averages are
trapezoid sums over the standardised field z on [-10, 10], good to 1e-13 while the walls are not much sharper than
the field.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

Vector = npt.NDArray[np.float64]

_Z = np.linspace(-10.0, 10.0, 4001)
_GAUSS = np.exp(-(_Z**2) / 2) / np.sqrt(2 * np.pi) * (_Z[1] - _Z[0])


def _average(*functions: Vector) -> tuple[float, ...]:
    """E F of each F(z), z standard normal."""
    return tuple(float(np.sum(_GAUSS * F)) for F in functions)


def planted_wall_moments(
    variance: float, covariance: float, wall_width: float = 0.0, wall_shift: float = 0.0
) -> tuple[float, ...]:
    """The wall's term W(lambda_S, lambda_T), g_S, g_T, E p f''^2, dg_S/dlambda_S, E p' f' f'', dg_T/dlambda_T.

    The students' gaps share the field h = sqrt(variance) z, f = ln Phi((h - shift)/s); the teacher's wall weighs h
    with p = Phi((y - shift)/s_0), y = h covariance/variance, s_0^2 = 1 - covariance^2/variance (each s^2 plus
    width^2), divided by its mean.
    """
    h = np.sqrt(variance) * _Z
    s = np.sqrt(1 - variance + wall_width**2)
    s_0 = np.sqrt(1 - covariance**2 / variance + wall_width**2)
    u, u_0 = (h - wall_shift) / s, (h * covariance / variance - wall_shift) / s_0
    mean = ndtr(-wall_shift / np.sqrt(1 + wall_width**2))
    p = ndtr(u_0) / mean
    p1 = np.exp(-(u_0**2) / 2) / np.sqrt(2 * np.pi) / s_0 / mean
    p2 = -u_0 / s_0 * p1
    ratio = np.sqrt(2 / np.pi) / erfcx(-u / np.sqrt(2))  # phi / Phi
    f, f1, f2 = log_ndtr(u), ratio / s, -ratio * (ratio + u) / s**2
    return _average(p * f, p * f1**2, p1 * f1, p * f2**2, p * (f2**2 - 2 * f1**2 * f2), p1 * f1 * f2, p2 * f2)


def planted_ising_moments(variance: float, mean: float) -> tuple[float, ...]:
    """Spin term, q = E tanh^2, 1 - q, r = E tanh, 1 - r, E sech^4, E tanh sech^2 in the field h ~ N(mean, variance).

    The spin term is E ln 2cosh h - variance (1 - q)/2 - mean r.
    """
    h = np.sqrt(variance) * _Z + mean
    e = np.exp(-2 * np.abs(h))
    tanh, sech2 = np.tanh(h), 4 * e / (1 + e) ** 2
    value, q, one_minus_q, r, one_minus_r, curvature, skew = _average(
        np.logaddexp(h, -h), tanh**2, sech2, tanh, np.where(h > 0, 2 * e, 2) / (1 + e), sech2**2, tanh * sech2
    )
    return value - variance * one_minus_q / 2 - mean * r, q, one_minus_q, r, one_minus_r, curvature, skew


def entropy(
    q: Vector,
    Q: Vector,
    r: Vector,
    R: Vector,
    eps: Vector,
    eps_T: Vector,
    alpha: float,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
) -> float:
    """The students' replica entropy per N M as a function of all order parameters, stationary or not.

    Parameters
    ----------
    q, r : arrays, shape (L + 1,)
        Neuron overlaps, student-student and teacher-student, 1 at both ends.
    Q, R : arrays, shape (L,)
        Bond overlaps.
    eps, eps_T : arrays, shape (L + 1,)
        Conjugate fields of q and r; their ends are not used.
    alpha : float
        Load.
    wall_width, wall_shift : float
        Of the constraint.
    """
    S = float(np.sum(np.log(1 - Q) + (Q - R**2) / (1 - Q))) / (2 * alpha)
    for b in range(len(Q)):
        variance, covariance = q[b] * Q[b] * q[b + 1], r[b] * R[b] * r[b + 1]
        S += planted_wall_moments(variance, covariance, wall_width, wall_shift)[0]
    for layer in range(1, len(Q)):
        h = np.sqrt(eps[layer]) * _Z + eps_T[layer]
        (value,) = _average(np.logaddexp(h, -h))
        S += value - eps[layer] * (1 - q[layer]) / 2 - eps_T[layer] * r[layer]
    return S


def iterate(
    q: Vector,
    Q: Vector,
    r: Vector,
    R: Vector,
    alpha: float,
    layer: int,
    overlap: float,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
) -> tuple[Vector, Vector, Vector, Vector, float, float]:
    """One step of the saddle-point equations with r(layer) = overlap > 0 imposed; V and its slope at (q, Q, r, R).

    Returns
    -------
    q, Q, r, R : arrays
        The new overlaps.
    potential : float
        V = -S at the conjugate fields of these overlaps; the Franz-Parisi potential at a solution.
    field : float
        The external field on the layer that keeps r(layer) where it is: dV/d overlap at a solution.
    """
    L = len(Q)
    g_S, g_T = np.zeros(L), np.zeros(L)
    new_q, new_Q, new_r, new_R = q.copy(), Q.copy(), r.copy(), R.copy()
    eps, eps_T = np.zeros(L + 1), np.zeros(L + 1)
    for b in range(L):
        moments = planted_wall_moments(q[b] * Q[b] * q[b + 1], r[b] * R[b] * r[b + 1], wall_width, wall_shift)
        g_S[b], g_T[b] = moments[1:3]
        A_S, A_T = alpha * q[b] * q[b + 1] * g_S[b], alpha * r[b] * r[b + 1] * g_T[b]
        one_minus_Q = 2 / (1 + np.sqrt(1 + 4 * (A_S + A_T**2)))  # (Q - R^2)/(1-Q)^2 = A_S, R/(1-Q) = A_T
        new_Q[b], new_R[b] = 1 - one_minus_Q, A_T * one_minus_Q
    field = 0.0
    for i in range(1, L):
        eps[i] = q[i - 1] * Q[i - 1] * g_S[i - 1] + Q[i] * q[i + 1] * g_S[i]
        eps_T[i] = r[i - 1] * R[i - 1] * g_T[i - 1] + R[i] * r[i + 1] * g_T[i]
        if i == layer:
            variance = float(eps[i])
            total = brentq(lambda mean, v=variance: planted_ising_moments(v, mean)[3] - overlap, 0.0, 50.0, xtol=1e-14)
            field, eps_T[i] = total - eps_T[i], total
        _, new_q[i], _, new_r[i], _, _, _ = planted_ising_moments(float(eps[i]), float(eps_T[i]))
    potential = -entropy(q, Q, r, R, eps, eps_T, alpha, wall_width, wall_shift)
    return new_q, new_Q, new_r, new_R, potential, field
