"""One perceptron, replica symmetric, and its message passing: the slow twin of cpp parisi/{perceptron,message_passing}.

Everything from the definitions: g and its derivatives are averages over the noise y of the field,

    g = E exp(-beta v(r)),   s g' = E y exp(-beta v(r)),   s^2 g'' = E (y^2 - 1) exp(-beta v(r)),   r = s (u + y),

and averages over z are sums on a fine uniform grid, good as long as s = sqrt(1 - q) is not below 0.1 or so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .quadrature import gauss_legendre

Array = NDArray[np.float64]


def response(u: ArrayLike, potential: str, beta: float, deficit: float) -> tuple[Array, Array, Array, Array]:
    """Give f = ln g, s f', s^2 f'' and -df/dbeta of fields h = s u, s^2 = deficit."""
    u = np.asarray(u, float)
    nodes, weights = gauss_legendre(300)
    # |r|/s from the wall to beyond the Gaussian, either way: gaps r > 0 first, then r < 0
    length = np.abs(u)[..., None] + 12.0
    t, weight = (1.0 + nodes) / 2 * length, weights / 2 * length
    r, weight = np.concatenate([t, -t], axis=-1), np.concatenate([weight, weight], axis=-1)
    costs = {"hard": np.full_like(r, np.inf), "soft": deficit * r**2, "count": np.ones_like(r)}
    v = np.where(r < 0, costs[potential], 0.0)
    y = r - u[..., None]
    exponent = -(y**2) / 2 - np.where(v > 0, (beta or 1.0) * v, 0.0)
    top = exponent.max(axis=-1, keepdims=True)
    p = weight * np.exp(exponent - top) / np.sqrt(2 * np.pi)
    g = p.sum(-1)
    slope, second = (p * y).sum(-1) / g, (p * (y**2 - 1)).sum(-1) / g
    energy = (p * np.where(np.isfinite(v), v, 0.0)).sum(-1) / g
    return np.log(g) + top[..., 0], slope, second - slope**2, energy


def gaps(
    overlap: float, deficit: float, scenario: str, potential: str, beta: float, margin: float
) -> tuple[float, float, float, float]:
    """Averages over h = sqrt(q) z - margin of f, (s f')^2, (s^2 f'')^2, -df/dbeta; a teacher gives a weight."""
    s = np.sqrt(deficit)
    z = np.arange(-11.0, 11.0, min(0.05, 0.05 * s / np.sqrt(overlap)))
    p = np.exp(-(z**2) / 2)
    p /= p.sum()
    f, slope, curvature, energy = response((np.sqrt(overlap) * z - margin) / s, potential, beta, deficit)
    if scenario == "teacher":
        p *= 2 * np.exp(f) / (1 + (np.exp(-beta) if potential != "hard" else 0.0))
    return float(p @ f), float(p @ slope**2), float(p @ curvature**2), float(p @ energy)


def bonds_of(conjugate: float, bonds: str, scenario: str) -> tuple[float, float, float, float]:
    """Give q, 1 - q, entropy of the bonds, and E sech^4 x or (1 - q)^2."""
    e, teacher = conjugate, scenario == "teacher"
    if bonds == "spherical":
        q = e / (1 + e) if teacher else 1 - 2 / (1 + np.sqrt(1 + 4 * e))
        return q, 1 - q, (np.log(1 - q) + (q if teacher else q / (1 - q))) / 2, (1 - q) ** 2
    z = np.arange(-12.0, 12.0, min(0.02, 0.02 / np.sqrt(e)))
    p = np.exp(-(z**2) / 2)
    p /= p.sum()
    x = np.sqrt(e) * z + (e if teacher else 0.0)
    q, log_cosh = float(p @ np.tanh(x) ** 2), float(p @ np.logaddexp(x, -x))
    entropy = log_cosh - e / 2 * (1 + q if teacher else 1 - q)
    sech2 = 1 / np.cosh(x) ** 2
    return q, float(p @ sech2), entropy, float(p @ sech2**2)


def point(conjugate: float, bonds: str, scenario: str, potential: str, beta: float, margin: float) -> dict[str, float]:
    """Load, overlap, 1 - overlap, free entropy, energy per pattern and replicon of a conjugate field e.

        load = e (1 - q) / E (s f')^2,   free entropy = S + load E f,   replicon = 1 - load E f''^2 E sech^4

    Parameters
    ----------
    conjugate : float > 0
        e.
    bonds, scenario, potential, beta, margin
        The model.

    Returns
    -------
    dict of float
    """
    q, d, entropy, fourth = bonds_of(conjugate, bonds, scenario)
    log_g, slope2, curvature2, energy = gaps(q, d, scenario, potential, beta, margin)
    load = conjugate * d / slope2
    return {
        "load": load,
        "overlap": q,
        "deficit": d,
        "free_entropy": entropy + load * log_g,
        "energy": energy,
        "replicon": 1 - load * curvature2 / d**2 * fourth,
    }


def gap_density(
    r: float, overlap: float, deficit: float, scenario: str, potential: str, beta: float, margin: float
) -> float:
    """Density  rho(r) = E_h [ N(r; h, 1 - q) exp(-beta v(r)) / g(h) ],  with a teacher also weighted by g."""
    s = np.sqrt(deficit)
    z = np.arange(-11.0, 11.0, min(0.02, 0.02 * s / np.sqrt(overlap)))
    p = np.exp(-(z**2) / 2)
    p /= p.sum()
    h = np.sqrt(overlap) * z - margin
    f = response(h / s, potential, beta, deficit)[0]
    if scenario == "teacher":
        p *= 2 * np.exp(f) / (1 + (np.exp(-beta) if potential != "hard" else 0.0))
    weight = 1.0 if r >= 0 else {"hard": 0.0, "soft": np.exp(-beta * r * r), "count": np.exp(-beta)}[potential]
    beside = np.exp(-((r - h) ** 2) / (2 * deficit)) / np.sqrt(2 * np.pi * deficit)
    return float(p @ (beside / np.exp(f)) * weight)


def messages(
    inputs: ArrayLike,
    labels: ArrayLike,
    start: ArrayLike,
    bonds: str,
    potential: str,
    beta: float,
    margin: float,
    damping: float,
    n_iterations: int,
) -> tuple[Array, float]:
    r"""Means of the bonds after so many iterations of message passing, and the free entropy of Bethe.

    omega = x a / sqrt(N) - V g,   g = y f'(y omega - margin),   A = -(1/N) sum f'',   B = A a + x^T g / sqrt(N)

    and a = tanh B, V = 1 - mean(a^2) (binary), or a = V B with mean(a^2) + V = 1 (spherical).  With the normalisation
    Z(B) of the bonds, at the means and the V before the last iteration,

        sum_mu [ f + (x a / sqrt(N) - omega)^2/(2V) ] / N + ln Z(B) / N - mean(a B),
        ln Z(B) / N = mean(ln 2cosh B),   or   min over u of (u - ln u + mean(B^2)/u - 1)/2.

    Parameters
    ----------
    inputs, labels : array, shapes (M, N) and (M,)
        Patterns.
    start : array, shape (N,)
        Means to start from.
    bonds, potential, beta, margin
        The model.
    damping : float
        Share of the old in new means, responses and V.
    n_iterations : int
        Iterations.

    Returns
    -------
    array, shape (N,), and float
    """
    y, a = np.asarray(labels, float), np.asarray(start, float)
    n = len(a)
    x = np.asarray(inputs, float) / np.sqrt(n)
    g, variance = np.zeros(len(y)), 1 - np.mean(a**2)
    for _ in range(n_iterations):
        s = np.sqrt(variance)
        omega = x @ a - variance * g
        log_g, slope, curvature, _ = response((y * omega - margin) / s, potential, beta, variance)
        bethe = np.sum(log_g + (x @ a - omega) ** 2 / (2 * variance)) / n
        g = (1 - damping) * y * slope / s + damping * g
        field = -curvature.sum() / variance / n * a + x.T @ g
        squares = np.mean(field**2)
        u = (1 + np.sqrt(1 + 4 * squares)) / 2
        bonds_alone = np.logaddexp(field, -field).mean() if bonds == "binary" else (u - np.log(u) + squares / u - 1) / 2
        bethe += bonds_alone - np.mean(a * field)
        spherical = 2 / (1 + np.sqrt(1 + 4 * np.mean(field**2)))
        fresh = np.tanh(field) if bonds == "binary" else spherical * field
        a = (1 - damping) * fresh + damping * a
        fresh_variance = 1 - np.mean(fresh**2) if bonds == "binary" else spherical
        variance = (1 - damping) * fresh_variance + damping * variance
    return a, float(bethe)
