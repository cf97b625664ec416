"""Pictures of `sign_problem`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from ..contour import PowerModel
from ..plot import Axes, Figure, Line2D, LineCollection, Normalize, ScalarMappable, pyplot
from ._contours import PROVEN, Method
from ._one_variable import MODELS, Model, thimble
from ._sign_problem_data import Runs

__all__ = ["average_phase", "density", "one_variable", "sample_cost", "volume"]

_STYLE: dict[Method, dict[str, Any]] = {
    "undeformed": {"color": "0.5", "marker": "o", "label": "undeformed, sampled"},
    "network": {"color": "C0", "marker": "s", "label": "network"},
    "linear": {"color": "C1", "marker": "^", "label": "linear"},
    "linear + network": {"color": "C2", "marker": "D", "label": "linear + network"},
}
_VISIBLE = 1e-3  # weight relative to its maximum, down to which the phase is drawn
_MU = r"$\mu$"


# ---- One variable


def one_variable(curves: dict[str, xr.Dataset]) -> Figure:
    """Paths in the complex plane, coloured by the phase."""
    figure, axes = pyplot.subplots(2, 3, figsize=(11.0, 7.0))
    for ax, (name, one) in zip(axes.flat, curves.items(), strict=False):
        _paths(ax, MODELS[name], one)
    for ax in axes.flat[len(curves) :]:
        ax.axis("off")
    bar = figure.colorbar(
        ScalarMappable(Normalize(-math.pi, math.pi), "twilight_shifted"), ax=axes, shrink=0.6, aspect=30, pad=0.01
    )
    bar.set_ticks([-math.pi, 0.0, math.pi], labels=[r"$-\pi$", "0", r"$\pi$"])
    bar.set_label(r"phase $\theta - \arg Z$")
    figure.suptitle(
        r"Saddles, thimbles and paths; average phase $|\langle e^{i\theta}\rangle|$ on each path", fontsize="medium"
    )
    handles = [
        Line2D([], [], color="k", linewidth=0.8, label=r"$\mathrm{Re}\,S$ grows (thimble)"),
        Line2D([], [], color="k", linewidth=0.8, linestyle=":", label=r"$\mathrm{Re}\,S$ falls"),
        Line2D([], [], color="k", marker="x", linestyle="", markersize=6.0, label="saddle $S'(z) = 0$"),
        Line2D([], [], color="C2", linestyle="--", label="closed form or flow"),
        Line2D([], [], color="0.4", linewidth=3.5, label="first and last path, coloured by the phase"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize="small")
    return figure


def _paths(ax: Axes, model: Model, one: xr.Dataset) -> None:
    left, right, low, high = model.window
    for saddle in one["saddle"].values:
        for upwards, line in ((True, "-"), (False, ":")):
            for points in thimble(model.action, complex(saddle), upwards, model.window):
                ax.plot(points.real, points.imag, color="k", linewidth=0.8, linestyle=line, zorder=2)
        ax.plot(saddle.real, saddle.imag, color="k", marker="x", markersize=6.0, markeredgewidth=1.5, zorder=6)
    labels = list(one["path"].values)
    final = "network" if "network" in labels else "other"
    for label in labels:
        path = one.sel(path=label)
        z = path["z"].values
        if label == "other":
            seen = path["modulus"].values > 0.1 * _VISIBLE
            ax.plot(z.real[seen], z.imag[seen], color="C2", linestyle="--", linewidth=1.5, zorder=5)
        if label in ("before", final):
            ax.plot(z.real, z.imag, color="0.8", linewidth=1.0, zorder=1)
            _coloured(ax, path)
    if isinstance(model.action, PowerModel):
        ax.plot(0.0, -model.action.alpha, color="k", marker="o", markerfacecolor="w", markersize=5.0, zorder=6)
        ax.annotate(r"$e^{-S} = 0$", (0.0, -model.action.alpha), (7, -9), textcoords="offset points", fontsize="small")
    values = dict(zip(labels, one["average_phase"].values, strict=True))
    first = "real axis" if model.before.offset == 0 else f"Im z = {model.before.offset:g}"
    names = {"before": first, "other": model.other_name, "network": "network"}
    texts = [f"{names[label]}: {_rounded(float(value))}" for label, value in values.items()]
    ax.set_title(f"$S = ${model.title}\n" + r" $\to$ ".join(texts), fontsize="small", loc="left")
    ax.set(xlim=(left, right), ylim=(low, high), xlabel=r"$\mathrm{Re}\,z$", ylabel=r"$\mathrm{Im}\,z$")


def _rounded(value: float) -> str:
    return f"{value:.4f}" if value >= 0.01 else f"{value:.1e}"


def _coloured(ax: Axes, path: xr.Dataset) -> None:
    z, theta, seen = path["z"].values, path["phase"].values, path["modulus"].values > _VISIBLE
    points = np.stack([z.real, z.imag], axis=1)
    segments = np.stack([points[:-1], points[1:]], axis=1)
    keep = seen[:-1] & seen[1:]
    ax.plot(z.real[seen], z.imag[seen], color="0.3", linewidth=5.0, solid_capstyle="butt", zorder=2.5)
    lines = LineCollection(
        list(segments[keep]), array=theta[:-1][keep], cmap="twilight_shifted", norm=Normalize(-math.pi, math.pi),
        linewidths=4.0, capstyle="butt", zorder=3,
    )  # fmt: skip
    ax.add_collection(lines)


# ---- Against the chemical potential


def _shapes(runs: Runs) -> list[tuple[int, int]]:
    return [shape for shape in runs.squares("flux") if len(runs.select(shape, "flux")) > 1]


def _curve(ax: Axes, runs: Runs, shape: tuple[int, int], method: Method, name: str, **changes: Any) -> None:
    """Points with errors of what is resolved."""
    tasks = [task for task in runs.select(shape, method) if math.isfinite(runs.value(task, "density"))]
    if not tasks:
        return
    mu = [task.mu for task in tasks]
    estimates = [runs.estimate(task, name) for task in tasks]
    style = {"linestyle": "-", "linewidth": 0.9, "capsize": 2.0, **_STYLE[method], **changes}
    ax.errorbar(mu, [one.value for one in estimates], [one.error for one in estimates], **style)


def _exact(ax: Axes, runs: Runs, shape: tuple[int, int], name: str, label: str) -> None:
    tasks = runs.select(shape, "flux")
    estimates = [runs.estimate(task, name) for task in tasks]
    ax.errorbar(
        [task.mu for task in tasks], [one.value for one in estimates], [one.error for one in estimates], color="k",
        marker=".", capsize=2.0, label=label,
    )  # fmt: skip


def _legend(figure: Figure, ax: Axes, columns: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5 if columns > 2 else 3, fontsize="small")


def _letters(shape: tuple[int, int]) -> str:
    return rf"${shape[0]} \times {shape[1]}$"


def _two_rows(shapes: list[tuple[int, int]], height: float, ratios: list[int]) -> tuple[Figure, Any]:
    """Two panels against mu for each lattice."""
    figure, axes = pyplot.subplots(
        2, len(shapes), figsize=(3.2 * len(shapes) + 0.6, height), sharex=True, sharey="row", height_ratios=ratios,
        squeeze=False,
    )  # fmt: skip
    for column, shape in enumerate(shapes):
        axes[0, column].set_title(_letters(shape))
        axes[1, column].set_xlabel(_MU)
    return figure, axes


def average_phase(runs: Runs) -> Figure:
    """Real and imaginary part against mu."""
    shapes = _shapes(runs)
    figure, axes = _two_rows(shapes, 4.9, [2, 1])
    for column, shape in enumerate(shapes):
        top, bottom = axes[:, column]
        _exact(top, runs, shape, "average_phase", "undeformed, flux integration")
        for method in _STYLE:
            _curve(top, runs, shape, method, "average_phase", **({"linestyle": ""} if method == "undeformed" else {}))
            _curve(bottom, runs, shape, method, "average_phase_imag", linestyle="")
        bottom.axhline(0.0, color="k", linewidth=0.6)
        top.set_ylim(-0.03, 1.06)
    axes[0, 0].set_ylabel(r"$\mathrm{Re}\,\langle e^{i\theta}\rangle$")
    axes[1, 0].set_ylabel(r"$\mathrm{Im}\,\langle e^{i\theta}\rangle$")
    _legend(figure, axes[0, 0], len(shapes))
    return figure


def sample_cost(runs: Runs) -> Figure:
    """V (f - f_R) = -ln <e^{i theta}>, and e^{2 V (f - f_R)}."""
    shapes = _shapes(runs)
    figure, axes = _two_rows(shapes, 5.2, [1, 1])
    for column, shape in enumerate(shapes):
        for method in ("flux", *_STYLE):
            tasks = [task for task in runs.select(shape, method) if task.mu > 0]
            tasks = [task for task in tasks if math.isfinite(runs.value(task, "density"))]
            logs = [runs.estimate(task, "log_average_phase") for task in tasks]
            value, error = -np.array([one.value for one in logs]), np.array([one.error for one in logs])
            mu = [task.mu for task in tasks]
            if not tasks:
                continue
            style = _STYLE.get(method, {"color": "k", "marker": ".", "label": "undeformed, flux integration"})
            style = {**style, "linestyle": "" if method == "undeformed" else "-", "linewidth": 0.9, "capsize": 2.0}
            axes[0, column].errorbar(mu, value, error, **style)
            axes[1, column].errorbar(mu, np.exp(2 * value), 2 * error * np.exp(2 * value), **style)
        for ax in axes[:, column]:
            ax.set_yscale("log")
    axes[0, 0].set_ylabel(r"$V(f - f_R) = -\ln \langle e^{i\theta}\rangle$")
    axes[1, 0].set_ylabel(r"cost in samples, $e^{2V(f - f_R)}$")
    _legend(figure, axes[0, 0], len(shapes))
    return figure


def density(runs: Runs) -> Figure:
    """Number density with the mean field, and its plateau."""
    shapes = _shapes(runs)
    shape = shapes[-1]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.2, 3.5))
    mu = np.linspace(0.0, 1.4, 281)
    square = np.maximum(0.0, 2 * (np.cosh(mu) - 1.5))
    left.plot(mu, np.sinh(mu) * square, color="0.4", linestyle="--", label="mean field")
    _exact(left, runs, shape, "density", "flux representation")
    for method in _STYLE:
        _curve(left, runs, shape, method, "density", linestyle="")
    left.set(
        xlabel=_MU, ylabel="density $n$", title=_letters(shape) + ": one density on all contours", ylim=(-0.15, None)
    )
    left.legend(fontsize="small", loc="upper left")
    shades = pyplot.get_cmap("viridis")(np.linspace(0.0, 0.8, len(shapes)))
    for each, shade in zip(shapes, shades, strict=True):
        tasks = [task for task in runs.select(each, "flux") if task.mu > 0]
        estimates = [runs.estimate(task, "density") for task in tasks]
        right.errorbar(
            [task.mu for task in tasks], [one.value for one in estimates], [one.error for one in estimates],
            color=shade, capsize=2.0, label=_letters(each),
        )  # fmt: skip
        _curve(right, runs, each, "linear", "density", color=shade, linestyle="", label="_linear", markersize=4.5)
    right.axvline(math.acosh(1.5), color="0.4", linestyle="--", linewidth=0.9, label=r"mean-field $\mu_c$")
    right.set(
        xlabel=_MU,
        ylabel="density $n$",
        title="plateau: flux (lines), linear contour (triangles)",
    )
    right.set_yscale("log")
    right.legend(fontsize="small", loc="lower right")
    return figure


def volume(runs: Runs, enough: float) -> Figure:
    """Average phase of linear contours against the volume."""
    figure, ax = pyplot.subplots(figsize=(6.6, 3.6))
    for mu, colour in ((1.0, "C0"), (1.2, "C1")):
        for limit, line, face in ((0.0, "-", colour), (PROVEN, "--", "w")):
            tasks = [one for one in runs.volumes(mu, limit) if math.isfinite(runs.value(one, "density"))]
            estimates = [runs.estimate(task, "average_phase") for task in tasks]
            ax.errorbar(
                [math.prod(task.shape) for task in tasks], [one.value for one in estimates],
                [one.error for one in estimates], color=colour, linestyle=line, marker="o", markerfacecolor=face,
                capsize=2.0, label=rf"$\mu = {mu:g}$" + (r", $\kappa \leq 0.414$" if limit else ""),
            )  # fmt: skip
        tasks = [task for shape in runs.squares("flux") if (task := runs.find(shape, mu, "flux")) is not None]
        ax.plot(
            [math.prod(task.shape) for task in tasks], [runs.value(task, "average_phase") for task in tasks],
            color=colour, linestyle=":", marker=".", label=rf"$\mu = {mu:g}$, undeformed",
        )  # fmt: skip
    ax.axhline(enough, color="0.6", linewidth=0.8)
    ax.set(xlabel="volume $V$ of square lattices", ylabel=r"average phase $\langle e^{i\theta}\rangle$")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_ylim(0.01, 1.15)
    ax.text(0.99, enough, f"{enough:g}", transform=ax.get_yaxis_transform(), ha="right", va="bottom", color="0.5")
    ax.set_title("linear contours (solid: all of the kernel)", loc="left")
    figure.legend(*ax.get_legend_handles_labels(), fontsize="small", loc="outside right center")
    return figure
