"""Mean-field spin glasses of Ising spins: H = -sum_p J_{i1..ip} s_i1 .. s_ip - h sum s, with steps of RSB and full RSB.

The covariance of the energy is N xi(q), xi(q) = sum_p c_p q^p (SK: q^2/2).  With u = beta h + a Gaussian field of
covariance Lambda(q) = beta^2 xi'(q), and the overlap q(x) a step function, q_i on m_i < x < m_{i+1},

    -beta f = F[Lambda] + (beta^2/2) [xi'(1) - xi'(q_k)] - (beta^2/2) int_0^1 x(q) q xi''(q) dq,   q_i = E_{P_i} f_i'^2,

where F, f_i and P_i are those of the Parisi recursion (cpp parisi/spin_glass.hpp).

References
----------
G. Parisi, J. Phys. A 13, 1101 (1980).  A. Crisanti and T. Rizzo, Phys. Rev. E 65, 046137 (2002).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import integer, number
from .._core import NumericalError
from .._warnings import ConvergenceWarning
from ..io import provenance
from .mixed import Array, MixedIsing, MixedSpherical, SherringtonKirkpatrick, covariance
from .spherical import spherical_full_rsb

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["almeida_thouless", "full_rsb", "solve"]

# Residual of q = E f'^2 (and of d(beta f)/dm) that counts as converged; rounding leaves 1e-15 to 1e-14.
_CONVERGED = 1e-12
# Levels closer than this, or than this fraction of the gaps beside them, have merged: a root of the equations of k
# steps that is one of fewer steps.
_MERGED, _MERGED_FRACTION = 1e-7, 0.1
# What comes as close as this (or m_k to 1) and does not converge is on its way there.
_UNSETTLED = 1e-2


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
        return float(1.0 - self.model.xi(self.q[-1], 2) / self.model.temperature**2 * self.raw["curvature2"])

    @property
    def min_gap(self) -> float:
        return float(np.diff(self.q).min()) if len(self.q) > 1 else math.nan

    @property
    def merged(self) -> bool:
        gaps = np.diff(self.q)
        beside = np.r_[np.inf, gaps, np.inf]
        beside = np.minimum(beside[:-2], beside[2:])
        beside[~np.isfinite(beside)] = 0.0
        return bool((gaps < np.maximum(_MERGED, _MERGED_FRACTION * beside)).any())


Equations = Callable[[Array], tuple[Array, Array, State]]


def newton(equations: Equations, z: Array, bounds: Callable[[Array], Array], max_iter: int = 60) -> tuple[Array, State]:
    """Newton's method inside `bounds`, whose entries stay positive.

    A step is halved until the next one, with the same matrix, would be shorter: a measure that does not depend on
    the units of the equations, of which those of the breakpoints are flat.
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
        settled = bool(norm < _CONVERGED)  # and this step ends in rounding
        accepted = False
        while not accepted and fraction > 1e-6 and iteration < max_iter:
            iteration += 1
            with contextlib.suppress(NumericalError):  # levels too close: the step was too long
                new = equations(z + fraction * step)
                accepted = bool(np.abs(inverse @ new[0]).max() < (1.0 - fraction / 4) * size)
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


def settle(model: MixedIsing, q: Array, m: Array, *, pinned: bool, plain: int = 0) -> State:
    """Overlaps for given breakpoints, from `q` (after so many plain steps q <- E f'^2)."""
    start = State(model, q, m, pinned)
    for _ in range(plain):
        q = q + start.sweep().miss
        start.q = q
    free = slice(1 if pinned else 0, None)

    def equations(z: Array) -> tuple[Array, Array, State]:
        state = State(model, np.r_[q[: free.start], z], m, pinned).sweep(jacobian=True)
        slope = model.xi(state.q, 2) / model.temperature**2
        matrix = state.raw["jacobian"] * slope - np.eye(len(q))
        return state.miss[free], matrix[free, free], state

    def bounds(z: Array) -> Array:
        return np.diff(np.r_[q[: free.start] if pinned else 0.0, z, 1.0])

    if len(q) == 1 and pinned:
        start.sweep().residual = 0.0
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
        # the same mixed derivative, taken the other way round
        matrix[n:, :n] = (matrix[:n, n:] * (-here.weights / 2 * slope)[free, None]).T
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


# ---- the continuum ----


def closure(state: State) -> float:
    """x(q_k) of a continuous q(x), from d/dq of the marginality beta^2 xi''(q) E f''^2 = 1 at the innermost level."""
    xi, q, beta = state.model.xi, state.q[-1], 1.0 / state.model.temperature
    gain = xi(q, 3) / (beta**4 * xi(q, 2) ** 3)
    return float((state.raw["third2"] + gain) / (2.0 * state.raw["curvature3"]))


def onset(model: MixedIsing) -> float:
    """Where a continuous q(x) leaves zero: the same closure at q = 0, where f is even and f'' marginal."""
    return float(model.temperature * model.xi(0.0, 3) / (2.0 * model.xi(0.0, 2) ** 1.5))


def continuous(model: MixedIsing, k: int, q: Array, x_c: float, plain: int = 0) -> tuple[State, float]:
    """Steps of equal width up to x_c, which closes on itself; q_0 = 0 (no field).  From q_0 .. q_k and x_c."""
    places, x_0 = (np.arange(k) + 0.5) / k, onset(model)
    before: tuple[float, float, Array] | None = None
    for _ in range(30):
        state = settle(model, q, x_0 + (x_c - x_0) * places, pinned=True, plain=plain)
        if state.residual > 1e-6:
            raise NumericalError(f"{k} steps do not settle on a continuous q(x) (residual {state.residual:.3g})")
        miss, plain = closure(state) - x_c, 0
        if abs(miss) < 1e-14 or (before is not None and abs(miss) < 1e-12 and abs(miss) >= abs(before[1])):
            break
        slope = (miss - before[1]) / (x_c - before[0]) if before is not None and x_c != before[0] else -1.0
        step = -miss / slope if slope < -0.1 else miss
        step = min(max(step, -0.3 * (x_c - x_0)), 0.3 * min(x_c - x_0, 1.0 - x_c))
        rate = (state.q - before[2]) / (x_c - before[0]) if before is not None else np.zeros(k + 1)
        before = x_c, miss, state.q
        q = state.q + rate * step
        if not (np.diff(np.r_[q, 1.0]) > 0.0).all():
            q = state.q
        x_c += step
    state.residual = max(state.residual, abs(miss))
    return state, x_c


def coarse(symmetric: State, k: int) -> tuple[State, float]:
    """Few steps, from scratch: q_EA and x_c close to those of SK with the same replica-symmetric overlap."""
    q = float(symmetric.q[0])
    q += 0.75 * q * q * (1.0 - q)
    x_0 = onset(symmetric.model)
    if x_0 >= 1.0:
        raise NumericalError(f"q(x) would leave zero at x = {x_0:.3g} >= 1: it is not continuous")
    x_c = x_0 + (1.0 - x_0) * q / (0.51 + 1.3 * q)
    return continuous(symmetric.model, k, np.linspace(0.0, q, k + 1), x_c, plain=30)


# Numbers of steps, and the powers of 1/k in what is left (measured: thermodynamics from k^-4, overlaps from k^-2).
_SEQUENCE = (6, 8, 10, 12, 16, 20, 24, 32, 40, 48)
_POWERS = {
    "free_energy": (4, 6, 7),
    "energy": (4, 5, 6, 7),
    "entropy": (4, 5, 6, 7),
    "overlap_ea": (2, 3, 4, 5),
    "breakpoint_c": (2, 3, 4, 5),
}
# Of the numbers that are extrapolated.
_ROUNDING = 1e-14


def extrapolate(k: Array, values: Array, powers: tuple[int, ...]) -> tuple[float, float]:
    """Limit k -> infinity of the last values, and its error: what the finest k, and the last power, changed."""

    def fit(end: int, powers: tuple[int, ...]) -> tuple[float, float]:
        last = slice(end - len(powers) - 1, end)
        matrix = np.power.outer(k[last], -np.array((0, *powers), float)) * k[end - 1] ** np.array((0.0, *powers))
        weights = np.linalg.inv(matrix)[0]
        # weights sum to one, but for their rounding
        return float(values[-1] + weights @ (values[last] - values[-1])), float(np.abs(weights).sum())

    best, amplified = fit(len(k), powers)
    others = [fit(len(k) - 1, powers)[0], fit(len(k), powers[:-1])[0]]
    return best, max(abs(best - other) for other in others) + amplified * _ROUNDING


def full_rsb(model: MixedIsing, rtol: float = 1e-10) -> xr.Dataset:
    """Full replica symmetry breaking: the limit of infinitely many steps, with error estimates.

    Solves k steps of equal width below x_c, the end of the continuous q(x), for k = 6, 8, 10, 12, 16, .. and
    extrapolates in 1/k.  x_c follows from the marginality beta^2 xi''(q) E f''^2 = 1 at q_EA,

        x(q) = [E f'''^2 + xi'''/(beta^4 xi''^3)] / (2 E f''^3).

    Where the replica-symmetric solution is stable it is the answer, with errors of rounding.

    Parameters
    ----------
    model : MixedIsing or MixedSpherical
        The spin glass.  Ising spins with a field: only where the replica-symmetric solution is stable.
    rtol : float from 1e-13 to 1e-4
        Relative error asked for in free_energy and energy; of the overlaps 1000 times as much.

    Returns
    -------
    Dataset
        ``free_energy``, ``energy``, ``entropy``, ``overlap_ea`` (q at x = x_c..1), ``breakpoint_c`` (x_c; 0 if replica
        symmetric), each with ``<name>_error``; ``overlap`` (x), the function q(x) at the largest k; ``replicon``,
        ``min_gap`` and ``residual`` of the largest k, and ``converged``.  The sequence itself is ``free_energy_of_k``
        (k).

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If q(x) is not a continuous function that starts from zero (a field below the Almeida-Thouless line; a
        random first-order transition: see `solve`), or the temperature is too low for the numbers.

    Warns
    -----
    ConvergenceWarning
        If the error estimates stay above rtol.

    Notes
    -----
    0.15 s at T = 0.5, 0.8 s at T = 0.2 and 7 s at T = 0.1 (SK).  Spherical models have closed forms.

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.full_rsb(dg.parisi.SherringtonKirkpatrick(temperature=0.5))
    >>> round(float(solution.free_energy), 11), round(float(solution.overlap_ea), 6)
    (-0.79117757493, 0.638161)
    """
    rtol = number("rtol", rtol, "a number from 1e-13 to 1e-4", lambda x: 1e-13 <= x <= 1e-4)
    if isinstance(model, MixedSpherical):
        return spherical_full_rsb(model)
    symmetric = replica_symmetric(model)
    if symmetric.replicon >= -1e-12:
        _refuse_first_order(model, symmetric)
        return _continuum_dataset(model, rtol, [], [(symmetric, 0.0)])
    if model.field != 0.0:
        raise NumericalError(
            f"full_rsb needs a stable replica-symmetric solution where there is a field; its replicon is "
            f"{symmetric.replicon:.3g} < 0 at field {model.field!r}: use solve(model, steps)"
        )
    if float(model.xi(0.0, 2)) <= 0.0:
        raise NumericalError(
            "full_rsb needs a continuous transition, which has pair couplings: use solve(model, steps)"
        )
    state, x_c = coarse(symmetric, 4)
    found: list[tuple[State, float]] = []
    for k in _SEQUENCE:
        start = np.interp(np.arange(k + 1) / k, np.arange(len(state.q)) / (len(state.q) - 1), state.q)
        state, x_c = continuous(model, k, start, x_c)
        if state.merged or not 0.0 < x_c < 1.0 or not state.residual < 1e-10:
            raise NumericalError(
                f"the overlaps of {k} steps are not those of a continuous q(x): min_gap {state.min_gap:.3g}, x_c "
                f"{x_c:.3g}, residual {state.residual:.3g}; a discontinuous q(x) is left to solve(model, steps)"
            )
        found.append((state, x_c))
        if len(found) > 6 and _good(_limits(found), rtol):
            break
    return _continuum_dataset(model, rtol, list(_SEQUENCE[: len(found)]), found)


def _limits(found: list[tuple[State, float]]) -> dict[str, tuple[float, float]]:
    values = {
        "free_energy": [state.free_energy for state, _ in found],
        "energy": [state.energy for state, _ in found],
        "entropy": [state.entropy for state, _ in found],
        "overlap_ea": [state.q[-1] for state, _ in found],
        "breakpoint_c": [x_c for _, x_c in found],
    }
    if len(found) == 1:  # replica symmetric
        return {
            name: (float(column[0]), _ROUNDING / min(1.0, found[0][0].model.temperature))
            for name, column in values.items()
        }
    k = np.array([len(state.m) for state, _ in found], float)
    return {name: extrapolate(k, np.array(column), _POWERS[name]) for name, column in values.items()}


def _good(limits: dict[str, tuple[float, float]], rtol: float) -> bool:
    return all(
        error <= rtol * abs(value) * (1.0 if name in ("free_energy", "energy") else 1e3) + 1e-12
        for name, (value, error) in limits.items()
        if name != "entropy"
    )


def _continuum_dataset(
    model: MixedIsing, rtol: float, steps: list[int], found: list[tuple[State, float]]
) -> xr.Dataset:
    import xarray as xr

    limits, (finest, x_c) = _limits(found), found[-1]
    converged = _good(limits, rtol)
    if not converged:
        warnings.warn(f"full_rsb: error estimates stay above rtol = {rtol:g}", ConvergenceWarning, stacklevel=3)
    numbers = {name: value for name, (value, _) in limits.items()}
    errors = {f"{name}_error": error for name, (_, error) in limits.items()}
    n, x_0 = len(finest.q), onset(model) if steps else 0.0
    return xr.Dataset(
        numbers
        | errors
        | {
            "overlap": ("x", finest.q),
            "replicon": finest.replicon,
            "min_gap": finest.min_gap,
            "residual": finest.residual,
            "converged": converged,
            "free_energy_of_k": ("k", [state.free_energy for state, _ in found] if steps else []),
        },
        # q_i lasts from m_i to m_{i+1}: its place is the middle
        coords={"x": x_0 + (x_c - x_0) * np.arange(n) / max(n - 1, 1), "k": np.array(steps, int)},
        attrs=provenance("deepglass.parisi.full_rsb", _parameters(model) | {"rtol": rtol}),
    )


def _parameters(model: MixedIsing | MixedSpherical) -> dict[str, Any]:
    found: dict[str, Any] = dataclasses.asdict(model)
    return found | {"coefficients": {str(p): c for p, c in found["coefficients"].items()}}


# ---- the first-order way out of the paramagnet ----


def gaussian_points() -> tuple[Array, Array]:
    """Give points and weights of a fine trapezoidal rule for the standard normal."""
    z = np.linspace(-9.0, 9.0, 1201)
    w = np.exp(-z * z / 2)
    return z, w / w.sum()


def annealed_potential(coefficients: Mapping[int, float], temperature: float, q: Array) -> Array:
    """Free entropy of a spin glass at overlap q with a typical configuration, above that at overlap 0, without field.

    V(q) = E ln cosh(sqrt(e) z + e) - (e/2)(1 + q) + beta^2 xi(q)/2,  e = beta^2 xi'(q);  where the entropy of states
    vanishes, V = 0 at its maximum.
    """
    beta2 = temperature**-2
    e = beta2 * covariance(coefficients, q, 1)
    z, w = gaussian_points()
    u = np.sqrt(e)[:, None] * z + e[:, None]
    log_cosh = np.abs(u) + np.log1p(np.exp(-2 * np.abs(u))) - math.log(2.0)
    return np.asarray(log_cosh @ w - e / 2 * (1 + q) + beta2 * covariance(coefficients, q) / 2)


def _refuse_first_order(model: MixedIsing, symmetric: State) -> None:
    if model.field != 0.0 or symmetric.q[-1] > 0.0 or set(model.coefficients) == {2}:
        return
    if annealed_potential(model.coefficients, model.temperature, np.linspace(0.02, 0.999, 400)).max() > 1e-9:
        raise NumericalError(
            f"below a random first-order transition at temperature {model.temperature!r}: use solve(model, steps=1)"
        )


# ---- k steps ----


def solve(
    model: MixedIsing,
    steps: int = 1,
    breakpoints: npt.ArrayLike | None = None,
    *,
    outer_overlap: float | None = None,
) -> xr.Dataset:
    """Solve for k steps of replica symmetry breaking of an Ising spin glass; see `deepglass.parisi.solve`.

    Parameters
    ----------
    model : MixedIsing
        The spin glass.
    steps : int from 0 to 64
        Steps k; 0 is replica symmetric.
    breakpoints : array, shape (steps,), optional
        m_1 .. m_k, increasing in (0, 1).  Without them all are made stationary, for steps up to 8.
    outer_overlap : 0, optional
        Keeps q_0 = 0 in zero field; else q_0 is one of the unknowns.

    Returns
    -------
    Dataset
        ``overlap`` (step), q_0 .. q_k, on x_left < x < x_right; ``breakpoint`` (step), 0 and m_1 .. m_k;
        ``free_energy``, ``energy``, ``entropy`` per spin; ``replicon`` (negative: unstable); ``min_gap``, the smallest
        difference of overlaps; ``residual`` of q = E f'^2 and of d(beta f)/dm = 0, and ``converged``.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If levels merge (there is no solution with so many steps, or not at these breakpoints).

    Warns
    -----
    ConvergenceWarning
        If the residual stays above 1e-12.

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.SherringtonKirkpatrick(temperature=0.5), steps=1)
    >>> round(float(solution.free_energy), 11), solution.overlap.values.round(6).tolist()
    (-0.79120884238, [0.214631, 0.619201])
    """
    steps = integer("steps", steps, 0, 64 if breakpoints is not None else 8)
    if outer_overlap not in (None, 0):
        raise ValueError(f"outer_overlap must be None or 0, got {outer_overlap!r}")
    if outer_overlap is not None and model.field != 0.0:
        raise ValueError(f"outer_overlap must be None in a field, got {outer_overlap!r}")
    symmetric = replica_symmetric(model)
    if steps == 0:
        if breakpoints is not None and np.size(breakpoints):
            raise ValueError(f"breakpoints must be empty with steps = 0, got {breakpoints!r}")
        return _dataset(symmetric)
    pinned = outer_overlap is not None or (model.field == 0.0 and float(model.xi(0.0, 2)) == 0.0)
    m = None if breakpoints is None else _breakpoints(breakpoints, steps)
    try:
        if m is None:
            state = settle_all(_start(symmetric, steps, pinned))
        else:
            q = np.interp(m, *_profile(symmetric))
            state = settle(model, np.r_[0.0 if pinned else q[0] / 2, q], m, pinned=pinned, plain=60)
    except NumericalError as error:
        raise NumericalError(f"no solution with {steps} steps was found, levels may have merged: {error}") from error
    # Newton's method approaches merged levels slowly.
    unsettled = state.residual > _CONVERGED and (state.min_gap < _UNSETTLED or state.m[-1] > 1.0 - _UNSETTLED)
    if state.merged or unsettled or (not pinned and model.field == 0.0 and state.q[0] < _MERGED):
        raise NumericalError(
            f"no solution with {steps} steps, or none that was found: levels have merged or m_k = 1 (min_gap "
            f"{state.min_gap:.3g}, m_k {state.m[-1]:.4g}, residual {state.residual:.3g})"
        )
    return _dataset(state)


def _breakpoints(value: npt.ArrayLike, steps: int) -> Array:
    m = np.asarray(value, float)
    if m.shape != (steps,) or not (np.diff(np.r_[0.0, m, 1.0]) > 0.0).all():
        raise ValueError(f"breakpoints must have shape ({steps},) and increase strictly within (0, 1), got {value!r}")
    return m


def _profile(symmetric: State) -> tuple[Array, Array]:
    """A rough q(x), as (x, q)."""
    model = symmetric.model
    if model.field == 0.0 and symmetric.replicon >= 0.0:  # a jump
        return np.array([0.0, 1.0]), np.array([0.9, 0.95])
    # A field cuts off its lower part (the hypothesis of Parisi and Toulouse).
    plain = MixedIsing(model.coefficients, model.temperature)
    frozen = replica_symmetric(plain) if model.field != 0.0 else symmetric
    if frozen.replicon >= 0.0:
        return np.array([0.0, 1.0]), symmetric.q[0] + (1.0 - symmetric.q[0]) * np.array([-0.1, 0.2])
    (state, x_c), x_0 = coarse(frozen, 6), onset(model)
    return x_0 + (x_c - x_0) * np.arange(7) / 6, state.q


def _start(symmetric: State, steps: int, pinned: bool) -> State:
    """Overlaps for breakpoints close to the stationary ones."""
    model, (x, q) = symmetric.model, _profile(symmetric)
    if model.field == 0.0 and symmetric.replicon >= 0.0:
        # Energies of independent configurations freeze at sqrt(xi(1)/(2 ln 2)); order of magnitude for all xi
        freezing = 1.1 * math.sqrt(float(model.xi(1.0)) / (2.0 * math.log(2.0)))
        m = min(0.95, model.temperature / freezing) * (np.arange(steps) + 1.0) / steps
        return settle(model, np.r_[0.0, 0.9 + 0.05 * np.arange(steps) / steps], m, pinned=pinned, plain=40)
    low, high = q[0], q[-1]
    if model.field != 0.0:
        low = 0.8 * symmetric.q[0]
        if steps > 1:
            one = settle_all(_start(symmetric, 1, pinned)).q
            low, high = max(0.0, 1.5 * one[0] - 0.5 * one[1]), one[1]
    places = (np.arange(steps + 1) + (0.0 if pinned else 0.5)) / (steps + (0.0 if pinned else 0.5))
    levels = low + places * (high - low)
    m = np.interp((levels[1:] + levels[:-1]) / 2, q, x)
    return settle(model, levels, m, pinned=pinned, plain=5)


def _dataset(state: State) -> xr.Dataset:
    import xarray as xr

    converged = state.residual <= _CONVERGED
    if not converged:
        warnings.warn(
            f"solve: residual {state.residual:.2g} after {state.iterations} iterations", ConvergenceWarning, 4
        )
    left = np.r_[0.0, state.m]
    return xr.Dataset(
        {
            "overlap": ("step", state.q),
            "breakpoint": ("step", left),
            "free_energy": state.free_energy,
            "energy": state.energy,
            "entropy": state.entropy,
            "replicon": state.replicon,
            "min_gap": state.min_gap,
            "residual": state.residual,
            "iterations": state.iterations,
            "converged": converged,
        },
        coords={"x_left": ("step", left), "x_right": ("step", np.r_[state.m, 1.0])},
        attrs=provenance("deepglass.parisi.solve", _parameters(state.model) | {"steps": len(state.m)}),
    )


def almeida_thouless(temperature: float) -> float:
    """Field of the Almeida-Thouless line of the Sherrington-Kirkpatrick model.

    Below it the replica-symmetric solution q = E tanh^2 u is unstable: beta^2 E sech^4 u = 1 on the line,
    u = beta (h + sqrt(q) z).

    Parameters
    ----------
    temperature : float > 0
        Temperature.

    Returns
    -------
    float
        The field; 0 from temperature 1 on.

    Raises
    ------
    ValueError
        If the temperature is out of range.
    NumericalError
        If it is too low for the numbers (below about 0.02).

    Examples
    --------
    >>> import deepglass as dg
    >>> round(dg.parisi.almeida_thouless(0.5), 10)
    0.5699338303
    """
    from scipy.optimize import brentq

    temperature = SherringtonKirkpatrick(temperature).temperature
    if temperature >= 1.0:
        return 0.0

    def replicon(field: float) -> float:
        return replica_symmetric(SherringtonKirkpatrick(temperature, field)).replicon

    # h^2 ~ (4/3)(1 - T)^3 at the end of the line, and grows like sqrt(ln 1/T) at the other.
    scale = math.sqrt(4.0 / 3.0 * (1.0 - temperature) ** 3)
    low, high = 0.5 * scale, 2.0 * scale + 1e-6
    while replicon(high) < 0.0:
        low, high = high, 2.0 * high
    while replicon(low) > 0.0:
        low, high = 0.5 * low, low
    return float(brentq(replicon, low, high, xtol=1e-15, rtol=1e-14))
