"""How deep networks may be and still learn: training errors over weight variance and depth (talk of R. Karakida).

Networks with tanh, cross entropy, a few hundred steps of stochastic gradient descent on images at the rate c / depth,
as in S. Schoenholz, J. Gilmer, S. Ganguli, J. Sohl-Dickstein, "Deep information propagation" (2017), figure 5.
Yardsticks: multiples of the depth scale xi_c, over which networks forget how two inputs are related; the edge of chaos,
where it is infinite.  Beside it, at the edge of chaos with small biases, orthogonal weights, which keep the singular
values of the Jacobian near 1 (`deepglass.spectra.jacobian_spectrum`), against Gaussian ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import fisher, io, meanfield
from ..learning._torch import require, torch_threads
from ..learning.training import Stack, slopes
from ..plot import Figure, pyplot, ticker
from ..random import child_seed
from ._experiment import Experiment
from ._images import pictures_of
from ._report import Row, write
from ._trainings import products, run_trainings

__all__ = ["run"]

Array = npt.NDArray[np.float64]

_N_CLASSES = 10
_CHANCE = 1.0 - 1.0 / _N_CLASSES
_BATCH = 32
_CHUNK = 250  # images whose error is found together
_BIAS_VARIANCE = 0.05  # of the map
_ISOMETRY_BIAS = 1e-4  # small, so that slopes are near 1
_MULTIPLES = (1, 3, 6)  # of xi_c; 6: Schoenholz et al.
_LEARNT = 0.5  # training error below which a network of the map has learnt something
_FITTED = 0.1  # the same of the deepest ones


@dataclasses.dataclass(frozen=True)
class Training(Experiment):
    """Networks of one depth side by side, all weight variances at all rates; an instance has its own weights."""

    depth: int
    weights: str
    weight_variances: tuple[float, ...]
    bias_variance: float
    rates: tuple[float, ...]  # times the depth
    width: int
    n_images: int
    steps: int
    every: int  # steps between two looks at the training error
    images: str
    n_instances: int = 1
    seed: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.weights}_H{self.width}_L{self.depth}"

    @property
    def cost(self) -> float:
        """Products of all networks; looks at the error go forward only."""
        samples = self.steps * _BATCH + self.steps // self.every * self.n_images / 3
        return len(self.weight_variances) * len(self.rates) * samples * products(64, self.width, self.depth - 1)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train all of them on the same minibatches."""
        torch = require("torch")
        rng = np.random.default_rng([41, instance])
        some = pictures_of(self.images).chosen(self.n_images, rng)
        x, y = torch.from_numpy(some.normalised().astype(np.float32)), torch.from_numpy(some.labels)
        errors = []
        with torch_threads(1), torch.inference_mode():
            stack = self._stack(x.shape[1], child_seed(self.seed, instance))
            n = len(self.weight_variances) * len(self.rates)
            rates = torch.tensor(self.rates).repeat(len(self.weight_variances))[:, None, None] / (self.depth * _BATCH)
            for step in range(1, self.steps + 1):
                check(step, self.steps)
                rows = torch.from_numpy(rng.integers(len(x), size=_BATCH))
                values = stack.forward(x[rows].expand(n, -1, -1))
                delta = slopes("cross_entropy", values[-1], y[rows].expand(n, -1))
                stack.descend(values, delta.mul_(rates), [1.0] * self.depth, True)
                if step % self.every == 0:
                    chunks = zip(x.split(_CHUNK), y.split(_CHUNK), strict=True)
                    wrong = [stack.forward(some.expand(n, -1, -1))[-1].argmax(-1) != own for some, own in chunks]
                    errors.append(torch.cat(wrong, 1).double().mean(1).numpy())
        shape = (len(errors), len(self.weight_variances), len(self.rates))
        result = xr.Dataset(
            {"training_error": (("step", "weight_variance", "rate"), np.reshape(errors, shape))},
            {
                "step": self.every * np.arange(1, len(errors) + 1),
                "weight_variance": list(self.weight_variances),
                "rate": list(self.rates),
            },
            io.provenance("deepglass.reproduce.trainability", dataclasses.asdict(self)),
        )
        io.save(result, path)

    def _stack(self, n_inputs: int, seed: int) -> Stack:
        """Initial networks, of the same random numbers at all variances and rates."""
        torch = require("torch")
        networks = [
            fisher.Network(
                depth=self.depth, width=self.width, n_inputs=n_inputs, n_outputs=_N_CLASSES, activation="tanh",
                weight_variance=variance, bias_variance=self.bias_variance, weights=self.weights, seed=seed,
            )
            for variance in self.weight_variances
            for _ in self.rates
        ]  # fmt: skip
        weights, biases = (
            [torch.tensor(np.array(layer), dtype=torch.float32) for layer in zip(*parts, strict=True)]
            for parts in ([one.weights for one in networks], [one.biases for one in networks])
        )
        return Stack([w.transpose(1, 2).contiguous() for w in weights], [b.unsqueeze(1) for b in biases], "tanh")


class Sizes(NamedTuple):
    """What is computed: the map, and networks at the edge of chaos with small biases."""

    map: tuple[Training, ...]
    deep: tuple[Training, ...]


def _sizes(quick: bool, images: str) -> Sizes:
    edge = (round(float(meanfield.critical_weight_variance("tanh", _ISOMETRY_BIAS)), 6),)
    depths: Iterable[int]
    groups: tuple[tuple[float, ...], ...]
    deepest: tuple[int, ...]
    if quick:  # small matrices go side by side
        depths, groups = (
            (10, 15, 20, 30, 45, 65, 100, 150, 300),
            ((1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0),),
        )
        of_map = partial(Training, rates=(0.2,), width=64, n_images=300, steps=200, every=100)
        deepest = (30, 100, 300, 1000)
        of_deep = partial(Training, rates=(1.0,), width=64, n_images=300, steps=100, every=10)
    else:
        depths, groups = range(20, 301, 20), tuple((k / 10.0,) for k in range(10, 41))
        of_map = partial(Training, rates=(0.1, 0.3), width=300, n_images=2000, steps=1000, every=200)
        deepest = (100, 300, 1000, 3000, 10_000)
        of_deep = partial(Training, rates=(1.0,), width=128, n_images=2000, steps=1000, every=50)
    return Sizes(
        tuple(of_map(depth, "gaussian", group, _BIAS_VARIANCE, images=images) for depth in depths for group in groups),
        tuple(
            of_deep(depth, weights, edge, _ISOMETRY_BIAS, images=images)
            for weights in ("gaussian", "orthogonal")
            for depth in deepest
        ),
    )


def run(output: Path, *, quick: bool, images: Path | None = None) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _sizes(quick, str(Path(images).resolve()) if images else ""))


def _reproduce(output: Path, sizes: Sizes, workers: int = 0) -> list[Path]:
    require("torch")
    found = run_trainings((*sizes.map, *sizes.deep), output / "instances", workers)
    n = len(sizes.map)
    data = {
        "map": _with_theory(_joined(sizes.map, found[:n]).isel(weights=0)),
        "deep": _joined(sizes.deep, found[n:]).isel(weight_variance=0),
    }
    figures = {
        "map": partial(_figure_map, data["map"], sizes.map[0]),
        "deep": partial(_figure_deep, data["deep"], sizes.deep[0]),
    }
    return write(output, data, figures, _table(data, sizes, pictures_of(sizes.map[0].images).source))


# ---- Numbers


def _joined(trainings: tuple[Training, ...], results: list[xr.Dataset]) -> xr.Dataset:
    """Mean training errors, at the rate with the least one at the end: (weights, depth, weight_variance, step)."""
    parts = []
    for one, result in zip(trainings, results, strict=True):
        mean = result["training_error"].mean("instance")
        best = mean.isel(step=-1, drop=True).argmin("rate")
        part = xr.Dataset({"training_error": mean.isel(rate=best), "best_rate": result["rate"][best]})
        parts.append(part.drop_vars("rate").expand_dims(weights=[one.weights], depth=[one.depth]))
    joined = xr.combine_by_coords(parts, combine_attrs="drop_conflicts")
    assert isinstance(joined, xr.Dataset)
    return joined.transpose("weights", "depth", "weight_variance", "step")


def _with_theory(found: xr.Dataset) -> xr.Dataset:
    """With the depth scale, and the greatest depth that is learnt at each weight variance."""
    variances, depths = found["weight_variance"].values, found["depth"].values
    fine = np.linspace(variances[0], variances[-1], 601)
    greatest = [_greatest_depth(depths, column) for column in found["training_error"].isel(step=-1).values.T]
    return found.assign(
        greatest_depth=("weight_variance", greatest),
        xi_c=("weight_variance", meanfield.fixed_point("tanh", variances, _BIAS_VARIANCE)["xi_c"].values),
        fine_xi_c=("fine_variance", meanfield.fixed_point("tanh", fine, _BIAS_VARIANCE)["xi_c"].values),
    ).assign_coords(fine_variance=fine)


def _greatest_depth(depths: npt.NDArray[np.int64], errors: Array) -> float:
    """Where the training error first passes the threshold, interpolated in ln depth; at most the ends of the map."""
    above = np.flatnonzero(errors > _LEARNT)
    if not above.size:
        return float(depths[-1])
    i = int(above[0])
    if i == 0:
        return float(depths[0])
    return float(np.exp(np.interp(_LEARNT, errors[i - 1 : i + 1], np.log(depths[i - 1 : i + 1]))))


# ---- Table


def _table(data: dict[str, xr.Dataset], sizes: Sizes, source: str) -> list[Row]:
    found, one = data["map"], sizes.map[0]
    critical = float(meanfield.critical_weight_variance("tanh", _BIAS_VARIANCE))
    depth, variance = found["greatest_depth"], found["weight_variance"]
    # Where the line and the end of training are within the map
    first, last = found["depth"].values[[0, -1]]
    seen = (depth > first) & (depth < last) & (6.0 * found["xi_c"] < last)
    setting = f"{source}, H = {one.width}, {one.steps} steps, {one.n_images} images"
    rows = []
    for phase, there, said in (
        ("order", variance < critical, "gradients vanish"), ("chaos", variance > critical, "gradients explode"),
    ):  # fmt: skip
        ratios = (depth / found["xi_c"]).where(there & seen, drop=True)
        listed = ", ".join(f"{float(r):.1f} at {float(r['weight_variance']):g}" for r in ratios)
        near = bool(ratios.size) and bool(((ratios > 3.0) & (ratios < 12.0)).all())
        rows.append(
            Row(
                f"{phase} ({said}): training ends at depth / xi_c", "6 (Schoenholz et al.)", listed or "-",
                "within a factor of 2" if near else "not at this size",
                f"by weight variance, where the error passes {_LEARNT:g}; {setting}",
            )
        )  # fmt: skip
    best, apart = float(variance[int(np.argmax(depth.values))]), np.diff(variance)
    rows.append(
        Row(
            "weight variance trained deepest", f"{critical:.4f}, the edge of chaos", f"{best:g}",
            f"{best - critical:+.2f}", f"depth {float(depth.max()):.0f}; {apart.min():g} to {apart.max():g} apart",
        )
    )  # fmt: skip
    deep, one = data["deep"], sizes.deep[0]
    for kind in deep["weights"].values:
        errors = dict(
            zip(deep["depth"].values, deep["training_error"].sel(weights=kind).isel(step=-1).values, strict=True)
        )
        fitted = [d for d, error in errors.items() if error < _FITTED]
        rows.append(
            Row(
                f"{kind} weights: greatest depth with error < {_FITTED:g}",
                "needed; 10,000 layers (CNN)" if kind == "orthogonal" else "-",
                f"{max(fitted)}" if fitted else "none", "-",
                "error " + ", ".join(f"{error:.2f} (L = {d})" for d, error in errors.items())
                + f"; H = {one.width}, {one.steps} steps, weight variance {one.weight_variances[0]:.4f}, "
                f"bias variance {one.bias_variance:g}",
            )
        )  # fmt: skip
    return rows


# ---- Pictures


def _borders(centres: Array) -> Array:
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2.0 * centres[0] - middle[0]], middle, [2.0 * centres[-1] - middle[-1]]])


def _figure_map(found: xr.Dataset, one: Training) -> Figure:
    figure, ax = pyplot.subplots(figsize=(6.4, 4.2))
    x, y = _borders(found["weight_variance"].values), np.exp(_borders(np.log(found["depth"].values)))
    error = found["training_error"].isel(step=-1)
    mesh = ax.pcolormesh(x, y, error, cmap="copper", vmin=0.0, vmax=_CHANCE)
    figure.colorbar(mesh, ax=ax, label=f"training error after {one.steps} steps")
    for multiple, style in zip(_MULTIPLES, (":", "--", "-"), strict=True):
        name = r"\xi_c" if multiple == 1 else rf"{multiple}\,\xi_c"
        ax.plot(found["fine_variance"], multiple * found["fine_xi_c"], style, color="w", lw=1.6, label=f"$L = {name}$")
    ax.set(yscale="log", xlabel=r"weight variance $\sigma_w^2$", ylabel="depth $L$", xlim=(1.0, 4.0), ylim=y[[0, -1]])
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.set_title(rf"tanh, $\sigma_b^2 = {one.bias_variance:g}$, width {one.width}", loc="left", fontsize=9)
    ax.legend(loc="upper right", frameon=True, facecolor="k", labelcolor="w")
    return figure


def _figure_deep(found: xr.Dataset, one: Training) -> Figure:
    figure, ax = pyplot.subplots(figsize=(6.8, 3.6))
    depths = found["depth"].values
    shades = pyplot.get_cmap("viridis_r")(np.linspace(0.15, 0.95, len(depths)))
    for kind, style in (("orthogonal", "-"), ("gaussian", "--")):
        for depth, shade in zip(depths, shades, strict=True):
            at = found["training_error"].sel(weights=kind, depth=depth)
            ax.plot(at["step"], at, style, color=shade, label=f"{kind.capitalize()}, $L = {depth}$")
    ax.axhline(_CHANCE, color="0.6", linewidth=0.7, linestyle=":")
    ax.set(xlabel="steps", ylabel="training error", ylim=(0.0, 1.0), xlim=(0, one.steps))
    ax.set_title(
        rf"Edge of chaos, $\sigma_w^2 = {one.weight_variances[0]:.4f}$, $\sigma_b^2 = {one.bias_variance:g}$, "
        f"width {one.width}", loc="left", fontsize=9,
    )  # fmt: skip
    figure.legend(loc="outside right center", fontsize="small")
    return figure
