"""The spherical perceptron with steps of replica symmetry breaking: how many solutions, at what cost, how far apart.

The volume of the weights w on the sphere, each with the weight exp(-beta sum v(w.x - margin)) of M = load x N random
patterns x (v(r < 0) infinite, r^2 or 1), is exp(N s),

    s = min over q, m of  S[q, m] + load F[q, m],   S = (1/2) [ ln D_{k+1} + sum_i ln(D_i/D_{i+1})/m_i + q_0/D_1 ],
    D_{k+1} = 1 - q_k,   D_i = D_{i+1} + m_i (q_i - q_{i-1}),

where F is that of the Parisi recursion that starts from ln int Dy exp(-beta v(h - margin + sqrt(1 - q_k) y)) (cpp
parisi/wall.hpp).

References
----------
E. Gardner, J. Phys. A 21, 257 (1988).  S. Franz, G. Parisi, M. Sevelev, P. Urbani and F. Zamponi, SciPost Phys. 2, 019
(2017).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .._check import integer, number
from .._core import NumericalError
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from . import perceptron
from .jamming import _CONVERGED, _MOST_STEPS, State, between, jamming_load, limit, minimise
from .perceptron import Perceptron

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["satisfiable_perceptron"]

# Below -2.05 symmetry breaks in a jump.
_LEAST_MARGIN = -2.0
# One step is a solution of its own, not two overlaps that have merged, from this difference in ln[q/(1-q)] on.
_APART = 0.05
# What is extrapolated, and the first of the powers of 1/k in what is left (measured).
_POWERS = {"free_entropy": 4, "energy": 4, "entropy": 4, "overlap_ea": 2}
# Rounding, where replica symmetry or one step is exact.
_EXACT = 1e-14


def replicon(state: State) -> float:
    return float(1.0 - (state.load or 0.0) * (1.0 - state.q[-1]) ** 2 * state.curvature_square)


def replica_symmetric(model: Perceptron) -> State:
    return minimise(State(model.margin, np.zeros(1), np.zeros(0), model.load, model.potential, model.beta or 0.0))


def first_step(symmetric: State) -> State:
    """One step: from the lowest free entropy on a coarse net, to which cold overlaps near 1 add theirs."""
    x, starts = symmetric.x[0], []
    for down in (0.05, 0.2, 0.8, *np.arange(2.5, x, 2.5)):
        for up in (0.05, 0.2, 0.8, 3.0):
            for z in (*np.arange(-7.0, -x, -2.0), -5.0, -3.5, -2.0, -0.5):
                starts.append(symmetric.at(np.array([x - down, x + up]), np.array([z])))
    return minimise(min(starts, key=State.measure))


def next_step(state: State) -> State:
    k, x, z, width = len(state.z), state.x, state.z, state.x[-1] - state.x[0]
    if k > 1:
        return minimise(state.at(between(x, k + 2), between(z, k + 1, 0.5)))
    # A continuum between the two overlaps, or one that begins within the states.
    apart = [(between(x, 3), z + np.array([-0.11, 0.11]) * width)]
    inner = min(width, 2.0) * np.array([0.1, 0.4])
    apart += [(np.r_[x[0], x[1] - a, x[1] + a], np.r_[z, z + b]) for a in inner for b in (0.3, 1.0, 2.0)]
    return minimise(min((state.at(*start) for start in apart), key=State.measure))


def satisfiable_perceptron(load: float, margin: float, steps: int | None = None, *, rtol: float = 1e-9) -> xr.Dataset:
    """Overlaps and free entropy of the spherical perceptron, with k steps of replica symmetry breaking or full RSB.

    Random patterns, hard constraints w.x > margin, load = M/N below jamming.  Replica symmetry is exact where its
    replicon is positive: for every margin >= 0, and for margin < 0 at small loads.  Beyond, one step is exact where its
    replicon is positive (margins below about -1.5, not too close to jamming), and full breaking else.

    Parameters
    ----------
    load : float > 0
        M/N, below the jamming load.
    margin : float from -2 to 5
        The margin kappa, in units where w.x has variance one.  (Below -2.05 symmetry breaks in a jump.)
    steps : int from 0 to 32, optional
        Number of steps; None for the limit, which is extrapolated and has error estimates.
    rtol : float from 1e-12 to 1e-3
        Error asked for in the free entropy where the limit is taken, relative to the larger of it and one.

    Returns
    -------
    Dataset
        ``free_entropy``, s per weight (0 without patterns), ``energy`` per pattern and ``entropy`` = free_entropy +
        beta load energy per weight (hard: 0, and s), ``overlap_ea``, q_k, each with ``<name>_error`` (NaN with given
        steps); ``overlap`` (step), q_0 .. q_k, and ``breakpoint`` (step), 0 and m_1 .. m_k; ``replicon``,
        1 - load (1 - q_k)^2 E f_k''^2 (negative: unstable); ``residual`` (relative, of the stationarity), ``min_gap``
        (smallest difference of neighbours in ln[q/(1-q)] and ln[m/(1-m)]), ``iterations``, ``converged``.  Of the limit
        also ``<name>_of_k`` (k); overlaps, breakpoints and replicon are then those of the largest k.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If the load is above jamming, or steps are asked for where replica symmetry is exact.

    Warns
    -----
    ConvergenceWarning
        If the steps do not settle, or the error estimate stays above rtol.

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.satisfiable_perceptron(4.5, margin=-0.5)
    >>> round(float(solution.free_entropy), 9), round(float(solution.overlap_ea), 6)
    (-3.656593904, 0.988292)
    """
    load = number("load", load, "a finite number > 0", lambda x: x > 0.0)
    margin = number("margin", margin, "a number from -2 to 5", lambda x: _LEAST_MARGIN <= x <= 5.0)
    rtol = _check_rtol(rtol)
    if steps is not None:
        steps = integer("steps", steps, 0, 32)
    parameters = {"load": load, "margin": margin, "steps": steps, "rtol": rtol}
    return _solution(Perceptron(load, margin), steps, rtol, ("satisfiable_perceptron", parameters))


def _check_rtol(rtol: float) -> float:
    return number("rtol", rtol, "a number from 1e-12 to 1e-3", lambda x: 1e-12 <= x <= 1e-3)


def _solution(model: Perceptron, steps: int | None, rtol: float, origin: tuple[str, dict[str, Any]]) -> xr.Dataset:
    """Steps of any number, or their limit."""
    _check_load(model, 0)
    state = replica_symmetric(model)
    stable = replicon(state) >= 0.0
    if steps == 0 or (steps is None and stable):
        return _dataset([state], _EXACT if stable else math.nan, origin)
    if stable:
        raise NumericalError(
            f"no solution with {steps} steps: replica symmetry is stable (replicon {replicon(state):.3g})"
        )
    _check_load(model, steps)
    sequence: list[State] = []
    for k in range(1, (steps or _MOST_STEPS) + 1):
        state = next_step(state) if k > 1 else first_step(state)
        sequence.append(state)
        if state.residual > _CONVERGED:
            warn(f"{origin[0]}: residual {state.residual:.2g} with {k} steps", ConvergenceWarning)
            return _dataset(sequence, math.nan, origin)
        if replicon(state) >= 0.0 and state.gaps[0] > _APART:  # stable
            if k < (steps or k):
                raise NumericalError(f"no solution with {steps} steps: that with {k} is stable")
            return _dataset(sequence, _EXACT, origin)
        if steps is None and k >= 8 and _settled(sequence, rtol):
            break
    if steps is not None:
        return _dataset(sequence[-1:], math.nan, origin)
    if not _settled(sequence, rtol):
        _, error = limit([state.value for state in sequence])
        warn(f"{origin[0]}: error estimate {error:.2g} above rtol", ConvergenceWarning)
    return _dataset(sequence, None, origin)


@functools.lru_cache(64)
def _jammed(margin: float, steps: int | None) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(jamming_load(margin, steps, rtol=1e-8)["jamming_load"])


def _check_load(model: Perceptron, steps: int | None) -> None:
    if model.potential != "hard":
        return
    load, margin = model.load, model.margin
    jammed = _jammed(margin, 0 if margin >= 0.0 else steps)
    if load >= jammed:
        kind = "" if steps is None or margin >= 0.0 else f" with {steps} steps"
        raise NumericalError(f"unsatisfiable: the load {load:g} is not below the jamming load {jammed:.9g}{kind}")


def _numbers(state: State) -> dict[str, float]:
    """All that is extrapolated, but the overlap as 1 - q."""
    return {
        "free_entropy": state.value,
        "energy": state.energy,
        "entropy": state.value + state.beta * (state.load or 0.0) * state.energy,
        "overlap_ea": float(1.0 - state.q[-1]),
    }


def _limits(sequence: list[State]) -> dict[str, tuple[float, float]]:
    columns = {name: [_numbers(state)[name] for state in sequence] for name in _POWERS}
    return {name: limit(column, _POWERS[name]) for name, column in columns.items()}


def _settled(sequence: list[State], rtol: float) -> bool:
    entropy, error = limit([state.value for state in sequence])
    return error <= rtol * max(1.0, abs(entropy))


def _dataset(sequence: list[State], error: float | None, origin: tuple[str, dict[str, Any]]) -> xr.Dataset:
    """Give the last of a sequence, of some error, or its limit."""
    import xarray as xr

    state, (name, parameters) = sequence[-1], origin
    limits = _limits(sequence) if error is None else {key: (value, error) for key, value in _numbers(state).items()}
    limits["overlap_ea"] = 1.0 - limits["overlap_ea"][0], limits["overlap_ea"][1]
    entropy, error = limits["free_entropy"]
    out = xr.Dataset(
        {key: value for key, (value, _) in limits.items()}
        | {f"{key}_error": each for key, (_, each) in limits.items()}
        | {
            "overlap": ("step", state.q),
            "breakpoint": ("step", np.r_[0.0, state.y]),
            "replicon": replicon(state),
            "residual": state.residual,
            "min_gap": state.gaps.min() if len(state.gaps) else math.nan,
            "iterations": state.iterations,
            "converged": state.residual <= _CONVERGED and not error > parameters["rtol"] * max(1.0, abs(entropy)),
        },
        coords={"x_left": ("step", np.r_[0.0, state.y]), "x_right": ("step", np.r_[state.y, 1.0])},
        attrs=provenance(f"deepglass.parisi.{name}", parameters),
    )
    if parameters["steps"] is None and len(state.z) > 0:
        of_k = {f"{key}_of_k": ("k", np.array([_numbers(each)[key] for each in sequence])) for key in _POWERS}
        of_k["overlap_ea_of_k"] = "k", 1.0 - of_k["overlap_ea_of_k"][1]
        out = out.assign_coords(k=np.arange(1, len(sequence) + 1)).assign(of_k)
    return out


# ---- the same, of a model ----


def solve(model: Perceptron, steps: int = 0, *args: Any, **options: Any) -> xr.Dataset:
    """Give k steps of one perceptron, of any potential.

    The results are those of `satisfiable_perceptron`; without steps see `perceptron.solve`.
    """
    if isinstance(steps, int) and steps == 0:
        return perceptron.solve(model, steps, *args, **options)
    return _break(model, integer("steps", steps, 1, 32), *args, name="solve", **options)


def full_rsb(model: Perceptron, rtol: float = 1e-9) -> xr.Dataset:
    """Give full breaking of one perceptron, of any potential; the results are those of `satisfiable_perceptron`."""
    return _break(model, None, rtol, name="full_rsb")


def _break(model: Perceptron, steps: int | None, rtol: float = 1e-9, *, name: str) -> xr.Dataset:
    if model.bonds != "spherical" or model.scenario != "random":
        raise ValueError(
            f"model must have spherical bonds and random labels where replica symmetry is broken, got {model!r}"
        )
    if model.potential == "hard":
        return satisfiable_perceptron(model.load, model.margin, steps, rtol=rtol)
    if model.margin < _LEAST_MARGIN:
        raise ValueError(f"margin must be >= {_LEAST_MARGIN:g} where replica symmetry is broken, got {model.margin!r}")
    parameters = dataclasses.asdict(model) | {"steps": steps, "rtol": _check_rtol(rtol)}
    return _solution(model, steps, rtol, (name, parameters))
