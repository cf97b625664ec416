"""Single spin glasses with full replica symmetry breaking: the models by which every solver is judged.

Free energies against reference values and against a second route, q(x), P(q), the phase diagram, thermodynamics, and
how fast k steps converge.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from .. import parisi
from .._core import NumericalError
from .._warnings import ConvergenceWarning
from ..parisi.spin_continuum import extrapolate
from ..plot import Figure, pyplot, ticker
from ._report import Row, write

__all__ = ["run"]

SK, PSpin, Spherical = parisi.SherringtonKirkpatrick, parisi.PSpin, parisi.MixedSpherical
Model = parisi.MixedIsing | parisi.MixedSpherical


class _Reference(NamedTuple):
    """A number of full replica symmetry breaking, from an independent NumPy solver or a closed form."""

    name: str
    model: Model
    variable: str
    value: float
    error: float
    quick: bool = True


_REFERENCES = (
    _Reference("SK T=0.1: f", SK(0.1), "free_energy", -0.76340668604, 1e-10, quick=False),
    _Reference("SK T=0.2: f", SK(0.2), "free_energy", -0.7650733191024, 2e-13),
    _Reference("SK T=0.3: f", SK(0.3), "free_energy", -0.7695151989735, 1e-12),
    _Reference("SK T=0.5: f", SK(0.5), "free_energy", -0.7911775749349, 1e-12),
    _Reference("SK T=0.5: q_EA", SK(0.5), "overlap_ea", 0.6381612, 5e-8),
    _Reference("SK T=0.5: x_c", SK(0.5), "breakpoint_c", 0.4816098, 5e-8),
    _Reference("SK T=0.8: f", SK(0.8), "free_energy", -0.8651145060253, 1e-12),
    _Reference("SK T=0.9: f", SK(0.9), "free_energy", -0.9014116002110, 1e-12),
    _Reference("3-spin T=0.45: f", PSpin(3, 0.45), "free_energy", -0.820451270615, 1e-12),
    _Reference(
        "spherical q^2/2+q^4/20 T=0.2: f", Spherical({2: 0.5, 4: 0.05}, 0.2), "free_energy", -0.760076010583, 1e-12
    ),
    _Reference("spherical 3-spin T=0: e", Spherical({3: 0.5}, 0.0), "energy", -1.1716747793, 5e-11),
)
_FIELDS = ((0.5, 0.1), (0.5, 0.5), (0.5, 0.9), (0.5, 0.99), (0.3, 0.5), (0.9, 0.5))  # T, fraction of the AT field
_COLD = (0.22, 0.2, 0.15)  # below the Gardner temperature of p = 3
_RISES = (0.3, 0.5, 0.7, 0.9)
_FREE_STEPS = 6


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the tables have the errors
        digits = [_digits(each) for each in _REFERENCES if each.quick or not quick]
        routes = [_two_routes(f"SK T={T}, h={f:g} h_AT", SK(T, f * parisi.almeida_thouless(T))) for T, f in _FIELDS]
        routes += [_two_routes(f"3-spin T={T}", PSpin(3, T)) for T in (_COLD[1:] if quick else _COLD)]
        data = _scans(30 if quick else 200)
    figures: dict[str, Callable[[], Figure]] = {
        "order_parameter": _order_parameter,
        "phase_diagram": partial(_phase_diagram, data),
        "thermodynamics": partial(_thermodynamics, data),
        "convergence": _convergence,
        "complexity": _complexity,
    }
    return write(output, data, figures, [*digits, *routes])


# ---- tables ----


def _digits(reference: _Reference) -> Row:
    begin = time.perf_counter()
    found = parisi.full_rsb(reference.model)
    seconds = time.perf_counter() - begin
    value, error = float(found[reference.variable]), float(found[f"{reference.variable}_error"])
    return Row(
        reference.name,
        f"{reference.value:.13g} +- {reference.error:.0e}",
        f"{value:.14f} +- {error:.0e}",
        f"{value - reference.value:+.1e}",
        f"reference: independent solver; {seconds:.2f} s",
    )


def _free_steps(model: parisi.MixedIsing) -> list[tuple[int, float]]:
    """Steps k whose breakpoints are all stationary, and their free energies."""
    found = []
    for k in range(1, _FREE_STEPS + 1):
        try:
            found.append((k, float(parisi.solve(model, steps=k).free_energy)))
        except NumericalError:  # so close that rounding merges levels
            break
    return found


def _two_routes(name: str, model: parisi.MixedIsing) -> Row:
    """Full breaking against free steps extrapolated, and its entropy against -df/dT."""
    found = parisi.full_rsb(model)
    k, values = map(np.array, zip(*_free_steps(model), strict=True))
    # the rise has k + 1/2 steps, or k - 1/2 after a jump
    shift = 0.5 if np.isnan(found.breakpoint_jump) else -0.5
    last = slice(-5, None)
    limit, error = extrapolate(k[last] + shift, values[last], (4, 6)) if len(k) > 4 else (values[-1], np.nan)
    step = 2e-3 * model.temperature
    near = {
        n: float(
            parisi.full_rsb(
                parisi.MixedIsing(model.coefficients, model.temperature + n * step, model.field)
            ).free_energy
        )
        for n in (-2, -1, 1, 2)
    }
    slope = (near[-2] - 8 * near[-1] + 8 * near[1] - near[2]) / (12 * step)
    f, s = float(found.free_energy), float(found.entropy)
    return Row(
        f"{name}: f; s",
        f"{limit:.13f} +- {error:.0e}; {-slope:.11f}",
        f"{f:.14f} +- {float(found.free_energy_error):.0e}; {s:.12f}",
        f"{f - limit:+.1e}; {s + slope:+.1e}",
        f"second route: {len(k)} free steps extrapolated; -df/dT by differences",
    )


# ---- what is drawn ----


def _scans(points: int) -> dict[str, xr.Dataset]:
    temperatures = np.linspace(0.15, 1.2, points)
    steps = xr.Dataset(
        {
            f"{name}_{k}": ("temperature", [_steps(SK(T), k, name) for T in temperatures])
            for k in (0, 1)
            for name in ("free_energy", "energy", "entropy")
        },
        coords={"temperature": temperatures},
    )
    static = parisi.transition_temperatures(PSpin(3, 1.0))["static"]
    cold = np.linspace(0.12, static - 1e-4, points // 2)
    line = np.linspace(0.02, 1.0, points)
    return {
        "sherrington_kirkpatrick": parisi.temperature_scan(SK(1.0), temperatures).merge(steps),
        "three_spin": parisi.temperature_scan(PSpin(3, 1.0), cold),
        "almeida_thouless": xr.Dataset(
            {"field": ("temperature", [parisi.almeida_thouless(T) for T in line])}, coords={"temperature": line}
        ),
    }


def _steps(model: parisi.MixedIsing, k: int, name: str) -> float:
    try:
        return float(parisi.solve(model, steps=k)[name])
    except NumericalError:  # the paramagnet has no steps
        return float(parisi.solve(model, steps=0)[name])


def _order_parameter() -> Figure:
    figure, axes = pyplot.subplots(2, 2, figsize=(7.2, 5.6))
    fraction = (0.0, 0.1, 0.3, 0.6)
    columns: Sequence[tuple[str, list[tuple[str, Model]]]] = (
        ("no field", [(f"$T={T}$", SK(T)) for T in _RISES]),
        (
            "$T=0.5$, in a field",
            [(rf"$h={f}\,h_\mathrm{{AT}}$", SK(0.5, f * parisi.almeida_thouless(0.5))) for f in fraction],
        ),
    )
    for column, (title, models) in enumerate(columns):
        above, below = axes[:, column]
        colours = pyplot.get_cmap("viridis_r")(np.linspace(0.15, 1.0, len(models)))
        for i, (label, model) in enumerate(models):
            solution = parisi.full_rsb(model)
            x = np.r_[0.0, solution.x, 1.0]
            q = np.r_[solution.overlap[0], solution.overlap, solution.overlap[-1]]
            above.plot(x, q, color=colours[i], label=label)
            distribution = parisi.overlap_distribution(solution)
            middle = (distribution.overlap_left + distribution.overlap_right) / 2
            below.plot(middle, distribution.density, color=colours[i])
            below.vlines(distribution.overlap, 0, 4 * distribution.weight, color=colours[i], lw=2.5)
            below.plot(distribution.overlap, 4 * distribution.weight, "o", ms=3.5, color=colours[i])
        above.set(xlabel="$x$", ylabel="overlap $q(x)$", title=title, xlim=(0, 1), ylim=(0, 1))
        below.set(xlabel="overlap $q$", ylabel="$P(q)$; peaks: 4 x weight", xlim=(-0.02, 1), ylim=(0, 3))
        above.legend(fontsize="small")
    figure.suptitle(
        "Sherrington-Kirkpatrick model: order parameter function and overlap distribution", fontsize="medium"
    )
    return figure


def _phase_diagram(data: dict[str, xr.Dataset]) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.2))
    line = data["almeida_thouless"]
    left.plot(line.temperature, line.field, color="C0")
    left.fill_between(line.temperature, line.field, color="C0", alpha=0.15)
    left.text(0.08, 0.3, "replica symmetry\nbroken")
    left.text(0.55, 1.3, "replica symmetric")
    left.set(xlabel="temperature", ylabel="field", title="SK: Almeida-Thouless line", xlim=(0, 1.2), ylim=(0, 2.5))
    three = data["three_spin"]
    right.plot(three.temperature, three.overlap_ea, color="C0", label=r"$q_\mathrm{EA}$")
    right.plot(three.temperature, three.overlap_jump, "--", color="C0", label="$q$ after the jump")
    right.plot(three.temperature, three.breakpoint_jump, color="C1", label="$m$ of the jump")
    rise = three.where(three.breakpoint_c > three.breakpoint_0)
    right.plot(rise.temperature, rise.breakpoint_0, "--", color="C2", label="$x_0$, $x_c$ of the rise")
    right.plot(rise.temperature, rise.breakpoint_c, "--", color="C2")
    found = parisi.transition_temperatures(PSpin(3, 1.0))
    for name, label in (("dynamic", "$T_d$"), ("static", "$T_s$"), ("gardner", "$T_G$")):
        right.axvline(found[name], color="0.6", lw=0.8)
        right.text(found[name], 1.02, label, ha="center")
    right.set(xlabel="temperature", xlim=(0.1, 0.72), ylim=(0, 1))
    right.set_title("Ising 3-spin model", pad=16)
    right.legend(fontsize="small")
    return figure


def _thermodynamics(data: dict[str, xr.Dataset]) -> Figure:
    figure, axes = pyplot.subplots(1, 3, figsize=(9.0, 3.1))
    scan = data["sherrington_kirkpatrick"]
    for ax, name in zip(axes, ("free_energy", "energy", "entropy"), strict=True):
        for k, label in ((0, "replica symmetric"), (1, "one step")):
            ax.plot(scan.temperature, scan[f"{name}_{k}"], "--", lw=1, color=f"C{k + 1}", label=label)
        ax.plot(scan.temperature, scan[name], color="C0", label="full")
        ax.axvline(1.0, color="0.8", lw=0.8)
        ax.set(xlabel="temperature", ylabel=f"{name.replace('_', ' ')} per spin")
    axes[2].axhline(0.0, color="0.6", lw=0.8)
    axes[0].legend(fontsize="small")
    figure.suptitle("Sherrington-Kirkpatrick model", fontsize="medium")
    return figure


def _convergence() -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.1), sharey=True)
    for i, T in enumerate((0.3, 0.5, 0.8)):
        solution = parisi.full_rsb(SK(T), rtol=1e-12)
        exact = float(solution.free_energy)
        left.loglog(solution.k, np.abs(solution.free_energy_of_k - exact), "o-", ms=3, color=f"C{i}", label=f"$T={T}$")
        k, values = map(np.array, zip(*_free_steps(SK(T)), strict=True))
        right.loglog(k, np.abs(values - exact), "o-", ms=3, color=f"C{i}", label=f"$T={T}$")
    for ax, title, ends in ((left, "equal steps, $q_0=0$", (6.0, 40.0)), (right, "stationary steps", (1.0, 6.0))):
        ax.plot(ends, 1e-2 * np.array(ends) ** -4.0, color="0.6", lw=0.8, label="$k^{-4}$")
        ax.set(xlabel="steps $k$", title=title)
        ax.set_xticks([6, 10, 20, 40] if ax is left else [1, 2, 3, 4, 6])
        ax.xaxis.set_major_formatter(ticker.ScalarFormatter())
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.legend(fontsize="small")
    left.set_ylabel("$|f_k-f|$")
    return figure


def _complexity() -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 3.1))
    models: Sequence[tuple[str, Callable[[float], Model], tuple[float, ...]]] = (
        ("Ising 3-spin", lambda T: PSpin(3, T), (0.3, 0.45, 0.6)),
        ("spherical 3-spin", lambda T: Spherical({3: 0.5}, T), (0.2, 0.4, 0.55)),
    )
    for ax, (title, make, temperatures) in zip(axes, models, strict=True):
        for i, T in enumerate(temperatures):
            states = parisi.complexity(make(T), n_breakpoints=200)
            stable = states.isel(breakpoint=(states.replicon >= 0).values)
            ax.plot(stable.free_energy - stable.free_energy[0], stable.complexity, color=f"C{i}", label=f"$T={T}$")
            ax.plot(stable.free_energy[-1] - stable.free_energy[0], stable.complexity[-1], "o", ms=3, color=f"C{i}")
        ax.set(xlabel="free energy above the lowest states", ylabel=r"complexity $\Sigma$", title=title)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
        ax.legend(fontsize="small", title="to the threshold")
    return figure
