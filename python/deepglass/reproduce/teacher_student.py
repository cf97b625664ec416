"""A deep student machine learns from a teacher (the setting of H. Yoshino, arXiv:2302.07419).

Teacher and student have the same widths and depth; hidden neurons follow the bonds, inputs are coins or lie on a
hidden manifold, and the student learns greedily: a rotation of a pair of bonds is accepted where the number of
wrong output bits does not rise.  Where all patterns are learnt it wanders in the space of solutions.  The teacher
itself is a uniform sample of that space, so that a student that starts as the teacher is in equilibrium at all
times; its overlaps with the teacher are correlation functions, and have relaxed when both starts agree.

The paper gives the phenomena; step, loads, run lengths and numbers of teachers are ours.  Time is in sweeps, N/2
rotations of up to 0.5 for each perceptron.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import io, parisi, stats
from .._warnings import ConvergenceWarning, UnphysicalWarning
from ..plot import Axes, Figure, pyplot
from ._report import Row, write
from ._students import Student, run_all

__all__ = ["run"]

Results: TypeAlias = dict[Student, xr.Dataset]
Floats: TypeAlias = npt.NDArray[np.float64]

_LONG_ENOUGH = 20  # relaxation times of the slowest layer
_STARTS = ("random", "teacher")
_STYLE: dict[str, dict[str, Any]] = {"random": {}, "teacher": {"markerfacecolor": "w", "linestyle": "--"}}
_LOAD, _DEPTH = 4, 3  # at which depth and load are compared
_MANIFOLD_WIDTH, _MANIFOLD_DEPTH = 20, 2
_DIMENSIONS = (5, 10, 20, 0)


def _students(width: int, depths: Sequence[int], loads: Sequence[int], **settings: Any) -> list[Student]:
    return [
        Student(width, depth, load, start, **settings)  # type: ignore[arg-type]
        for depth in depths
        for load in loads
        for start in _STARTS
    ]


def _manifold(**settings: Any) -> list[Student]:
    return [
        Student(_MANIFOLD_WIDTH, _MANIFOLD_DEPTH, _LOAD, dimension=dimension, **settings) for dimension in _DIMENSIONS
    ]


_QUICK = (
    *_students(10, (1, 3, 5, 8), (1, 4, 8, 16), n_instances=10),
    *_students(20, (3,), (4,), n_instances=10),
    *_manifold(n_sweeps=512, n_instances=10),
)
_FULL = (
    *_students(10, (1, 3, 5, 8), (1, 2, 4, 8, 16), n_sweeps=2**16),
    *_students(10, (12, 16), (4,), n_sweeps=2**16),
    *_students(16, (3,), (4,), n_sweeps=2**16),
    *_students(20, (1, 3, 5, 8), (1, 2, 4, 8, 16), n_sweeps=2**13),
    *_students(40, (1, 3, 5, 8), (1, 2, 4, 8, 16), n_sweeps=2**11),
    *_manifold(n_sweeps=2**12, n_instances=48),
)


@dataclasses.dataclass(frozen=True)
class _Earlier:
    """What a program that shares no line with this one found, 48 or 96 teachers: values and errors."""

    training_error: dict[int, tuple[float, float]]  # by sweep
    unseen_error: dict[int, tuple[float, float]]
    bond_overlap: tuple[float, ...] = ()  # y by layer, errors 0.015
    last_layer: tuple[float, float] = (0.0, 0.0)  # that of layer L minus the mean of those from 3 to L - 2


_EARLIER = {
    (10, 8, 8, 0): _Earlier(
        {1: (0.376, 0.002), 16: (0.196, 0.003), 256: (0.038, 0.001), 1024: (0.0081, 0.0006)},
        {1024: (0.456, 0.003)},
        (0.03, 0.01, 0.01, 0.01, 0.02, 0.01, 0.06, 0.28),
        (0.264, 0.017),
    ),
    (10, 3, 4, 0): _Earlier(
        {1: (0.421, 0.003), 16: (0.236, 0.003), 256: (0.042, 0.002), 1024: (0.0065, 0.0006)}, {1024: (0.388, 0.003)}
    ),
    (20, 2, 4, 5): _Earlier({}, {512: (0.307, 0.003)}),
    (20, 2, 4, 0): _Earlier({}, {512: (0.378, 0.002)}),
}
_GATE_SWEEPS = 1024
_GATES = (
    Student(10, 8, 8, n_sweeps=_GATE_SWEEPS, n_instances=96),
    Student(10, 3, 4, n_sweeps=_GATE_SWEEPS, n_instances=96),
    Student(20, 2, 4, dimension=5, n_sweeps=512, n_instances=48),
    Student(20, 2, 4, n_sweeps=512, n_instances=48),
)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, students: Sequence[Student], workers: int = 0) -> list[Path]:
    results = dict(zip(students, run_all(students, output / "instances", workers=workers), strict=True))
    summary = _summary(results)
    datasets = {**{student.name: result for student, result in results.items()}, "summary": summary}
    figures: dict[str, Callable[[Results, xr.Dataset], Figure]] = {
        "teacher_student": _figure_generalisation,
        "overlap_profile": _figure_profile,
        "hidden_manifold": _figure_manifold,
        "relaxation": _figure_relaxation,
    }
    drawings = {name: partial(draw, results, summary) for name, draw in figures.items()}
    return write(output, datasets, drawings, _table(results, summary), tight=True)


# ---- Numbers


def single_layer_overlap(load: float) -> float:
    """Overlap R of teacher and student with one layer, N = infinity, all patterns learnt.

    It solves  ``R = 2 alpha E[phi(u)^2 / Phi(u)]``  with u = t sqrt(R / (1 - R)), t standard normal, and
    phi, Phi density and distribution of the latter (replica theory at q = R; G. Gyoergyi and N. Tishby, 1990).

    Examples
    --------
    >>> round(single_layer_overlap(4.0), 4)
    0.9003
    """
    from scipy.optimize import brentq
    from scipy.special import log_ndtr

    t = np.linspace(-12.0, 12.0, 4801)
    weight = np.exp(-0.5 * t * t) / np.exp(-0.5 * t * t).sum()

    def excess(ratio: float) -> float:  # R / (1 - R)
        u = t * math.sqrt(ratio)
        return ratio / (1.0 + ratio) - load / math.pi * float(weight @ np.exp(-u * u - log_ndtr(u)))

    ratio = float(brentq(excess, 1e-9, 1e6, xtol=1e-12))
    return ratio / (1.0 + ratio)


def _mean(samples: npt.ArrayLike) -> stats.Estimate:
    return stats.mean_over_instances(np.asarray(samples, float))


def _excess(result: xr.Dataset, name: str = "bond_overlap") -> xr.DataArray:
    """Overlap of student and teacher above that of unrelated machines: 0 for those, 1 for the teacher itself."""
    return (result[name] - result[f"prior_{name}"]) / (1.0 - result[f"prior_{name}"])


def _at_end(result: xr.Dataset, name: str) -> stats.Estimate:
    return _mean(result[name].isel(sweep=-1).values)


def relaxation_time(lags: Floats, correlation: Floats, plateau: float = 0.0) -> float:
    """Lag at which a correlation has fallen to 1/e on its way from 1 to a plateau; NaN if it has not.

    Examples
    --------
    >>> lags = np.array([0.0, 1.0, 10.0, 100.0])
    >>> round(relaxation_time(lags, np.array([1.0, 1.0, 2.0 / math.e, 0.0])), 2)
    31.62
    """
    change = (correlation - plateau) / (1.0 - plateau) - math.exp(-1.0)
    below = np.flatnonzero(change <= 0.0)
    if below.size == 0:
        return math.nan
    k = below[0]
    share = change[k - 1] / (change[k - 1] - change[k])
    if lags[k - 1] == 0.0:
        return float(share * lags[k])
    return math.exp((1.0 - share) * math.log(lags[k - 1]) + share * math.log(lags[k]))


def _relaxation_times(result: xr.Dataset) -> list[tuple[float, float]]:
    """Of the bonds of each layer, from the mean over instances, with jackknife errors; NaN where not reached.

    One layer has no gauge, and its correlation falls to the overlap with the teacher; others fall to 0.
    """
    lags = result["lag"].values.astype(float)
    curves = result["bond_correlation"].transpose("layer", "instance", "lag").values
    times = []
    for layer in curves:
        samples = np.column_stack([layer, np.zeros(len(layer))])
        if len(curves) == 1:
            samples[:, -1] = result["bond_overlap"].isel(layer=0).values

        def log_time(some: Floats) -> float:
            mean = some.mean(axis=0)
            return math.log(relaxation_time(lags, mean[:-1], mean[-1]))

        try:
            log = stats.jackknife(samples, log_time)
        except ValueError:  # not reached, or not without one of the instances
            times.append((math.nan, math.nan))
        else:
            times.append((math.exp(log.value), math.exp(log.value) * log.error))
    return times


def _summary(results: Results) -> xr.Dataset:
    """One entry for each kind of student."""
    n_layers = max(student.depth for student in results)
    columns: dict[str, list[Any]] = {
        field: [getattr(student, field) for student in results]
        for field in ("width", "depth", "load", "dimension", "start", "n_sweeps", "n_instances")
    }
    layers: dict[str, Floats] = {}
    for name in ("training_error", "test_error", "unseen_error"):
        estimates = [_at_end(result, name) for result in results.values()]
        columns[name] = [estimate.value for estimate in estimates]
        columns[f"{name}_error"] = [estimate.error for estimate in estimates]
    for name in ("bond_overlap", "neuron_overlap", "learnt_overlap"):
        both = np.full((2, len(results), n_layers), math.nan)
        for k, result in enumerate(results.values()):
            values = _excess(result, name).transpose("instance", "layer").values
            estimates = [_mean(values[:, layer]) for layer in range(values.shape[1])]
            both[:, k, : len(estimates)] = np.transpose([(each.value, each.error) for each in estimates])
        layers[name], layers[f"{name}_error"] = both
    times = np.full((2, len(results), n_layers), math.nan)
    for k, result in enumerate(results.values()):
        found = _relaxation_times(result)
        times[:, k, : len(found)] = np.transpose(found)
    layers["relaxation_time"], layers["relaxation_time_error"] = times
    depths = np.array(columns["depth"])
    slow = np.where(np.isnan(times[0]), np.where(np.arange(n_layers) < depths[:, None], np.inf, -np.inf), times[0])
    slowest = slow.argmax(axis=1)
    columns["slowest_layer"] = list(slowest + 1)
    time = times[0][np.arange(len(results)), slowest]
    error = times[1][np.arange(len(results)), slowest]
    columns["slowest_time"], columns["slowest_time_error"] = list(time), list(error)
    columns["length_in_times"] = list(np.array(columns["n_sweeps"]) / time)
    columns["short_run"] = [int(not length >= _LONG_ENOUGH) for length in columns["length_in_times"]]
    return xr.Dataset(
        {
            **{name: ("student", values) for name, values in columns.items()},
            **{name: (("student", "layer"), values) for name, values in layers.items()},
        },
        {"student": [student.name for student in results], "layer": np.arange(1, n_layers + 1)},
        io.provenance("deepglass.reproduce.teacher_student", {"students": len(results)})
        | {
            "overlaps": "(overlap - prior) / (1 - prior): bonds aligned and neurons (gauge-free) on fresh inputs, "
            "neurons on the learnt inputs",
            "relaxation_time": "lag at which the correlation of bonds has fallen to 1/e (depth 1: to 1/e of the way "
            "to the overlap with the teacher), NaN if longer than half of the run",
            "short_run": f"1: shorter than {_LONG_ENOUGH} relaxation times of the slowest layer",
        },
    )


def _find(results: Results, **wanted: Any) -> list[Student]:
    """Students with these fields, from small to large; coins as inputs and random starts unless said."""
    wanted = {"dimension": 0, "start": "random"} | wanted
    found = [one for one in results if all(getattr(one, key) == value for key, value in wanted.items())]
    return sorted(found, key=lambda one: (one.width, one.depth, one.load))


def _theory(depth: int, load: int) -> Floats:
    """Overlap of the bonds by layer, N = infinity."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnphysicalWarning)
        solution = parisi.solve(parisi.DeepPerceptron(depth=depth, load=load, scenario="teacher"))
    overlap: Floats = solution["bond_overlap"].isel(step=-1).values
    return overlap


# ---- Pictures


def _shades(n: int) -> list[Any]:
    return list(pyplot.get_cmap("viridis_r")(np.linspace(0.15, 1.0, n)))


def _points(ax: Axes, x: Sequence[float], estimates: Sequence[stats.Estimate], **settings: Any) -> None:
    values, errors = [each.value for each in estimates], [each.error for each in estimates]
    merged: dict[str, Any] = {"capsize": 2.0, "marker": "o", "linestyle": "-"} | settings
    ax.errorbar(x, values, errors, **merged)


def _logarithmic(ax: Axes) -> None:
    """A logarithmic axis with labels at powers of 10, and at 2 and 5 times them where there is room."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ticks = [m * 10.0**k for k in range(-6, 9) for m in ((1,) if high > 2000.0 * low else (1, 2, 5))]
    ax.set_yticks([tick for tick in ticks if low <= tick <= high])
    ax.set_yticks([], minor=True)
    ax.yaxis.set_major_formatter("{x:g}")


def _loads_axis(ax: Axes, loads: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(loads), [str(load) for load in loads])
    ax.set_xlabel(r"load $\alpha$")


def _panel_learning(ax: Axes, results: Results, width: int, depth: int) -> None:
    students = _find(results, width=width, depth=depth)
    for student, shade in zip(students, _shades(len(students)), strict=True):
        error = results[student]["training_error"]
        mean, sigma = error.mean("instance"), error.std("instance", ddof=1) / math.sqrt(student.n_instances)
        shown = mean.values > 0.0
        x, y, s = (np.asarray(values)[shown] for values in (error["sweep"].values, mean.values, sigma.values))
        ax.plot(x, y, color=shade, marker="o", label=rf"$\alpha={student.load}$")
        ax.fill_between(x, np.maximum(y - s, 1e-5), y + s, color=shade, alpha=0.25, linewidth=0.0)
    ax.set(xscale="log", yscale="log", xlabel="sweeps", ylabel=r"training error $e_t$")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], 2e-4))
    _logarithmic(ax)
    ax.set_title(f"$N={width}$, $L={depth}$", loc="left")
    ax.legend(fontsize="small")


def _panel_loads(ax: Axes, results: Results, width: int) -> None:
    depths = sorted({student.depth for student in _find(results, width=width)})
    depths = [depth for depth in depths if len(_find(results, width=width, depth=depth)) > 1]
    loads = sorted({student.load for student in _find(results, width=width)})
    for depth, shade in zip(depths, _shades(len(depths)), strict=True):
        for start, style in _STYLE.items():
            students = _find(results, width=width, depth=depth, start=start)
            estimates = [_at_end(results[student], "unseen_error") for student in students]
            label = f"$L={depth}$" if start == "random" else None
            _points(ax, [student.load for student in students], estimates, color=shade, label=label, **style)
    x = np.geomspace(min(loads), max(loads), 40)
    theory = [math.acos(single_layer_overlap(load)) / math.pi for load in x]
    ax.plot(x, theory, color="0.3", linestyle=":", label=r"$L=1$, $N=\infty$")
    ax.axhline(0.5, color="0.7", linewidth=0.6, zorder=0)
    _loads_axis(ax, loads)
    ax.set(ylabel=r"error on unseen inputs $e_u$", ylim=(0.0, 0.52))
    ax.set_title(f"$N={width}$", loc="left")
    ax.legend(fontsize="small", frameon=True, framealpha=0.8, edgecolor="none")


def _panel_depths(ax: Axes, results: Results, load: int) -> None:
    widths = sorted({student.width for student in results})  # the same marks in all panels
    for width, marker, colour in zip(widths, "os^Dv"[: len(widths)], _shades(len(widths)), strict=True):
        for start, style in _STYLE.items():
            students = [s for s in _find(results, width=width, load=load, start=start) if s.depth != _MANIFOLD_DEPTH]
            if not students:
                continue
            gains = [_mean(0.5 - results[student]["unseen_error"].isel(sweep=-1).values) for student in students]
            label = f"$N={width}$" if start == "random" else None
            x = [student.depth * (0.99 if start == "random" else 1.01) for student in students]
            _points(ax, x, gains, color=colour, marker=marker, label=label, **style)
    theory = 0.5 - math.acos(single_layer_overlap(load)) / math.pi
    ax.plot([1], [theory], "k_", markersize=12.0, label=r"$L=1$, $N=\infty$")
    ax.set(xlabel="depth $L$", ylabel=r"$1/2 - e_u$", yscale="log")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], 5e-3))
    _logarithmic(ax)
    ticks = sorted({student.depth for student in _find(results, load=load)} - {_MANIFOLD_DEPTH})
    ax.set_xticks(ticks)
    ax.set_title(rf"$\alpha={load}$", loc="left")
    if load == _LOAD:
        ax.legend(fontsize="small", frameon=True, framealpha=0.8, edgecolor="none")


def _figure_generalisation(results: Results, summary: xr.Dataset) -> Figure:
    widths = [
        width for width in sorted({s.width for s in results}) if len(_find(results, width=width, depth=_DEPTH)) > 1
    ]
    figure, axes = pyplot.subplots(
        len(widths), 3, figsize=(9.8, 3.2 * len(widths)), squeeze=False, width_ratios=[1.0, 1.0, 0.9]
    )
    for row, width in zip(axes, widths, strict=True):
        _panel_learning(row[0], results, width, _DEPTH)
        _panel_loads(row[1], results, width)
    for ax, load in zip(axes[:, 2], (_LOAD, 8, 16), strict=False):
        _panel_depths(ax, results, load)
    figure.suptitle(
        "Students that start at random (filled) and as the teacher (open); where both agree they have relaxed",
        fontsize="medium",
    )
    return figure


def _figure_profile(results: Results, summary: xr.Dataset) -> Figure:
    width = min(student.width for student in results)
    depth = max(s.depth for s in _find(results, width=width) if len(_find(results, width=width, depth=s.depth)) > 1)
    figure, axes = pyplot.subplots(2, 3, figsize=(9.8, 5.4), sharex=True, sharey="col")
    names = {
        "bond_overlap": "aligned bonds $y(l)$",
        "neuron_overlap": "neurons, fresh inputs $x(l)$",
        "learnt_overlap": "neurons, learnt inputs",
    }
    for row, start in zip(axes, _STARTS, strict=True):
        students = _find(results, width=width, depth=depth, start=start)
        for ax, name in zip(row, names, strict=True):
            for student, shade in zip(students, _shades(len(students)), strict=True):
                values = _excess(results[student], name).transpose("layer", "instance").values
                estimates = [_mean(layer) for layer in values]
                layers = list(range(1, len(estimates) + 1))
                _points(ax, layers, estimates, color=shade, label=rf"$\alpha={student.load}$")
                if name == "bond_overlap":
                    ax.plot(layers, _theory(depth, student.load), color=shade, linestyle=":", linewidth=0.9)
            ax.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
            ax.set_title(names[name] if start == "random" else "", loc="left")
            ax.set_xticks(range(1, depth + 1))
        row[0].set_ylabel(f"start: {start}\noverlap above prior")
    for ax in axes[1]:
        ax.set_xlabel("layer $l$")
    axes[0, 1].legend(fontsize="small")
    figure.suptitle(
        rf"Overlap of student and teacher by layer, $N={width}$, $L={depth}$, {students[0].n_sweeps} sweeps "
        r"(dotted: equilibrium, $N=\infty$)",
        fontsize="medium",
    )
    return figure


def _manifold_students(results: Results) -> list[Student]:
    shape = {"width": _MANIFOLD_WIDTH, "depth": _MANIFOLD_DEPTH, "load": _LOAD}
    return [student for dimension in _DIMENSIONS for student in _find(results, dimension=dimension, **shape)]


def _figure_manifold(results: Results, summary: xr.Dataset) -> Figure:
    students = _manifold_students(results)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.0))
    names = [str(student.dimension) if student.dimension else r"$\infty$" for student in students]
    x = list(range(len(students)))
    unseen = [results[student]["unseen_error"] for student in students]
    for values, student, shade in zip(unseen, students, _shades(len(students)), strict=True):
        mean, sigma = values.mean("instance"), values.std("instance", ddof=1) / math.sqrt(student.n_instances)
        left.plot(
            mean["sweep"], mean, color=shade, marker="o", label=f"$D={names[students.index(student)].strip('$')}$"
        )
        left.fill_between(mean["sweep"], mean - sigma, mean + sigma, color=shade, alpha=0.25, linewidth=0.0)
    left.set(xscale="log", xlabel="sweeps", ylabel=r"error on unseen inputs $e_u$")
    left.legend(fontsize="small")
    differences = [_mean((values - unseen[-1]).isel(sweep=-1).values) for values in unseen[:-1]]
    _points(right, x[:-1], differences, color="C0")
    right.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
    right.set_xticks(x[:-1], names[:-1])
    right.set(xlabel="dimension $D$ of the hidden manifold", ylabel=r"$e_u(D) - e_u(\infty)$, same teacher")
    one = students[0]
    figure.suptitle(
        rf"Inputs on a hidden manifold, $N={one.width}$, $L={one.depth}$, $\alpha={one.load}$", fontsize="medium"
    )
    return figure


def _figure_relaxation(results: Results, summary: xr.Dataset) -> Figure:
    width = min(student.width for student in results)
    depths = sorted({student.depth for student in _find(results, width=width)})
    depths = [depth for depth in depths if len(_find(results, width=width, depth=depth)) > 1]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.6, 3.2))
    student = _find(results, width=width, depth=_DEPTH, load=_LOAD, start="teacher")[0]
    correlation = results[student]["bond_correlation"].sel(lag=slice(1, None))
    for layer, shade in zip(correlation["layer"].values, _shades(student.depth), strict=True):
        values = correlation.sel(layer=layer)
        mean, sigma = values.mean("instance"), values.std("instance", ddof=1) / math.sqrt(student.n_instances)
        left.plot(mean["lag"], mean, color=shade, label=f"$l={layer}$")
        left.fill_between(mean["lag"], mean - sigma, mean + sigma, color=shade, alpha=0.25, linewidth=0.0)
    left.axhline(math.exp(-1.0), color="0.6", linestyle=":", linewidth=0.8)
    left.set(xscale="log", xlabel="lag (sweeps)", ylabel="correlation of bonds", ylim=(-0.05, 1.03))
    left.set_title(rf"$N={width}$, $L={student.depth}$, $\alpha={student.load}$, start: teacher", loc="left")
    left.legend(fontsize="small")
    loads = sorted({student.load for student in _find(results, width=width)})
    for depth, shade in zip(depths, _shades(len(depths)), strict=True):
        names = [s.name for s in _find(results, width=width, depth=depth, start="teacher")]
        chosen = summary.sel(student=names)
        known = np.isfinite(chosen["slowest_time"].values)
        load, time = chosen["load"].values, chosen["slowest_time"].values
        right.errorbar(
            load[known], time[known], chosen["slowest_time_error"].values[known], color=shade, marker="o",
            capsize=2.0, label=f"$L={depth}$",
        )  # fmt: skip
        longer = chosen["n_sweeps"].values[~known] / 2 * (1.0 + 0.04 * depth)
        right.plot(load[~known], longer, "^", color=shade, markerfacecolor="w", label="_longer")
    longest = max(s.n_sweeps for s in _find(results, width=width))
    right.axhline(longest / _LONG_ENOUGH, color="0.6", linestyle=":", linewidth=0.8)
    right.annotate(
        f"run length / {_LONG_ENOUGH}", (loads[-1], longest / _LONG_ENOUGH), xytext=(0, -9), ha="right",
        textcoords="offset points", fontsize="x-small", color="0.4",
    )  # fmt: skip
    _loads_axis(right, loads)
    right.set_ylabel("relaxation time (sweeps)")
    _logarithmic(right)
    right.set_title("slowest layer (open: longer)", loc="left")
    right.legend(fontsize="small")
    return figure


# ---- Table


def _table(results: Results, summary: xr.Dataset) -> list[Row]:
    return [
        *_profile_rows(results, _short(results, summary)),
        *_depth_rows(results, _short(results, summary)),
        *_width_rows(results, _short(results, summary)),
        *_manifold_rows(results),
        *_single_layer_rows(results),
        *_equilibrium_rows(results, _short(results, summary)),
        *_earlier_rows(results),
        *_length_rows(results, summary),
    ]


def _where(student: Student) -> str:
    manifold = f", D = {student.dimension}" if student.dimension else ""
    return f"N = {student.width}, L = {student.depth}, alpha = {student.load}{manifold}"


def _contrast(student: Student, result: xr.Dataset, name: str) -> tuple[stats.Estimate, stats.Estimate]:
    """Excess overlap of the first and of the last layer above the mean of the layers 3 to L - 2."""
    values = _excess(result, name).transpose("instance", "layer").values
    centre = values[:, 2 : student.depth - 2].mean(axis=1)
    return _mean(values[:, 0] - centre), _mean(values[:, -1] - centre)


def _short(results: Results, summary: xr.Dataset) -> dict[Student, str]:
    """A word of warning for each kind of student whose run was too short."""
    flags = summary["short_run"].values
    return {student: "; SHORT run" if flag else "" for student, flag in zip(results, flags, strict=True)}


def _profile_rows(results: Results, short: dict[Student, str]) -> list[Row]:
    rows = []
    for student in results:
        if student.depth != 8 or student.load < _LOAD or student.dimension:
            continue
        for name, symbol in (("bond_overlap", "y"), ("neuron_overlap", "x")):
            first, last = _contrast(student, results[student], name)
            sides = [side for side, each in (("input", first), ("output", last)) if each.pull(0.0) > 3.0]
            rows.append(
                Row(
                    f"closer to the teacher at both ends: {symbol}, {_where(student)}, {student.start} start", "yes",
                    {2: "yes", 1: f"{''.join(sides)} end", 0: "not shown"}[len(sides)], f"{first} {last}",
                    f"first and last layer minus mean of l = 3..{student.depth - 2}, {first.pull(0.0):+.1f} and "
                    f"{last.pull(0.0):+.1f} errors; e_t {_at_end(results[student], 'training_error')}{short[student]}",
                )
            )  # fmt: skip
    for width in sorted({student.width for student in results}):
        deepest = [s for s in _find(results, width=width) if s.depth == 8 and s.load in (4, 16)]
        for student in deepest:
            theory = _theory(student.depth, student.load)
            values = _excess(results[student]).transpose("layer", "instance").values
            rows.append(
                Row(
                    f"y(l) by layer, {_where(student)}", " ".join(f"{Q:.2f}" for Q in theory),
                    " ".join(f"{_mean(layer)}" for layer in values), "-",
                    "theory of N = infinity in equilibrium: no test; random start",
                )
            )  # fmt: skip
            learnt = _excess(results[student], "learnt_overlap").transpose("layer", "instance").values
            rows.append(
                Row(
                    "  neurons on learnt inputs", "grows with l", " ".join(f"{_mean(layer)}" for layer in learnt),
                    "-", "same normalisation; the earlier program saw growth towards the output, no U shape",
                )
            )  # fmt: skip
    return rows


def _depth_rows(results: Results, short: dict[Student, str]) -> list[Row]:
    rows = []
    for width in sorted({student.width for student in results}):
        for start in _STARTS:
            students = [s for s in _find(results, width=width, load=_LOAD, start=start) if s.depth != _MANIFOLD_DEPTH]
            if len(students) < 3:
                continue
            gains = [_mean(0.5 - results[student]["unseen_error"].isel(sweep=-1).values) for student in students]
            depths = [student.depth for student in students]
            rows.append(
                Row(
                    f"deep students generalise: 1/2 - e_u, N = {width}, alpha = {_LOAD}, {start} start", "> 0",
                    " ".join(f"{gain}" for gain in gains), f"{gains[-1].pull(0.0):+.1f} errors at L = {depths[-1]}",
                    f"L = {', '.join(map(str, depths))}{short[students[-1]]}",
                )
            )  # fmt: skip
            if min(gain.pull(0.0) for gain in gains) < 3.0:
                continue  # no logarithm
            logs = [(math.log(gain.value), gain.error / gain.value) for gain in gains]
            ends = [(0, 1), (len(logs) - 2, len(logs) - 1)]
            slopes = [
                stats.Estimate(
                    (logs[b][0] - logs[a][0]) / (depths[b] - depths[a]),
                    math.hypot(logs[a][1], logs[b][1]) / (depths[b] - depths[a]),
                )
                for a, b in ends
            ]
            bend = slopes[1].value - slopes[0].value
            pull = bend / math.hypot(slopes[0].error, slopes[1].error)
            rows.append(
                Row(
                    "  falls with L slower than exponentially", "-", "yes" if pull > 3.0 else "not shown",
                    f"{pull:+.1f} errors",
                    f"slope of ln(1/2 - e_u): {slopes[0]} from L = {depths[0]} to {depths[1]}, {slopes[1]} from "
                    f"{depths[-2]} to {depths[-1]}",
                )
            )  # fmt: skip
    return rows


def _width_rows(results: Results, short: dict[Student, str]) -> list[Row]:
    rows = []
    for start in _STARTS:
        students = _find(results, depth=_DEPTH, load=_LOAD, start=start)
        errors = [_at_end(results[student], "unseen_error") for student in students]
        for student, wide in zip(students[1:], errors[1:], strict=True):
            narrow = errors[0]
            difference = stats.Estimate(wide.value - narrow.value, math.hypot(wide.error, narrow.error))
            rows.append(
                Row(
                    f"narrow students generalise better: e_u, {_where(student)}, {start} start", "yes",
                    "yes" if difference.pull(0.0) > 3.0 else "not shown", f"{difference}",
                    f"{wide} against {narrow} at N = {students[0].width}; {difference.pull(0.0):+.1f} errors; "
                    f"e_t {_at_end(results[student], 'training_error')}{short[student]}",
                )
            )  # fmt: skip
    return rows


def _manifold_rows(results: Results) -> list[Row]:
    students = _manifold_students(results)
    if len(students) < len(_DIMENSIONS):
        return []
    coins = results[students[-1]]["unseen_error"].isel(sweep=-1).values
    rows = []
    for student in students[:-1]:
        error = results[student]["unseen_error"].isel(sweep=-1).values
        difference = _mean(error - coins)
        rows.append(
            Row(
                f"low dimension helps: e_u, {_where(student)}", "yes",
                "yes" if difference.pull(0.0) < -3.0 else "not shown", f"{difference}",
                f"{_mean(error)} against {_mean(coins)} for coins, same teachers; {difference.pull(0.0):+.1f} errors",
            )
        )  # fmt: skip
    return rows


def _single_layer_rows(results: Results) -> list[Row]:
    rows = []
    for student in results:
        if student.depth == 1 and student.start == "random":
            overlap = single_layer_overlap(student.load)
            seen = _mean(results[student]["bond_overlap"].isel(layer=0).values)
            rows.append(
                Row(
                    f"one layer: overlap R with the teacher, {_where(student)}", f"{overlap:.4f}", f"{seen}",
                    f"{seen.value - overlap:+.4f}",
                    f"theory of N = infinity, {seen.pull(overlap):+.1f} errors; e_u "
                    f"{_at_end(results[student], 'unseen_error')}, theory {math.acos(overlap) / math.pi:.4f}",
                )
            )  # fmt: skip
    return rows


def _equilibrium_rows(results: Results, short: dict[Student, str]) -> list[Row]:
    rows = []
    for student in results:
        if (
            student.start != "random"
            or student.dimension
            or dataclasses.replace(student, start="teacher") not in results
        ):
            continue
        planted = dataclasses.replace(student, start="teacher")
        both = [results[one]["unseen_error"].isel(sweep=-1).values for one in (student, planted)]
        difference = _mean(both[0] - both[1])
        unsolved = _at_end(results[student], "training_error")
        rows.append(
            Row(
                f"random and teacher start agree: e_u, {_where(student)}", "-",
                "yes" if abs(difference.pull(0.0)) < 3.0 else "no", f"{difference}",
                f"{_mean(both[0])} and {_mean(both[1])}, same teacher and data, {difference.pull(0.0):+.1f} errors; "
                f"{student.n_sweeps} sweeps, e_t {unsolved} from the random start{short[student]}",
            )
        )  # fmt: skip
    return rows


def _pull(mine: stats.Estimate, value: float, error: float) -> float:
    return (mine.value - value) / math.hypot(mine.error, error)


def _earlier_rows(results: Results) -> list[Row]:
    """Beside an independent program, whatever the run has at its sweeps."""
    rows = []
    for student, result in results.items():
        earlier = _EARLIER.get((student.width, student.depth, student.load, student.dimension))
        if earlier is None or student.start != "random":
            continue
        for what, mine, value, error in _comparisons(student, result, earlier):
            rows.append(
                Row(
                    f"{what}, {_where(student)}", "-", f"{mine}", f"{_pull(mine, value, error):+.1f} errors",
                    f"an independent program found {stats.Estimate(value, error)}",
                )
            )  # fmt: skip
    return rows


def _comparisons(
    student: Student, result: xr.Dataset, earlier: _Earlier
) -> list[tuple[str, stats.Estimate, float, float]]:
    found = []
    for name, symbol in (("training_error", "e_t"), ("unseen_error", "e_u")):
        for sweep, (value, error) in getattr(earlier, name).items():
            if sweep in result["sweep"]:
                found.append(
                    (f"{symbol} after {sweep} sweeps", _mean(result[name].sel(sweep=sweep).values), value, error)
                )
    if earlier.bond_overlap and student.n_sweeps == _GATE_SWEEPS:
        overlap = _excess(result).transpose("instance", "layer").values
        found += [
            (f"y({layer}) after {_GATE_SWEEPS} sweeps", _mean(overlap[:, layer - 1]), value, 0.015)
            for layer, value in enumerate(earlier.bond_overlap, start=1)
        ]
        contrast = overlap[:, -1] - overlap[:, 2 : student.depth - 2].mean(axis=1)
        found.append(
            (f"y({student.depth}) minus centre after {_GATE_SWEEPS} sweeps", _mean(contrast), *earlier.last_layer)
        )
    return found


def _length_rows(results: Results, summary: xr.Dataset) -> list[Row]:
    rows = []
    shapes = dict.fromkeys((s.width, s.depth, s.start) for s in results if not s.dimension)
    for width, depth, start in shapes:
        students = _find(results, width=width, depth=depth, start=start)
        texts, short = [], []
        for student in students:
            one = summary.sel(student=student.name)
            time, error = float(one["slowest_time"]), float(one["slowest_time_error"])
            layer = int(one["slowest_layer"])
            known = math.isfinite(time)
            texts.append(f"{stats.Estimate(time, error)} (l={layer})" if known else f">{student.n_sweeps // 2}")
            if int(one["short_run"]):
                length = f"{float(one['length_in_times']):.1f}" if known else "<2"
                short.append(f"alpha = {student.load}: {length}")
        rows.append(
            Row(
                f"relaxation time of the slowest layer, N = {width}, L = {depth}, {start} start", "-", ", ".join(texts),
                f"{len(short)} of {len(students)} short",
                f"alpha = {', '.join(str(s.load) for s in students)}; "
                + (f"SHORTER than {_LONG_ENOUGH} times: {'; '.join(short)}" if short else "all long enough"),
            )
        )  # fmt: skip
    return rows
