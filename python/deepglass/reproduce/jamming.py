"""Jamming of networks on random data, and what moves on both sides of it (talk of T. Mori).

Quadratic hinge loss, random labels, N parameters (less one for each hidden neuron).  Up to P* samples all margins are
satisfied; beyond, the number of those that are not jumps to a finite part of N.  With full batches of the specification
(d = h = 16, two hidden layers) another program measured N_Delta / N = 0 at P / N = 1.5, 1.01 at 3.0 and 2.09 at 3.5.

Yardsticks: below P* the loss is 0 exactly, and descent with minibatches comes to rest, with displacement 0; far above,
the network cannot know the labels: the loss tends to that of f = 0, 1/2, and N_Delta / N to P / N.  Soft spheres, to
which the networks are likened, stand beside them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from .. import io, learning
from ..learning._torch import require
from ..plot import Axes, Figure, pyplot
from ..random import child_seed
from . import _spheres
from ._experiment import Experiment
from ._report import Row, write
from ._trainings import mean_of, products, run_trainings

__all__ = ["run"]

_MEASURED = {1.5: 0.0, 3.0: 1.01, 3.5: 2.09}  # one run each, d = h = 16, L = 2
_FLOOR = 1e-15  # of the picture
_REST = 1e-3  # of the displacement after the first waiting time
_ADAM = 2.5  # of the cost of a sample in descent with minibatches, double precision and few samples


@dataclasses.dataclass(frozen=True)
class Load(Experiment):
    """Adam with all of P = load N samples; an instance has its own data and initial weights."""

    load: float
    width: int
    hidden_layers: int
    n_steps: int
    learning_rate: float = 0.01
    n_instances: int = 3
    seed: int = 1

    @property
    def n_parameters(self) -> int:
        """N."""
        return learning.effective_parameters(self.width, self.width, self.hidden_layers)

    @property
    def n_samples(self) -> int:
        """P."""
        return round(self.load * self.n_parameters)

    @property
    def name(self) -> str:
        """For files."""
        return f"d{self.width}_L{self.hidden_layers}_load{self.load:g}"

    @property
    def cost(self) -> float:
        """Products of all steps."""
        return _ADAM * self.n_steps * self.n_samples * products(self.width, self.width, self.hidden_layers)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train."""
        found = learning.jamming(
            [self.n_samples], n_inputs=self.width, width=self.width, hidden_layers=self.hidden_layers,
            n_steps=self.n_steps, learning_rate=self.learning_rate, n_repeats=1, threads=1, progress=check,
            seed=child_seed(child_seed(self.seed, self.n_samples), instance),
        )  # fmt: skip
        io.save(found.isel(n_samples=0, repeat=0, drop=True), path)


@dataclasses.dataclass(frozen=True)
class Walk(Experiment):
    """Stochastic gradient descent at one load, displacements between two times."""

    load: float
    width: int
    hidden_layers: int
    waiting_times: tuple[int, ...]
    longest_lag: int
    n_instances: int = 3
    seed: int = 2

    @property
    def n_samples(self) -> int:
        """P."""
        return round(self.load * learning.effective_parameters(self.width, self.width, self.hidden_layers))

    @property
    def name(self) -> str:
        """For files."""
        return f"walk_d{self.width}_L{self.hidden_layers}_load{self.load:g}"

    @property
    def cost(self) -> float:
        """Products of all steps; small networks wait for the interpreter."""
        return (max(self.waiting_times) + self.longest_lag) * 32 * max(5e4, products(self.width, self.width, 1))

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train."""
        found = learning.two_time_displacement(
            [self.n_samples], n_inputs=self.width, width=self.width, hidden_layers=self.hidden_layers,
            waiting_times=self.waiting_times, longest_lag=self.longest_lag, n_repeats=1, threads=1, progress=check,
            seed=child_seed(child_seed(self.seed, self.n_samples), instance),
        )  # fmt: skip
        io.save(found.isel(n_samples=0, repeat=0, drop=True), path)


class Sizes(NamedTuple):
    """What is computed."""

    loads: tuple[Load, ...]
    walks: tuple[Walk, ...]
    packings: tuple[_spheres.Packings, ...]  # discs first
    starts: _spheres.Starts


_QUICK = Sizes(
    tuple(Load(load, 16, 2, 2500, n_instances=2) for load in (1.0, 1.5, 2.5, 3.0, 3.5)),
    tuple(Walk(load, 16, 2, (100, 1000, 4000), 2048, n_instances=2) for load in (0.5, 6.0)),
    (_spheres.Packings(128, 2, 6),),
    _spheres.Starts(128, 4),
)
_FULL = Sizes(
    (
        *(Load(a, 16, 2, 100_000, n_instances=12) for a in (1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 6.0)),
        *(Load(a, 32, 2, 100_000, n_instances=6) for a in (1.5, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5)),
    ),
    tuple(Walk(load, 16, 2, (100, 1000, 10_000, 100_000), 65_536, n_instances=6) for load in (0.5, 1.0, 4.0, 8.0)),
    (
        _spheres.Packings(512, 2, 16),
        *(_spheres.Packings(n, 2, 64) for n in (64, 128)),
        *(_spheres.Packings(n, 3, 16) for n in (128, 256)),
    ),
    _spheres.Starts(512, 8),
)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, sizes: Sizes, workers: int = 0) -> list[Path]:
    require("torch")
    all_of_them: tuple[Experiment, ...] = (*sizes.loads, *sizes.walks, *sizes.packings, sizes.starts)
    found = dict(zip(all_of_them, run_trainings(all_of_them, output / "instances", workers), strict=True))
    loads = {load: found[load] for load in sizes.loads}
    walks = {walk: found[walk] for walk in sizes.walks}
    discs = sizes.packings[0]
    draw_discs = partial(_spheres.draw, one=discs, found=found[discs], starts=found[sizes.starts])
    table = _table(loads, walks) + [row for some in sizes.packings for row in _spheres.rows(some, found[some])]
    datasets = {one.name: result for one, result in found.items()}
    return write(output, datasets, {"jamming": partial(_figure, loads, walks, draw_discs)}, table)


def _fraction(load: Load, result: xr.Dataset) -> xr.DataArray:
    return result["n_unsatisfied"] / load.n_parameters


# ---- Table


def _table(loads: dict[Load, xr.Dataset], walks: dict[Walk, xr.Dataset]) -> list[Row]:
    rows = []
    for width in dict.fromkeys(load.width for load in loads):
        mine = {load: result for load, result in loads.items() if load.width == width}
        for load, result in mine.items():
            satisfied = int((result["n_unsatisfied"] == 0).sum())
            there = _MEASURED.get(load.load) if (width, load.hidden_layers) == (16, 2) else None
            fraction = mean_of(_fraction(load, result))
            rows.append(
                Row(
                    f"P/N = {load.load:g}, d = h = {width}, L = {load.hidden_layers}: N_Delta/N",
                    "-" if there is None else f"{there:g}", f"{fraction}",
                    "-" if there is None else f"{fraction.value - there:+.2f}",
                    f"{satisfied} of {result.sizes['instance']} with all margins satisfied, mean loss "
                    f"{float(result['loss'].mean()):.2g}, {int(result['steps'].max())} steps at most",
                )
            )  # fmt: skip
        low = max((a.load for a, r in mine.items() if bool((r["n_unsatisfied"] == 0).all())), default=np.nan)
        high = min((a.load for a, r in mine.items() if bool((r["loss"] > 0.01).all())), default=np.nan)
        steps = next(iter(mine)).n_steps
        reproduced = low < high
        rows.append(
            Row(
                f"P*/N, d = h = {width}", "2.8 to 3.3", f"between {low:g} and {high:g}",
                "reproduced" if reproduced and low <= 3.3 and high >= 2.8 else "not at this size",
                f"all satisfied, all with loss > 0.01; there d = h = 51, L = 3; {steps} steps: near P* not converged",
            )
        )  # fmt: skip
        above = [mean_of(_fraction(load, result)).value for load, result in mine.items() if load.load >= high]
        rows.append(
            Row(
                "  N_Delta/N jumps", "yes", "yes" if above and min(above) > 0.4 else "no",
                f"{min(above, default=np.nan):.2f}", "least of the loads beyond; talk: > 0.4",
            )
        )  # fmt: skip
    for walk, result in walks.items():
        first, last = (result["displacement"].isel(waiting_time=k, lag=-1) for k in (0, -1))
        rest = bool((last < _REST * first).all())
        unsatisfied = int((result["n_unsatisfied"] > 0).sum())
        rows.append(
            Row(
                f"P/N = {walk.load:g}: the parameters", "rest" if walk.load < 2.0 else "move",
                "rest" if rest else "move", f"{float(last.mean()):.1e}",
                f"Delta(t_w, t_w + t), t_w = {walk.waiting_times[-1]}, t = {int(result['lag'][-1])}; margins left in "
                f"{unsatisfied} of {result.sizes['instance']}",
            )
        )  # fmt: skip
    return rows


# ---- Picture


def _figure(loads: dict[Load, xr.Dataset], walks: dict[Walk, xr.Dataset], draw_discs: Callable[[Axes], None]) -> Figure:
    figure, ((left, beside), (middle, right)) = pyplot.subplots(2, 2, figsize=(9.2, 6.4))
    draw_discs(beside)
    widths = list(dict.fromkeys(load.width for load in loads))
    for i, width in enumerate(widths):
        mine = {load: result for load, result in loads.items() if load.width == width}
        for ax, name in ((left, "fraction"), (middle, "loss")):
            values = [_fraction(load, r) if name == "fraction" else r["loss"] for load, r in mine.items()]
            loading = [load.load for load in mine]
            ax.plot(loading, [float(v.mean()) for v in values], color=f"C{i}", label=f"$d=h={width}$")
            for a, v in zip(loading, values, strict=True):
                ax.plot(np.full(v.size, a), v, color=f"C{i}", marker="o", linestyle="", alpha=0.5, label="_")
    x = np.array([0.0, max(load.load for load in loads)])
    left.plot(x, x, color="0.5", linestyle=":", label="no margin satisfied")
    if 16 in widths:
        left.plot(list(_MEASURED), list(_MEASURED.values()), marker="x", color="k", linestyle="", label="reference")
    left.set(xlabel="$P/N$", ylabel=r"$N_\Delta/N$", ylim=(-0.1, 3.2))
    left.set_title("Margins that are not satisfied", loc="left")
    left.legend(fontsize="x-small")
    middle.axhline(0.5, color="0.5", linestyle=":", label="$f=0$")
    middle.axhline(0.0, color="C2", linewidth=0.8, label="0, below $P^*$")
    middle.set(xlabel="$P/N$", ylabel="loss")
    middle.legend(fontsize="x-small", loc="center left")
    middle.set_title("Quadratic hinge loss at the end", loc="left")
    shades = pyplot.get_cmap("plasma")(np.linspace(0.0, 0.8, max(len(walk.waiting_times) for walk in walks)))
    styles = dict(zip(walks, ("-", "--", ":", "-."), strict=False))
    for walk, result in walks.items():
        mean = result["displacement"].mean("instance")
        for wait, shade in zip(walk.waiting_times, shades, strict=False):
            right.plot(
                result["lag"], np.maximum(mean.sel(waiting_time=wait), _FLOOR), color=shade, linestyle=styles[walk],
                label=f"$P/N={walk.load:g}$, $t_w={wait}$",
            )  # fmt: skip
    right.set(
        xscale="log", yscale="log", xlabel="$t$ (steps)", ylabel=r"$\Delta(t_w, t_w+t)$", ylim=(0.3 * _FLOOR, None)
    )
    right.set_title("Displacement of the parameters", loc="left")
    lines = right.get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower right", ncols=len(walks), fontsize="x-small")
    return figure
