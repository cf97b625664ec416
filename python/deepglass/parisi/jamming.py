"""Jamming of the spherical perceptron with a negative margin: the load where the last solutions vanish.

Solutions w.x > margin exist up to the load at which the overlap q_k of two solutions of one state goes to one.  With k
steps of replica symmetry breaking below it, q_0 < .. < q_{k-1} < 1 = q_k, and the breakpoints m_i = (1 - q_k) y_i,

    load = min over q, y of  -S/F,   S = (1/2) [ sum_i ln(D_i/D_{i+1})/y_i + q_0/D_1 ],   D_i = D_{i+1} + y_i (q_i -
    q_{i-1}),   D_{k+1} = 1,

where F is that of the Parisi recursion that starts from -(margin - h)^2/2 before the wall and 0 beyond (cpp
parisi/wall.hpp).  Each number of steps gives an upper bound; the limit is full replica symmetry breaking.

References
----------
S. Franz, G. Parisi, M. Sevelev, P. Urbani and F. Zamponi, SciPost Phys. 2, 019 (2017).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import integer, number
from .._core import NumericalError
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from .spin_continuum import extrapolate

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["jamming_distributions", "jamming_load"]

Array = npt.NDArray[np.float64]

# Steps closer than this, in ln[q/(1-q)] or in ln y, have merged.
_MERGED = 1e-4
# Of d(load), relative to that of S.  Rounding leaves 1e-15 to 1e-9; the load errs by the square.
_SETTLED, _CONVERGED = 1e-12, 1e-8
# What the grids leave out of a mean.
_LEFT_OUT = 1e-16
# The largest number of steps in a sequence, and the first of the powers of 1/k in what is left (measured).
_MOST_STEPS, _FIRST_POWER = 20, 4


def entropic(q: Array, y: Array) -> tuple[float, Array, Array]:
    """Give S, its gradient by (q, y) and its Hessian; dS/dq_i = (y_{i+1} - y_i) M_i/2.

    At jamming, with as many q as y, q_k = 1 and D_{k+1} = 1; else D_{k+1} = 1 - q_k and S has (1/2) ln D_{k+1} more.
    """
    n, k = len(q), len(y)
    v, inner = np.diff(np.r_[0.0, q, 1.0][: k + 2]), np.triu(np.ones((k + 1, k)))
    v_q = (np.eye(k + 1) - np.eye(k + 1, k=-1))[:, :n]
    D = inner @ (y * v[1:]) + (1.0 if n == k else 1.0 - q[-1])  # D_1 .. D_{k+1}
    D_q, D_y = inner @ (y[:, None] * v_q[1:]), inner * v[1:]
    if n > k:
        D_q[:, -1] -= 1.0
    terms = np.r_[q[0] / D[0] ** 2, v[1:] / (D[1:] * D[:-1])]  # of M_i = q_0/D_1^2 + sum_{j<=i} v_j/(D_j D_{j+1})

    def slope(v_x: Array, D_x: Array) -> Array:
        relative, D_x = v_x / v[:, None], D_x / D[:, None]
        relative[0] -= 2.0 * D_x[0]
        relative[1:] -= D_x[1:] + D_x[:-1]
        return np.asarray(np.cumsum(terms[:, None] * relative, axis=0)[:n])

    M, M_q, M_y = np.cumsum(terms)[:n], slope(v_q, D_q), slope(np.zeros((k + 1, k)), D_y)
    log, relative_y = -np.diff(np.log(D)), D_y / D[:, None]
    log_y, squares = -np.diff(relative_y, axis=0), relative_y[:, :, None] * relative_y[:, None, :]
    value = 0.5 * float(np.log(D[-1]) + (log / y).sum() + q[0] / D[0])
    by_y = 0.5 * (-log / y**2 + (log_y / y[:, None]).sum(axis=0) - q[0] / D[0] * relative_y[0])
    yy = np.diag(2.0 * log / y**3) - log_y / y[:, None] ** 2 - (log_y / y[:, None] ** 2).T
    yy += np.tensordot(1.0 / y, np.diff(squares, axis=0), 1) + 2.0 * q[0] / D[0] * squares[0]
    weight, weight_y = weights(n, y)
    mixed = -weight[:, None] * M_y - weight_y * M[:, None]
    return (
        value,
        np.r_[-weight * M, by_y],
        np.block([[-weight[:, None] * M_q, mixed], [mixed.T, 0.5 * yy]]),
    )


def weights(n: int, y: Array) -> tuple[Array, Array]:
    """(y_i - y_{i+1})/2, i = 0 .. n-1, and its derivatives by y_1 .. y_k; y_{k+1} = 1 but at jamming."""
    return -np.diff(np.r_[0.0, y, 1.0][: n + 1]) / 2.0, (np.eye(n, len(y), -1) - np.eye(n, len(y))) / 2.0


@dataclasses.dataclass
class State:
    """What is minimised, at x_i = ln[q_i/(1 - q_i)] and z, its gradient and its Hessian by (x, z).

    At jamming, without a load, it is the load -S/F, and z_i = ln y_i; with a load, of a potential
    at some beta, the free entropy S + load F, and z_i = ln[m_i/(1 - m_i)].
    """

    margin: float
    x: Array
    z: Array
    load: float | None = None
    potential: str = "hard"
    beta: float = 0.0
    value: float = math.nan
    gradient: Array = dataclasses.field(default_factory=lambda: np.zeros(0))
    hessian: Array = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))
    curvature_square: float = math.nan  # at jamming: share of the constraints that touch
    energy: float = math.nan  # per pattern
    noise: float = 0.0  # of the value
    residual: float = math.inf
    iterations: int = 0

    @property
    def q(self) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp(-self.x)))

    @property
    def y(self) -> Array:
        return np.exp(self.z) if self.load is None else np.asarray(1.0 / (1.0 + np.exp(-self.z)))

    @property
    def gaps(self) -> Array:
        """Of neighbours in x and in z: what would be zero where steps merge."""
        return np.concatenate([np.diff(self.x), np.diff(self.z)])

    def at(self, x: Array, z: Array) -> State:
        """Give the same elsewhere."""
        return State(self.margin, x, z, self.load, self.potential, self.beta)

    def recursion(self, *, hessian: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = _core.wall_recursion(
            self.q,
            self.y,
            self.margin,
            potential=self.potential,
            beta=self.beta,
            jamming=self.load is None,
            hessian=hessian,
        )
        return found

    def measure(self) -> float:
        """Value alone; infinite where a grid would be too large."""
        try:
            F = self.recursion()["value"]
        except NumericalError:
            return math.inf
        S = entropic(self.q, self.y)[0]
        return float(-S / F if self.load is None else S + self.load * F)

    def sweep(self) -> State:
        q, y, k = self.q, self.y, len(self.z)
        raw = self.recursion(hessian=True)
        S, S_1, S_2 = entropic(q, y)
        F, g, (weight, weight_y) = raw["value"], raw["slope_square"], weights(len(q), y)
        F_1 = np.r_[weight * g, raw["breakpoint_slope"][:k]]
        mixed = weight[:, None] * raw["breakpoint_jacobian"][:, :k] + weight_y * g[:, None]
        F_2 = np.block(
            [[weight[:, None] * raw["overlap_jacobian"], mixed], [mixed.T, raw["breakpoint_hessian"][:k, :k]]]
        )
        load = -S / F if self.load is None else self.load
        slope = np.r_[q * (1.0 - q), y if self.load is None else y * (1.0 - y)]
        bend = slope * np.r_[1.0 - 2.0 * q, np.ones(k) if self.load is None else 1.0 - 2.0 * y]
        G = S_1 + load * F_1
        self.gradient, self.hessian = G * slope, (S_2 + load * F_2) * np.outer(slope, slope) + np.diag(G * bend)
        if self.load is None:  # -S/F
            self.gradient = -self.gradient / F
            cross = np.outer(F_1 * slope, self.gradient)
            self.hessian = -(self.hessian + cross + cross.T) / F
        self.value = load if self.load is None else S + load * F
        self.noise = 1e-13 * abs(self.value) + _LEFT_OUT * load * (1.0 if self.load is not None else 1.0 / abs(F))
        self.curvature_square, self.energy = raw["curvature_square"], raw["energy"]
        self.residual = float(np.abs(G / S_1).max())
        return self


def minimise(state: State, max_iter: int = 100) -> State:
    """Newton's method with the moduli of the curvatures, damped where the value would rise or a gap would close."""
    state.sweep()
    damping, iteration = 1e-3, 0
    while state.residual > _SETTLED and iteration < max_iter and damping < 1e4:
        iteration += 1
        scale = 1.0 / np.sqrt(np.abs(np.diag(state.hessian)) + 1e-300)
        curvature, modes = np.linalg.eigh(state.hessian * np.outer(scale, scale))
        step = -scale * (modes @ ((modes.T @ (scale * state.gradient)) / (np.abs(curvature) + damping)))
        fraction, k = min(1.0, 0.7 / np.abs(step).max()), len(state.x)
        while True:
            trial = state.at(state.x + fraction * step[:k], state.z + fraction * step[k:])
            if (trial.gaps >= np.maximum(0.2 * state.gaps, _MERGED)).all() or fraction < 1e-6:
                break
            fraction *= 0.5
        with contextlib.suppress(NumericalError):  # overlaps too close for the grid: the step was too long
            trial.sweep()
        change = trial.value - state.value
        if change <= -state.noise or (change <= state.noise and trial.residual < state.residual):
            state, damping = trial, max(damping / 10.0, 1e-13)
        elif state.residual < 1e-10 and damping <= 1e-11:
            break  # in rounding
        else:
            damping *= 10.0
    state.iterations = iteration
    return state


def first_step(margin: float) -> State:
    """One step: from the lowest load on a coarse net of (q_0, y)."""
    net = [(x, z) for x in np.arange(-9.0, 13.0, 1.5) for z in np.arange(max(0.0, x), x + 7.0, 1.5)]
    return minimise(min((State(margin, np.array([x]), np.array([z])) for x, z in net), key=State.measure))


def next_step(state: State) -> State:
    """One step more, from levels between those at hand; hard margins jump from q_0 to the other ones."""
    k, x, z = len(state.x), state.x, state.z
    if k == 1:
        inward, up, apart = np.meshgrid([2.2, 3.6, 5.5, 8.0, 11.0, 15.0, 20.0], [0.3, 0.9], [1.3, 2.0])
        net = np.stack([inward, up, apart], axis=-1).reshape(-1, 3)
        starts = [state.at(np.r_[x, x + a], np.r_[z + b, z + b + c]) for a, b, c in net]
    else:
        inner = between(x[1:], k) if k > 2 else x[1] + np.array([-0.8, 0.8])
        starts = [state.at(np.asarray(levels), between(z, k + 1)) for levels in (between(x, k + 1), np.r_[x[0], inner])]
    return minimise(min(starts, key=State.measure))


def between(levels: Array, n: int, offset: float = 0.0) -> Array:
    """Give n levels on the line through those at hand, the i-th at (i + offset)/(n - 1 + 2 offset)."""
    k = len(levels)
    known, wanted = ((np.arange(size) + offset) / (size - 1.0 + 2.0 * offset) for size in (k, n))
    left = np.clip(np.searchsorted(known, wanted) - 1, 0, k - 2)
    slope = np.diff(levels) / np.diff(known)
    return np.asarray(levels[left] + slope[left] * (wanted - known[left]))


def replica_symmetric(margin: float) -> float:
    """Capacity 1/E(margin - h)_+^2."""
    tail = 0.5 * math.erfc(-margin / math.sqrt(2.0))
    return 1.0 / ((1.0 + margin**2) * tail + margin * math.exp(-(margin**2) / 2.0) / math.sqrt(2.0 * math.pi))


def jamming_load(margin: float, steps: int | None = None, *, rtol: float = 1e-9) -> xr.Dataset:
    """Jamming load of the spherical perceptron, with k steps of replica symmetry breaking or full breaking.

    Above it, M = load x N random patterns have no weights w on the sphere with w.x > margin.  For margin >= 0 the
    replica-symmetric value (Gardner's capacity, steps=0) is exact.  For margin < 0 each number of steps gives an upper
    bound, the minimum of -S/F over overlaps and breakpoints, and full breaking their limit.

    Parameters
    ----------
    margin : float from -3 to 8
        The margin kappa, in units where w.x has variance one.
    steps : int from 0 to 32, optional
        Number of steps; None for the limit, which is extrapolated from k = 1 .. 20 and has an error estimate.
    rtol : float from 1e-12 to 1e-3
        Relative error asked for where the limit is taken.

    Returns
    -------
    Dataset
        ``margin``; ``jamming_load``, ``jamming_load_error`` (NaN with given steps, as for bounds); ``overlap`` (step),
        q_0 .. q_{k-1} and 1, and ``breakpoint`` (step), 0 and y_1 .. y_k in units of 1/(1 - q_k); ``contacts``, the
        number of constraints that touch for each degree of freedom (1, isostatic, in the limit); ``residual``
        (relative, of the stationarity), ``min_gap`` (smallest difference of neighbours in ln[q/(1-q)] and ln y),
        ``iterations``, ``converged``.  Of the limit also ``jamming_load_of_k`` (k); overlaps and breakpoints are then
        those of the largest k.

    Raises
    ------
    ValueError
        If an argument is out of range, or steps are asked for where replica symmetry is exact.
    NumericalError
        If levels are too close (margins just below zero, many steps).

    Warns
    -----
    ConvergenceWarning
        If the steps do not settle, or the error estimate stays above rtol.

    Examples
    --------
    >>> import deepglass as dg
    >>> round(float(dg.parisi.jamming_load(-0.5, steps=1).jamming_load), 10)
    4.7001394877
    >>> solution = dg.parisi.jamming_load(-0.5, steps=3)
    >>> round(float(solution.jamming_load), 9), solution.overlap.values.round(4).tolist()
    (4.696791092, [0.8059, 0.9607, 0.9963, 1.0])
    """
    margin = number("margin", margin, "a number from -3 to 8", lambda x: -3.0 <= x <= 8.0)
    rtol = number("rtol", rtol, "a number from 1e-12 to 1e-3", lambda x: 1e-12 <= x <= 1e-3)
    if steps is not None:
        steps = integer("steps", steps, 0, 32)
    if margin >= 0.0 and steps:
        raise ValueError(f"steps must be 0 or None for margin >= 0, where replica symmetry is exact, got {steps!r}")
    parameters = {"margin": margin, "steps": steps, "rtol": rtol}
    if steps == 0 or margin >= 0.0:
        load = replica_symmetric(margin)
        error = 1e-15 * load if margin >= 0.0 else math.nan
        share = 0.5 * math.erfc(-margin / math.sqrt(2.0))
        symmetric = State(margin, np.zeros(0), np.zeros(0), value=load, curvature_square=share, residual=0.0)
        return _dataset(symmetric, error, parameters)
    state, loads = first_step(margin), []
    load, error = math.nan, math.nan
    for k in range(1, (steps or _MOST_STEPS) + 1):
        if k > 1:
            state = next_step(state)
        loads.append(state.value)
        if state.residual > _CONVERGED:
            warn(f"jamming_load: residual {state.residual:.2g} with {k} steps", ConvergenceWarning)
            return _dataset(state, math.nan, parameters, loads)
        if steps is None and k >= 8:
            load, error = limit(loads)
            if error <= rtol * load:
                break
    if steps is not None:
        return _dataset(state, math.nan, parameters)
    if error > rtol * load:
        warn(f"jamming_load: error estimate {error:.2g} above rtol", ConvergenceWarning)
    return _dataset(dataclasses.replace(state, value=load), error, parameters, loads)


def limit(values: list[float], first_power: int = _FIRST_POWER) -> tuple[float, float]:
    """Limit of the values at k = 1, 2, .., and its error, from every second one: the surest of some extrapolations."""
    k = np.arange(2.0 - len(values) % 2, len(values) + 1.0, 2.0)
    some = np.array(values)[k.astype(int) - 1]
    fits = (extrapolate(k, some, tuple(range(first_power, first_power + n))) for n in range(2, min(6, len(k) - 1)))
    return min(fits, key=lambda fit: fit[1])


def _dataset(state: State, error: float, parameters: dict[str, Any], loads: list[float] | None = None) -> xr.Dataset:
    import xarray as xr

    out = xr.Dataset(
        {
            "margin": state.margin,
            "jamming_load": state.value,
            "jamming_load_error": error,
            "overlap": ("step", np.r_[state.q, 1.0]),
            "breakpoint": ("step", np.r_[0.0, state.y]),
            "contacts": state.value * state.curvature_square,
            "residual": state.residual,
            "min_gap": state.gaps.min() if len(state.gaps) else math.nan,
            "iterations": state.iterations,
            "converged": state.residual <= _CONVERGED and not error > parameters["rtol"] * state.value,
        },
        attrs=provenance("deepglass.parisi.jamming_load", parameters),
    )
    if loads is not None:
        out = out.assign_coords(k=np.arange(1, len(loads) + 1)).assign(jamming_load_of_k=("k", loads))
    return out


def jamming_distributions(
    solution: xr.Dataset, gaps: npt.ArrayLike | None = None, forces: npt.ArrayLike | None = None
) -> xr.Dataset:
    """Distributions of the gaps and of the contact forces at jamming.

    At jamming a constraint either has a gap h - margin > 0 or touches and carries a force proportional to margin - h,
    where h has the innermost law P_k of the recursion.  With full replica symmetry breaking gaps and forces go like
    gap^-gamma and force^theta (`jamming_exponents`); k steps follow these laws down to about sqrt(1 - q_{k-1}).

    Parameters
    ----------
    solution : Dataset
        Result of `jamming_load`.
    gaps : array, shape (n_gaps,), optional
        Gaps > 0, in units where a pattern has variance one; by default 200 from 1e-4 to 6, evenly in the logarithm.
    forces : array, shape (n_forces,), optional
        Forces > 0 in units of their mean; by default the same.

    Returns
    -------
    Dataset
        ``gap_density`` (gap) and ``force_density`` (force), each normalised to one; ``mean_force`` in units of h, and
        ``touching``, the share of the constraints that touch.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import deepglass as dg
    >>> law = dg.parisi.jamming_distributions(dg.parisi.jamming_load(-0.5, steps=3), forces=[0.5, 1.0, 2.0])
    >>> law.force_density.values.round(3).tolist(), round(float(law.touching), 4)
    ([0.608, 0.524, 0.173], 0.2226)
    """
    import xarray as xr

    q, y = solution["overlap"].values[:-1], solution["breakpoint"].values[1:]
    margin = float(solution["margin"])
    gap, force = (_positive(name, value) for name, value in (("gaps", gaps), ("forces", forces)))
    if len(q) == 0:  # q = 1: one Gaussian

        def density(h: Array) -> Array:
            return np.asarray(np.exp(-(h**2) / 2) / math.sqrt(2 * math.pi))

        touching = 0.5 * math.erfc(-margin / math.sqrt(2.0))
        mean = touching * margin + float(density(np.array(margin)))
    else:
        raw = _core.wall_recursion(q, y, margin, gaps=True)
        touching, mean = raw["curvature_square"], raw["slope"]
        width, last = 1.0 - q[-1], y[-1]

        def density(h: Array) -> Array:
            exponent = -((h[:, None] - raw["field"]) ** 2) / (2.0 * width) - last * raw["log_weight"]
            exponent -= 0.5 * last * np.maximum(margin - h, 0.0)[:, None] ** 2
            return np.asarray(np.exp(exponent) @ raw["measure"] / math.sqrt(2 * math.pi * width))

    mean /= touching
    return xr.Dataset(
        {
            "gap_density": ("gap", density(margin + gap) / (1.0 - touching)),
            "force_density": ("force", density(margin - mean * force) * mean / touching),
            "mean_force": mean,
            "touching": touching,
        },
        coords={"gap": gap, "force": force},
        attrs=provenance("deepglass.parisi.jamming_distributions", {"margin": margin, "steps": len(q)}),
    )


def _positive(name: str, value: npt.ArrayLike | None) -> Array:
    x = np.geomspace(1e-4, 6.0, 200) if value is None else np.asarray(value, float)
    if x.ndim != 1 or not (np.isfinite(x) & (x > 0.0)).all():
        raise ValueError(f"{name} must be a list of finite numbers > 0, got {value!r}")
    return x
