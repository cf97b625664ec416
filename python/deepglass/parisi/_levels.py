"""Levels of q(x) of an Ising spin glass: what the recursion gives at them, and Newton's method for them.

With u = beta h + a Gaussian field of covariance Lambda(q) = beta^2 xi'(q), and the overlap q(x) a step function, q_i on
m_i < x < m_{i+1},

    -beta f = F[Lambda] + (beta^2/2) [xi'(1) - xi'(q_k)] - (beta^2/2) int_0^1 x(q) q xi''(q) dq,   q_i = E_{P_i} f_i'^2,

where F, f_i and P_i are those of the Parisi recursion (cpp parisi/spin_glass.hpp).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from .. import _core
from .._core import NumericalError
from .mixed import Array, MixedIsing

__all__: list[str] = []

# Residual of q = E f'^2 (and of d(beta f)/dm) that counts as converged; rounding leaves 1e-15 to 1e-14.
CONVERGED = 1e-12
_CLOSE = 1e-9
# Levels closer than this, or than this fraction of the gaps beside them, have merged: a root of the equations of k
# steps that is one of fewer steps.
MERGED, _MERGED_FRACTION = 1e-7, 0.1
# What comes as close as this (or m_k to 1) and does not converge is on its way there.
UNSETTLED = 1e-2


@dataclasses.dataclass
class State:
    """Levels, breakpoints m_1 .. m_k and what the recursion gives at them."""

    model: MixedIsing
    q: Array
    m: Array
    pinned: bool  # q_0 = 0, by symmetry
    raw: dict[str, Any] = dataclasses.field(default_factory=dict)
    residual: float = math.inf
    iterations: int = 0

    def sweep(self, *, jacobian: bool = False) -> State:
        q, m = np.diff(np.r_[0.0, self.q, 1.0]), np.diff(np.r_[0.0, self.m])
        if not ((q >= 0.0).all() and (m > 0.0).all() and (self.m <= 1.0).all()):
            raise NumericalError(f"levels left their order: overlaps {self.q}, breakpoints {self.m}")
        beta = 1.0 / self.model.temperature
        levels = beta**2 * self.model.xi(self.q, 1)
        self.raw = _core.spin_glass_recursion(levels, self.m, beta * self.model.field, jacobian=jacobian)
        return self

    @property
    def miss(self) -> Array:
        """E f'^2 - q."""
        found = np.asarray(self.raw["slope_square"] - self.q)
        if self.pinned:
            found[0] = 0.0
        return found

    @property
    def weights(self) -> Array:
        return np.diff(np.r_[0.0, self.m, 1.0])

    @property
    def breakpoint_slope(self) -> Array:
        """d(-beta f)/dm_i."""
        xi, beta = self.model.xi, 1.0 / self.model.temperature
        return np.asarray(self.raw["breakpoint_slope"] - beta**2 / 2 * np.diff(self.q * xi(self.q, 1) - xi(self.q)))

    @property
    def free_energy(self) -> float:
        xi, beta, q = self.model.xi, 1.0 / self.model.temperature, np.r_[self.q, 1.0]
        # int x q xi'' dq by parts, over the steps and over (q_k, 1)
        integral = np.r_[self.m, 1.0] @ np.diff(q * xi(q, 1) - xi(q))
        entropic = self.raw["value"] + beta**2 / 2 * (xi(1.0, 1) - xi(self.q[-1], 1))
        return float(-(entropic - beta**2 / 2 * integral) / beta)

    @property
    def energy(self) -> float:
        xi, beta = self.model.xi, 1.0 / self.model.temperature
        pairs = xi(1.0) - self.weights @ xi(self.q)
        return float(-beta * pairs - self.model.field * self.raw["magnetisation"])

    @property
    def entropy(self) -> float:
        return (self.energy - self.free_energy) / self.model.temperature

    @property
    def replicon(self) -> float:
        """Stable where >= 0."""
        return float(1.0 - self.model.xi(self.q[-1], 2) / self.model.temperature**2 * self.raw["curvature2"][-1])

    @property
    def min_gap(self) -> float:
        return float(np.diff(self.q).min()) if len(self.q) > 1 else math.nan

    @property
    def merged(self) -> bool:
        jump = self.pinned and float(self.model.xi(0.0, 2)) == 0.0
        return merged(self.q[int(jump) :]) or bool((np.diff(self.q) < MERGED).any())


def merged(q: Array, fraction: float = _MERGED_FRACTION) -> bool:
    """Whether two levels are one, but for rounding, or are much closer than all levels beside them."""
    gaps = np.diff(q)
    beside = np.r_[np.inf, gaps, np.inf]
    beside = np.minimum(beside[:-2], beside[2:])
    beside[~np.isfinite(beside)] = 0.0
    return bool((gaps < np.maximum(MERGED, fraction * beside)).any())


class Solution(Protocol):
    """What Newton's method reports on."""

    residual: float
    iterations: int


S = TypeVar("S", bound=Solution)


def newton(
    equations: Callable[[Array], tuple[Array, Array, S]],
    z: Array,
    bounds: Callable[[Array], Array],
    max_iter: int = 60,
) -> tuple[Array, S]:
    """Newton's method inside `bounds`, whose entries stay positive.

    A step is halved until the next one, with the same matrix, would be shorter: a measure that does not depend on
    the units of the equations, of which those of the breakpoints are flat.  Close to the solution that next step may
    be rounding along a flat direction, and a smaller residual decides.
    """
    residual, matrix, state = equations(z)
    norm = np.abs(residual).max(initial=0.0)
    iteration, settled = 0, False
    while norm > 1e-15 and iteration < max_iter and not settled:
        try:
            inverse = np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            break
        step = -inverse @ residual
        size, room, fraction = np.abs(step).max(), bounds(z), 1.0
        while fraction > 1e-6 and not (bounds(z + fraction * step) >= 0.2 * room).all():
            fraction *= 0.5
        settled = bool(norm < CONVERGED)  # and this step ends in rounding
        accepted = False
        while not accepted and fraction > 1e-6 and iteration < max_iter:
            iteration += 1
            with contextlib.suppress(NumericalError):  # levels too close: the step was too long
                new = equations(z + fraction * step)
                shorter = np.abs(inverse @ new[0]).max() < (1.0 - fraction / 4) * size
                accepted = bool(shorter or (norm < _CLOSE and np.abs(new[0]).max() < norm / 4))
            if not accepted and settled:
                break
            if not accepted:
                fraction *= 0.5
        if not accepted:
            break
        z, (residual, matrix, state) = z + fraction * step, new
        norm = np.abs(residual).max()
    state.residual, state.iterations = float(norm), iteration
    return z, state


def settle(model: MixedIsing, q: Array, m: Array, *, pinned: bool, plain: int = 0, apart: int | None = None) -> State:
    """Overlaps for given breakpoints, from `q` (after so many plain steps q <- E f'^2).

    Levels from number `apart` on are kept from merging.
    """
    start = State(model, q, m, pinned)
    for _ in range(plain):
        q = q + start.sweep().miss
        start.q = q
    free = slice(1 if pinned else 0, None)

    def equations(z: Array) -> tuple[Array, Array, State]:
        state = State(model, np.r_[q[: free.start], z], m, pinned)
        if apart is not None and merged(state.q[apart:], 0.01):
            raise NumericalError(f"levels merge at breakpoints {m}")
        state.sweep(jacobian=True)
        slope = model.xi(state.q, 2) / model.temperature**2
        matrix = state.raw["jacobian"] * slope - np.eye(len(q))
        return state.miss[free], matrix[free, free], state

    def bounds(z: Array) -> Array:
        return np.diff(np.r_[q[: free.start] if pinned else 0.0, z, 1.0])

    if len(q) == 1 and pinned:
        start.sweep(jacobian=True).residual = 0.0
        return start
    return newton(equations, np.asarray(q[free]), bounds)[1]


def settle_all(state: State) -> State:
    """Overlaps and breakpoints, both stationary, from `state`."""
    model, pinned, k = state.model, state.pinned, len(state.m)
    free, n = slice(1 if pinned else 0, None), k + (0 if pinned else 1)
    fixed = state.q[: free.start]

    def unpack(z: Array) -> State:
        return State(model, np.r_[fixed, z[:n]], z[n:], pinned)

    # d(-beta f)/dq_i = (m_i - m_{i+1})/2 beta^2 xi''(q_i) miss_i: of it only `miss` is set to zero.
    def equations(z: Array) -> tuple[Array, Array, State]:
        here = unpack(z).sweep(jacobian=True)
        slope = model.xi(here.q, 2) / model.temperature**2
        matrix = np.zeros((n + k, n + k))
        matrix[:n, :n] = (here.raw["jacobian"] * slope - np.eye(k + 1))[free, free]
        for i in range(k):
            step = 1e-4 * min(z[n + i], 1.0 - z[n + i])
            ahead, behind = (unpack(z + sign * step * np.eye(n + k)[n + i]).sweep() for sign in (1, -1))
            matrix[:n, n + i] = ((ahead.miss - behind.miss) / (2 * step))[free]
            matrix[n:, n + i] = (ahead.breakpoint_slope - behind.breakpoint_slope) / (2 * step)
        # the same mixed derivative, taken the other way round: of -weight_i/2 beta^2 xi''(q_i) miss_i by m_j
        growth = np.eye(k + 1, k) - np.eye(k + 1, k, -1)  # d weight_i/dm_j
        mixed = (-here.weights / 2 * slope)[free, None] * matrix[:n, n:]
        matrix[n:, :n] = (mixed - growth[free] / 2 * (slope * here.miss)[free, None]).T
        return np.r_[here.miss[free], here.breakpoint_slope], matrix, here

    def bounds(z: Array) -> Array:
        q = np.r_[fixed if pinned else 0.0, z[:n], 1.0]
        return np.concatenate([np.diff(q), np.diff(z[n:], prepend=0.0, append=1.0)])

    return newton(equations, np.r_[state.q[free], state.m], bounds)[1]


def replica_symmetric(model: MixedIsing) -> State:
    """Overlap without steps: the largest root where q = 0 is unstable or, in a field, pushed away; else the smallest.

    Newton's method goes to it without passing another one: E f'^2 - q falls there, and is concave beyond.
    """
    liquid = float(model.xi(0.0, 2)) <= model.temperature**2
    start = State(model, np.array([0.0 if liquid else 0.999]), np.zeros(0), pinned=liquid and model.field == 0.0)
    return settle(model, start.q, start.m, pinned=start.pinned, plain=0 if start.pinned else 3)
