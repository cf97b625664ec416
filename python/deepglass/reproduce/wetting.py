"""The wetting of a deep perceptron network (figures 4 to 6 of the review by H. Yoshino, Butsuri 76, 2021).

Here the replica-symmetric half: for a teacher this is exact within the theory; for random data it is unstable (the
replicon eigenvalue is written beside it).  Replica symmetry breaking, and with it figures 5 and 6, is in
`_hierarchy`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from .. import io, parisi, plot
from .._warnings import ConvergenceWarning, UnphysicalWarning
from ..parisi.deep_perceptron import Scenario
from ..plot import Axes, Figure, pyplot
from . import _hierarchy
from ._report import Row, write

__all__ = ["run"]

_DEPTH = 20
_RANDOM_LOADS = (50.0, 100.0, 200.0, 1000.0, 2000.0, 4000.0)
_TEACHER_LOADS = (25.0, 100.0, 250.0, 500.0, 625.0, 714.0)
_SHIFT = 0.062  # of the wall: the variant with the published 2.03 and eight visible layers
_VISIBLE = 0.01  # an overlap that can be told from zero in the published figure
_LAW_DEPTH, _LAW_LAYERS = 40, 12
_FAR = 80  # deep enough for the limit of infinite depth to five digits
_LABEL = {"random": "random data (replica symmetric)", "teacher": "teacher-student"}
_KINDS: tuple[Literal["neuron", "bond"], ...] = ("neuron", "bond")
_COLOUR = {"random": "C1", "teacher": "C0"}


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    with warnings.catch_warnings():
        # Instability and negative complexities are stated in figures and table.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UnphysicalWarning)
        data = _compute(quick) | _hierarchy.compute(quick)
    figures: dict[str, Callable[[dict[str, xr.Dataset]], Figure]] = {
        "figure_4a_random_data": _figure_4a,
        "figure_4b_teacher_student": _figure_4b,
        "transition_loads": _figure_loads,
        "shifted_wall": _figure_shift,
        **_hierarchy.FIGURES,
    }
    drawings = {name: partial(draw, data) for name, draw in figures.items()}
    return write(output, data, drawings, _table(data))


def _compute(quick: bool) -> dict[str, xr.Dataset]:
    random = parisi.DeepPerceptron(depth=_DEPTH, scenario="random")
    shifted = parisi.DeepPerceptron(depth=_DEPTH, scenario="random", wall_shift=_SHIFT)
    teacher = parisi.DeepPerceptron(depth=_DEPTH, scenario="teacher")
    depths = np.array(range(4, 41, 4 if quick else 1))
    scenarios: tuple[Scenario, ...] = ("random", "teacher")
    names = xr.DataArray(list(scenarios), dims="scenario")
    laws = [parisi.transition_loads(_LAW_DEPTH, scenario, n_layers=_LAW_LAYERS) for scenario in scenarios]
    complete = np.array([parisi.wetting_load([_FAR, *depths[::-1]], scenario) for scenario in scenarios])
    wetting = xr.Dataset(
        {
            "wetting_load": (("scenario", "depth"), complete[:, :0:-1]),
            "wetting_load_limit": ("scenario", complete[:, 0]),
        },
        coords={"depth": depths},
        attrs=io.provenance("deepglass.reproduce.wetting", {"depth_of_limit": _FAR}),
    )
    return {
        "random": parisi.scan(random, _RANDOM_LOADS),
        "teacher": parisi.scan(teacher, _TEACHER_LOADS),
        "teacher_thick": parisi.scan(teacher, [625.0, 714.0], branch="thick"),
        "shifted_wall": parisi.scan(shifted, _RANDOM_LOADS),
        "shifted_wall_transitions": parisi.transition_loads(_DEPTH, "random", n_layers=9, wall_shift=_SHIFT),
        "transition_loads": xr.concat(laws, "scenario", combine_attrs="drop_conflicts").assign_coords(scenario=names),
        "wetting_loads": wetting.assign_coords(scenario=names),
    }


def _pair(solution: xr.Dataset, title: str, note: str) -> tuple[Figure, list[Axes]]:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 3.1), sharey=True)
    for ax, kind in zip(axes, _KINDS, strict=True):
        plot.edwards_anderson(solution, kind, ax=ax, legend=False)
    axes[0].set_title("neurons", loc="left")
    axes[1].set_title("bonds", loc="left")
    axes[1].legend(title=r"load $\alpha$", fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f"{title}\n{note}", fontsize="medium")
    return figure, list(axes)


def _figure_4a(data: dict[str, xr.Dataset]) -> Figure:
    replicon = data["random"].replicon.values
    figure, _ = _pair(
        data["random"],
        rf"Random data, depth $L={_DEPTH}$, replica symmetric",
        f"(unstable to replica symmetry breaking: replicon eigenvalue {replicon.min():.2f} to {replicon.max():.2f})",
    )
    return figure


def _figure_4b(data: dict[str, xr.Dataset]) -> Figure:
    figure, axes = _pair(
        data["teacher"],
        rf"Teacher-student, depth $L={_DEPTH}$",
        "wetting branch (points) and thick branch, 625 and 714 (dashed)",
    )
    for ax, kind in zip(axes, _KINDS, strict=True):
        plot.edwards_anderson(
            data["teacher_thick"],
            kind,
            ax=ax,
            legend=False,
            color="0.35",
            marker="",
            linestyle="--",
            linewidth=0.9,
            label=None,
        )
    return figure


def _figure_loads(data: dict[str, xr.Dataset]) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.3))
    law, wetting = data["transition_loads"], data["wetting_loads"]
    for scenario in law.scenario.values:
        colour = _COLOUR[scenario]
        loads = law["load"].sel(scenario=scenario)
        left.semilogy(law.layer, loads, "o-", color=colour, label=_LABEL[scenario])
        first = loads.values[:2]
        layers = np.array([1.0, 5.0])
        left.semilogy(layers, first[0] * (first[1] / first[0]) ** (layers - 1), ":", color=colour)
        complete = wetting.sel(scenario=scenario)
        right.semilogy(complete.depth, complete.wetting_load, "o-", color=colour)
        limit = float(complete.wetting_load_limit)
        right.axhline(limit, color=colour, linestyle="--", linewidth=0.9)
        right.annotate(
            f"{limit:.1f}",
            (4, limit),
            xytext=(0, 3),
            textcoords="offset points",
            color=colour,
            fontsize="small",
        )
    left.set(xlabel="layer $l$", ylabel=r"transition load $\alpha_g(l)$", ylim=(1, 3e5))
    left.set_title(rf"layer $l$ orders, depth $L={_LAW_DEPTH}$", loc="left")
    left.plot([], [], ":", color="0.4", label=r"$\ln\alpha_g \propto l$ through $l=1,2$")
    left.legend(fontsize="small", loc="upper left")
    right.set(xlabel="depth $L$", ylabel=r"load $\alpha$ without liquid layer", ylim=(5, 2e5))
    right.set_title("no liquid remains (dashed: infinite depth)", loc="left")
    return figure


def _figure_shift(data: dict[str, xr.Dataset]) -> Figure:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.1))
    plot.edwards_anderson(data["shifted_wall"], ax=left)
    left.set_title(rf"constraint $r>{_SHIFT}$, $L={_DEPTH}$", loc="left")
    shifted, hard = data["shifted_wall_transitions"], data["transition_loads"].sel(scenario="random")
    right.semilogy(shifted.layer, shifted["load"], "o-", color="C2", label=f"$r > {_SHIFT}$")
    right.semilogy(hard.layer[:9], hard["load"][:9], "o-", color="C1", label="$r > 0$")
    right.axhline(2.03, color="0.4", linestyle=":", linewidth=0.9)
    right.annotate("2.03", (8.2, 2.03), xytext=(0, 3), textcoords="offset points", color="0.4", fontsize="small")
    right.set(xlabel="layer $l$", ylabel=r"transition load $\alpha_g(l)$")
    right.set_title("random data, replica symmetric", loc="left")
    right.legend()
    return figure


def _solid(solution: xr.Dataset, threshold: float = 0.0) -> int:
    """Layers of one half with an overlap above the threshold."""
    q = solution.neuron_overlap.values[..., -1]
    return int((q[1 : q.size // 2 + 1] > threshold).sum())


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    law = data["transition_loads"]["load"]
    slopes = xr.apply_ufunc(np.log, law).diff("layer")
    first = float(law.sel(scenario="random", layer=1))
    shifted = data["shifted_wall_transitions"]["load"]
    at_4000, shifted_4000 = data["random"].isel(load=-1), data["shifted_wall"].isel(load=-1)
    at_714 = data["teacher"].isel(load=-1)
    wetting = data["wetting_loads"]
    rows = [
        Row(
            "first transition, random data: alpha_g(1)", "2.03", f"{first:.4f}", f"{first - 2.03:+.4f}",
            f"linear stability of the liquid; minus pi^2/4: {first - math.pi**2 / 4:+.0e}",
        ),
        Row(
            f"  the same with the constraint r > {_SHIFT}", "2.03",
            f"{float(shifted[0]):.4f}", f"{float(shifted[0]) - 2.03:+.4f}",
            "the shift chosen to give 2.03 (a coarse grid of fields acts like one)",
        ),
        Row(
            "visible layers a side, random data, load 4000", "8",
            f"{_solid(at_4000, _VISIBLE)}", f"{_solid(at_4000, _VISIBLE) - 8:+d}",
            "replica symmetric, hard wall; q_EA > 0.01 counts as visible",
        ),
        Row(
            f"  the same with the constraint r > {_SHIFT}", "8", f"{_solid(shifted_4000, _VISIBLE)}",
            f"{_solid(shifted_4000, _VISIBLE) - 8:+d}", "with the shift of the second row",
        ),
        Row(
            "first transition, teacher: alpha_g(1)", "-",
            f"{float(law.sel(scenario='teacher', layer=1)):.4f}", "-", "linear stability of the liquid",
        ),
        Row(
            "figure 4(b) at its last load 714: layers a side", "-", f"{_solid(at_714)} of {_DEPTH // 2}", "-",
            f"solid layers; q_EA(9) = {float(at_714.neuron_overlap[9, 0]):.4f}",
        ),
    ]  # fmt: skip
    for scenario in law.scenario.values:
        steps = slopes.sel(scenario=scenario).values
        limit = float(wetting.wetting_load_limit.sel(scenario=scenario))
        complete = wetting.wetting_load.sel(scenario=scenario)
        at_depth = float(complete.sel(depth=_DEPTH))
        bends = bool((np.diff(steps) < 0.0).all())
        every_fourth = np.log(complete.sel(depth=complete.depth % 4 == 0))  # odd and even depths alternate
        bounded = bool((complete < limit).all()) and bool((np.diff(every_fourth, 2) < 0.0).all())
        rows += [
            Row(
                f"ln alpha_g(l) proportional to l ({scenario}): slope", "constant",
                f"{steps[0]:.2f} ... {steps[-1]:.2f}", "not a law" if bends else "agrees",
                f"slope from l = 1-2 to l = {_LAW_LAYERS - 1}-{_LAW_LAYERS}, falling at every l: {_yes(bends)}",
            ),
            Row(
                f"capacity grows exponentially with depth ({scenario})", "no limit", f"{limit:.2f}",
                "finite" if bounded else "agrees",
                f"load without liquid at depth {_FAR}; growth with depth slows down towards it: {_yes(bounded)}",
            ),
            Row(
                f"a finite depth loses its liquid ({scenario}, L = {_DEPTH})", "yes",
                f"alpha > {at_depth:.2f}", "-", "load without liquid layer at this depth",
            ),
        ]  # fmt: skip
    jump = float(np.abs(data["transition_loads"].jump).max())
    together = all(_together(data[name]) for name in ("random", "teacher", "teacher_thick", "shifted_wall"))
    return [
        *rows,
        *(Row(*line) for line in _hierarchy.rows(data)),
        Row(
            "transitions one layer at a time, continuous", "yes", _yes(jump < 1e-6), "-",
            f"largest jump of a layer's growth at its transition: {jump:.0e} (depth {_LAW_DEPTH}, l <= {_LAW_LAYERS})",
        ),
        Row(
            "neurons and bonds of a layer order together", "yes", _yes(together), "-",
            "bonds are solid exactly between solid neurons; Q(l) ~ load q(l-1) q(l) g at its onset",
        ),
    ]  # fmt: skip


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def _together(solution: xr.Dataset) -> bool:
    q, Q = solution.neuron_overlap.values, solution.bond_overlap.values
    return bool(((Q > 0) == ((q[:, :-1] > 0) & (q[:, 1:] > 0))).all())
