"""Full replica symmetry breaking of spin glasses: the limit of infinitely many steps, with error estimates."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._core import NumericalError
from .._progress import Progress, reporting
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from . import ground_state
from ._levels import CONVERGED, State, merged, replica_symmetric, settle_all
from ._rise import Found, Rise, after_jump, begin, continuous, rounding, without_field
from .mixed import Array, MixedIsing, MixedSpherical
from .spherical import spherical_full_rsb
from .spin_glass import parameters, stationary
from .spin_transitions import annealed_potential

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["full_rsb", "temperature_scan"]

# Numbers of steps, and the powers of 1/k in what is left (measured: thermodynamics from k^-4, overlaps from k^-2).
_SEQUENCE = (6, 8, 10, 12, 16, 20, 24, 32, 40, 48)
# Of a rise that is narrow beside q and 1 - q: there the errors are small from the beginning, and the levels close.
_NARROW, _SHORT_SEQUENCE = 0.05, (2, 3, 4, 5, 6, 7, 8)
_POWERS = {"free_energy": (4, 6, 7), "energy": (4, 5, 6, 7), "entropy": (4, 5, 6, 7), "magnetisation": (4, 5, 6, 7)}
_POWERS_OF_OVERLAPS = (2, 3, 4, 5)
_NAMES = (*_POWERS, "overlap_min", "overlap_jump", "overlap_ea", "breakpoint_jump", "breakpoint_0", "breakpoint_c")
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

    if np.ptp(values) == 0.0:
        return float(values[-1]), 0.0
    best, amplified = fit(len(k), powers)
    others = [fit(len(k) - 1, powers)[0], fit(len(k), powers[:-1])[0]]
    return best, max(abs(best - other) for other in others) + amplified * _ROUNDING


@dataclasses.dataclass
class _Solution:
    """Levels, and the rise they take the place of; without one they are exact."""

    state: State
    rise: Rise | None = None
    places: Array = dataclasses.field(default_factory=lambda: np.zeros(0))

    @property
    def numbers(self) -> dict[str, float]:
        """All that is extrapolated."""
        state, jump = self.state, self.rise.jump if self.rise else len(self.state.m) > 0
        last = float(state.m[-1]) if len(state.m) else 0.0
        x_0, x_c = self.rise.ends(self.places) if self.rise else (last, last)
        return {
            "free_energy": state.free_energy,
            "energy": state.energy,
            "entropy": state.entropy,
            "magnetisation": state.raw["magnetisation"],
            "overlap_min": float(state.q[0]),
            "overlap_jump": float(state.q[1]) if jump else math.nan,
            "overlap_ea": float(state.q[-1]),
            "breakpoint_jump": float(state.m[0]) if jump else math.nan,
            "breakpoint_0": x_0,
            "breakpoint_c": x_c,
        }

    @property
    def steps(self) -> int:
        """Of the rise."""
        return len(self.state.m) - (self.rise.first if self.rise else 0)

    @property
    def x(self) -> Array:
        """Places of the levels."""
        if self.rise is None:
            return np.asarray(np.r_[0.0, self.state.m])
        return self.rise.profile(self.places, self.steps)


def full_rsb(model: MixedIsing | MixedSpherical, rtol: float = 1e-10) -> xr.Dataset:
    """Full replica symmetry breaking: the limit of infinitely many steps, with error estimates.

    The overlap q(x) rises continuously from x_0 to x_c.  Solves k steps of equal width on this rise, for
    k = 6, 8, 10, 12, 16, .., and extrapolates in 1/k.  Both ends follow from the marginality of the rise,
    beta^2 xi''(q) E f''^2 = 1, whose derivative by q gives

        x(q) = [E f'''^2 + xi'''/(beta^4 xi''^3)] / (2 E f''^3).

    In zero field x_0 = T xi'''(0)/(2 xi''(0)^(3/2)), q = 0.  Where q(x) first jumps (p-spin below the static
    transition), the place of the jump is stationary; one step is the answer while it is stable, and below the Gardner
    temperature a rise follows the jump.  Where the replica-symmetric solution is stable and the equilibrium, it is the
    answer; both have errors of rounding.

    At zero temperature x -> 0 at fixed a = beta x, and the overlap is a function of a.  There, and far below a
    continuous transition, the steps are spread over all scales of a.

    Parameters
    ----------
    model : MixedIsing, MixedSpherical or Perceptron
        The spin glass; of a perceptron (spherical bonds, random labels, any potential, margin at least -2) the results
        are those of `satisfiable_perceptron`.
    rtol : float from 1e-13 to 1e-4
        Relative error asked for in free_energy, energy and magnetisation; of the overlaps 1000 times as much.

    Returns
    -------
    Dataset
        ``free_energy``, ``energy``, ``entropy``, ``magnetisation`` per spin; ``overlap_min`` (q at x = 0) and
        ``overlap_ea`` (q at x = x_c..1), ``breakpoint_0`` and ``breakpoint_c``, where the rise begins and ends (0 if
        replica symmetric); ``breakpoint_jump`` and ``overlap_jump``, where q(x) jumps and to what (NaN without jump);
        each with ``<name>_error``.  ``overlap`` (x), the function q(x) at the largest k; ``replicon``, ``min_gap`` and
        ``residual`` of the largest k, and ``converged``.  The sequence itself is ``free_energy_of_k`` (k).  The closed
        forms of spherical models have no steps, and none of what belongs to them.  At T = 0
        ``overlap`` is a function of ``a``, and the breakpoints are NaN.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If q(x) is none of these, or the temperature is too low for the numbers: p-spin models, and all models in a
        field, below about 0.1.

    Warns
    -----
    ConvergenceWarning
        If the error estimates stay above rtol.  So within 0.1 % of the Almeida-Thouless field: there the levels hardly
        hold each other, and rounding moves them (not the free energy).

    Notes
    -----
    0.2 s at T = 0.5, 1 s at T = 0.2 (SK); twice that in a field.  1 to 6 s at lower temperatures and 0.6 s at zero,
    whose energy is good to 1e-12.  Spherical models are immediate.

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.full_rsb(dg.parisi.SherringtonKirkpatrick(temperature=0.5))
    >>> round(float(solution.free_energy), 11), round(float(solution.overlap_ea), 6)
    (-0.79117757493, 0.638161)
    >>> solution = dg.parisi.full_rsb(dg.parisi.SherringtonKirkpatrick(temperature=0.5, field=0.3))
    >>> round(float(solution.overlap_min), 6), round(float(solution.overlap_ea), 6)
    (0.444448, 0.63848)
    >>> solution = dg.parisi.full_rsb(dg.parisi.SherringtonKirkpatrick(temperature=0.0), rtol=1e-7)
    >>> round(float(solution.energy), 7)
    -0.7631667
    """
    found = _full_rsb(model, _check_rtol(rtol))
    if not found.converged:
        warn(f"full_rsb: error estimates stay above rtol = {rtol:g}", ConvergenceWarning)
    return found


def temperature_scan(
    model: MixedIsing | MixedSpherical,
    temperatures: npt.ArrayLike,
    rtol: float = 1e-10,
    *,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Full replica symmetry breaking at many temperatures, in parallel.

    Parameters
    ----------
    model : MixedIsing or MixedSpherical
        The spin glass; its own temperature is not used.
    temperatures : array, shape (n,)
        Each as the model allows.
    rtol : float from 1e-13 to 1e-4
        As in `full_rsb`.
    threads : int
        Temperatures at a time; 0 for one on each core.  The result does not depend on it.
    progress : bool or callable
        True for a bar, or ``f(done, total)``, called after each temperature.

    Returns
    -------
    Dataset
        The numbers of `full_rsb` with their errors, ``replicon`` and ``converged``, along ``temperature``.  Where
        there is no solution they are NaN, and ``message`` says why.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        Once, if there is a temperature without a solution or with errors above rtol.

    Examples
    --------
    >>> import deepglass as dg
    >>> scan = dg.parisi.temperature_scan(dg.parisi.SherringtonKirkpatrick(1.0), [0.6, 0.8, 1.0])
    >>> scan.overlap_ea.values.round(6).tolist()
    [0.505042, 0.233423, 0.0]
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    import xarray as xr

    rtol = _check_rtol(rtol)
    values = np.atleast_1d(np.asarray(temperatures, float))
    if values.ndim != 1:
        raise ValueError(f"temperatures must have one dimension, got shape {values.shape}")
    models = [_at_temperature(model, float(T)) for T in values]
    threads = integer("threads", threads, 0, 1024) or os.cpu_count() or 1

    def one(model: MixedIsing | MixedSpherical) -> xr.Dataset | str:
        try:
            return _full_rsb(model, rtol)
        except NumericalError as error:
            return str(error)

    with reporting(progress, "temperatures") as report, ThreadPoolExecutor(threads) as executor:
        futures = [executor.submit(one, each) for each in models]
        try:
            for done, _ in enumerate(as_completed(futures), 1):
                report(done, len(futures))
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        found = [future.result() for future in futures]
    names = [f"{name}{what}" for name in _NAMES for what in ("", "_error")]
    columns = {
        name: ("temperature", [math.nan if isinstance(each, str) else float(each[name]) for each in found])
        for name in names
    }
    converged = [not isinstance(each, str) and bool(each.converged) for each in found]
    if not all(converged):
        bad = values[~np.array(converged)]
        warn(f"temperature_scan: not converged at temperatures {bad.tolist()}", ConvergenceWarning)
    messages = [each if isinstance(each, str) else "" for each in found]
    return xr.Dataset(
        columns | {"converged": ("temperature", converged), "message": ("temperature", messages)},
        coords={"temperature": values},
        attrs=provenance("deepglass.parisi.temperature_scan", parameters(model) | {"rtol": rtol}),
    )


def _at_temperature(model: MixedIsing | MixedSpherical, temperature: float) -> MixedIsing | MixedSpherical:
    if isinstance(model, MixedSpherical):
        return MixedSpherical(model.coefficients, temperature)
    return MixedIsing(model.coefficients, temperature, model.field)


def _check_rtol(rtol: float) -> float:
    return number("rtol", rtol, "a number from 1e-13 to 1e-4", lambda x: 1e-13 <= x <= 1e-4)


def _full_rsb(model: MixedIsing | MixedSpherical, rtol: float) -> xr.Dataset:
    if isinstance(model, MixedSpherical):
        return spherical_full_rsb(model)
    if ground_state.is_continuous(model):
        return ground_state.full_rsb(model, rtol)
    symmetric = replica_symmetric(model)
    one = _one_step(symmetric)
    if one is not None and one.replicon < 0.0:
        rise, found = begin(after_jump(one))
    elif one is not None or symmetric.replicon >= -1e-12:
        return _dataset(model, rtol, [_Solution(one or symmetric)])
    elif model.field != 0.0:
        rise, found = begin(stationary(symmetric, 1, pinned=False))
    elif float(model.xi(0.0, 2)) > 0.0:
        rise, found = Rise(model), without_field(symmetric, 4)
    else:
        raise NumericalError("full_rsb needs pair couplings where the replica-symmetric state is unstable")
    low, high = found.state.q[[rise.first, -1]]
    narrow = bool(high - low < _NARROW * min(low, 1.0 - high))
    for k in () if narrow or len(found.state.q) > 4 else (3, 4):
        found = continuous(rise, k, rise.interpolate(found.state.q, k), found.places, found)
    sequence: list[_Solution] = []
    for k in _SHORT_SEQUENCE if narrow else _SEQUENCE:
        try:
            found = continuous(rise, k, rise.interpolate(found.state.q, k), found.places, found)
            _require_continuous(rise, found)
        except NumericalError:
            if not narrow or len(sequence) < 2:
                raise
            break  # levels are as close as rounding allows
        sequence.append(_Solution(found.state, rise, found.places))
        if len(sequence) > 6 and _good(_limits(sequence), rtol):
            break
    return _dataset(model, rtol, sequence)


def _require_continuous(rise: Rise, found: Found) -> None:
    state, (x_0, x_c) = found.state, rise.ends(found.places)
    if (
        merged(state.q[rise.first :])
        or not 0.0 <= x_0 < x_c < 1.0
        or not state.residual < 1e4 * max(1e-14, rounding(rise, state))
    ):
        raise NumericalError(
            f"the overlaps of {len(state.m) - rise.first} steps are not those of a continuous q(x): min_gap "
            f"{state.min_gap:.3g}, x from {x_0:.3g} to {x_c:.3g}, residual {state.residual:.3g}; a discontinuous q(x) "
            "is left to solve(model, steps)"
        )


# ---- where to begin ----


def _one_step(symmetric: State) -> State | None:
    """One step, reached by a jump, where it is the equilibrium although the paramagnet without field is stable."""
    model = symmetric.model
    if float(model.xi(0.0, 2)) > model.temperature**2 or set(model.coefficients) == {2}:
        return None
    plain = MixedIsing(model.coefficients, model.temperature)
    if annealed_potential(plain.coefficients, plain.temperature, np.linspace(0.02, 0.999, 400)).max() <= 1e-9:
        return None
    one = stationary(replica_symmetric(plain), 1, pinned=True)
    if not _exists(one):
        raise NumericalError(f"no solution with one step was found below the static transition: m = {one.m[-1]:.4g}")
    if model.field != 0.0:
        start = np.maximum(one.q, symmetric.q[0] * np.array([1.0, 0.0]))
        try:
            one = settle_all(State(model, start, one.m, pinned=False))
        except NumericalError:  # a field takes the step away
            return None
    return one if _exists(one) and one.free_energy > symmetric.free_energy else None


def _exists(one: State) -> bool:
    return bool(one.residual < CONVERGED and not one.merged and one.m[-1] < 1.0)


# ---- the limit ----


def _limits(sequence: list[_Solution]) -> dict[str, tuple[float, float]]:
    rows, last = [one.numbers for one in sequence], sequence[-1]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    if last.rise is None:  # exact
        error = _ROUNDING / min(1.0, last.state.model.temperature)
        return {name: (float(column[0]), error) for name, column in columns.items()}
    k = np.array([one.steps for one in sequence], float)
    noise = 3 * rounding(last.rise, last.state)
    found = {}
    for name, column in columns.items():
        if len(k) < 6:  # of a rise so narrow that few steps are enough
            value, error = float(column[-1]), 3.0 * abs(float(column[-1] - column[-2])) + 10 * _ROUNDING
        else:
            value, error = extrapolate(k, column, _POWERS.get(name, _POWERS_OF_OVERLAPS))
        found[name] = value, error + (noise if name not in _POWERS and column.any() else 0.0)
    return found


def _good(limits: dict[str, tuple[float, float]], rtol: float) -> bool:
    """Whether the errors are those asked for; NaN has none."""
    return not any(
        error > rtol * abs(value) * (1.0 if name in _POWERS else 1e3) + 1e-12
        for name, (value, error) in limits.items()
        if name != "entropy"
    )


def _dataset(model: MixedIsing, rtol: float, sequence: list[_Solution]) -> xr.Dataset:
    import xarray as xr

    limits, finest = _limits(sequence), sequence[-1]
    numbers = {name: value for name, (value, _) in limits.items()}
    errors = {f"{name}_error": error for name, (_, error) in limits.items()}
    state = finest.state
    return xr.Dataset(
        numbers
        | errors
        | {
            "overlap": ("x", state.q),
            "replicon": state.replicon,
            "min_gap": state.min_gap,
            "residual": state.residual,
            "converged": _good(limits, rtol),
            "free_energy_of_k": ("k", [one.state.free_energy for one in sequence if one.rise]),
        },
        coords={"x": finest.x, "k": np.array([one.steps for one in sequence if one.rise], int)},
        attrs=provenance("deepglass.parisi.full_rsb", parameters(model) | {"rtol": rtol}),
    )
