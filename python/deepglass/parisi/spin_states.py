"""Metastable states of spin glasses with one step of replica symmetry breaking: how many of which free energy.

m clones in one and the same state have the free energy m phi(m), where phi(m) is the free energy of one step with the
breakpoint m.  exp(N Sigma(f)) states of free energy N f then give, by a Legendre transformation,

    f = phi + m dphi/dm,    Sigma = beta m^2 dphi/dm,    dSigma/df = beta m.

R. Monasson, Phys. Rev. Lett. 75, 2847 (1995).  A. Crisanti and H.-J. Sommers, J. Physique I 5, 805 (1995).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .._check import integer
from .._core import NumericalError
from ..io import provenance
from ._levels import State, settle
from .mixed import MixedIsing, MixedSpherical
from .spherical_steps import SphericalState, spherical_settle
from .spin_glass import parameters, solve

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["complexity"]

_Follow = Callable[[float, float], State | SphericalState]


def complexity(model: MixedIsing | MixedSpherical, n_breakpoints: int = 50) -> xr.Dataset:
    """Complexity of the states of a spin glass with a random first-order transition, without field.

    Follows the solution with one step, q_0 = 0, from the states that dominate (m = 1 above the static transition, the
    stationary m below it) to smaller m, as far as it exists: these are states of higher free energy.

    Parameters
    ----------
    model : MixedIsing or MixedSpherical
        The spin glass, with coefficients of powers p > 2 only, without field, at a temperature > 0.
    n_breakpoints : int from 2 to 10000
        Points, equally spaced in m.

    Returns
    -------
    Dataset
        Along ``breakpoint`` (m, falling): ``complexity``, the logarithm of the number of states per spin;
        ``free_energy`` of one state per spin; ``overlap`` of two configurations in it; ``replicon``, negative where
        these states are unstable (not states, then), and ``residual``.  ``threshold_breakpoint`` and
        ``threshold_free_energy``: the highest stable states, where the replicon vanishes; NaN if it does not.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If there are no such states: above the dynamic transition.

    Examples
    --------
    The states of the spherical three-spin model at T = 0.6, above the static transition; they are exponentially many.

    >>> import deepglass as dg
    >>> states = dg.parisi.complexity(dg.parisi.MixedSpherical({3: 0.5}, temperature=0.6))
    >>> round(float(states.complexity[0]), 6), float(states.breakpoint[0])
    (0.008145, 1.0)
    """
    from scipy.optimize import brentq

    n_breakpoints = integer("n_breakpoints", n_breakpoints, 2, 10000)
    if not model.temperature > 0.0:
        raise ValueError(f"temperature of the model must be > 0, got {model.temperature!r}")
    if isinstance(model, MixedIsing) and model.field != 0.0:
        raise ValueError(f"model must have no field, got field = {model.field!r}")
    if float(model.xi(0.0, 2)) > 0.0:
        raise ValueError(f"coefficients must be those of powers p > 2, got {dict(model.coefficients)!r}")
    follow = _follower(model)
    m_top, q = _dominating(model, follow)
    found: list[State | SphericalState] = []
    for m in m_top * (1.0 - np.arange(n_breakpoints) / n_breakpoints):
        try:
            state = follow(q, float(m))
        except NumericalError:
            break
        if not state.residual < 1e-10 or state.q[1] < 0.8 * q:
            break
        found.append(state)
        q = float(state.q[1])
    if not found:
        raise NumericalError(f"no solution of one step converged at temperature {model.temperature!r}")
    return _dataset(model, found, _threshold(follow, found, brentq))


def _follower(model: MixedIsing | MixedSpherical) -> _Follow:
    if isinstance(model, MixedIsing):
        return lambda q, m: settle(model, np.array([0.0, q]), np.array([m]), pinned=True)
    return lambda q, m: spherical_settle(model, np.array([0.0, q]), np.array([m]), pinned=True, free_breakpoints=False)


def _dominating(model: MixedIsing | MixedSpherical, follow: _Follow) -> tuple[float, float]:
    """Breakpoint and overlap of the states that make up the equilibrium."""
    try:
        one = solve(model, steps=1)
    except NumericalError:
        for start in np.arange(0.98, 0.3, -0.03):
            try:
                state = follow(float(start), 1.0)
            except NumericalError:
                continue
            if state.residual < 1e-10 and state.q[1] > 0.1:
                return 1.0, float(state.q[1])
        raise NumericalError(f"no metastable states at temperature {model.temperature!r}") from None
    return float(one.breakpoint[1]), float(one.overlap[1])


def _threshold(follow: _Follow, found: list[State | SphericalState], root: Callable[..., float]) -> tuple[float, float]:
    stable = np.array([state.replicon >= 0.0 for state in found])
    if not stable[0] or stable.all():
        return math.nan, math.nan
    i = int(stable.argmin())
    q = float(found[i].q[1])
    m = root(lambda m: follow(q, m).replicon, float(found[i].m[0]), float(found[i - 1].m[0]), xtol=1e-13)
    return m, _free_energy(follow(q, m))


def _free_energy(state: State | SphericalState) -> float:
    # d(-beta phi)/dm is what the state has
    return state.free_energy - state.model.temperature * float(state.m[0] * state.breakpoint_slope[0])


def _dataset(
    model: MixedIsing | MixedSpherical, found: list[State | SphericalState], threshold: tuple[float, float]
) -> xr.Dataset:
    import xarray as xr

    m = np.array([state.m[0] for state in found])
    slope = np.array([state.breakpoint_slope[0] for state in found])
    return xr.Dataset(
        {
            "complexity": ("breakpoint", -(m**2) * slope),
            "free_energy": ("breakpoint", [_free_energy(state) for state in found]),
            "overlap": ("breakpoint", [state.q[1] for state in found]),
            "replicon": ("breakpoint", [state.replicon for state in found]),
            "residual": ("breakpoint", [state.residual for state in found]),
            "threshold_breakpoint": threshold[0],
            "threshold_free_energy": threshold[1],
        },
        coords={"breakpoint": m},
        attrs=provenance("deepglass.parisi.complexity", parameters(model) | {"n_breakpoints": len(m)}),
    )
