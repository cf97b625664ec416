"""Contour deformation for the sign problem, as in the talk of Y. Niino (2024) on deep learning and physics.

The talk shows the average phase of complex phi^4 against the chemical potential without and with a trained contour
(Y. Mori, K. Kashiwa, A. Ohnishi, PTEP 2018, 023B04), its imaginary part, and the number density with the mean field.
Here the same with errors, judged by the flux representation and transfer matrices, which have no sign problem; and
the linear contour, which is known in closed form, networks on top of it, its limit in the volume, and paths of one
variable.  Mass and coupling are 1; lattices, samples and training are ours.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import xarray as xr

from .._warnings import ConvergenceWarning
from ..plot import Figure
from ..stats import Estimate
from . import _experiment, _sign_problem_figures
from ._contours import PROVEN, Lattice, Method, OneVariable, estimated_hours
from ._one_variable import MODELS
from ._report import Row, write
from ._sign_problem_data import Runs

__all__ = ["run"]

Shape: TypeAlias = tuple[int, int]
Tasks: TypeAlias = Sequence[Lattice | OneVariable]

_MUS_QUICK = (0.0, 0.4, 0.8, 1.0, 1.2, 1.4)
_MUS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
_ENOUGH = 0.3  # average phase down to which the volume is called tractable


def _square(length: int) -> Shape:
    return (length, length)


def _scan(lengths: Iterable[int], mus: Iterable[float], methods: dict[Method, dict[str, Any]]) -> list[Lattice]:
    return [
        Lattice(_square(length), mu, method, **settings)
        for length in lengths
        for mu in mus
        for method, settings in methods.items()
    ]


def _rows(methods: dict[Method, dict[str, Any]]) -> list[Lattice]:
    """One and two rows, of which all is known."""
    return [
        Lattice(shape, 1.0, method, **settings) for shape in ((1, 4), (2, 4)) for method, settings in methods.items()
    ]


def _volumes(lengths: Iterable[int], n_samples: int, limits: Iterable[float] = (0.0, PROVEN)) -> list[Lattice]:
    settings = {"n_samples": n_samples}
    return [
        task for limit in limits for task in _scan(lengths, (1.0, 1.2), {"linear": {**settings, "max_kappa": limit}})
    ]


_SHORT: dict[str, Any] = {"n_samples": 3200, "n_updates": 60, "rate": 0.01}
_TOP_SHORT: dict[str, Any] = {
    "n_samples": 6400, "n_updates": 60, "rate": 1e-3, "n_chains": 128, "hidden": 32, "n_compared": 512,
}  # fmt: skip
_QUICK: Tasks = (
    *_scan((4, 6), _MUS_QUICK, {"flux": {"n_samples": 8000}, "undeformed": {}, "linear": {}}),
    *_scan((4,), (0.4, 0.8, 1.0, 1.2, 1.4), {"network": _SHORT}),
    *_scan((6,), (0.8, 1.2), {"network": {**_SHORT, "hidden": 32}}),
    *_scan((4,), (1.0, 1.4), {"linear + network": _TOP_SHORT}),
    *_scan((4,), (1.0,), {"invariant network": {**_SHORT, "hidden": 2}}),
    *_rows({"transfer matrix": {}, "undeformed": {}, "linear": {}, "network": _SHORT, "linear + network": _TOP_SHORT}),
    Lattice((1, 4), 1.0, "flow", n_samples=640),
    *_volumes((4, 6), 20_000, (PROVEN,)),
    *_volumes((8, 12), 6400),
    *(OneVariable(name, 800 if "power" in name else 300) for name in MODELS),
)

_LONG: dict[str, Any] = {"rate": 0.01}
_TOP: dict[str, Any] = {"rate": 1e-3, "n_chains": 256, "n_compared": 2048}
_PROVEN: dict[str, Any] = {**_TOP, "rate": 2e-3, "max_kappa": PROVEN}
_SMALL: dict[str, Any] = {"n_chains": 512, "n_updates": 800, "n_samples": 50_000, "n_compared": 8192}
_NARROW: dict[str, Any] = {"hidden": 32, "n_chains": 128, "n_samples": 10_000}
_FULL: Tasks = (
    *_scan((4, 6, 8), _MUS, {"flux": {"n_samples": 200_000}, "undeformed": {"n_samples": 400_000}}),
    *_scan((4, 6, 8), _MUS, {"linear": {"n_samples": 400_000}}),
    *_scan((4,), _MUS[1:], {"network": _LONG}),
    *_scan((6,), (0.4, 0.8, 1.0, 1.2, 1.4), {"network": _LONG}),
    *_scan((8,), (0.4, 0.6, 0.8, 1.0, 1.2, 1.4), {"network": _LONG}),
    *_scan((4,), (0.4, 0.8, 1.0, 1.2, 1.4), {"linear + network": {**_TOP, **_SMALL}}),
    *_scan((6,), (1.0, 1.4), {"linear + network": _TOP}),
    *_scan((8,), (1.0, 1.2, 1.4), {"linear + network": _TOP}),
    *_scan((4,), (1.0, 1.2), {"invariant network": {**_LONG, "hidden": 4}}),
    *_scan((8,), (1.0,), {"invariant network": {**_LONG, "hidden": 1}}),
    *_scan((8,), (1.0, 1.2), {"linear": {"n_samples": 400_000, "max_kappa": PROVEN}}),
    *_scan((8,), (1.0, 1.2), {"linear + network": _PROVEN}),
    *_scan((8,), (1.0,), {"linear + invariant network": {**_PROVEN, "hidden": 1}}),
    *_scan((12, 16), (1.0,), {"linear + network": {**_PROVEN, **_NARROW}, "flux": {"n_samples": 50_000}}),
    *_rows({"transfer matrix": {}, "undeformed": {"n_samples": 400_000}, "linear": {"n_samples": 400_000}}),
    *_rows({"network": _LONG, "linear + network": _TOP, "invariant network": {**_LONG, "hidden": 8}}),
    Lattice((1, 4), 1.0, "flow", n_samples=10_000),
    Lattice((2, 4), 1.0, "flow", n_samples=5_000),
    *_volumes((4, 6), 400_000, (PROVEN,)),
    *_volumes((12, 16, 24), 25_600),
    *_volumes((32, 48, 64), 6400),
    *(OneVariable(name, 3000) for name in MODELS),
)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, tasks: Tasks, workers: int = 0) -> list[Path]:
    tasks = list(dict.fromkeys(tasks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is not resolved is NaN; short runs are short
        found = _experiment.run_all(tasks, output / "runs", estimated_hours, workers=workers)
    pairs = list(zip(tasks, (one.isel(instance=0, drop=True) for one in found), strict=True))
    runs = Runs([(task, one) for task, one in pairs if isinstance(task, Lattice)])
    curves = {task.model: one for task, one in pairs if isinstance(task, OneVariable)}
    figures: dict[str, Callable[[], Figure]] = {
        "one_variable": partial(_sign_problem_figures.one_variable, curves),
        "average_phase": partial(_sign_problem_figures.average_phase, runs),
        "sample_cost": partial(_sign_problem_figures.sample_cost, runs),
        "density": partial(_sign_problem_figures.density, runs),
        "volume": partial(_sign_problem_figures.volume, runs, _ENOUGH),
    }
    datasets = {"lattices": runs.dataset, **curves}
    *written, table = write(output, datasets, figures, _table(runs, curves))
    for name, lines in (("agreement", _agreement(runs)), ("go_beyond", _beyond(runs))):
        written.append(output / f"{name}.txt")
        written[-1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*written, table]


# ---- Tables in Markdown


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return [line(header), line(["-" * width for width in widths]), *map(line, rows)]


def _text(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "-"
    return str(estimate) if estimate.error > 0 else f"{estimate.value:.8g}"


def _pull(value: float) -> str:
    return f"{value:+.1f}" if math.isfinite(value) else "-"


def _agreement(runs: Runs) -> list[str]:
    header = [
        "lattice",
        "mu",
        "method",
        "kappa <",
        "n",
        "pull",
        "<phi^2>",
        "pull",
        "average phase",
        "pull",
        "Im",
        "pull",
    ]
    rows = []
    for task in sorted(runs.tasks, key=lambda one: (math.prod(one.shape), one.mu)):
        if runs.reference(task) is None:
            continue
        row = [
            f"{task.shape[0]}x{task.shape[1]}",
            f"{task.mu:g}",
            task.method,
            f"{task.max_kappa:g}" * (task.max_kappa > 0),
        ]
        for name in ("density", "phi2", "average_phase", "average_phase_imag"):
            row += [_text(runs.estimate(task, name)), _pull(runs.pull(task, name))]
        rows.append(row)
    title = [
        "Agreement with transfer matrices (1x4, 2x4) and the flux representation; pulls in standard errors of both.",
        "The average phase is compared on the undeformed fields; its imaginary part must vanish on all contours.",
        "",
    ]
    return title + _markdown(header, rows)


def _beyond(runs: Runs) -> list[str]:
    header = [
        "lattice", "mu", "contour", "kappa", "linear", "trained", "ln ratio, sampled", "reweighted from linear",
        "from trained",
    ]  # fmt: skip
    rows = []
    for task in runs.tasks:
        if task.n_compared == 0:
            continue
        base = runs.base(task)
        if base is None:
            continue
        before, after = (runs.estimate(one, "average_phase") for one in (base, task))
        ratio = runs.log_ratio(task)
        gains = [runs.estimate(task, f"gain_from_{name}") for name in ("linear", "trained")]
        rows.append(
            [
                f"{task.shape[0]}x{task.shape[1]}", f"{task.mu:g}", task.method, f"{runs.value(task, 'kappa'):.3f}",
                _text(before), _text(after), _text(ratio), *map(_text, gains),
            ]
        )  # fmt: skip
    title = [
        "Networks on top of the linear contour: average phase, and ln of its ratio to that of the linear contour, from",
        "the two samples and by reweighting, ln Z_pq(linear) - ln Z_pq(trained), with draws of either contour.",
        "Convergence is proven for the linear part where kappa < 0.4142; shifts of networks are bounded.",
        "",
    ]
    return title + _markdown(header, rows)


# ---- Table


class _Worst(NamedTuple):
    pull: float
    where: str
    n_runs: int


def _worst(runs: Runs, name: str) -> _Worst:
    pulls = [(runs.pull(task, name), task) for task in runs.tasks]
    known = [(abs(pull), task) for pull, task in pulls if math.isfinite(pull)]
    if not known:
        return _Worst(math.nan, "-", 0)
    pull, task = max(known, key=lambda pair: pair[0])
    return _Worst(pull, f"{task.shape[0]}x{task.shape[1]}, mu = {task.mu:g}, {task.method}", len(known))


def _table(runs: Runs, curves: dict[str, xr.Dataset]) -> list[Row]:
    rows = []
    for name, one in curves.items():
        values = [
            f"{label} {float(value):.4g}"
            for label, value in zip(one["path"].values, one["average_phase"].values, strict=True)
        ]
        rows.append(
            Row(f"average phase, {name}", "-", ", ".join(values), f"{float(one['difference'].max()):.0e}",
                "by quadrature; the difference is that of Z from its exact value or from that on the first path")
        )  # fmt: skip
    shapes = runs.squares("network")
    for shape in shapes:
        task = runs.find(shape, 1.0, "network") or runs.find(shape, 1.2, "network")
        if task is None:
            continue
        before = runs.reference(task)
        linear = runs.find(shape, task.mu, "linear")
        if before is None or linear is None:
            continue
        rows.append(
            Row(
                f"average phase, {shape[0]}x{shape[1]}, mu = {task.mu:g}", "grows (figure)",
                " from ".join(_text(runs.estimate(one, "average_phase")) for one in (task, before)), "-",
                f"network, {task.hidden} units, {task.n_updates} updates; linear contour "
                f"{_text(runs.estimate(linear, 'average_phase'))}",
            )
        )  # fmt: skip
    for name, what, why in (
        ("density", "n, all contours", "of the reference, in standard errors"),
        ("phi2", "<phi^2>, all contours", "of the reference, in standard errors"),
        ("average_phase", "average phase, undeformed", "of integration of the flux density or transfer matrices"),
        ("average_phase_imag", "Im average phase, all contours", "of 0"),
    ):
        worst = _worst(runs, name)
        rows.append(
            Row(
                f"largest pull: {what}",
                "< 4",
                f"{worst.pull:.1f}",
                "-",
                f"{why}; {worst.where}, of {worst.n_runs} runs",
            )
        )
    for mu in (1.0, 1.2):
        for limit in (0.0, PROVEN):
            tasks = runs.volumes(mu, limit)
            good = [task for task in tasks if runs.value(task, "average_phase") > _ENOUGH]
            if not good:
                continue
            last = good[-1]
            text = f"{last.shape[0]}x{last.shape[1]}: {_text(runs.estimate(last, 'average_phase'))}"
            further = tasks[tasks.index(last) + 1 :]
            rows.append(
                Row(
                    f"largest square with average phase > {_ENOUGH}, mu = {mu:g}", "-", text, "-",
                    ("kernel cut to kappa = 0.414" if limit else f"kappa = {runs.value(last, 'kappa'):.3f}")
                    + (
                        f"; next {further[0].shape[0]}x{further[0].shape[1]}: "
                        f"{_text(runs.estimate(further[0], 'average_phase'))}"
                        if further
                        else "; the largest of the run"
                    ),
                )
            )  # fmt: skip
    return rows
