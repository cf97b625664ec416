"""From lazy training to feature learning: width and learning rate (talk of T. Mori).

Squared loss, NTK parametrisation, outputs counted from those at the start.  Yardsticks: classification by the tangent
kernel, the limit of large width at any stable rate; the relative displacement of the parameters, which falls as
H^(-1/2) in the kernel regime; a network with four hidden units, written down, without error on 2-local labels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .. import io, learning
from ..learning._torch import require
from ..plot import Figure, pyplot, ticker
from ..random import child_seed
from ._experiment import Experiment
from ._report import Row, write
from ._trainings import mean_of, products, run_trainings

__all__ = ["run"]

_LAWS = {"local": learning.KLocal, "global": learning.KGlobal}


@dataclasses.dataclass(frozen=True)
class Sweep(Experiment):
    """Widths and rates for one label; an instance has its own samples and initial weights."""

    label: str
    k: int
    n_inputs: int
    n_train: int
    widths: tuple[int, ...]
    rates: tuple[float, ...]
    hidden_layers: int = 1
    max_epochs: int = 300
    n_instances: int = 2
    seed: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"{self.k}{self.label}_D{self.n_inputs}_N{self.n_train}_L{self.hidden_layers}"

    @property
    def cost(self) -> float:
        """Products of all widths and rates."""
        per_sample = sum(products(self.n_inputs, width, self.hidden_layers) for width in self.widths)
        return len(self.rates) * self.max_epochs * self.n_train * per_sample

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """All widths and rates on the same samples."""
        own = child_seed(self.seed, instance)
        law: Any = _LAWS[self.label](self.n_inputs, k=self.k, seed=child_seed(own, 0))
        found = learning.lazy_sweep(
            law, self.hidden_layers, self.widths, self.rates, self.n_train, n_repeats=1,
            max_epochs=self.max_epochs, seed=child_seed(own, 1), threads=1, progress=check,
        ).isel(repeat=0)  # fmt: skip
        if (self.label, self.k) == ("local", 2):
            test = law.draw(20_000, seed=child_seed(own, 2))
            small = learning.two_local_network(self.n_inputs, law.places)
            found["four_units_error"] = small.error(test["inputs"].values, test["labels"].values == 1).item()
        io.save(found, path)


_QUICK = (
    Sweep("local", 1, 20, 200, (16, 64, 256), (0.1, 0.4, 1.6)),
    Sweep("local", 2, 20, 600, (16, 64, 256), (0.1, 0.4, 1.6)),
    Sweep("global", 2, 20, 400, (16, 64, 256), (0.1, 0.4, 1.6)),
)
_WIDE = {"widths": (16, 64, 256, 1024, 4096), "rates": (0.05, 0.1, 0.2, 0.4, 0.8, 1.6), "n_instances": 6}
_FULL = (
    Sweep("local", 1, 100, 1000, max_epochs=1000, **_WIDE),  # type: ignore[arg-type]
    Sweep("local", 2, 100, 2000, max_epochs=1000, **_WIDE),  # type: ignore[arg-type]
    Sweep("global", 2, 100, 2000, max_epochs=1000, **_WIDE),  # type: ignore[arg-type]
)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, sweeps: tuple[Sweep, ...], workers: int = 0) -> list[Path]:
    require("torch")
    results = dict(zip(sweeps, run_trainings(sweeps, output / "instances", workers), strict=True))
    figures = {"lazy_feature": partial(_figure, results)}
    return write(output, {sweep.name: result for sweep, result in results.items()}, figures, _table(results))


# ---- Table


def _table(results: dict[Sweep, xr.Dataset]) -> list[Row]:
    rows = []
    for sweep, result in results.items():
        title = f"{sweep.k}-{sweep.label}, D = {sweep.n_inputs}, N = {sweep.n_train}, L = {sweep.hidden_layers}"
        kernel = mean_of(result["kernel_error"])
        wide = result.isel(width=-1)
        middle = int(np.argsort(sweep.rates)[len(sweep.rates) // 2])
        moved = result["displacement"].isel(learning_rate=middle).mean("instance")
        first, last = sweep.widths[-2:]
        exponent = float(np.log(moved[-1] / moved[-2])) / np.log(last / first)
        rows.append(
            Row(
                f"{title}: displacement ~ H^x", "-1/2", f"{exponent:.3f}", f"{exponent + 0.5:+.3f}",
                f"H = {first} and {last}, rate {sweep.rates[middle]:g}",
            )
        )  # fmt: skip
        apart = mean_of(wide["disagreement"].isel(learning_rate=middle))
        narrow = mean_of(result["disagreement"].isel(learning_rate=middle, width=0))
        closer = apart.value < narrow.value
        rows.append(
            Row(
                "  wide networks classify as the tangent kernel", "yes", "closer" if closer else "no", f"{apart}",
                f"part of the test points in another class, H = {last}; {narrow} at H = {sweep.widths[0]}",
            )
        )  # fmt: skip
        mean = result["test_error"].mean("instance")
        best = {
            name: int(i) for name, i in zip(mean.dims, np.unravel_index(np.nanargmin(mean), mean.shape), strict=True)
        }
        network = mean_of(result["test_error"].isel(best))
        at = f"H = {sweep.widths[best['width']]}, rate {sweep.rates[best['learning_rate']]:g}"
        gap = mean_of(result["test_error"].isel(best) - result["kernel_error"])
        verdict = "no difference" if abs(gap.pull(0.0)) < 2.0 else "yes" if gap.value < 0.0 else "no"
        said = {("local", 1): "-", ("local", 2): "yes", ("global", 2): "yes"}[sweep.label, sweep.k]
        rows.append(
            Row(
                "  the best network beats the kernel", said, verdict, f"{gap}",
                f"error {network} ({at}), kernel {kernel}",
            )
        )  # fmt: skip
        dead = int((result["state"] == "dead").sum())
        rows.append(Row("  dead runs", "-", f"{dead} of {result['state'].size}", "-", "at which rates: variable state"))
        if "four_units_error" in result:
            four = float(result["four_units_error"].max())
            rows.append(
                Row("  four hidden units, written down: error", "0", f"{four:g}", f"{four:+g}", "20,000 samples")
            )
    return rows


# ---- Picture


def _figure(results: dict[Sweep, xr.Dataset]) -> Figure:
    figure, axes = pyplot.subplots(2, len(results), figsize=(2.9 * len(results), 5.2), squeeze=False, sharex="col")
    for (upper, lower), (sweep, result) in zip(axes.T, results.items(), strict=True):
        shades = pyplot.get_cmap("plasma")(np.linspace(0.0, 0.85, len(sweep.rates)))
        n = result.sizes["instance"]
        for rate, shade in zip(sweep.rates, shades, strict=True):
            one = result.sel(learning_rate=rate)
            for ax, name in ((upper, "test_error"), (lower, "displacement")):
                values = one[name].where(one["state"] != "dead")
                ax.errorbar(
                    sweep.widths, values.mean("instance"), values.std("instance", ddof=1) / np.sqrt(n), color=shade,
                    marker="o", capsize=2.0, label=rf"rate {rate:g}",
                )  # fmt: skip
        kernel = mean_of(result["kernel_error"])
        upper.axhline(kernel.value, color="C1", linestyle="--", label="tangent kernel")
        upper.axhspan(kernel.value - kernel.error, kernel.value + kernel.error, color="C1", alpha=0.2, linewidth=0.0)
        if "four_units_error" in result:
            upper.plot([4], [0.0], marker="*", markersize=8, color="C2", linestyle="", clip_on=False)
            upper.annotate("4 units, written down", (4, 0.0), (6, 4), textcoords="offset points", fontsize=7)
        upper.set(ylim=(0.0, 0.5), xscale="log")
        upper.set_title(f"{sweep.k}-{sweep.label}: $D={sweep.n_inputs}$, $N={sweep.n_train}$", loc="left", fontsize=9)
        widths = np.array([sweep.widths[0], sweep.widths[-1]], float)
        last = float(result["displacement"].isel(width=-1, learning_rate=len(sweep.rates) // 2).mean("instance"))
        lower.plot(widths, last * (widths / widths[-1]) ** -0.5, color="0.5", linestyle=":", label="$H^{-1/2}$")
        lower.set(xscale="log", yscale="log", xlabel="width $H$", xticks=sweep.widths)
        lower.xaxis.set_major_formatter("{x:g}")
        lower.xaxis.set_minor_locator(ticker.NullLocator())
        lower.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        lower.yaxis.set_major_formatter("{x:g}")
        lower.yaxis.set_minor_formatter("")
    axes[0, 0].set_ylabel("test error")
    axes[1, 0].set_ylabel("$|w - w_0| / |w_0|$")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    more = axes[1, 0].get_legend_handles_labels()
    labelled = dict(zip([*labels, *more[1]], [*handles, *more[0]], strict=True))
    figure.legend(labelled.values(), labelled.keys(), loc="outside upper center", ncols=5, fontsize="small")
    return figure
