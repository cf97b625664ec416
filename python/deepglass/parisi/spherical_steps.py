"""Mixed spherical spin glasses with k steps of replica symmetry breaking.

With D_{k+1} = 1 - q_k, D_i = D_{i+1} + m_i (q_i - q_{i-1}),

    -beta f = (beta^2/2) [xi(1) - sum_i (m_{i+1} - m_i) xi(q_i)] + S,
    S = (1/2) [ln D_{k+1} + sum_i (1/m_i) ln(D_i/D_{i+1}) + q_0/D_1],

stationary where beta^2 xi'(q_i) = q_0/D_1^2 + sum_{j=1..i} (q_j - q_{j-1})/(D_j D_{j+1}).

A. Crisanti and H.-J. Sommers, Z. Phys. B 87, 341 (1992).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .._core import NumericalError
from ._levels import MERGED, merged, newton
from .mixed import Array, MixedSpherical, covariance
from .spherical import equilibrium

__all__: list[str] = []

Numbers = npt.NDArray[Any]  # real or complex


@dataclasses.dataclass
class SphericalState:
    """Levels and breakpoints, as `State` of Ising spins."""

    model: MixedSpherical
    q: Array
    m: Array
    pinned: bool  # q_0 = 0
    residual: float = math.inf
    iterations: int = 0

    @property
    def depths(self) -> Array:
        """D_1 .. D_{k+1}."""
        return _depths(self.q, self.m)

    @property
    def breakpoint_slope(self) -> Array:
        """d(-beta f)/dm_i."""
        return _equations(self.model, self.q, self.m)[1].real

    @property
    def free_energy(self) -> float:
        D, beta = self.depths, 1.0 / self.model.temperature
        entropy = (math.log(D[-1]) + float((np.log(D[:-1] / D[1:]) / self.m).sum()) + self.q[0] / D[0]) / 2
        return float(-(beta / 2 * self._pairs + entropy / beta))

    @property
    def _pairs(self) -> float:
        return float(self.model.xi(1.0) - np.diff(np.r_[0.0, self.m, 1.0]) @ self.model.xi(self.q))

    @property
    def energy(self) -> float:
        return -self._pairs / self.model.temperature

    @property
    def entropy(self) -> float:
        return (self.energy - self.free_energy) / self.model.temperature

    @property
    def replicon(self) -> float:
        """Stable where >= 0."""
        q = float(self.q[-1])
        return 1.0 - (1.0 - q) ** 2 * float(self.model.xi(q, 2)) / self.model.temperature**2

    @property
    def min_gap(self) -> float:
        return float(np.diff(self.q).min()) if len(self.q) > 1 else math.nan

    @property
    def merged(self) -> bool:
        jump = self.pinned and float(self.model.xi(0.0, 2)) == 0.0
        return merged(self.q[int(jump) :]) or bool((np.diff(self.q) < MERGED).any())


def _depths(q: Numbers, m: Numbers) -> Numbers:
    steps = m * np.diff(q)
    return np.append(steps[::-1].cumsum()[::-1] + (1.0 - q[-1]), 1.0 - q[-1])


def _equations(model: MixedSpherical, q: Numbers, m: Numbers) -> tuple[Numbers, Numbers]:
    """What vanishes: beta^2 xi'(q_i) - M_i, and d(-beta f)/dm_i; analytic in all arguments."""
    beta2, D, gaps = model.temperature**-2, _depths(q, m), np.diff(q)
    rise = np.cumsum(np.r_[q[0] / D[0] ** 2, gaps / (D[:-1] * D[1:])])
    xi = covariance(model.coefficients, q)
    # D_1 .. D_i all grow by q_i - q_{i-1}
    inner = 1.0 / (m * D[:-1])
    outer = np.cumsum(np.r_[0.0, (1.0 / D[:-2] - 1.0 / D[1:-1]) / m[:-1]]) if len(m) else m
    slope = gaps * (inner + outer - q[0] / D[0] ** 2) - np.log(D[:-1] / D[1:]) / m**2
    return beta2 * covariance(model.coefficients, q, 1) - rise, (slope + beta2 * np.diff(xi)) / 2


def spherical_settle(
    model: MixedSpherical, q: Array, m: Array, *, pinned: bool, free_breakpoints: bool
) -> SphericalState:
    """Levels, and breakpoints if they are free, both stationary, from those given."""
    first, n = int(pinned), len(q) - int(pinned)

    def split(z: Numbers) -> tuple[Numbers, Numbers]:
        return np.r_[q[:first], z[:n]], z[n:] if free_breakpoints else m

    def residuals(z: Numbers) -> Numbers:
        levels, slopes = _equations(model, *split(z))
        return np.asarray(np.r_[levels[first:], slopes if free_breakpoints else slopes[:0]])

    def equations(z: Array) -> tuple[Array, Array, SphericalState]:
        tiny = 1e-30  # the imaginary part of f(z + i tiny) is tiny f'(z), exactly
        columns = [residuals(z + 1j * tiny * unit).imag / tiny for unit in np.eye(len(z))]
        levels, breakpoints = split(z)
        matrix = np.array(columns).T.reshape(len(z), len(z))
        return residuals(z).real, matrix, SphericalState(model, levels, breakpoints, pinned)

    def bounds(z: Array) -> Array:
        levels, breakpoints = split(z)
        inside = np.diff(np.r_[0.0, levels[first:], 1.0])
        return np.asarray(np.r_[inside, np.diff(np.r_[0.0, breakpoints, 1.0])] if free_breakpoints else inside)

    start = np.r_[q[first:], m] if free_breakpoints else q[first:]
    return newton(equations, start, bounds)[1]


def spherical_start(model: MixedSpherical, steps: int, *, pinned: bool) -> tuple[Array, Array]:
    """Levels and breakpoints close to stationary ones, from the equilibrium: one step, or a continuous q(x)."""
    numbers, x, _ = equilibrium(model)
    q_end, T = numbers["overlap_ea"], model.temperature
    if q_end == 0.0:
        raise NumericalError(f"the paramagnet is the equilibrium at temperature {T!r}")
    if len(x) == 2:
        if steps > 1:
            raise NumericalError("one step is stable")
        return np.array([0.0, q_end]), np.array([numbers["breakpoint_c"]])
    if numbers["breakpoint_c"] == 0.0:
        raise NumericalError("the replica-symmetric solution is marginal: q(x) has no steps")
    below = 0.0 if pinned else 0.5
    q = q_end * (np.arange(steps + 1) + below) / (steps + below)
    middle = (q[1:] + q[:-1]) / 2
    return np.asarray(q), np.asarray(T * model.xi(middle, 3) / (2.0 * model.xi(middle, 2) ** 1.5))
