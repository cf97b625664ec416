"""Random data with replica symmetry breaking: figures 4(a), 5 and 6 of the review, and both phase diagrams.

What the talk draws at loads of 100 to 4000 is a property of the equations on a fixed grid of breakpoints, or of a
smeared wall: each figure says which.  With stationary breakpoints the hard wall has no solution beyond alpha_J.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import xarray as xr

from .. import parisi, plot
from ..parisi.deep_perceptron import Branch
from ..plot import Axes, Figure, pyplot

__all__ = ["FIGURES", "compute", "rows"]

_DEPTH = 20
_LOADS = (100.0, 200.0, 1000.0, 2000.0, 4000.0)
_WIDTHS = (0.0, 0.05, 0.1, 0.2)
_VISIBLE = 0.01
# Continuous and frozen branches, with optimised breakpoints.
_CONTINUOUS = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0)
_FROZEN = (50.0, 60.0, 70.0, 76.0, 79.0)
_SEED = 5


def compute(quick: bool) -> dict[str, xr.Dataset]:
    """All data; `quick` has fewer steps and coarser ways up in the load."""
    model = parisi.DeepPerceptron(depth=_DEPTH)
    steps, ratio = (6, 1.4) if quick else (9, 1.1)
    widths = [
        parisi.scan(parisi.DeepPerceptron(depth=_DEPTH, wall_width=width), (50.0, *_LOADS), steps, load_ratio=ratio)
        for width in _WIDTHS
    ]
    optimised = 6 if quick else 8
    frozen = [
        parisi.solve(parisi.DeepPerceptron(depth=_DEPTH, load=load), optimised, breakpoints="optimised")
        for load in (_FROZEN[:3] if quick else _FROZEN)
    ]
    teacher = parisi.DeepPerceptron(depth=_DEPTH, scenario="teacher")
    loads = np.geomspace(2.0, 2000.0, 60 if quick else 200)
    branches: tuple[Branch, ...] = ("wetting", "thick", "crystal")
    overlaps = np.concatenate([np.linspace(0.0, 0.4, 17 if quick else 41), 1.0 - np.geomspace(0.5, 1e-6, 13)])
    potentials = [
        parisi.franz_parisi(parisi.DeepPerceptron(depth=_DEPTH, load=load, scenario="teacher"), overlaps)
        for load in (500.0, 544.744723, 625.0, 714.0)
    ]
    return {
        "fixed_breakpoints": xr.concat(
            widths, xr.DataArray(list(_WIDTHS), dims="wall_width", name="wall_width"), combine_attrs="drop_conflicts"
        ),
        "continuous": parisi.scan(model, _CONTINUOUS, steps),
        "continuous_50": parisi.solve(parisi.DeepPerceptron(depth=_DEPTH, load=50.0), 9 if quick else 19),
        "frozen": xr.concat(
            [solution.drop_dims("iteration") for solution in frozen],
            "load",
            combine_attrs="drop_conflicts",
            coords="different",
            compat="equals",
        ),
        "critical_loads": parisi.critical_loads(_DEPTH, 8 if quick else 12),
        "transition_loads_steps": parisi.transition_loads(_DEPTH, steps=4 if quick else 9, n_layers=6 if quick else 10),
        "teacher_branches": xr.concat(
            [parisi.scan(teacher, loads, branch=name) for name in branches],
            xr.DataArray(list(branches), dims="start", name="start"),
            combine_attrs="drop_conflicts",
        ),
        "franz_parisi": xr.concat(potentials, "load", combine_attrs="drop_conflicts"),
    }


def _profiles(data: dict[str, xr.Dataset]) -> Figure:
    """Figure 4(a): q_EA(l), one panel for each variant of the theory."""
    figure, axes = pyplot.subplots(2, 3, figsize=(9.6, 5.4), sharex=True, sharey=True)
    panels: list[tuple[Axes, xr.Dataset, str]] = [
        (axes[0, 0], data["continuous"].sel(load=[10.0, 20.0, 35.0, 50.0, 65.0]), "hard wall, continuous branch"),
        (axes[0, 1], data["frozen"], "hard wall, optimised breakpoints"),
    ]
    spots = [axes[0, 2], *axes[1]]
    for ax, width in zip(spots, _WIDTHS, strict=True):
        solution = data["fixed_breakpoints"].sel(wall_width=width, load=list(_LOADS))
        wall = "hard wall" if width == 0 else f"wall width {width:g}"
        panels.append((ax, solution, f"{wall}, fixed breakpoints"))
    for ax, solution, title in panels:
        plot.edwards_anderson(solution, ax=ax)
        ax.set_title(title, loc="left", fontsize="small")
        ax.label_outer()
    figure.suptitle(
        rf"Edwards-Anderson parameter of random data, $L={_DEPTH}$, with replica symmetry breaking"
        "\n(continuous branch: metastable above "
        rf"$\alpha_K$; optimised: none beyond $\alpha_J={_critical(data, 'alpha_J'):.1f}$; fixed: "
        r"$m_i = i/(k+1)$, negative complexity where frozen)",
        fontsize="small",
    )
    return figure


def _terraces(solution: xr.Dataset, title: str) -> Figure:
    """Figure 5: order parameter functions of all solid layers, and P(q) of the first two."""
    figure, axes = pyplot.subplots(2, 2, figsize=(8.2, 6.0))
    solid = np.flatnonzero(solution.neuron_overlap[1 : _DEPTH // 2 + 1, -1].values > 0.0) + 1
    kinds: tuple[Literal["neuron", "bond"], ...] = ("neuron", "bond")
    for row, kind in enumerate(kinds):
        layers = [int(layer) for layer in solid[:8]]
        plot.order_parameter_function(solution, layers, kind, ax=axes[row, 0], legend=False)
        distributions = [parisi.overlap_distribution(solution, layer, kind) for layer in layers[:2]]
        plot.overlap_distribution(distributions, ax=axes[row, 1], legend=row == 0)
    axes[0, 0].legend(title="layer $l$", fontsize="small", ncols=4 if solid.size > 4 else 1)
    for ax, letter in zip(axes.ravel(), "abcd", strict=True):
        ax.set_title(f"({letter})", loc="left")
    figure.suptitle(title, fontsize="small")
    return figure


def _figure_5_50(data: dict[str, xr.Dataset]) -> Figure:
    solution = data["continuous_50"]
    return _terraces(
        solution,
        rf"Random data, $L={_DEPTH}$, $\alpha=50$: hard wall, continuous branch, {solution.sizes['step'] - 1} steps"
        rf" (metastable above $\alpha_K={_critical(data, 'alpha_K'):.1f}$)",
    )


def _figure_5_frozen(data: dict[str, xr.Dataset]) -> Figure:
    solution = data["frozen"].sel(load=70.0)
    solution = solution.assign_coords(x_left=solution.x_left, x_right=solution.x_right)
    return _terraces(
        solution,
        rf"Random data, $L={_DEPTH}$, $\alpha=70$: hard wall, {solution.sizes['step'] - 1} optimised breakpoints"
        " (the first two layers are frozen)",
    )


def _figure_5_4000(data: dict[str, xr.Dataset]) -> Figure:
    solution = data["fixed_breakpoints"].sel(wall_width=0.2, load=4000.0)
    return _terraces(
        solution,
        rf"Random data, $L={_DEPTH}$, $\alpha=4000$: wall width 0.2, {solution.sizes['step'] - 1} fixed breakpoints",
    )


def _figure_6(data: dict[str, xr.Dataset]) -> Figure:
    """The same genealogy seen from the first four layers."""
    solution = data["continuous_50"]
    figure, axes = pyplot.subplots(1, 4, figsize=(9.6, 3.2), sharey=True)
    for layer, ax in enumerate(axes, start=1):
        plot.cluster_tree(parisi.cluster_tree(solution, layer, _SEED), ax=ax)
        ax.label_outer()
    axes[0].set_ylim(-0.03, 1.1 * float(solution.neuron_overlap[1, -1]))
    figure.suptitle(
        rf"Clusters of solutions, layer by layer: $L={_DEPTH}$, $\alpha=50$, continuous branch "
        "(one draw of the Ruelle cascade; width: weight)",
        fontsize="small",
    )
    return figure


def _critical(data: dict[str, xr.Dataset], name: str) -> float:
    return float(data["critical_loads"]["load"].sel(transition=name))


def _mark(ax: Axes, load: float, label: str, height: float, *, right: bool = True) -> None:
    """A dotted line at a load, with its name and value."""
    ax.axvline(load, color="0.5", linewidth=0.8, linestyle=":")
    ax.annotate(
        f"{label}\n{load:.1f}",
        (load, height),
        xycoords=ax.get_xaxis_transform(),
        xytext=(3 if right else -3, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        fontsize="x-small",
        color="0.2",
    )


def _figure_phases(data: dict[str, xr.Dataset]) -> Figure:
    """Both scenarios: entropy of the branches against the load."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.0, 3.8))
    continuous, frozen = data["continuous"], data["frozen"]
    left.plot(continuous["load"], continuous.free_entropy, "o-", color="C0", markersize=3, label="continuous")
    left.plot(frozen["load"], frozen.free_entropy, "s-", color="C1", markersize=3, label="frozen, stationary $m^*$")
    left.set(xscale="log", xlabel=r"load $\alpha$", ylabel="$s$ per $NM$", xlim=(2, 300), ylim=(-1.12, -0.66))
    bound = parisi.satisfiable_load_bound(_DEPTH)
    onset = data["transition_loads_steps"]["load"]
    _mark(left, float(onset[0]), r"$\alpha_g(1)$", 0.35)
    _mark(left, float(onset[1]), r"$\alpha_g(2)$", 0.35, right=False)
    _mark(left, _critical(data, "alpha_d"), r"$\alpha_d$", 0.35)
    _mark(left, _critical(data, "alpha_K"), r"$\alpha_K$", 0.35)
    _mark(left, _critical(data, "alpha_J"), r"$\alpha_J$", 0.9)
    _mark(left, bound, "counting", 0.78)
    left.axvspan(_critical(data, "alpha_J"), bound, color="0.92")
    left.axvspan(bound, 300, color="0.82")
    left.legend(fontsize="small", loc="lower left")
    left.set_title("scenario 1: random data", loc="left")

    teacher = data["teacher_branches"]
    for name, colour in zip(teacher.start.values, ("C0", "C2", "C1"), strict=True):
        branch = teacher.sel(start=name)
        if name == "thick":  # where it is another than the wetting branch
            wet = teacher.sel(start="wetting")
            apart = np.abs(branch.neuron_overlap - wet.neuron_overlap).max(("layer", "step")) > 1e-6
            branch = branch.where(apart)
        right.plot(branch["load"], branch.free_entropy, color=colour, label=str(name))
    pairs: tuple[tuple[Branch, Branch], ...] = (("wetting", "crystal"), ("wetting", "thick"))
    for pair, height in zip(pairs, (0.2, 0.3), strict=True):
        _mark(right, parisi.coexistence_load(_DEPTH, pair), f"{pair[0]} = {pair[1]}", height)
    right.set(xscale="log", xlabel=r"load $\alpha$", ylabel="posterior entropy $s$ per $NM$", xlim=(5, 3000))
    right.set_ylim(-1.0, 0.02)
    right.legend(fontsize="small", loc="upper left")
    right.set_title("scenario 2: teacher-student", loc="left")
    figure.suptitle(rf"Phases of the deep perceptron network, $L={_DEPTH}$", fontsize="medium")
    return figure


def _figure_transitions(data: dict[str, xr.Dataset]) -> Figure:
    figure, ax = pyplot.subplots(figsize=(4.6, 3.4))
    broken, symmetric = data["transition_loads_steps"], data["transition_loads"].sel(scenario="random")
    ax.semilogy(symmetric.layer[:10], symmetric["load"][:10], "o-", color="C1", label="replica symmetric")
    ax.semilogy(broken.layer, broken["load"], "o-", color="C0", label="with steps, fixed breakpoints")
    ax.axhline(_critical(data, "alpha_J"), color="0.4", linestyle=":", linewidth=0.9)
    ax.annotate(
        r"$\alpha_J$", (1, _critical(data, "alpha_J")), xytext=(0, 3), textcoords="offset points", fontsize="small"
    )
    ax.set(xlabel="layer $l$", ylabel=r"transition load $\alpha_g(l)$")
    ax.set_title(rf"random data, $L={_DEPTH}$", loc="left")
    ax.legend(fontsize="small")
    return figure


def _figure_potential(data: dict[str, xr.Dataset]) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.2, 3.5))
    potential = data["franz_parisi"]
    curves = [potential.sel(load=load) for load in potential["load"].values]
    near = [curve.sel(overlap=slice(0.0, 0.4)) for curve in curves]
    plot.franz_parisi([curve.assign(potential=curve.potential - curve.potential[0]) for curve in near], ax=left)
    left.set(ylabel="$V(r) - V(0)$", ylim=(-0.006, 0.006))
    left.axhline(0.0, color="0.6", linewidth=0.8, linestyle=":")
    left.set_title("wetting (r = 0) and thick branch", loc="left")
    plot.franz_parisi(curves, ax=right, legend=False)
    right.set_title("and the teacher itself (r = 1)", loc="left")
    figure.suptitle(rf"Franz-Parisi potential of the central layer, $L={_DEPTH}$", fontsize="medium")
    return figure


FIGURES: dict[str, Callable[[dict[str, xr.Dataset]], Figure]] = {
    "figure_4a_replica_symmetry_breaking": _profiles,
    "figure_5_load_50": _figure_5_50,
    "figure_5_load_70_frozen": _figure_5_frozen,
    "figure_5_load_4000": _figure_5_4000,
    "figure_6_clusters": _figure_6,
    "phases": _figure_phases,
    "transition_loads_with_steps": _figure_transitions,
    "franz_parisi": _figure_potential,
}


def _visible(solution: xr.Dataset) -> int:
    return int((solution.neuron_overlap.values[1 : _DEPTH // 2 + 1, -1] > _VISIBLE).sum())


def _terrace(solution: xr.Dataset, layer: int) -> tuple[float, float, float]:
    """Where a layer rises, and by how much the first layer rises there and one step before."""
    overlap = solution.neuron_overlap.values
    step = int(np.argmax(overlap[layer] > 0.1 * overlap[layer, -1]))
    rise = np.diff(overlap[1])
    return float(solution.x_left[step]), float(rise[step - 1]), float(rise[step - 2])


def rows(data: dict[str, xr.Dataset]) -> list[tuple[str, str, str, str, str]]:
    """Lines of the table: statement, talk, computed, difference, why."""
    fixed, frozen, loads = data["fixed_breakpoints"], data["frozen"], data["transition_loads_steps"]["load"]
    steps = fixed.sizes["step"] - 1
    lines = [
        (
            "first transition, random data, with steps: alpha_g(1)", "2.03",
            f"{float(loads[0]):.4f}", f"{float(loads[0]) - 2.03:+.4f}", "the same: it is continuous",
        ),
    ]  # fmt: skip
    for width in _WIDTHS:
        at = fixed.sel(wall_width=width, load=4000.0)
        count, sigma = _visible(at), float(at.complexity)
        lines.append(
            (
                f"visible layers a side, load 4000, wall width {width:g}", "8", f"{count}", f"{count - 8:+d}",
                f"{steps} fixed breakpoints"
                + (f"; complexity of the frozen step {sigma:.2f}: not the network" if sigma < 0.0 else ""),
            )
        )  # fmt: skip
    terraces = [_terrace(data["continuous_50"], layer) for layer in (2, 3)]
    lines += [
        (
            "each transition adds a terrace to the layers before", "yes",
            "yes" if all(rise > 3.0 * before for _, rise, before in terraces) else "no", "-",
            "load 50: "
            + "; ".join(
                f"layer {layer} rises at x = {x:.2f}, where layer 1 rises by {rise:.4f} (one step before: {before:.4f})"
                for layer, (x, rise, before) in zip((2, 3), terraces, strict=True)
            ),
        ),
        (
            "the first layer freezes (random first order): alpha_d, alpha_K", "-",
            f"{_critical(data, 'alpha_d'):.2f}, {_critical(data, 'alpha_K'):.2f}", "-",
            "clusters from alpha_d on; above alpha_K the continuous branch is metastable",
        ),
        (
            "random data can be memorised at any load if the net is deep", "yes",
            f"none above {_critical(data, 'alpha_J'):.1f}", "not the network",
            "hard wall, stationary breakpoints, the same for all depths from 13 on; by counting alone none above "
            f"{parisi.satisfiable_load_bound(_DEPTH):.1f}",
        ),
        (
            "free entropy at load 70: frozen against continuous branch", "-",
            f"{float(frozen.free_entropy.sel(load=70.0)):.4f}", "-",
            f"layer 1 frozen from m = {_frozen_breakpoint(frozen.sel(load=70.0), 1):.4f} on, layer 2 from "
            f"{_frozen_breakpoint(frozen.sel(load=70.0), 2):.4f} on",
        ),
    ]  # fmt: skip
    return lines


def _frozen_breakpoint(solution: xr.Dataset, layer: int) -> float:
    return float(solution.breakpoint.values[int(np.argmax(solution.frozen.values[layer]))])
