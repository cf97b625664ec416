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

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._core import NumericalError
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from . import _rise, ground_state
from ._levels import CONVERGED, MERGED, UNSETTLED, State, replica_symmetric, settle, settle_all
from .mixed import Array, MixedIsing, MixedSpherical, SherringtonKirkpatrick
from .spherical_steps import SphericalState, spherical_settle, spherical_start

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["almeida_thouless", "solve"]

# ---- k steps ----


def solve(
    model: MixedIsing | MixedSpherical,
    steps: int = 1,
    breakpoints: npt.ArrayLike | None = None,
    *,
    outer_overlap: float | None = None,
) -> xr.Dataset:
    """Solve for k steps of replica symmetry breaking of a spin glass; see `deepglass.parisi.solve`.

    Parameters
    ----------
    model : MixedIsing or MixedSpherical
        The spin glass; a spherical one at a temperature > 0.
    steps : int from 0 to 64
        Steps k; 0 is replica symmetric.
    breakpoints : array, shape (steps,), optional
        m_1 .. m_k, increasing in (0, 1); at T = 0 a_i = beta m_i, increasing from 0.  Without them all are made
        stationary, for steps up to 8.
    outer_overlap : 0, optional
        Keeps q_0 = 0 in zero field; else q_0 is one of the unknowns.

    Returns
    -------
    Dataset
        ``overlap`` (step), q_0 .. q_k, on x_left < x < x_right (of a = beta x at T = 0, up to infinity, where q_k = 1);
        ``breakpoint`` (step), 0 and m_1 .. m_k;
        ``free_energy``, ``energy``, ``entropy`` per spin; ``replicon`` (negative: unstable); ``min_gap``, the smallest
        difference of overlaps; ``residual`` of q = E f'^2 and of d(beta f)/dm = 0, and ``converged``.  At T = 0 energy
        and free_energy are the same, and the replicon is -infinity: fields close to zero have a finite density.

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
    if steps == 0 and breakpoints is not None and np.size(breakpoints):
        raise ValueError(f"breakpoints must be empty with steps = 0, got {breakpoints!r}")
    if isinstance(model, MixedSpherical) and not model.temperature > 0.0:
        raise ValueError(f"temperature of the model must be > 0, got {model.temperature!r}")
    if outer_overlap not in (None, 0):
        raise ValueError(f"outer_overlap must be None or 0, got {outer_overlap!r}")
    field = model.field if isinstance(model, MixedIsing) else 0.0
    if outer_overlap is not None and field != 0.0:
        raise ValueError(f"outer_overlap must be None in a field, got {outer_overlap!r}")
    pinned = outer_overlap is not None or (field == 0.0 and float(model.xi(0.0, 2)) == 0.0)
    m = None if breakpoints is None else _breakpoints(breakpoints, steps, 1.0 if model.temperature > 0.0 else math.inf)
    if isinstance(model, MixedIsing) and ground_state.takes_steps(model, steps):
        return _dataset(ground_state.with_steps(model, steps, m, pinned=pinned))
    try:
        state = _find(model, steps, m, pinned)
    except NumericalError as error:
        raise NumericalError(f"no solution with {steps} steps was found, levels may have merged: {error}") from error
    if steps == 0:
        return _dataset(state)
    # Newton's method approaches merged levels slowly.
    unsettled = state.residual > CONVERGED and (
        state.min_gap < UNSETTLED * state.q[-1] or state.m[-1] > 1.0 - UNSETTLED
    )
    if state.merged or unsettled or (not pinned and field == 0.0 and state.q[0] < MERGED):
        raise NumericalError(
            f"no solution with {steps} steps, or none that was found: levels have merged or m_k = 1 (min_gap "
            f"{state.min_gap:.3g}, m_k {state.m[-1]:.4g}, residual {state.residual:.3g})"
        )
    return _dataset(state)


def _find(model: MixedIsing | MixedSpherical, steps: int, m: Array | None, pinned: bool) -> State | SphericalState:
    if isinstance(model, MixedSpherical):
        return _spherical(model, steps, m, pinned)
    symmetric = replica_symmetric(model)
    if steps == 0:
        return symmetric
    if m is None:
        return stationary(symmetric, steps, pinned)
    q = np.interp(m, *_profile(symmetric))
    return settle(model, np.r_[0.0 if pinned else q[0] / 2, q], m, pinned=pinned, plain=60)


def _spherical(model: MixedSpherical, steps: int, m: Array | None, pinned: bool) -> SphericalState:
    if steps == 0:
        liquid = float(model.xi(0.0, 2)) <= model.temperature**2
        q = np.array([0.0 if liquid else 0.9])
        return spherical_settle(model, q, np.zeros(0), pinned=liquid, free_breakpoints=False)
    q, breakpoints = spherical_start(model, steps, pinned=pinned)
    return spherical_settle(model, q, breakpoints if m is None else m, pinned=pinned, free_breakpoints=m is None)


def _breakpoints(value: npt.ArrayLike, steps: int, end: float) -> Array:
    m = np.asarray(value, float)
    if m.shape != (steps,) or not np.isfinite(m).all() or not (np.diff(np.r_[0.0, m, end]) > 0.0).all():
        raise ValueError(
            f"breakpoints must have shape ({steps},) and increase strictly within (0, {end:g}), got {value!r}"
        )
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
    found = _rise.without_field(frozen, 6)
    return _rise.Rise(plain).profile(found.places, 6), found.state.q


def _start(symmetric: State, steps: int, pinned: bool) -> State:
    """Overlaps for breakpoints close to the stationary ones."""
    model, (x, q) = symmetric.model, _profile(symmetric)
    if steps > 1 and (model.field != 0.0 or symmetric.replicon >= 0.0):
        return _on_a_rise(stationary(symmetric, 1, pinned), steps)
    if model.field == 0.0 and symmetric.replicon >= 0.0:
        # Energies of independent configurations freeze at sqrt(xi(1)/(2 ln 2)); order of magnitude for all xi
        freezing = 1.1 * math.sqrt(float(model.xi(1.0)) / (2.0 * math.log(2.0)))
        m = min(0.95, model.temperature / freezing)
        return settle(model, np.array([0.0, 0.9]), np.array([m]), pinned=pinned, plain=40)
    low, high = q[0], q[-1]
    if model.field != 0.0:
        low = 0.3 * symmetric.q[0]  # Newton's method comes to the right levels from wider ones, to merged from narrower
    places = (np.arange(steps + 1) + (0.0 if pinned else 0.5)) / (steps + (0.0 if pinned else 0.5))
    levels = low + places * (high - low)
    m = np.interp((levels[1:] + levels[:-1]) / 2, q, x)
    return settle(model, levels, m, pinned=pinned, plain=5 if pinned else 0, apart=0)


def _on_a_rise(one: State, steps: int) -> State:
    """Steps of equal width in place of the levels of one step that rise."""
    jump = one.q[0] == 0.0
    if jump and one.replicon >= 0.0:
        raise NumericalError("one step is stable")
    two = _rise.after_jump(one) if jump else one
    if len(two.m) == steps:
        return two
    rise, found = _rise.begin(two)
    for k in range(3, steps + 1 - rise.first):
        found = _rise.continuous(rise, k, rise.interpolate(found.state.q, k), found.places, found)
    return found.state


def stationary(symmetric: State, steps: int, pinned: bool) -> State:
    """Give overlaps and breakpoints of k steps, from scratch."""
    return settle_all(_start(symmetric, steps, pinned))


def _dataset(state: State | SphericalState) -> xr.Dataset:
    import xarray as xr

    converged = state.residual <= CONVERGED
    if not converged:
        warn(f"solve: residual {state.residual:.2g} after {state.iterations} iterations", ConvergenceWarning)
    left, right, overlap = np.r_[0.0, state.m], np.r_[state.m, 1.0], state.q
    if isinstance(state, ground_state.ColdState):
        left, right, overlap = state.plateaus
    return xr.Dataset(
        {
            "overlap": ("step", overlap),
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
        coords={"x_left": ("step", left), "x_right": ("step", right)},
        attrs=provenance("deepglass.parisi.solve", parameters(state.model) | {"steps": len(left) - 1}),
    )


def parameters(model: MixedIsing | MixedSpherical) -> dict[str, Any]:
    """Give the fields of a model as JSON can hold them."""
    found: dict[str, Any] = dataclasses.asdict(model)
    return found | {"coefficients": {str(p): c for p, c in found["coefficients"].items()}}


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

    temperature = number("temperature", temperature, "a finite number > 0", lambda x: x > 0.0)
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
