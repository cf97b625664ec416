"""Order and chaos in wide random networks, and how deep signals go.

Poole et al. (2016) and Schoenholz, Gilmer, Ganguli and Sohl-Dickstein (2017), as in the review talk of R. Karakida: the
phase diagram, the map of the correlation of two inputs, and the depth scale over weight variance and depth (the theory
line of the talk's figure on MNIST, 6 xi_c at bias variance 0.05, as Schoenholz et al. drew it).  Points with error bars
are simulated networks of finite width, means over independent draws.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import meanfield
from ..plot import Axes, Figure, pyplot, ticker
from ._report import Row, write

__all__ = ["run"]

Array = npt.NDArray[np.float64]

_ACTIVATIONS = ("tanh", "erf", "hard_tanh")
_TITLES = {"tanh": "tanh", "erf": "erf", "hard_tanh": "hard tanh"}
_MAP_WEIGHTS, _MAP_BIAS = (1.5, 2.5, 4.0), 0.1
_MNIST_BIAS, _MNIST_FACTOR = 0.05, 6.0
_CORRELATIONS = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.95])
_COLOURS = ("C0", "C2", "C1")


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    points, width, draws, depth = (60, 200, 40, 200) if quick else (200, 400, 200, 300)
    weight, bias = np.linspace(0.3, 4.5, points), np.linspace(0.0, 1.0, points) ** 2  # denser at 0
    data = {f"phases_{name}": meanfield.phase_diagram(name, weight, bias) for name in _ACTIVATIONS}
    data["correlation_maps"] = _maps(width, draws)
    data["depth_scale"] = _depth_scale(depth, points, width, draws)
    figures: dict[str, Callable[[dict[str, xr.Dataset]], Figure]] = {
        "phase_diagram": _figure_phases,
        "correlation_map": _figure_maps,
        "depth_scale": _figure_depth_scale,
    }
    return write(output, data, {name: partial(draw, data) for name, draw in figures.items()}, _table(data))


# ---- Simulated networks


def _inputs(correlation: float, width: int, square: float, rng: np.random.Generator) -> Array:
    """Two inputs of exactly this mean square and cosine, in a random direction."""
    basis = np.linalg.qr(rng.normal(size=(width, 2)))[0].T * np.sqrt(width * square)
    second = correlation * basis[0] + np.sqrt(1.0 - correlation**2) * basis[1]
    return np.stack([basis[0], second])


def _simulated(sw2: float, sb2: float, depth: int, c0: float, q0: float, width: int, draws: int, seed: Any) -> Array:
    """Correlation of the pre-activations of two inputs in a tanh network: (draws, depth)."""
    rng = np.random.default_rng(seed)
    found = np.empty((draws, depth))
    for draw in range(draws):
        x = _inputs(c0, width, q0, rng)
        for layer in range(depth):
            bias = np.sqrt(sb2) * rng.normal(size=width)
            u = x @ (np.sqrt(sw2 / width) * rng.normal(size=(width, width))) + bias
            found[draw, layer] = (u[0] @ u[1]) / np.sqrt((u[0] @ u[0]) * (u[1] @ u[1]))
            x = np.tanh(u)
    return found


def _mean_and_error(samples: Array) -> tuple[Array, Array]:
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


# ---- Numbers


def _maps(width: int, draws: int) -> xr.Dataset:
    """The map of c at q*, and the same of networks whose first layer has the inputs' correlation c."""
    c = np.linspace(0.0, 1.0, 101)
    maps = [meanfield.correlation_map("tanh", sw2, _MAP_BIAS, c) for sw2 in _MAP_WEIGHTS]
    fixed = meanfield.fixed_point("tanh", np.array(_MAP_WEIGHTS), _MAP_BIAS)
    mean, error = np.empty((2, len(_MAP_WEIGHTS), _CORRELATIONS.size))
    for i, sw2 in enumerate(_MAP_WEIGHTS):
        q = float(fixed.q[i])
        rng = np.random.default_rng([11, i])
        for j, at in enumerate(_CORRELATIONS):
            images = np.empty(draws)
            for draw in range(draws):
                x = np.tanh(_inputs(at, width, q, rng))
                bias = np.sqrt(_MAP_BIAS) * rng.normal(size=width)
                u = x @ (np.sqrt(sw2 / width) * rng.normal(size=(width, width))) + bias
                images[draw] = (u[0] @ u[1]) / np.sqrt((u[0] @ u[0]) * (u[1] @ u[1]))
            mean[i, j], error[i, j] = _mean_and_error(images)
    theory = np.array(
        [meanfield.correlation_map("tanh", sw2, _MAP_BIAS, _CORRELATIONS).image.values for sw2 in _MAP_WEIGHTS]
    )
    return xr.Dataset(
        {
            "image": (("weight_variance", "correlation"), np.array([m.image.values for m in maps])),
            "fixed": ("weight_variance", fixed.c.values),
            "simulated": (("weight_variance", "input_correlation"), mean),
            "simulated_error": (("weight_variance", "input_correlation"), error),
            "expected": (("weight_variance", "input_correlation"), theory),
        },
        {"weight_variance": list(_MAP_WEIGHTS), "correlation": c, "input_correlation": _CORRELATIONS},
        {"width": width, "draws": draws, "bias_variance": _MAP_BIAS},
    )


def _depth_scale(depth: int, points: int, width: int, draws: int) -> xr.Dataset:
    """Deviation of c from c* by layer and weight variance; simulated at some weight variances."""
    weight = np.linspace(1.0, 4.0, points)
    theory = meanfield.depth_scale("tanh", weight, _MNIST_BIAS, depth, q0=1.0, c0=0.0)
    chosen = np.array([1.2, 2.5, 3.5])
    layers = 16
    simulated, error, expected = np.empty((3, chosen.size, layers))
    for i, sw2 in enumerate(chosen):
        samples = _simulated(float(sw2), _MNIST_BIAS, layers, 0.5, 1.0, width, draws, [5, i])
        simulated[i], error[i] = _mean_and_error(samples)
        expected[i] = meanfield.propagate("tanh", float(sw2), _MNIST_BIAS, layers, 1.0, 0.5).c.values
    fixed = meanfield.fixed_point("tanh", chosen, _MNIST_BIAS)
    return theory.assign(
        simulated=(("chosen_weight_variance", "simulated_layer"), simulated),
        simulated_error=(("chosen_weight_variance", "simulated_layer"), error),
        expected=(("chosen_weight_variance", "simulated_layer"), expected),
        chosen_fixed=("chosen_weight_variance", fixed.c.values),
        critical=meanfield.critical_weight_variance("tanh", _MNIST_BIAS),
    ).assign_coords(chosen_weight_variance=chosen, simulated_layer=np.arange(1, layers + 1))


# ---- Pictures


def _figure_phases(data: dict[str, xr.Dataset]) -> Figure:
    figure, axes = pyplot.subplots(1, len(_ACTIVATIONS), figsize=(9.0, 3.3), sharey=True)
    for ax, name in zip(axes, _ACTIVATIONS, strict=True):
        _draw_phases(ax, data[f"phases_{name}"], _TITLES[name])
    axes[0].set_ylabel(r"bias variance $\sigma_b^2$")
    figure.suptitle(r"Order and chaos: edge of chaos (black), depth scale $\xi_c$ in layers (orange)", fontsize=10)
    mesh = axes[-1].collections[0]
    figure.colorbar(mesh, ax=axes, label=r"$c^*$, correlation of two inputs far in", pad=0.015, aspect=25)
    return figure


def _draw_phases(ax: Axes, diagram: xr.Dataset, title: str) -> None:
    weight, bias = diagram.weight_variance.values, diagram.bias_variance.values
    ax.pcolormesh(weight, bias, diagram.c.values, cmap="PuBu_r", vmin=0.0, vmax=1.0, shading="gouraud", rasterized=True)
    critical = meanfield.critical_weight_variance(title.replace(" ", "_"), bias)
    ax.plot(critical, bias, color="k", lw=1.8)
    with np.errstate(invalid="ignore"):
        log_xi = np.log10(np.where(np.isfinite(diagram.xi_c), diagram.xi_c, np.nan))
    levels = np.log10([2.0, 4.0, 8.0, 16.0, 32.0])
    for side in (weight < critical[:, np.newaxis], weight > critical[:, np.newaxis]):
        here = np.where(side, log_xi, np.nan)
        lines = ax.contour(weight, bias, here, levels=levels, colors="#D55E00", linewidths=0.8)
        places = []  # of the labels, on a staircase
        for level, height in zip(levels, (0.5, 0.58, 0.66, 0.74, 0.82), strict=True):
            row = int(np.abs(bias - height).argmin())
            known = np.isfinite(here[row])
            xi, at = here[row, known], weight[known]
            order = np.argsort(xi)
            if xi.min() < level < xi.max():
                places.append((float(np.interp(level, xi[order], at[order])), float(bias[row])))
        ax.clabel(lines, fmt=lambda x: f"{10**x:.0f}", fontsize=7, inline_spacing=2, manual=places)
    ax.set(xlim=(weight[0], weight[-1]), ylim=(bias[0], bias[-1]), xlabel=r"weight variance $\sigma_w^2$")
    ax.set_title(title)
    ax.text(0.06, 0.9, "order", transform=ax.transAxes, fontsize=10, style="italic")
    ax.text(0.72, 0.06, "chaos", transform=ax.transAxes, fontsize=10, style="italic", color="w")


def _figure_maps(data: dict[str, xr.Dataset]) -> Figure:
    maps = data["correlation_maps"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.6, 3.4))
    left.plot([0, 1], [0, 1], color="0.6", lw=0.8)
    right.axhline(0, color="0.6", lw=0.8)
    for colour, sw2 in zip(_COLOURS, maps.weight_variance.values, strict=True):
        at = maps.sel(weight_variance=sw2)
        for ax, below in ((left, 0.0), (right, 1.0)):
            ax.plot(
                maps.correlation, at["image"] - below * maps.correlation, color=colour, label=rf"$\sigma_w^2$ = {sw2:g}"
            )
            simulated = at.simulated - below * maps.input_correlation
            ax.errorbar(maps.input_correlation, simulated, at.simulated_error, fmt="o", color=colour, mfc="w", ms=4)
            ax.plot(at.fixed, (1.0 - below) * at.fixed, "*", color=colour, ms=10, zorder=4)
    left.set(xlim=(-0.02, 1.03), ylim=(0, 1.03), xlabel="correlation $c^l$", ylabel="correlation $c^{l+1}$")
    right.set(xlim=(-0.02, 1.03), xlabel="correlation $c^l$", ylabel="change $c^{l+1} - c^l$")
    left.legend(loc="upper left")
    left.set_title(rf"tanh, $\sigma_b^2$ = {_MAP_BIAS:g}")
    right.set_title(rf"simulated at width {maps.attrs['width']}; stars: stable $c^*$", fontsize=9)
    return figure


def _figure_depth_scale(data: dict[str, xr.Dataset]) -> Figure:
    scale = data["depth_scale"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.4), width_ratios=[1.15, 1.0])
    with np.errstate(divide="ignore"):
        shade = np.clip(np.log10(np.maximum(scale.deviation.values.T, 1e-16)), -6.0, 0.0)
    mesh = left.pcolormesh(
        scale.weight_variance, scale.layer, shade, cmap="magma", vmin=-6, vmax=0, shading="nearest", rasterized=True
    )
    figure.colorbar(mesh, ax=left, label=r"$\log_{10}\,|c^l - c^*|$")
    line = np.where(np.isfinite(scale.xi_c), _MNIST_FACTOR * scale.xi_c, np.nan)
    left.plot(scale.weight_variance, line, "w--", lw=1.5)
    left.axvline(float(scale.critical), color="c", lw=0.9)
    left.text(float(scale.critical) + 0.04, 0.03 * scale.layer.size, "critical", color="c", fontsize=8)
    left.text(2.9, 6.0 * float(scale.xi_c.sel(weight_variance=2.9, method="nearest")) + 8, r"$6\,\xi_c$", color="w")
    left.set(ylim=(1, scale.layer.size), xlabel=r"weight variance $\sigma_w^2$", ylabel="depth $l$")
    left.set_title(rf"tanh, $\sigma_b^2$ = {_MNIST_BIAS:g}: what is left of two inputs' relation", fontsize=9)
    for colour, sw2 in zip(_COLOURS, scale.chosen_weight_variance.values, strict=True):
        at = scale.sel(chosen_weight_variance=sw2)
        right.plot(scale.simulated_layer, at.expected, color=colour, label=rf"$\sigma_w^2$ = {sw2:g}")
        right.errorbar(scale.simulated_layer, at.simulated, at.simulated_error, fmt="o", color=colour, mfc="w", ms=4)
        right.axhline(float(at.chosen_fixed), color=colour, lw=0.7, ls=":")
    right.xaxis.set_major_locator(ticker.MultipleLocator(4))
    right.set(xlabel="layer $l$", ylabel="correlation $c^l$ of two inputs", ylim=(None, 1.03))
    right.set_title("theory (lines), simulated networks (circles)", fontsize=9)
    right.legend()
    return figure


# ---- Table


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    rows = []
    critical = {b: meanfield.critical_weight_variance("tanh", b) for b in (0.0, 0.01, 0.1)}
    for bias, talk in ((0.0, 1.0), (0.01, 1.4242052904886), (0.1, 1.9860726411359)):
        rows.append(
            _number(f"critical weight variance of tanh at bias variance {bias:g}", talk, critical[bias], "chi_1 = 1")
        )
    point = meanfield.fixed_point("tanh", 2.5, 0.1)
    for name, talk in (("q", 1.149093029163689), ("chi_1", 1.099801098012166), ("c", 0.664361346726944)):
        rows.append(
            _number(f"{name} of tanh at (2.5, 0.1)", talk, float(point[name]), "specification, independent quadrature")
        )
    for name in _ACTIVATIONS:
        diagram = data[f"phases_{name}"]
        chaotic = (diagram.chi_1 > 1.0 + 1e-12).values
        same = bool(((diagram.c.values < 1.0) == chaotic)[diagram.q.values > 0].all())
        rows.append(
            Row(
                f"{name}: c* < 1 exactly where chi_1 > 1", "yes", "yes" if same else "no", "-", "the map of c is convex"
            )
        )
    for key, label in (("correlation_maps", "map of c"), ("depth_scale", "c by layer")):
        set_ = data[key]
        pulls = (set_.simulated.values - set_.expected.values) / set_.simulated_error.values
        worst = float(np.abs(pulls).max())
        rows.append(
            Row(
                f"{label}: simulated networks against theory, {pulls.size} points",
                "within errors",
                f"{float(np.sqrt(np.mean(pulls**2))):.2f} rms",
                f"{worst:.1f} worst",
                "in standard errors; corrections of order 1/width remain",
            )
        )
    scale = data["depth_scale"]
    measured = _decay_length(scale)
    for i, sw2 in enumerate((1.2, 3.5)):
        xi = float(meanfield.fixed_point("tanh", sw2, _MNIST_BIAS).xi_c)
        rows.append(
            _number(
                f"depth scale xi_c of tanh at ({sw2:g}, {_MNIST_BIAS:g})",
                xi,
                measured[i],
                "slope of ln |c^l - c*| in the recursion",
                "xi_c",
            )
        )
    return rows


def _decay_length(scale: xr.Dataset) -> list[float]:
    lengths = []
    for sw2 in (1.2, 3.5):
        c = meanfield.propagate("tanh", sw2, float(scale.bias_variance), 100, 1.0, 0.5).c.values
        deviation = np.abs(c - float(meanfield.fixed_point("tanh", sw2, float(scale.bias_variance)).c))
        late = np.flatnonzero(deviation > 1e-9)[-1]  # above rounding
        lengths.append(-1.0 / float(np.log(deviation[late] / deviation[late - 1])))
    return lengths


def _number(statement: str, talk: float, computed: float, why: str, label: str = "") -> Row:
    return Row(
        statement,
        f"{talk:.10g}",
        f"{computed:.10g}",
        f"{computed - talk:+.1e}",
        f"{label + ': ' if label else ''}{why}",
    )
