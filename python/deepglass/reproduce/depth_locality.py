"""Is deeper better?  Test errors of shallow and deep networks for local and global labels (talk of T. Mori).

Networks with ReLU, cross entropy, stochastic gradient descent with minibatches of 50 to no error.  A k-local label is
the sign of the product of k inputs, a k-global one that of a sum of such products along a ring; or the label tells
which of two temperatures a Gaussian chain has.  The rate is the best one of a few on 20,000 validation samples; test
errors are of 20,000 others.

Yardsticks: the least error, exact for temperatures and 0 for the others (a network with four hidden units has it for
2-local labels); a guess, 1/2; classification by the tangent kernel of the infinitely wide network of the same depth, on
the same samples; 1-local and 1-global labels differ by a rotation of the inputs only, so that their errors must agree.

Beside them descent with enhanced noise, a grad L_B + (1 - a) grad L_B' (arXiv:2009.13094), and plain descent with
minibatches so much smaller that the covariance of a step is the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.stats import t as student

from .. import io, kernels, learning
from ..learning._torch import require
from ..plot import Figure, pyplot, ticker
from ..random import child_seed
from ..stats import Estimate
from ._experiment import Experiment
from ._report import Row, write
from ._trainings import mean_of, products, run_trainings

__all__ = ["run"]

_N_TEST = 20_000
_BATCH = 50
_EPOCHS = 60  # expected, for the hours
_BETAS = [0.3, 0.2]  # of the Gaussian chain, whose energy is a 2-global sum


def _law(label: str, n_inputs: int, k: int, seed: int) -> learning.DataLaw:
    if label == "chain":
        return learning.GaussianChain(n_inputs, betas=_BETAS)
    return (learning.KLocal if label == "local" else learning.KGlobal)(n_inputs, k=k, seed=seed)


def _title(label: str, k: int) -> str:
    return "temperature" if label == "chain" else f"{k}-{label}"


@dataclasses.dataclass(frozen=True)
class Cell(Experiment):
    """One label, one size, one depth; an instance has its own sites, samples and initial weights."""

    label: str
    k: int
    n_inputs: int
    n_train: int
    width: int
    hidden_layers: int
    rates: tuple[float, ...]
    n_instances: int = 3
    seed: int = 1
    batch: int = _BATCH
    extrapolation: float = 1.0

    @property
    def setting(self) -> tuple[str, int, int, int, int]:
        """All but the depth and the rates."""
        return self.label, self.k, self.n_inputs, self.n_train, self.width

    @property
    def name(self) -> str:
        """For files."""
        noise = "" if self.noise == 1.0 else f"_B{self.batch}_a{self.extrapolation:g}"
        return f"{self.k}{self.label}_D{self.n_inputs}_N{self.n_train}_H{self.width}_L{self.hidden_layers}{noise}"

    @property
    def noise(self) -> float:
        """Covariance of a step beside that of plain descent with minibatches of 50 out of many samples."""
        return learning.noise_factor(self.extrapolation) * _BATCH / self.batch

    @property
    def cost(self) -> float:
        """Products of all rates."""
        return len(self.rates) * _EPOCHS * self.n_train * products(self.n_inputs, self.width, self.hidden_layers)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train at all rates, and classify by the kernel; depths share samples."""
        own = child_seed(self.seed, instance)
        law = _law(self.label, self.n_inputs, self.k, child_seed(own, 0))
        (x, y), valid, test = (
            (drawn["inputs"].values, drawn["labels"].values)
            for drawn in (
                law.draw(n, seed=child_seed(own, 1 + i)) for i, n in enumerate((self.n_train, _N_TEST, _N_TEST))
            )
        )
        trained = learning.train(
            x, y, [child_seed(own, 4)] * len(self.rates), self.rates, hidden_layers=self.hidden_layers,
            width=self.width, batch=self.batch, extrapolation=self.extrapolation, threads=1, progress=check,
        )  # fmt: skip
        kernel = kernels.ntk_classification(
            x, y, test[0][:5000], activation="relu", hidden_layers=self.hidden_layers, weight_variance=2.0,
            bias_variance=0.0, threads=1,
        )["label"]  # fmt: skip
        alive = trained.state != "dead"
        result = xr.Dataset(
            {
                "validation_error": ("rate", np.where(alive, trained.error(*valid), 0.5)),
                "test_error": ("rate", np.where(alive, trained.error(*test), np.nan)),
                "state": ("rate", trained.state),
                "epochs": ("rate", trained.epochs),
                "displacement": ("rate", trained.displacement),
                "bayes_error": law.bayes_error,
                "kernel_error": float(np.mean(kernel.values != test[1][:5000])),
            },
            {"rate": list(self.rates)},
            io.provenance("deepglass.reproduce.depth_locality", dataclasses.asdict(self)),
        )
        io.save(result, path)


_Setting = tuple[str, int, int, int, int, tuple[float, ...]]


def _cells(depths: tuple[int, ...], n_instances: int, *settings: _Setting) -> tuple[Cell, ...]:
    return tuple(
        Cell(label, k, n_inputs, n_train, width, depth, rates, n_instances)
        for label, k, n_inputs, n_train, width, rates in settings
        for depth in depths
    )


_QUICK = _cells(
    (1, 3), 4,
    ("local", 1, 30, 300, 64, (0.1, 0.4)),
    ("global", 1, 30, 300, 64, (0.1, 0.4)),
    ("global", 2, 30, 600, 64, (0.05, 0.2, 0.6)),
    ("local", 3, 15, 800, 64, (0.2, 0.5, 1.0)),
    ("global", 3, 10, 800, 64, (0.05, 0.2, 0.6)),
    ("chain", 2, 100, 1500, 64, (0.1, 0.4)),
) + _cells((1, 3), 8, ("local", 2, 40, 400, 64, (0.2, 0.4, 0.8)))  # fmt: skip
_FULL = _cells(
    (1, 3, 5, 7), 6,
    ("local", 1, 100, 1000, 200, (0.02, 0.1, 0.4)),
    ("global", 1, 100, 1000, 200, (0.02, 0.1, 0.4)),
    ("local", 2, 100, 2000, 200, (0.2, 0.4, 0.8)),
    ("local", 2, 100, 4000, 200, (0.2, 0.5)),
    ("local", 2, 500, 8000, 300, (0.2, 0.4)),
    ("global", 2, 100, 4000, 200, (0.05, 0.2, 0.6)),
    ("local", 3, 40, 4000, 200, (0.2, 0.5, 1.0)),
    ("global", 3, 20, 4000, 200, (0.05, 0.2, 0.6)),
    ("chain", 2, 100, 4000, 200, (0.1, 0.4)),
)  # fmt: skip

# More noise: by enhancement, and by smaller minibatches
_NOISE = ((1.0, 50), (1.5, 50), (2.0, 50), (3.0, 50), (1.0, 20), (1.0, 10), (1.0, 4))


def _noisy(label: str, k: int, n_inputs: int, n_train: int, width: int, rates: tuple[float, ...]) -> tuple[Cell, ...]:
    return tuple(
        Cell(label, k, n_inputs, n_train, width, 1, rates, 6, batch=batch, extrapolation=a) for a, batch in _NOISE
    )


_QUICK_NOISE = _noisy("local", 2, 40, 400, 64, (0.2, 0.8))
_FULL_NOISE = _noisy("local", 2, 100, 2000, 200, (0.1, 0.2, 0.4, 0.8))

# What the talk says of deep networks, beside those with one hidden layer.
_TALK = {("local", 1): "shallow", ("global", 1): "shallow", ("local", 2): "deep", ("global", 2): "shallow",
         ("local", 3): "deep", ("global", 3): "shallow", ("chain", 2): "shallow"}  # fmt: skip


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, *((_QUICK, _QUICK_NOISE) if quick else (_FULL, _FULL_NOISE)))


def _reproduce(output: Path, cells: tuple[Cell, ...], noisy: tuple[Cell, ...], workers: int = 0) -> list[Path]:
    require("torch")
    results = run_trainings((*cells, *noisy), output / "instances", workers)
    depths, noises = (
        dict(zip(some, found, strict=True))
        for some, found in ((cells, results[: len(cells)]), (noisy, results[len(cells) :]))
    )
    figures = {"depth_locality": partial(_figure, depths), "noise": partial(_figure_noise, noises)}
    data = {cell.name: result for cell, result in {**noises, **depths}.items()}
    return write(output, data, figures, [*_table(depths), *_table_noise(noises)])


# ---- Numbers


def _best(result: xr.Dataset) -> xr.Dataset:
    """At the rate with the least mean validation error."""
    return result.isel(rate=int(np.argmin(result["validation_error"].mean("instance").values)))


def _settings(results: dict[Cell, xr.Dataset]) -> dict[tuple[str, int, int, int, int], dict[int, xr.Dataset]]:
    found: dict[tuple[str, int, int, int, int], dict[int, xr.Dataset]] = {}
    for cell, result in results.items():
        found.setdefault(cell.setting, {})[cell.hidden_layers] = result
    return found


def _table(results: dict[Cell, xr.Dataset]) -> list[Row]:
    rows = []
    firsts: dict[str, Estimate] = {}
    for (label, k, n_inputs, n_train, width), depths in _settings(results).items():
        best = {depth: _best(result) for depth, result in depths.items()}
        errors = {depth: mean_of(at["test_error"]) for depth, at in best.items()}
        shallow = min(depths)
        deep = min((depth for depth in depths if depth != shallow), key=lambda depth: errors[depth].value)
        # The same samples: differences of each instance
        gap = mean_of(best[deep]["test_error"] - best[shallow]["test_error"])
        said = _TALK[label, k]
        pull = gap.pull(0.0) if gap.error > 0.0 else 0.0
        # Student's t, for the few instances
        limit = float(student.ppf(0.975, max(1, best[deep].sizes["instance"] - 1)))
        better = "no difference" if abs(pull) < limit else "deep" if pull < 0.0 else "shallow"
        verdict = "reproduced" if better == said else "not at this size" if better != "no difference" else "open"
        rates = ", ".join(f"{float(at['rate']):g}" for at in best.values())
        dead = sum(int((result["state"] == "dead").sum()) for result in depths.values())
        rows.append(
            Row(
                f"{_title(label, k)}, D = {n_inputs}, N = {n_train}, H = {width}: better", said, better, verdict,
                "error " + ", ".join(f"{errors[depth]} (L = {depth})" for depth in depths)
                + f"; L = {deep} minus L = {shallow} {gap}, {pull:+.1f} errors of "
                f"{limit:.1f}; rates {rates}; {dead} dead runs",
            )
        )  # fmt: skip
        kernel = ", ".join(f"{mean_of(at['kernel_error'])} (L = {depth})" for depth, at in best.items())
        least = min(errors.values(), key=lambda one: one.value)
        bayes = float(best[shallow]["bayes_error"][0])
        by_kernel = min((mean_of(at["kernel_error"]) for at in best.values()), key=lambda one: one.value)
        excess = by_kernel.value - least.value
        rows.append(
            Row(
                "  the tangent kernel fails", "-" if label == "chain" else "yes", "yes" if excess > 0.02 else "no",
                f"{excess:+.3f}", f"its errors {kernel}; least error of all classifiers {bayes:.4g}",
            )
        )  # fmt: skip
        if k == 1:
            firsts[label] = errors[shallow]
    if len(firsts) == 2:
        local, ring = firsts["local"], firsts["global"]
        gap = Estimate(local.value - ring.value, math.hypot(local.error, ring.error))
        rows.append(
            Row(
                "1-local = 1-global", "equal", f"{local} and {ring}", f"{gap}",
                f"a rotation of the inputs; {gap.pull(0.0):+.1f} errors",
            )
        )  # fmt: skip
    return rows


def _table_noise(results: dict[Cell, xr.Dataset]) -> list[Row]:
    first, plain = next(iter(results.items()))
    rows = []
    for rate in first.rates:

        def error(cell: Cell, rate: float = rate) -> xr.DataArray:
            return results[cell]["test_error"].sel(rate=rate)

        enhanced = [cell for cell in results if cell.extrapolation != 1.0 and bool(error(cell).notnull().all())]
        if not enhanced:
            continue
        best = min(enhanced, key=lambda cell: float(error(cell).mean()))
        gap = mean_of(error(best) - plain["test_error"].sel(rate=rate))
        limit = float(student.ppf(0.975, max(1, first.n_instances - 1)))
        seen = "no difference" if abs(gap.value) < limit * gap.error else "yes" if gap.value < 0.0 else "no"
        rows.append(
            Row(
                f"{first.k}-{first.label}, N = {first.n_train}, rate {rate:g}: enhanced noise generalises better",
                "yes (arXiv:2009.13094)", seen, f"{gap}",
                f"error {mean_of(error(best))} at a = {best.extrapolation:g}, {mean_of(error(first))} without",
            )
        )  # fmt: skip
        for other in results:
            same = next((cell for cell in enhanced if math.isclose(cell.noise, other.noise)), None)
            if other.extrapolation == 1.0 and same is not None and bool(error(other).notnull().all()):
                gap = mean_of(error(same) - error(other))
                agree = abs(gap.value) < limit * gap.error
                rows.append(
                    Row(
                        f"  as minibatches of {other.batch}, a = {same.extrapolation:g}", "the same covariance",
                        "the same error" if agree else "another error", f"{gap}",
                        f"error {mean_of(error(same))}, {mean_of(error(other))} with smaller minibatches, "
                        f"{first.batch / other.batch:g} times the steps in an epoch",
                    )
                )  # fmt: skip
    return rows


# ---- Pictures


def _figure(results: dict[Cell, xr.Dataset]) -> Figure:
    settings = _settings(results)
    n_columns = min(4, -(-len(settings) // 2))
    n_rows = -(-len(settings) // n_columns)
    figure, axes = pyplot.subplots(n_rows, n_columns, figsize=(2.5 * n_columns, 2.5 * n_rows + 0.7), squeeze=False)
    for ax, ((label, k, n_inputs, n_train, width), depths) in zip(axes.flat, settings.items(), strict=False):
        layers = list(depths)
        best = [_best(result) for result in depths.values()]
        errors = [mean_of(at["test_error"]) for at in best]
        kernel = [mean_of(at["kernel_error"]) for at in best]
        ax.errorbar(
            layers, [e.value for e in errors], [e.error for e in errors], color="C0", marker="o", capsize=2.0,
            label="trained network",
        )  # fmt: skip
        ax.errorbar(
            layers, [e.value for e in kernel], [e.error for e in kernel], color="C1", linestyle="--", capsize=2.0,
            label="tangent kernel (infinite width)",
        )  # fmt: skip
        ax.axhline(float(best[0]["bayes_error"][0]), color="C2", linewidth=1.0, label="least error")
        ax.axhline(0.5, color="0.6", linewidth=0.7, linestyle=":", label="guess")
        ax.set(xticks=layers, xlim=(min(layers) - 0.5, max(layers) + 0.5), ylim=(-0.02, 0.55))
        ax.set_title(f"{_title(label, k)}: $D={n_inputs}$, $N={n_train}$, $H={width}$", loc="left", fontsize=8)
    for ax in axes.flat[len(settings) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("hidden layers $L$")
    for ax in axes[:, 0]:
        ax.set_ylabel("test error")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize="small")
    return figure


def _figure_noise(results: dict[Cell, xr.Dataset]) -> Figure:
    first = next(iter(results))
    figure, axes = pyplot.subplots(
        1, len(first.rates), figsize=(2.9 * len(first.rates), 3.2), squeeze=False, sharey=True
    )
    for ax, rate in zip(axes.flat, first.rates, strict=True):
        for label, colour, own in (
            (f"enhanced noise, $B={_BATCH}$", "C0", [cell for cell in results if cell.batch == _BATCH]),
            ("plain, smaller minibatches", "C1", [cell for cell in results if cell.extrapolation == 1.0]),
        ):
            alive = [cell for cell in own if bool(results[cell]["test_error"].sel(rate=rate).notnull().all())]
            means = [mean_of(results[cell]["test_error"].sel(rate=rate)) for cell in alive]
            ax.errorbar(
                [cell.noise for cell in alive], [e.value for e in means], [e.error for e in means], color=colour,
                marker="o", capsize=2.0, label=label,
            )  # fmt: skip
        ax.set(xscale="log", xlabel="noise of a step, $a^2 + (1-a)^2$ or $50/B$", xticks=[1, 2.5, 5, 12.5])
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.set_title(f"rate {rate:g}", loc="left", fontsize=9)
    axes[0, 0].set_ylabel(f"test error, {first.k}-{first.label}, $D={first.n_inputs}$, $N={first.n_train}$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize="small")
    return figure
