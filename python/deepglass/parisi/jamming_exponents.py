"""Critical exponents of jamming, of hard particles and perceptrons, from full replica symmetry breaking.

Near jamming, eps = 1 - q -> 0, the breakpoints grow as y ~ eps^{-1/kappa}, and on the scale t = (h - wall)/sqrt(eps)
the slope M of f and the density p of fields are, with s = 1 - 1/kappa,

    M''/2 + M M' + t M'/2 = (1/kappa - 1/2) M,     M -> -s t before the wall, 0 beyond,
    p''/2 - (p M)' - t p'/2 + eta p = 0,           algebraic at both ends: p ~ |t|^theta and t^{2 eta} = t^{-gamma},
    int p [ M''^2 - 2 M'^2 (M' + s) ] dt = 0       (marginal stability, all along the solution).

References
----------
P. Charbonneau, J. Kurchan, G. Parisi, P. Urbani and F. Zamponi, J. Stat. Mech. P10009 (2014).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .._core import NumericalError

__all__ = ["jamming_exponents"]

Array = npt.NDArray[np.float64]

# Points, and where the interval ends: M differs there from its asymptotes by exp(-(1/2 - s) t^2) and exp(-t^2/2).
_NODES, _LEFT, _RIGHT = 120, -13.0, 9.0


def chebyshev(n: int, left: float, right: float) -> tuple[Array, Array, Array]:
    """Give n+1 points from right to left, the matrix of d/dt on polynomials through them, and weights of int dt."""
    j = np.arange(n + 1)
    angle = math.pi * j / n
    # x_i - x_j without cancellation
    apart = 2.0 * np.sin((angle[:, None] + angle) / 2) * np.sin((angle - angle[:, None]) / 2) + np.eye(n + 1)
    sign = np.where(j % 2, -1.0, 1.0) * np.where((j == 0) | (j == n), 2.0, 1.0)
    slope = np.outer(sign, 1.0 / sign) / apart
    slope -= np.diag(slope.sum(axis=1))
    moments = np.zeros(n + 1)
    moments[::2] = 2.0 / (1.0 - j[::2].astype(float) ** 2)
    half = (right - left) / 2
    return (
        left + half * (1.0 + np.cos(angle)),
        slope / half,
        np.linalg.solve(np.cos(np.outer(j, angle)), moments) * half,
    )


def algebraic(order: float, x: float) -> float:
    """p'/p of the solution of p'' - x p' + order p = 0 that goes like x^order at infinity."""
    from scipy.special import hyperu

    z = x * x / 2
    return float(x * order / 2 * hyperu(1.0 - order / 2, 1.5, z) / hyperu(-order / 2, 0.5, z))


class Scaling:
    """M and p for a given kappa; each call starts from what the last one found."""

    def __init__(self, nodes: int = _NODES) -> None:
        self.t, self.D, self.weight = chebyshev(nodes, _LEFT, _RIGHT)
        self.D2 = self.D @ self.D
        self.M = 0.2 * np.logaddexp(0.0, -1.5 * self.t)
        self.p, self.eta = np.ones(nodes + 1), -0.2

    def slope(self, kappa: float) -> Array:
        t, D, s = self.t, self.D, 1.0 - 1.0 / kappa
        for _ in range(40):
            M, M_1 = self.M, D @ self.M
            miss = self.D2 @ M / 2 + (M + t / 2) * M_1 - (0.5 - s) * M
            matrix = self.D2 / 2 + np.diag(M_1 - 0.5 + s) + (M + t / 2)[:, None] * D
            miss[0], miss[-1] = M[0], M[-1] + s * t[-1]
            matrix[[0, -1]] = np.eye(len(t))[[0, -1]]
            step = np.linalg.solve(matrix, -miss)
            self.M = M + step
            if np.abs(step).max() < 1e-11:
                return self.M
        raise NumericalError(f"the slope at jamming was not found (kappa {kappa:.6g})")

    def density(self, kappa: float) -> tuple[Array, float]:
        """p, one where it is largest, and its eigenvalue eta: Newton's method for both."""
        t, D, M, n, s = self.t, self.D, self.M, len(self.t), 1.0 - 1.0 / kappa
        plain = self.D2 / 2 - np.diag(D @ M) - (M + t / 2)[:, None] * D
        pull = math.sqrt(1.0 - 2.0 * s)

        def ends(eta: float) -> Array:
            order = 2.0 * (s + eta) / (1.0 - 2.0 * s)
            return np.array([algebraic(2.0 * eta, t[0]), -pull * algebraic(order, -pull * t[-1])])

        if (self.p == 1.0).all():
            matrix = plain + self.eta * np.eye(n)
            matrix[[0, -1]] = D[[0, -1]] - ends(self.eta)[:, None] * np.eye(n)[[0, -1]]
            self.p = np.linalg.svd(matrix)[2][-1]
            self.p /= self.p[np.abs(self.p).argmax()]
        largest = int(np.abs(self.p).argmax())
        for _ in range(40):
            matrix, by_eta, h = plain + self.eta * np.eye(n), self.p.copy(), 1e-5
            at_ends, change = ends(self.eta), (ends(self.eta + h) - ends(self.eta - h)) / (2 * h)
            matrix[[0, -1]] = D[[0, -1]] - at_ends[:, None] * np.eye(n)[[0, -1]]
            by_eta[[0, -1]] *= -change
            bordered = np.block([[matrix, by_eta[:, None]], [np.eye(n)[largest], np.zeros(1)]])
            step = np.linalg.solve(bordered, np.r_[-matrix @ self.p, 1.0 - self.p[largest]])
            self.p, self.eta = self.p + step[:-1], self.eta + step[-1]
            if abs(step[-1]) < 1e-13:
                return self.p, self.eta
        raise NumericalError(f"the density of fields at jamming was not found (kappa {kappa:.6g})")

    def instability(self, kappa: float) -> float:
        M, (p, _) = self.slope(kappa), self.density(kappa)
        M_1, M_2 = self.D @ M, self.D2 @ M
        return float(self.weight @ (p * (M_2**2 - 2.0 * M_1**2 * (M_1 + 1.0 - 1.0 / kappa))))


def jamming_exponents() -> dict[str, float]:
    """Exponents of jamming: kappa of the breakpoints, gamma of small gaps, theta of small forces.

    y ~ (1 - q)^{-1/kappa}, P(gap) ~ gap^-gamma, P(force) ~ force^theta, the same for spheres in high dimension and for
    perceptrons with negative margin (full replica symmetry breaking).  kappa makes the solution of the equations on the
    scale sqrt(1 - q) marginally stable; gamma = -2 eta and theta = (eta + s)/(1/2 - s) are then read off its ends, s =
    1 - 1/kappa.  That gamma = (2 - kappa)/kappa and theta = (3 kappa - 4)/(2 - kappa) is not used.

    Returns
    -------
    dict of float
        ``kappa``, ``gamma``, ``theta``, to 1e-11.

    Examples
    --------
    >>> import deepglass as dg
    >>> {name: round(value, 10) for name, value in dg.parisi.jamming_exponents().items()}
    {'kappa': 1.415735565, 'gamma': 0.412693196, 'theta': 0.4231075526}
    """
    from scipy.optimize import brentq

    scaling = Scaling()
    kappa = float(brentq(scaling.instability, 1.41, 1.42, xtol=1e-14, rtol=1e-14))
    scaling.instability(kappa)
    s = 1.0 - 1.0 / kappa
    return {"kappa": kappa, "gamma": float(-2.0 * scaling.eta), "theta": float((scaling.eta + s) / (0.5 - s))}
