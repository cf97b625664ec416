"""Ising spin glasses at zero temperature and close to it, in units of the local field.

Where beta -> infinity, x -> 0 at fixed a = beta x; the overlap is a step function of a, q_i on a_i < a < a_{i+1}, and

    -f = F[xi'(q)] - (1/2) int_0^1 a(q) q xi''(q) dq,   e = -int_0^1 a(q) xi'(q) dq - h E f',   q_i = E_{P_i} f_i'^2,

with a = beta on (q_k, 1) at a temperature T > 0.  F, f_i and P_i are those of cpp parisi/spin_glass_ground_state.hpp.

References
----------
R. Oppermann and M. J. Schmidt, Phys. Rev. E 78, 061124 (2008).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._core import NumericalError
from ..io import provenance
from ._levels import CONVERGED, MERGED, UNSETTLED, State, newton
from .mixed import Array, MixedIsing

if TYPE_CHECKING:
    import xarray as xr

__all__: list[str] = []


def is_cold(model: MixedIsing, limit: float) -> bool:
    """Whether it is left to this file: elsewhere exp(m f) leaves the range of numbers, and the grid becomes long."""
    return model.temperature < limit * math.sqrt(2.0 * float(model.xi(1.0)))


class ColdState(State):
    """Overlaps q_0 .. q_n and, in the place of m, a_1 .. a_{n+1}; the last one is 1/T where T > 0."""

    def sweep(self, *, jacobian: bool = False) -> ColdState:
        levels = self.model.xi(np.r_[self.q, 1.0], 1)
        thermal = self.model.temperature > 0.0
        self.raw = _core.spin_glass_ground_state(levels, self.m, self.model.field, thermal=thermal, jacobian=jacobian)
        return self

    @property
    def cold(self) -> bool:
        return self.model.temperature == 0.0

    @property
    def plateaus(self) -> tuple[Array, Array, Array]:
        if self.cold:
            return np.r_[0.0, self.m], np.r_[self.m, np.inf], np.r_[self.q, 1.0]
        m = self.m * self.model.temperature
        return np.r_[0.0, m[:-1]], m, self.q

    @property
    def _pressure(self) -> Array:
        """The differences of q xi' - xi, the integral of q xi'', from level to level."""
        q = np.r_[self.q, 1.0]
        return np.diff(q * self.model.xi(q, 1) - self.model.xi(q))

    @property
    def breakpoint_slope(self) -> Array:
        """d(-f)/da_i."""
        return np.asarray(self.raw["breakpoint_slope"] - self._pressure / 2)

    @property
    def free_energy(self) -> float:
        return float(self.m @ self._pressure / 2 - self.raw["value"])

    @property
    def energy(self) -> float:
        if self.cold:
            return self.free_energy
        pairs = self.m @ np.diff(self.model.xi(np.r_[self.q, 1.0]))
        return float(-pairs - self.model.field * self.raw["magnetisation"])

    @property
    def entropy(self) -> float:
        return 0.0 if self.cold else super().entropy

    @property
    def entropy_of_fixed_a(self) -> float:
        """-df/dT at fixed a_i < 1/T: the entropy where these are stationary."""
        return float(-self.breakpoint_slope[-1] * self.m[-1] ** 2)

    @property
    def replicon(self) -> float:
        """Of any finite number of steps -infinity at T = 0: fields close to zero have a finite density."""
        return -math.inf if self.cold else float(1.0 - self.model.xi(self.q[-1], 2) * self.raw["curvature2"])

    @property
    def closure(self) -> float:
        """a(q_n) of a continuous q(a), from d/dq of the marginality xi''(q) E f''^2 = 1."""
        xi, q, raw = self.model.xi, self.q[-1], self.raw
        return float((raw["third2"] + xi(q, 3) / xi(q, 2) ** 3) / (2.0 * raw["curvature3"]))

    @property
    def min_gap(self) -> float:
        q = self.plateaus[2]
        return float(np.diff(q).min()) if len(q) > 1 else math.nan

    @property
    def merged(self) -> bool:
        # Close to q = 1 the gaps are small by right.
        q = np.r_[self.q, 1.0]
        gaps = np.diff(q)
        beside = np.zeros(len(gaps))
        beside[1:-1] = np.minimum(gaps[:-2], gaps[2:])
        return bool((gaps < np.maximum(1e-4 * (1.0 - q[:-1]), 0.1 * beside)).any())


def settle(start: ColdState, *, stationary: bool = False, plain: int = 0) -> ColdState:
    """Overlaps, and where `stationary` the breakpoints below 1/T, from `start` (after so many steps q <- E f'^2)."""
    model, pinned, T = start.model, start.pinned, start.model.temperature
    free, outer = slice(1 if pinned else 0, None), start.q[: 1 if pinned else 0]
    q = start.q
    for _ in range(plain):
        q = q + ColdState(model, q, start.m, pinned).sweep().miss
    n = len(q) - len(outer)
    n_a = 0 if not stationary else len(start.m) - (1 if T > 0.0 else 0)
    fixed = start.m[n_a:]

    def breakpoints(z: Array) -> Array:
        return np.asarray(np.exp(np.minimum(z[n:], 100.0)))

    def unpack(z: Array) -> ColdState:
        return ColdState(model, np.r_[outer, z[:n]], np.r_[breakpoints(z), fixed], pinned)

    # The unknowns are q_i and ln a_i, from 0.3 to 20.  d(-f)/dq_i = (a_i - a_{i+1})/2 xi''(q_i) miss_i.
    def equations(z: Array) -> tuple[Array, Array, ColdState]:
        here = unpack(z).sweep(jacobian=True)
        slope = model.xi(here.q, 2)
        matrix = np.zeros((n + n_a, n + n_a))
        matrix[:n, :n] = (here.raw["jacobian"] * slope - np.eye(len(q)))[free, free]
        room = np.diff(here.m, prepend=0.0)
        for i in range(n_a):
            shift = 1e-4 * room[i : i + 2].min() / here.m[i] * np.eye(n + n_a)[n + i]
            ahead, behind = (unpack(z + sign * shift).sweep() for sign in (1, -1))
            matrix[:n, n + i] = ((ahead.miss - behind.miss) / (2.0 * shift[n + i]))[free]
            matrix[n:, n + i] = ((ahead.breakpoint_slope - behind.breakpoint_slope) / (2.0 * shift[n + i]))[:n_a]
        # the same mixed derivative, taken the other way round, of -(1/2) (a_{j+1} - a_j) xi'' miss
        weights = np.diff(here.m, prepend=0.0)
        by_weight = (np.eye(len(q)) - np.eye(len(q), k=1))[:n_a] * here.miss
        matrix[n:, :n] = -0.5 * (slope * by_weight)[:, free]
        matrix[n:, :n] -= 0.5 * (slope * weights)[free] * matrix[:n, n:].T / here.m[:n_a, None]
        return np.r_[here.miss[free], here.breakpoint_slope[:n_a]], matrix, here

    def bounds(z: Array) -> Array:
        levels = np.diff(np.r_[outer if pinned else 0.0, z[:n], 1.0])
        return np.asarray(np.r_[levels, np.diff(np.r_[0.0, breakpoints(z), fixed[:1]])] if n_a else levels)

    z = np.r_[q[free], np.log(start.m[:n_a])]
    if not len(z):
        state = unpack(z).sweep()
        state.residual = 0.0
        return state
    return newton(equations, z, bounds)[1]


# ---- the continuum ----

# What k levels leave falls as k^-4 in f at midpoints of a smooth placement; the far end of that of T = 0 adds k^-6.
_SEQUENCE = (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)
_POWERS = {
    "free_energy": (4, 6, 7, 8),
    "entropy": (4, 5, 6, 7),
    "overlap_ea": (2, 3, 4, 5),
    "breakpoint_c": (2, 3, 4, 5),
}
# x_c for T -> 0, of every model
_COLD_BREAKPOINT = 0.5469


@dataclasses.dataclass(frozen=True)
class Placement:
    """Places t of the levels on the axis of a.

    a = a_0 + A t/(1 - t)^2, t < 1, at T = 0; a = a_0 + A sinh(t)/2, a < x_c/T, at T > 0, where as many levels are
    needed in every decade.  a_0 is where a continuous q(a) leaves zero, A = xi''(0)^(-1/2).
    """

    model: MixedIsing

    @property
    def onset(self) -> float:
        return float(self.model.xi(0.0, 3)) / (2.0 * math.pow(float(self.model.xi(0.0, 2)), 1.5))

    @property
    def unit(self) -> float:
        return 1.0 / math.sqrt(float(self.model.xi(0.0, 2)))

    def breakpoint(self, t: Array) -> Array:
        T = self.model.temperature
        return np.asarray(self.onset + self.unit * (np.sinh(t) / 2.0 if T > 0.0 else t / (1.0 - t) ** 2))

    def end(self, x_c: float) -> float:
        T = self.model.temperature
        return math.asinh(2.0 * (x_c / T - self.onset) / self.unit) if T > 0.0 else 1.0

    def overlaps(self, state: ColdState, x_c: float) -> tuple[Array, Array]:
        """q(t) of the levels, as (t, q); q_i lasts from a_i to a_{i+1}: its place is the middle."""
        q = state.plateaus[2]
        return self.end(x_c) * np.arange(len(q)) / (len(q) - 1), q

    def profile(self, x_c: float) -> tuple[Array, Array]:
        """A rough q(t), that of SK: q = (sqrt(pi)/2) (a/w) erf(w/a)."""
        t = np.linspace(0.0, self.end(x_c), 200)
        a = self.breakpoint(t[:-1] if self.model.temperature == 0.0 else t)
        return t, np.r_[rough_overlap((a - self.onset) / self.unit), 1.0][: len(t)]


def rough_overlap(a: Array) -> Array:
    from scipy.special import erf

    y = np.maximum(a, 1e-9) / 1.13
    return np.asarray(math.sqrt(math.pi) / 2.0 * y * erf(1.0 / y))


def continuous(model: MixedIsing, k: int, before: tuple[Array, Array], x_c: float) -> tuple[ColdState, float]:
    """Levels at the midpoints in t below x_c, which closes on itself (at T > 0); from q(t), as (t, q), and x_c."""
    place, T = Placement(model), model.temperature
    last: tuple[float, float] | None = None
    miss = 0.0
    for _ in range(30):
        end = place.end(x_c)
        a = place.breakpoint(end * (np.arange(k) + 0.5) / k)
        inner = before[0][-1] * np.arange(k if T == 0.0 else k + 1) / k
        q = np.r_[0.0, np.interp(inner[1:], *before)]
        state = settle(ColdState(model, q, np.r_[a, 1.0 / T] if T > 0.0 else a, pinned=True))
        if T == 0.0 or state.residual > 1e-6:
            break
        miss = T * state.closure - x_c
        before = place.overlaps(state, x_c)
        if abs(miss) < 1e-14 or (last is not None and abs(miss) < 1e-12 and abs(miss) >= abs(last[1])):
            break
        slope = (miss - last[1]) / (x_c - last[0]) if last is not None and x_c != last[0] else -1.0
        last = x_c, miss
        x_c = min(max(x_c - miss / slope if slope < -0.1 else x_c + miss, 0.5 * x_c), 0.5 * (1.0 + x_c))
    state.residual = max(state.residual, abs(miss))
    return state, x_c


def is_continuous(model: MixedIsing) -> bool:
    """Whether `full_rsb` here is the one to use: no field, and far below a continuous transition."""
    if model.temperature == 0.0 and (model.field != 0.0 or float(model.xi(0.0, 2)) == 0.0):
        raise NumericalError("full_rsb at temperature 0 needs pair couplings and no field: use solve(model, steps)")
    return is_cold(model, 0.15) and model.field == 0.0 and float(model.xi(0.0, 2)) > model.temperature**2


def full_rsb(model: MixedIsing, rtol: float) -> xr.Dataset:
    """Without field, far below a continuous transition; see `deepglass.parisi.full_rsb`."""
    import xarray as xr

    T, place, x_c = model.temperature, Placement(model), _COLD_BREAKPOINT
    before = place.profile(x_c)
    found: list[tuple[ColdState, float]] = []
    for k in _SEQUENCE:
        state, x_c = continuous(model, k, before, x_c)
        if state.merged or not 0.0 < x_c < 1.0 or not state.residual < 1e-10:
            raise NumericalError(
                f"the overlaps of {k} steps are not those of a continuous q(x): min_gap {state.min_gap:.3g}, x_c "
                f"{x_c:.3g}, residual {state.residual:.3g}; a discontinuous q(x) is left to solve(model, steps)"
            )
        before = place.overlaps(state, x_c)
        found.append((state, x_c))
        limits = limits_of(found) if len(found) > 6 else {}
        if limits and _good(limits, rtol):
            break
    numbers = {name: value for name, (value, _) in limits.items()}
    errors = {f"{name}_error": error for name, (_, error) in limits.items()}
    axis, a = "x" if T > 0.0 else "a", place.breakpoint(before[0][: len(state.q)])
    return xr.Dataset(
        numbers
        | errors
        | {
            "overlap": (axis, state.q),
            "replicon": state.replicon,
            "min_gap": state.min_gap,
            "residual": state.residual,
            "converged": _good(limits, rtol),
            "free_energy_of_k": ("k", [one.free_energy for one, _ in found]),
        },
        coords={axis: a * (T or 1.0), "k": np.array(_SEQUENCE[: len(found)])},
        attrs=provenance("deepglass.parisi.full_rsb", _parameters(model) | {"rtol": rtol}),
    )


def _parameters(model: MixedIsing) -> dict[str, Any]:
    return dataclasses.asdict(model) | {"coefficients": {str(p): c for p, c in model.coefficients.items()}}


def limits_of(found: list[tuple[ColdState, float]]) -> dict[str, tuple[float, float]]:
    """Give the limits of infinitely many steps, and their errors."""
    from .spin_continuum import extrapolate

    model, steps = found[0][0].model, np.array(_SEQUENCE[: len(found)], float)
    T = model.temperature

    def limit(name: str, column: list[float]) -> tuple[float, float]:
        return extrapolate(steps, np.array(column), _POWERS[name])

    free_energy, none, zero = (
        limit("free_energy", [state.free_energy for state, _ in found]),
        (math.nan,) * 2,
        (0.0,) * 2,
    )
    limits = {"free_energy": free_energy, "energy": free_energy, "entropy": zero, "magnetisation": zero}
    limits |= {"overlap_min": zero, "overlap_jump": none, "overlap_ea": (1.0, 0.0)}
    limits |= {"breakpoint_jump": none, "breakpoint_0": none, "breakpoint_c": none}
    if T > 0.0:
        entropy = limit("entropy", [state.entropy_of_fixed_a for state, _ in found])
        limits["entropy"] = entropy
        limits["energy"] = free_energy[0] + T * entropy[0], free_energy[1] + T * entropy[1]
        limits["overlap_ea"] = limit("overlap_ea", [float(state.q[-1]) for state, _ in found])
        limits["breakpoint_0"] = T * Placement(model).onset, 0.0
        limits["breakpoint_c"] = limit("breakpoint_c", [x_c for _, x_c in found])
    return limits


def _good(limits: dict[str, tuple[float, float]], rtol: float) -> bool:
    """Whether the errors are those asked for; NaN has none."""
    return not any(
        error > rtol * abs(value) * (1.0 if name in ("free_energy", "energy") else 1e3) + 1e-12
        for name, (value, error) in limits.items()
        if name != "entropy"
    )


# ---- k steps ----


def replica_symmetric(model: MixedIsing) -> ColdState:
    """The largest root of q = E f'^2."""
    T = model.temperature
    if T > 0.0:
        return settle(ColdState(model, np.array([1.0 - 0.1 * T]), np.array([1.0 / T]), pinned=False), plain=3)
    # E |h + sigma z| and E sign(h + sigma z)
    h, sigma = model.field, math.sqrt(float(model.xi(1.0, 1)))
    sign = math.erf(h / (sigma * math.sqrt(2.0)))
    value = h * sign + sigma * math.sqrt(2.0 / math.pi) * math.exp(-0.5 * (h / sigma) ** 2)
    raw = {"value": value, "magnetisation": sign}
    return ColdState(model, np.zeros(0), np.zeros(0), pinned=False, raw=raw, residual=0.0)


def takes_steps(model: MixedIsing, steps: int) -> bool:
    """Whether `with_steps` is the one to use; further steps after a jump are found elsewhere, at T > 0."""
    return is_cold(model, 0.1) and (steps < 2 or float(model.xi(0.0, 2)) > 0.0 or model.temperature == 0.0)


def with_steps(model: MixedIsing, steps: int, breakpoints: Array | None, *, pinned: bool) -> ColdState:
    """So many steps; breakpoints a_i (m_i at T > 0) as given, or stationary.  Refuses merged ones."""
    if steps == 0:
        return replica_symmetric(model)
    try:
        state = _with_steps(model, steps, breakpoints, pinned=pinned)
    except NumericalError as error:
        raise NumericalError(f"no solution with {steps} steps was found, levels may have merged: {error}") from error
    left, right, _ = state.plateaus
    close = state.min_gap < UNSETTLED or bool((left > (1.0 - UNSETTLED) * right).any())
    unsettled = state.residual > CONVERGED and close  # Newton's method approaches merged levels slowly
    if state.merged or unsettled or (not pinned and model.field == 0.0 and state.q[0] < MERGED):
        raise NumericalError(
            f"no solution with {steps} steps, or none that was found: levels have merged (min_gap {state.min_gap:.3g}, "
            f"last breakpoint {left[-1]:.4g}, residual {state.residual:.3g})"
        )
    return state


def _with_steps(model: MixedIsing, steps: int, breakpoints: Array | None, *, pinned: bool) -> ColdState:
    T = model.temperature
    last = [1.0 / T] if T > 0.0 else []
    a_of_q, q_of_a = _rough_function(model)
    if breakpoints is not None:
        a = breakpoints / (T or 1.0)
    else:
        # A field cuts off the lower part: q_0 of one step, roughly, and what lies below it
        q_0 = 1.0 - 0.523 * math.exp(-1.2 * model.field**2 / float(model.xi(1.0, 1)))
        low = max(0.0, q_0 - 0.9 * (1.0 - q_0)) if model.field != 0.0 else 0.0
        # Those of SK at T = 0 for 1 to 7 steps, by overlap
        typical = 1.4 * np.tan(math.pi / 2.0 * np.arange(1, steps + 1) / (steps + 1.04 * steps**-0.385))
        a = a_of_q(low + (1.0 - low) * rough_overlap(typical / (1.0 + typical * T / _COLD_BREAKPOINT)))
    ends = [2.0 * a[-1]] if T > 0.0 else []
    q = q_of_a(np.r_[a[0] / 2.0, np.sqrt(a[1:] * a[:-1]), ends])
    if pinned:
        q[0] = 0.0
    state = settle(ColdState(model, q, np.r_[a, last], pinned), plain=10)
    return settle(state, stationary=True) if breakpoints is None else state


def _rough_function(model: MixedIsing) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """A rough continuous a(q), and q(a): those of T = 0 without field."""
    if float(model.xi(0.0, 2)) > model.temperature**2:
        plain = MixedIsing(model.coefficients, temperature=0.0)
        place = Placement(plain)
        t, q = place.profile(1.0)
        for k in (4, 8):
            state, _ = continuous(plain, k, (t, q), 1.0)
            t, q = place.overlaps(state, 1.0)
        unit, q, a = place.unit, state.q, place.breakpoint(t[: len(state.q)])
    else:
        # Energies of independent configurations freeze at a = sqrt(2 ln 2/xi(1)): there q jumps.
        unit = 0.85 * math.sqrt(2.0 * math.log(2.0) / float(model.xi(1.0)))
        a = unit * np.r_[1.0, np.geomspace(2.0, 50.0, 20)]
        q = np.r_[0.0, rough_overlap(a[1:] * math.sqrt(float(model.xi(1.0, 2))))]

    # Interpolated where it is close to a straight line: 1 - q ~ a at small a, ~ a^-2 at large a.
    def to(y: Array) -> Array:
        return np.asarray(1.0 - (1.0 + y / unit) ** -2)

    place_of, level_of = np.r_[to(a), 1.0], np.r_[q, 1.0]
    return (
        lambda y: unit * ((1.0 - np.interp(y, level_of, place_of)) ** -0.5 - 1.0),
        lambda y: np.interp(to(y), place_of, level_of),
    )
