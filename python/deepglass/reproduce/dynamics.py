"""The dynamics of memorising random data, layer by layer (section 6 of the review by H. Yoshino, Butsuri 76, 2021).

The review says of a network of finite width: slow relaxation in many stages near both ends, faster and simpler
relaxation towards the centre.  It gives no numbers; widths, load, temperature and times here are ours: load 4, of
which the theory says that the outermost layers are ordered, depth 8, so that there are layers between them, and
beta = 20.  Time is in sweeps: one attempt to rotate each pair of bonds by an angle up to 0.5, and one to flip each
hidden neuron in each pattern.

The soft potential has no cost at a gap of 0, and at finite temperature a layer of perceptrons can fall *silent*: all
its bond vectors are parallel, the neurons below are orthogonal to them in every pattern, all fields are near 0, and
the neurons are free.  By its leading order in the width (`_silence`) this wins above a load of about 5 at beta = 20:
widths 32 and 64 do it within the annealing at load 8, and not at load 4.  Width 16 has silent layers at load 4 too.
The theory has no such state: in it the perceptrons of a layer have no overlap with one another.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import parisi, plot, stats
from .._warnings import ConvergenceWarning
from ..plot import Axes, Figure, pyplot, ticker
from ._instances import Point, run_all
from ._report import Row, write

__all__ = ["run"]

_KINDS: tuple[Literal["neuron", "bond"], ...] = ("neuron", "bond")
_SYMBOL = {"neuron": ("C_S", "q"), "bond": ("C_J", "Q")}
_STEPS = 9  # of replica symmetry breaking, uniform: q_EA is that of optimised breakpoints to 0.003 at both loads
_SILENT = 0.3  # field variance; 0.6 to 1 in the liquid, below 0.1 in nearly all others
_PROTOCOL = {
    "temperature": "colder step by step",
    "data": "data added step by step",
    "quench": "all data at once",
}
_QUICK = (
    Point(16),
    Point(32),
    Point(32, protocol="data"),
    Point(32, protocol="quench"),
    Point(16, load=16, n_instances=4),
)
_LONG = {"waiting_times": (3000, 30000), "longest_lag": 31623}
_FULL = (
    Point(16, n_instances=32, **_LONG),  # type: ignore[arg-type]
    Point(32, n_instances=32, **_LONG),  # type: ignore[arg-type]
    Point(64, n_instances=16, **_LONG),  # type: ignore[arg-type]
    Point(128, n_instances=8, **_LONG),  # type: ignore[arg-type]
    Point(32, protocol="data", n_instances=32, **_LONG),  # type: ignore[arg-type]
    Point(32, protocol="quench", n_instances=32, **_LONG),  # type: ignore[arg-type]
    Point(32, load=16, n_instances=16, **_LONG),  # type: ignore[arg-type]
)


class _Data(NamedTuple):
    """What is drawn: runs of growing width, the three ways to low temperature, a large load, the theory of loads."""

    widths: dict[int, xr.Dataset]
    protocols: dict[str, xr.Dataset]
    loaded: tuple[Point, xr.Dataset]
    theory: dict[int, xr.Dataset]
    times: xr.Dataset


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, points: tuple[Point, ...], workers: int = 0) -> list[Path]:
    results = dict(zip(points, run_all(points, output / "instances", workers=workers), strict=True))
    data = _arrange(results)
    datasets = {
        **{point.name: result for point, result in results.items()},
        **{f"theory_load{load}": solution for load, solution in data.theory.items()},
        "relaxation_times": data.times,
    }
    figures: dict[str, Callable[[_Data], Figure]] = {
        "dynamics": _figure_layers,
        "waiting_times": _figure_waiting,
        "step_by_step": _figure_protocols,
        "silent_layers": _figure_silent,
    }
    drawings = {name: partial(draw, data) for name, draw in figures.items()}
    return write(output, datasets, drawings, _table(data))


def _arrange(results: dict[Point, xr.Dataset]) -> _Data:
    first = next(iter(results)).load
    mine = {point: result for point, result in results.items() if point.load == first}
    widths = {point.width: result for point, result in mine.items() if point.protocol == "temperature"}
    others = [point for point in mine if point.protocol != "temperature"]
    protocols: dict[str, xr.Dataset] = {
        "temperature": widths[others[0].width],
        **{point.protocol: mine[point] for point in others},
    }
    loaded = next((point, result) for point, result in results.items() if point.load != first)
    theory = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stability is a field of the solution
        for load, depth in dict.fromkeys((point.load, point.depth) for point in results):
            model = parisi.DeepPerceptron(depth=depth, load=load, scenario="random")
            theory[load] = parisi.solve(model, _STEPS).drop_dims("iteration", errors="ignore")
    return _Data(widths, protocols, loaded, theory, _relaxation_times(widths))


# ---- Numbers


def relaxation_time(lags: npt.NDArray[np.float64], correlation: npt.NDArray[np.float64]) -> float:
    """Lag at which a correlation first falls to 1/e of that at lag 1, between lags linear in ln t; NaN if it does not.

    Examples
    --------
    >>> lags = np.array([0.0, 1.0, 10.0, 100.0])
    >>> round(relaxation_time(lags, np.array([1.0, 1.0, 2.0 / math.e, 0.0])), 2)
    31.62
    """
    level = correlation[lags == 1.0].item() / math.e
    after = (lags > 1.0) & np.isfinite(correlation)
    below = np.flatnonzero(after & (correlation <= level))
    if below.size == 0:
        return math.nan
    k = below[0]
    share = (correlation[k - 1] - level) / (correlation[k - 1] - correlation[k])
    return math.exp((1.0 - share) * math.log(lags[k - 1]) + share * math.log(lags[k]))


def _estimated_time(lags: npt.NDArray[np.float64], curves: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Relaxation time of the mean of curves (instance, lag) and its jackknife error; NaN where one of them is."""
    try:
        log = stats.jackknife(curves, lambda some: _log(relaxation_time(lags, some.mean(axis=0))))
    except ValueError:  # without one of the instances it is not reached
        return math.nan, math.nan
    time = math.exp(log.value)
    return time, time * log.error


def _log(time: float) -> float:
    return math.log(time)  # of NaN: NaN


def _relaxation_times(widths: dict[int, xr.Dataset]) -> xr.Dataset:
    variables: dict[str, tuple[tuple[str, ...], npt.NDArray[np.float64]]] = {}
    for kind in _KINDS:
        both = []
        for result in widths.values():
            values = result[f"{kind}_correlation"].isel(waiting_time=-1).transpose("layer", "instance", "lag")
            lags = values["lag"].values.astype(float)
            both.append([_estimated_time(lags, curves) for curves in values.values])
        found = np.array(both)
        if kind == "neuron":
            found[:, -1] = math.nan  # data
        variables[f"{kind}_time"] = (("width", "layer"), found[..., 0])
        variables[f"{kind}_time_error"] = (("width", "layer"), found[..., 1])
    first = next(iter(widths.values()))
    return xr.Dataset(
        {
            **variables,
            "silent_instances": ("width", [int(_silent_instances(result).sum()) for result in widths.values()]),
        },
        {"width": list(widths), "layer": first["layer"].values},
        first.attrs | {"definition": "lag at which C(t, l) falls to C(1, l)/e; errors by jackknife over instances"},
    )


def _silent_instances(result: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Instances with a silent layer at the end of the run."""
    silent: npt.NDArray[np.bool_] = (result["field_variance"].sel(moment="end").min("layer") < _SILENT).values
    return silent


def _silence(load: float, beta: float) -> float:
    """Free energy per N^2 that a layer gains by silence, to leading order in the width N.

    Each of ``load N^2`` gaps is satisfied with probability 1 instead of the mean of exp(-beta v), which is
    w = (1 + (1 + 2 beta)^(-1/2))/2; each of N bond vectors stays within 1/(load beta) of one direction, a fraction
    (e load beta)^(-N/2) of the sphere.  That the neurons below are orthogonal to it costs of order load N only.

    Examples
    --------
    >>> [round(_silence(load, 20.0), 2) for load in (4.0, 16.0)]
    [-0.5, 5.38]
    """
    return -load * math.log(0.5 + 0.5 / math.sqrt(1.0 + 2.0 * beta)) - 0.5 * (1.0 + math.log(load * beta))


def _mean(samples: npt.NDArray[np.float64]) -> stats.Estimate:
    return stats.mean_over_instances(samples)


def _aging(result: xr.Dataset) -> stats.Estimate:
    """Change of C from the first to the last waiting time, mean over hidden layers and lags that both have."""
    values = result["neuron_correlation"].isel(layer=slice(-1)).transpose("instance", "waiting_time", "lag", "layer")
    change = values.values[:, -1, 1:] - values.values[:, 0, 1:]
    return _mean(change.mean(axis=(1, 2)))


def _late_energy(result: xr.Dataset) -> npt.NDArray[np.float64]:
    """Energy per gap of each instance, mean over layers and the second half of the run."""
    energy = result["energy_per_gap"].mean("layer").transpose("instance", "draw").values
    late: npt.NDArray[np.float64] = energy[:, energy.shape[1] // 2 :].mean(axis=1)
    return late


def _correlation_at(result: xr.Dataset, lag: int) -> npt.NDArray[np.float64]:
    """C_S(lag, l) by instance and hidden layer, from the first waiting time."""
    values = result["neuron_correlation"].isel(waiting_time=0, layer=slice(-1)).sel(lag=lag)
    return np.asarray(values.transpose("instance", "layer").values)


# ---- Pictures


def _legend(figure: Figure, ax: Axes, title: str | None = None) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small", title=title)


def _logarithmic(ax: Axes) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")


def _marks(ax: Axes, solution: xr.Dataset, kind: Literal["neuron", "bond"]) -> None:
    """q_EA(l) of the ordered layers at the right edge, in the colours of the layers."""
    overlap = solution[f"{kind}_overlap"].isel(step=-1)
    dim = "layer" if kind == "neuron" else "bond_layer"
    for line in ax.lines[: overlap.sizes[dim]]:
        label = str(line.get_label())
        value = float(overlap.sel({dim: int(label)})) if label.isdigit() else 0.0
        if value > 0.01:
            # The two halves of the network have equal overlaps: their marks lie side by side.
            first = 2 * int(label) <= overlap.sizes[dim]
            ax.plot(
                [0.90, 0.95] if first else [0.95, 1.0], [value, value], color=line.get_color(), linewidth=2.6,
                solid_capstyle="butt", transform=ax.get_yaxis_transform(), label="_theory",
            )  # fmt: skip


def _panel(ax: Axes, result: xr.Dataset, kind: Literal["neuron", "bond"], theory: xr.Dataset) -> None:
    plot.correlations(result, kind, ax=ax, legend=False)
    _marks(ax, theory, kind)
    ax.axhline(0.0, color="0.7", linewidth=0.6, zorder=0, label="_zero")


def _figure_layers(data: _Data) -> Figure:
    n = len(data.widths)
    figure, axes = pyplot.subplots(2, n + 1, figsize=(2.3 * n + 3.4, 5.0), width_ratios=[1.0] * n + [1.25])
    load = next(iter(data.theory))
    for row, kind in enumerate(_KINDS):
        for ax, (width, result) in zip(axes[row], data.widths.items(), strict=False):
            _panel(ax, result, kind, data.theory[load])
            silent = int(_silent_instances(result).sum())
            note = f" (silent layers in {silent} of {result.sizes['instance']})" if silent else ""
            if row == 0:
                ax.set_title(f"$N={width}${note}", loc="left", fontsize="small" if note else None)
            if ax is not axes[row, 0]:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
        right = axes[row, -1]
        symbol = "S" if kind == "neuron" else "J"
        shades = pyplot.get_cmap("plasma")(np.linspace(0.0, 0.85, n))
        for width, shade in zip(data.widths, shades, strict=True):
            times = data.times.sel(width=width)
            silent = int(times["silent_instances"])
            right.errorbar(
                times["layer"], times[f"{kind}_time"], times[f"{kind}_time_error"], color=shade, capsize=2.0,
                marker="o", linestyle=":" if silent else "-", markerfacecolor="none" if silent else shade,
                label=f"$N={width}$" + (", silent layers" if silent else ""),
            )  # fmt: skip
        right.set(xlabel="layer $l$", ylabel=rf"$\tau_{symbol}(l)$ (sweeps)", xlim=(0.5, 8.5))
        _logarithmic(right)
        right.set_xticks(data.times["layer"].values)
        if row == 0:
            right.set_title(r"$C(\tau, l) = C(1, l)/e$", loc="left")
    _legend(figure, axes[1, 0], "layer $l$")
    axes[0, -1].legend(fontsize="x-small")
    depth = data.times.sizes["layer"]
    figure.suptitle(
        rf"Random data, load $\alpha={load}$, depth $L={depth}$, $\beta=20$"
        "\n"
        r"(bands: errors over instances; marks at the right: theory $q_\mathrm{EA}(l)$, $Q_\mathrm{EA}(l)$, "
        r"hard wall, $T=0$)",
        fontsize="medium",
    )
    return figure


def _figure_waiting(data: _Data) -> Figure:
    figure, axes = pyplot.subplots(1, len(data.widths), figsize=(2.6 * len(data.widths) + 1.2, 2.9), sharey=True)
    for ax, (width, result) in zip(axes, data.widths.items(), strict=True):
        layers = [1, result.sizes["layer"] // 2, result.sizes["layer"] - 1]
        for waiting, line in zip(result["waiting_time"].values, (":", "-"), strict=True):
            for layer, colour in zip(layers, ("C0", "C2", "C1"), strict=True):
                one = result.sel(layer=[layer, result.sizes["layer"]])
                plot.correlations(
                    one, waiting_time=int(waiting), ax=ax, legend=False, color=colour, linestyle=line,
                    label=f"$l={layer}$, $t_w={waiting}$",
                )  # fmt: skip
        ax.set_title(f"$N={width}$", loc="left")
        if ax is not axes[0]:
            ax.set_ylabel("")
    _legend(figure, axes[0])
    figure.suptitle("Two waiting times $t_w$ after the last step of the annealing", fontsize="medium")
    return figure


def _figure_protocols(data: _Data) -> Figure:
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(9.6, 3.0))
    for (name, result), colour in zip(data.protocols.items(), ("C0", "C1", "C2"), strict=True):
        steps = result["step_energy_per_gap"].mean("layer")
        after = result["energy_per_gap"].mean("layer")
        n = after.sizes["instance"]
        for part, x in ((steps, result["step_sweep"].isel(instance=0)), (after, after["draw"])):
            mean, error = part.mean("instance"), part.std("instance", ddof=1) / math.sqrt(n)
            left.plot(x, mean, color=colour, label=_PROTOCOL[name] if part is steps else "_after")
            left.fill_between(x, mean - error, mean + error, color=colour, alpha=0.25, linewidth=0.0)
        one = result.isel(waiting_time=[0])
        for layer, line in ((1, "-"), (result.sizes["layer"] // 2, "--")):
            plot.correlations(
                one.sel(layer=[layer, result.sizes["layer"]]), ax=middle, legend=False, color=colour, linestyle=line,
                label=f"$l={layer}$" if name == "temperature" else "_",
            )  # fmt: skip
        values = _correlation_at(result, 100)
        right.errorbar(
            result["layer"][:-1], values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(n), color=colour,
            marker="o", capsize=2.0,
        )  # fmt: skip
    first = next(iter(data.protocols.values()))
    left.axvline(float(first["step_sweep"].max()), color="0.6", linewidth=0.7, linestyle=":")
    left.set(xlabel="sweeps from the start", ylabel="energy per gap", xscale="log")
    others = [result["step_energy_per_gap"] for name, result in data.protocols.items() if name != "temperature"]
    means = np.array([steps.mean(["layer", "instance"]).values for steps in others])
    left.set_ylim(0.9 * means.min(), 1.1 * means.max())  # annealing comes from above
    left.set_title("dotted: end of the steps", loc="left")
    middle.set_title(f"$t_w={int(first['waiting_time'][0])}$ after the steps", loc="left")
    middle.legend(fontsize="small")
    right.set(xlabel="layer $l$", ylabel=r"$C_S(100, l)$")
    right.set_xticks(first["layer"][:-1].values)
    right.set_title(f"$t_w={int(first['waiting_time'][0])}$", loc="left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _figure_silent(data: _Data) -> Figure:
    figure, axes = pyplot.subplots(1, 3, figsize=(9.8, 3.1))
    point, result = data.loaded
    for ax, kind in zip(axes, _KINDS, strict=False):
        _panel(ax, result, kind, data.theory[point.load])
        ax.set_title(rf"$\alpha={point.load}$, $N={point.width}$", loc="left")
    right = axes[2]
    load = next(iter(data.theory))
    shown = {rf"$\alpha={load}$, $N={width}$": each for width, each in data.widths.items()}
    shown[rf"$\alpha={point.load}$, $N={point.width}$"] = result
    shades = [*pyplot.get_cmap("plasma")(np.linspace(0.0, 0.85, len(data.widths))), "k"]
    for (label, each), shade in zip(shown.items(), shades, strict=True):
        variance = each["field_variance"].sel(moment="end")
        error = variance.std("instance", ddof=1) / math.sqrt(variance.sizes["instance"])
        right.errorbar(
            each["layer"], variance.mean("instance"), error, color=shade, marker="o", capsize=2.0, label=label
        )
    right.set(xlabel="layer $l$", ylabel=r"$\langle h^2 \rangle$ at the end", ylim=(0.0, None))
    right.set_title(f"silent: below {_SILENT}", loc="left")
    right.axhline(_SILENT, color="0.6", linewidth=0.7, linestyle=":", label="_silent")
    right.set_xticks(result["layer"].values)
    right.legend(fontsize="x-small", loc="upper center")
    _legend(figure, axes[1], "layer $l$")
    figure.suptitle(
        r"Silent layers (marks: theory $q_\mathrm{EA}$, $Q_\mathrm{EA}$, which has no such state)", fontsize="medium"
    )
    return figure


# ---- Table


def _table(data: _Data) -> list[Row]:
    rows = []
    for width, result in data.widths.items():
        n, silent = result.sizes["instance"], int(_silent_instances(result).sum())
        times = data.times.sel(width=width)
        rows.append(
            Row(
                f"silent layers at the end, N = {width}", "-", f"{silent} of {n}", "-",
                f"instances with <h^2> < {_SILENT} in a layer: free neurons flip each sweep, C(t, l) does not relax",
            )
        )  # fmt: skip
        changed = _aging(result)
        depends = abs(changed.pull(0.0)) > 3.0
        first, last = (int(result["waiting_time"][k]) for k in (0, -1))
        rows.append(
            Row(
                "  C_S depends on the waiting time", "-", "yes" if depends else "not seen", f"{changed}",
                f"C_S(t, l) from t_w = {last} minus {first}, mean over t and l, {changed.pull(0.0):+.1f} errors",
            )
        )  # fmt: skip
        for kind, layers in (("neuron", times["layer"].values[:-1]), ("bond", times["layer"].values)):
            longest = int(result["lag"].max())
            texts = [_time(times, kind, int(layer)) for layer in layers]
            symbol = "S" if kind == "neuron" else "J"
            rows.append(
                Row(
                    f"  tau_{symbol}(l), l = 1..{layers[-1]}", "-", " ".join(texts), "-",
                    f"lag of C(t, l) = C(1, l)/e, t_w = {last}, jackknife, {n} instances (none: not within {longest})",
                )
            )  # fmt: skip
        rows += _ordering(width, result)
    rows += _comparison(data)
    rows += _protocol_rows(data)
    return rows


def _time(times: xr.Dataset, kind: str, layer: int) -> str:
    at = times.sel(layer=layer)
    value, error = float(at[f"{kind}_time"]), float(at[f"{kind}_time_error"])
    return f"{stats.Estimate(value, error)}" if math.isfinite(value) else "none"


def _ordering(width: int, result: xr.Dataset) -> list[Row]:
    """Ends against centre, in ln(tau) where it is known for all, and in C(100, l) in any case."""
    rows = []
    for kind in _KINDS:
        values = result[f"{kind}_correlation"].isel(waiting_time=-1).sel(lag=100).transpose("instance", "layer").values
        if kind == "neuron":
            values = values[:, :-1]
        n = values.shape[1]
        centre = values[:, n // 2 - (n % 2 == 0) : n // 2 + 1].mean(axis=1)
        gaps = [_mean(values[:, end] - centre) for end in (0, -1)]
        slower = all(gap.pull(0.0) > 3.0 for gap in gaps)
        rows.append(
            Row(
                f"  ends slower than the centre ({kind}s, N = {width})", "yes", "yes" if slower else "not shown",
                " ".join(f"{gap}" for gap in gaps),
                f"{_SYMBOL[kind][0]}(100, l): first and last layer minus centre, "
                f"{gaps[0].pull(0.0):+.1f} and {gaps[1].pull(0.0):+.1f} errors",
            )
        )  # fmt: skip
    return rows


def _comparison(data: _Data) -> list[Row]:
    rows = []
    load = next(iter(data.theory))
    point, loaded = data.loaded
    for alpha, width, result in (
        (load, max(data.widths), data.widths[max(data.widths)]),
        (point.load, point.width, loaded),
    ):
        theory = data.theory[alpha]
        for kind, dim in (("neuron", "layer"), ("bond", "bond_layer")):
            symbol, order = _SYMBOL[kind]
            q = float(theory[f"{kind}_overlap"].isel(step=-1).sel({dim: 1}))
            curves = result[f"{kind}_correlation"].isel(waiting_time=-1).sel(layer=1)
            lags = (1000, int(result["lag"].max()))
            seen = " ".join(str(_mean(curves.sel(lag=lag).values)) for lag in lags)
            rows.append(
                Row(
                    f"{order}_EA(1) of the theory, load {alpha}", f"{q:.3f}", seen, "-",
                    f"beside {symbol}(t, 1) at t = {lags[0]} and {lags[1]}, N = {width}: no test, the theory has "
                    "N = infinity, T = 0, a hard wall",
                )
            )  # fmt: skip
        silent = _silent_instances(result)
        energy = _mean(_late_energy(result))
        gain = _silence(alpha, point.beta)
        rows.append(
            Row(
                f"silent layers, load {alpha}, N = {width}", "-", f"{int(silent.sum())} of {silent.size}", "-",
                f"energy per gap {energy}; liquid {_liquid_energy(point.beta):.5f}, silent layers at least "
                f"{0.5 / (alpha * point.beta):.5f}; silence gains {gain:+.2f} N^2 per layer to leading order",
            )
        )  # fmt: skip
    return rows


def _liquid_energy(beta: float) -> float:
    """Energy per gap of independent normal gaps."""
    narrowed = 1.0 / math.sqrt(1.0 + 2.0 * beta)
    return narrowed * narrowed * narrowed / (1.0 + narrowed)


def _protocol_rows(data: _Data) -> list[Row]:
    rows = []
    once = data.protocols["quench"]
    width = next(width for width, result in data.widths.items() if result is data.protocols["temperature"])
    for name in ("data", "temperature"):
        result = data.protocols[name]
        steps = [each["step_energy_per_gap"].isel(anneal_step=-1).mean("layer").values for each in (result, once)]
        differences = {
            "energy per gap at the last step": steps[0] - steps[1],
            "energy per gap, second half of the run": _late_energy(result) - _late_energy(once),
            "C_S(100, l), mean over l, right after": (_correlation_at(result, 100) - _correlation_at(once, 100)).mean(
                1
            ),
        }
        values = {
            "energy per gap at the last step": steps,
            "energy per gap, second half of the run": [_late_energy(result), _late_energy(once)],
            "C_S(100, l), mean over l, right after": [_correlation_at(x, 100).mean(1) for x in (result, once)],
        }
        for what, samples in differences.items():
            estimate = _mean(samples)
            a, b = (_mean(x) for x in values[what])
            rows.append(
                Row(
                    f"{_PROTOCOL[name]}, N = {width}: {what}", "-", f"{a} ({_PROTOCOL['quench']}: {b})", f"{estimate}",
                    f"same data and start, as many sweeps; {estimate.pull(0.0):+.1f} errors",
                )
            )  # fmt: skip
    return rows
