"""A continuous q(x) of an Ising spin glass, as many steps.

The overlap rises continuously on x_0 < x < x_c and is constant on both sides.  k steps take its place, with the
breakpoints m_i at the middles of k equal parts of (x_0, x_c).  On the rise the state is marginal,
beta^2 xi''(q) E f''^2 = 1; the derivative of this by q says where in x it lies,

    x(q) = [E f'''^2 + xi'''/(beta^4 xi''^3)] / (2 E f''^3),

which at both ends of the rise gives x_0 and x_c.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .._core import NumericalError
from ._levels import State, replica_symmetric, settle, settle_all
from .mixed import Array, MixedIsing

__all__: list[str] = []


def closure(state: State, level: int) -> float:
    """x(q) of a continuous q(x) at a level."""
    xi, q, beta = state.model.xi, state.q[level], 1.0 / state.model.temperature
    gain = xi(q, 3) / (beta**4 * xi(q, 2) ** 3)
    return float((state.raw["third2"][level] + gain) / (2.0 * state.raw["curvature3"][level]))


@dataclasses.dataclass(frozen=True)
class Rise:
    """Where the continuous part lies: its ends, and the jump from q = 0 before it if there is one.

    The unknown ``places`` are (x_c), in zero field: there f is even, and x_0 is known; (x_0, x_c) in a field; and
    (m, x_0, x_c) after a jump at m, which is stationary.
    """

    model: MixedIsing
    jump: bool = False

    @property
    def first(self) -> int:
        """Level at which the rise begins."""
        return int(self.jump)

    @property
    def onset(self) -> float:
        """x_0 in zero field without a jump: the closure at q = 0, where f''' = 0."""
        return float(self.model.temperature * self.model.xi(0.0, 3) / (2.0 * self.model.xi(0.0, 2) ** 1.5))

    @property
    def pinned(self) -> bool:
        return self.model.field == 0.0

    def ends(self, places: Array) -> tuple[float, float]:
        return (float(places[-2]) if len(places) > 1 else self.onset), float(places[-1])

    def breakpoints(self, places: Array, k: int) -> Array:
        x_0, x_c = self.ends(places)
        return np.asarray(np.r_[places[:1] if self.jump else [], x_0 + (x_c - x_0) * (np.arange(k) + 0.5) / k])

    def miss(self, state: State, places: Array) -> Array:
        """Zero where all places are the right ones."""
        found = [closure(state, -1) - places[-1]]
        if len(places) > 1:
            found.insert(0, closure(state, self.first) - places[-2])
        if self.jump:
            found.insert(0, state.breakpoint_slope[0])
        return np.array(found)

    def room(self, places: Array) -> Array:
        """Distances that stay positive."""
        return np.diff(np.r_[0.0 if len(places) > 1 else self.onset, places, 1.0])

    def interpolate(self, q: Array, k: int) -> Array:
        """Levels of k steps from those of some other number."""
        from scipy.interpolate import PchipInterpolator

        rise = q[self.first :]
        return np.asarray(
            np.r_[q[: self.first], PchipInterpolator(np.linspace(0.0, 1.0, len(rise)), rise)(np.arange(k + 1) / k)]
        )

    def profile(self, places: Array, k: int) -> Array:
        """Give x of each level: its place on the rise."""
        x_0, x_c = self.ends(places)
        return np.asarray(np.r_[places[:1] if self.jump else [], x_0 + (x_c - x_0) * np.arange(k + 1) / k])


@dataclasses.dataclass
class Found:
    """A solution of k steps, and how it depends on the places."""

    state: State
    places: Array
    slopes: Array  # (n, n)  d miss/d places
    rates: Array  # (levels, n)  d q/d places


def rounding(rise: Rise, state: State) -> float:
    """What rounding makes of overlaps and places: levels of a narrow rise hardly hold each other."""
    return 1e-15 / min(1.0, float(state.q[-1] - state.q[rise.first])) ** 2


def continuous(rise: Rise, k: int, q: Array, places: Array, before: Found | None = None, plain: int = 0) -> Found:
    """Solve for the overlaps of k steps and the places, from the values given (Broyden's method in the places)."""
    model = rise.model

    def solve(q: Array, places: Array, plain: int = 0) -> State:
        state = settle(model, q, rise.breakpoints(places, k), pinned=rise.pinned, plain=plain, apart=rise.first)
        if state.residual > 1e-6:
            raise NumericalError(f"{k} steps do not settle on a continuous q(x) (residual {state.residual:.3g})")
        return state

    state = solve(q, places, plain)
    miss, n = rise.miss(state, places), len(places)
    slopes, rates = np.empty((n, n)), np.empty((len(q), n))
    if before is None:
        for i in range(n):
            step = 1e-3 * rise.room(places)[i : i + 2].min() * np.eye(n)[i]
            ahead = solve(state.q, places + step)
            slopes[:, i] = (rise.miss(ahead, places + step) - miss) / step[i]
            rates[:, i] = (ahead.q - state.q) / step[i]
    else:
        slopes = before.slopes.copy()
        rates = np.stack([rise.interpolate(column, k) for column in before.rates.T], axis=1)
    for _ in range(40):
        size = float(np.abs(miss).max())
        noise = rounding(rise, state)
        if size < 10 * noise:
            break
        step = -np.linalg.solve(slopes, miss)
        room = rise.room(places)
        step *= min(1.0, 0.4 / max(1e-300, float((1.0 - rise.room(places + step) / room).max())))
        guess = state.q + rates @ step
        if not (np.diff(np.r_[0.0, guess, 1.0]) > 0.0)[int(rise.pinned) :].all():
            guess = state.q
        state_before, miss_before = state, miss
        state = solve(guess, places + step)
        places = places + step
        miss = rise.miss(state, places)
        if size < 1e3 * noise and np.abs(miss).max() >= 0.5 * size:
            break
        square = float(step @ step)
        slopes += np.outer(miss - miss_before - slopes @ step, step) / square
        rates += np.outer(state.q - state_before.q - rates @ step, step) / square
    state.residual = max(state.residual, float(np.abs(miss).max()))
    return Found(state, places, slopes, rates)


def without_field(symmetric: State, k: int) -> Found:
    """Few steps from q = 0, from scratch: q_EA and x_c close to those of SK with the same replica-symmetric overlap."""
    rise = Rise(symmetric.model)
    q = float(symmetric.q[0])
    q += 0.75 * q * q * (1.0 - q)
    if rise.onset >= 1.0:
        raise NumericalError(f"q(x) would leave zero at x = {rise.onset:.3g} >= 1: it is not continuous")
    x_c = rise.onset + (1.0 - rise.onset) * q / (0.51 + 1.3 * q)
    return continuous(rise, k, np.linspace(0.0, q, k + 1), np.array([x_c]), plain=30)


def begin(two: State) -> tuple[Rise, Found]:
    """The rise in place of the two innermost levels: both lie where the marginality places them.

    Newton's method comes to the right levels from wider ones, and to merged ones from narrower ones.
    """
    rise, k = Rise(two.model, jump=len(two.m) > 1), 2
    places = np.r_[two.m[:-1], closure(two, -2), closure(two, -1)]
    low, high = two.q[-2:]
    below, margin, shape = (two.q[-3] if rise.jump else 0.0), 0.15 * (high - low), np.linspace(0.0, 1.0, k + 1)
    low, high = low - min(margin, (low - below) / 2), high + min(margin, (1.0 - high) / 2)
    symmetric = replica_symmetric(MixedIsing(two.model.coefficients, two.model.temperature))
    if not rise.jump and symmetric.replicon < 0.0:  # like that without field
        plain = without_field(symmetric, 6)
        along = np.interp(
            places[0] + shape * (places[1] - places[0]), Rise(plain.state.model).profile(plain.places, 6), plain.state.q
        )
        shape = (along - along[0]) / (along[-1] - along[0])
    return rise, continuous(rise, k, np.r_[two.q[:-2], low + shape * (high - low)], places)


def after_jump(one: State) -> State:
    """Two steps where one, reached by a jump, is unstable."""
    q, room = one.q[1], 1.0 - one.q[1]
    levels, m = np.r_[one.q[0], q - room, q + 0.3 * room], np.r_[one.m, closure(one, -1)]
    return settle_all(settle(one.model, levels, m, pinned=one.pinned, plain=20))
