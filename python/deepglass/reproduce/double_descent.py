"""Double descent: least squares exactly and simulated, random features, trained networks (talk of T. Mori).

Yardsticks: the exact risk of least squares on independent features, without ridge and with the best one; for random
features of a network with one hidden layer, regression with the covariance kernel of infinitely many.  Networks with
one hidden layer are trained with the squared loss on 1-local labels, a fifth of them flipped; bias and variance are
over training sets and initial weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from .. import io, kernels, learning
from ..learning._torch import require
from ..plot import Axes, Figure, pyplot
from ..random import child_seed
from ._experiment import Experiment
from ._report import Row, write
from ._trainings import mean_of, products, run_trainings

__all__ = ["run"]

_NOISE = 0.25
_RIDGE = 1e-3  # of random features


@dataclasses.dataclass(frozen=True)
class Width(Experiment):
    """Networks of one width; an instance is a set of trainings with test points of its own."""

    width: int
    n_inputs: int
    n_train: int
    n_repeats: int
    max_epochs: int
    flipped: float = 0.2
    learning_rate: float = 0.05
    n_instances: int = 2
    seed: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"H{self.width}_D{self.n_inputs}_N{self.n_train}"

    @property
    def cost(self) -> float:
        """Products; most networks go on to the last epoch."""
        return self.n_repeats * self.max_epochs * self.n_train * products(self.n_inputs, self.width, 1)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train and test."""
        own = child_seed(self.seed, instance)
        found = learning.width_sweep(
            learning.KLocal(self.n_inputs, k=1, seed=own), [self.width], self.n_train, flipped=self.flipped,
            learning_rate=self.learning_rate, stop_loss=1e-3, max_epochs=self.max_epochs, n_repeats=self.n_repeats,
            seed=own, threads=1, progress=check,
        )  # fmt: skip
        io.save(found.isel(width=0), path)


class Sizes(NamedTuple):
    """What is computed."""

    ratios: tuple[float, ...]  # features / samples
    n_samples: int
    n_repeats: int
    dimension: int  # of the inputs of random features
    widths: tuple[Width, ...]


_RATIOS = (0.1, 0.2, 0.5, 0.8, 0.9, 1.1, 1.25, 2.0, 4.0, 10.0)
_QUICK = Sizes(_RATIOS, 100, 60, 20, tuple(Width(width, 15, 100, 8, 400) for width in (1, 2, 4, 6, 10, 20, 60)))
_FULL = Sizes(
    (*_RATIOS, 0.95, 1.05, 1.5, 3.0, 20.0), 200, 200, 50,
    tuple(Width(w, 40, 400, 40, 4000, n_instances=5) for w in (1, 2, 3, 5, 7, 9, 11, 14, 20, 40, 100, 300, 1000)),
)  # fmt: skip


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, sizes: Sizes, workers: int = 0) -> list[Path]:
    require("torch")
    data = {"least_squares": _least_squares(sizes), "random_features": _random_features(sizes)}
    runs = run_trainings(sizes.widths, output / "instances", workers)
    data["networks"] = xr.concat(runs, "width", combine_attrs="drop_conflicts")
    figures = {"double_descent": partial(_figure, data, sizes)}
    return write(output, data, figures, _table(data, sizes))


# ---- Numbers


def _features(sizes: Sizes) -> list[int]:
    return sorted(round(ratio * sizes.n_samples) for ratio in sizes.ratios)


def _least_squares(sizes: Sizes) -> xr.Dataset:
    """Simulated, exact, and exact with the best ridge, s^2 p / n."""
    p, n = _features(sizes), sizes.n_samples
    found = learning.least_squares_simulation(p, n, noise_variance=_NOISE, n_repeats=sizes.n_repeats, seed=1)
    exact = learning.least_squares_risk(p, n, noise_variance=_NOISE)
    best = [
        float(learning.least_squares_risk(k, n, noise_variance=_NOISE, ridge=_NOISE * k / n).risk.item()) for k in p
    ]
    for name in ("bias", "variance", "risk"):
        found[f"exact_{name}"] = exact[name]
    found["best_ridge_risk"] = ("n_features", best)
    return found


def _random_features(sizes: Sizes) -> xr.Dataset:
    """Simulated without ridge and with a small one, and the kernel of infinitely many with it."""
    p, n = _features(sizes), sizes.n_samples
    options = {"noise_variance": _NOISE, "dimension": sizes.dimension, "n_repeats": sizes.n_repeats, "seed": 2}
    found = learning.least_squares_simulation(p, n, **options)  # type: ignore[arg-type]
    with_ridge = learning.least_squares_simulation(p, n, ridge=_RIDGE, **options)  # type: ignore[arg-type]
    for name in ("risk", "risk_error"):
        found[f"ridge_{name}"] = with_ridge[name]
    limits = []
    for repeat in range(min(20, sizes.n_repeats)):
        rng = np.random.default_rng([3, repeat])
        x, x_test = rng.standard_normal((n, sizes.dimension)), rng.standard_normal((1000, sizes.dimension))
        b = rng.standard_normal(sizes.dimension)
        b /= np.linalg.norm(b)
        kernel, cross = (
            np.asarray(
                kernels.nngp(one, other, activation="relu", hidden_layers=1, weight_variance=1.0, bias_variance=0.0)
            )
            for one, other in ((x, None), (x_test, x))
        )
        predict = np.linalg.solve(kernel + n * _RIDGE * np.eye(n), cross.T).T
        limits.append(np.mean((predict @ (x @ b) - x_test @ b) ** 2) + _NOISE * np.sum(predict**2) / len(x_test))
    limit = mean_of(xr.DataArray(limits, dims="instance"))
    found["limit"], found["limit_error"] = limit.value, limit.error
    return found


# ---- Table


def _table(data: dict[str, xr.Dataset], sizes: Sizes) -> list[Row]:
    exact, n = data["least_squares"], sizes.n_samples
    rows = []
    for ratio in (0.2, 0.5, 2.0, 4.0, 10.0):
        at = exact.sel(n_features=round(ratio * n))
        pull = float((at["risk"] - at["exact_risk"]) / at["risk_error"])
        rows.append(
            Row(
                f"least squares, p/n = {ratio:g}: risk", f"{float(at['exact_risk']):.4f}", f"{float(at['risk']):.4f}",
                f"{float(at['risk'] - at['exact_risk']):+.4f}",
                f"exact formula; {pull:+.1f} errors, n = {n}, {sizes.n_repeats} draws",
            )
        )  # fmt: skip
    descends = bool(np.all(np.diff(exact["best_ridge_risk"].sel(n_features=slice(None, n)).values) > 0.0))
    ridge = exact["best_ridge_risk"]
    below = bool((ridge <= exact["exact_risk"] + 1e-3).all()) and descends
    rows.append(
        Row("  the best ridge has no peak", "yes", "yes" if below else "no", "-", "exact limit of many samples")
    )
    features = data["random_features"]
    risk = features["risk"].values
    peak = int(features["n_features"][int(np.argmax(risk))])
    rows.append(
        Row(
            "random features: peak at p/n", "1", f"{peak / n:g}", "-",
            f"risk {risk.max():.3g}; at p/n = {features['n_features'].values[-1] / n:g} {risk[-1]:.3g}, "
            f"at {features['n_features'].values[0] / n:g} {risk[0]:.3g}",
        )
    )  # fmt: skip
    last = features.isel(n_features=-1)
    gap = float(last["ridge_risk"] - last["limit"])
    error = float(np.hypot(last["ridge_risk_error"], last["limit_error"]))
    rows.append(
        Row(
            f"  p/n = {int(last['n_features']) / n:g}, ridge {_RIDGE:g}: risk", f"{float(last['limit']):.4f}",
            f"{float(last['ridge_risk']):.4f}", f"{gap:+.4f}",
            f"infinitely many features, the covariance kernel; {gap / error:+.1f} errors, corrections n/p",
        )
    )  # fmt: skip
    networks = data["networks"]
    setting = f"D = {sizes.widths[0].n_inputs}, N = {sizes.widths[0].n_train}, rate {sizes.widths[0].learning_rate:g}"
    means = [mean_of(networks["test_error"].isel(width=i)) for i in range(networks.sizes["width"])]
    values = np.array([one.value for one in means])
    # A peak: the largest error at a width that is neither the first nor the last, beyond the errors
    top = int(np.nanargmax(values[1:-1])) + 1
    before, after = values[:top].min(), values[-1]
    spread = 3.0 * means[top].error
    seen = values[top] - before > spread and values[top] - after > spread
    fraction = float(networks["n_parameters"].isel(width=top).mean()) / sizes.widths[0].n_train
    rows.append(
        Row(
            "networks: test error has a peak", "yes", "reproduced" if seen else "not at this size",
            f"{values[top] - after:+.3f}",
            f"{setting}: {means[top]} at H = {int(networks['width'][top])}, parameters / N = {fraction:.2f}; "
            f"least before {before:.3f}, widest {means[-1]}; {int(networks['n_dead'].sum())} dead runs",
        )
    )  # fmt: skip
    variance = [mean_of(networks["variance"].isel(width=i)) for i in range(networks.sizes["width"])]
    largest = int(np.nanargmax([one.value for one in variance]))
    rows.append(
        Row(
            "  it is variance", "yes", "yes" if 0 < largest < len(variance) - 1 else "no", "-",
            f"largest at H = {int(networks['width'][largest])}: {variance[largest]}; widest {variance[-1]}",
        )
    )  # fmt: skip
    return rows


# ---- Picture


def _points(ax: Axes, x: xr.DataArray, result: xr.Dataset, name: str, colour: str, label: str) -> None:
    ax.errorbar(
        x, result[name], result[f"{name}_error"], color=colour, marker="o", linestyle="", capsize=2.0, label=label
    )


def _figure(data: dict[str, xr.Dataset], sizes: Sizes) -> Figure:
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(10.2, 3.6))
    n = sizes.n_samples
    found = data["least_squares"]
    p = np.unique(np.round(np.geomspace(found["n_features"].min(), found["n_features"].max(), 400)).astype(int))
    p = p[np.abs(p - n) > 1]
    exact = learning.least_squares_risk(p.tolist(), n, noise_variance=_NOISE)
    for name, colour in (("risk", "C0"), ("variance", "C1"), ("bias", "C2")):
        for part in (p < n, p > n):
            left.plot(p[part] / n, exact[name].values[part], color=colour, label=name if part[-1] else "_")
        _points(left, found["n_features"] / n, found, name, colour, "_")
    left.plot(found["n_features"] / n, found["best_ridge_risk"], color="0.5", linestyle="--", label="best ridge")
    left.set(xscale="log", yscale="log", ylim=(5e-3, 30.0), xlabel="features / samples", ylabel="risk")
    left.set_title("Least squares, independent features\n(lines exact, marks simulated)", loc="left", fontsize=9)
    left.legend(fontsize="x-small", loc="upper left")

    found = data["random_features"]
    x = found["n_features"] / n
    _points(middle, x, found, "risk", "C0", "no ridge")
    _points(middle, x, found, "ridge_risk", "C1", f"ridge {_RIDGE:g}")
    limit, error = float(found["limit"]), float(found["limit_error"])
    middle.axhline(limit, color="C2", label="infinitely many\n(kernel)")
    middle.axhspan(limit - error, limit + error, color="C2", alpha=0.2, linewidth=0.0)
    middle.set(xscale="log", yscale="log", xlabel="features / samples")
    middle.set_title(f"Random features of ReLU,\n$d={sizes.dimension}$, $n={n}$", loc="left", fontsize=9)
    middle.legend(fontsize="x-small")

    found = data["networks"]
    x = found["n_parameters"].isel(instance=0) / sizes.widths[0].n_train
    for name, colour, label in (
        ("test_error", "C0", "test error"), ("variance", "C1", "variance"), ("bias", "C2", "bias"),
    ):  # fmt: skip
        means = [mean_of(found[name].isel(width=i)) for i in range(found.sizes["width"])]
        right.errorbar(
            x, [one.value for one in means], [one.error for one in means], color=colour, marker="o", capsize=2.0,
            label=label,
        )  # fmt: skip
    right.plot(x, found["train_error"].mean("instance"), color="0.5", linestyle=":", label="training error")
    right.axvline(1.0, color="0.8", linewidth=0.7, zorder=0)
    right.set(xscale="log", xlabel="parameters / samples", ylim=(0.0, None))
    one = sizes.widths[0]
    right.set_title(
        f"Networks, 1-local label, {one.flipped:.0%} flipped,\n$D={one.n_inputs}$, $N={one.n_train}$", loc="left",
        fontsize=9,
    )  # fmt: skip
    right.legend(fontsize="x-small")
    return figure
