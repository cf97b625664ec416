"""Random landscapes: saddles and minima, the index against the energy, logarithmic drift (talk of R. Karakida).

Two statements of the talk on the loss of deep networks as a random Gaussian field.  That the fraction of negative
eigenvalues grows with the error (Dauphin et al.): exactly for the spherical three-spin model, whose drawn instances are
searched for stationary points, and by the same search for networks.  That the parameters move as log t (Hoffer et al.):
exactly for walks in random potentials on the line, and for stochastic gradient descent on random labels.

Yardsticks: index, threshold and ground state of the three-spin model in closed form; Sinai's walk with the limits 5/6
and 61/45, diffusion in a potential without correlations.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import io, learning, parisi
from .._warnings import ConvergenceWarning
from ..learning._torch import require
from ..plot import Axes, Figure, pyplot
from ..random import child_seed
from ..stats import Estimate
from ._experiment import Experiment
from ._report import Row, write
from ._trainings import mean_of, products, run_trainings

__all__ = ["run"]

Array = npt.NDArray[np.float64]

_MODEL = parisi.MixedSpherical({3: 0.5}, temperature=0.0)
_FIRST_LAG = 16  # of the window of the fits


@dataclasses.dataclass(frozen=True)
class Glass(Experiment):
    """Stationary points of the spherical three-spin model; an instance has its own couplings."""

    n_spins: int
    n_starts: int
    n_instances: int = 8
    seed: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"glass_N{self.n_spins}"

    @property
    def cost(self) -> float:
        """Eigenvalue problems, in products."""
        return 1e3 * self.n_starts * self.n_spins**3

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Search."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted in the table
            found = parisi.stationary_points_simulation(
                _MODEL, self.n_spins, n_instances=1, n_starts=self.n_starts, progress=check,
                seed=child_seed(child_seed(self.seed, self.n_spins), instance),
            )  # fmt: skip
        io.save(found.isel(instance=0), path)


@dataclasses.dataclass(frozen=True)
class Saddles(Experiment):
    """Stationary points of a network with one hidden layer, random labels; an instance has its own data and weights."""

    n_inputs: int
    width: int
    n_samples: int
    weight_decay: float = 3e-3
    noise: tuple[float, ...] = (0.05, 0.3)
    max_iter: int = 300
    n_instances: int = 5
    seed: int = 2

    @property
    def n_parameters(self) -> int:
        """All of them."""
        return self.width * (self.n_inputs + 2) + 1

    @property
    def name(self) -> str:
        """For files."""
        return f"network_{self.n_parameters}_{self.weight_decay:g}"

    @property
    def cost(self) -> float:
        """Eigenvalue problems, in products."""
        return 60.0 * self.max_iter * len(self.noise) * self.n_parameters**3

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train and search."""
        own = child_seed(self.seed, instance)
        rng = np.random.default_rng(own)
        x, y = rng.standard_normal((self.n_samples, self.n_inputs)), rng.choice([-1.0, 1.0], self.n_samples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted in the table
            found = learning.network_stationary_points(
                x, y, self.width, weight_decay=self.weight_decay, noise=self.noise,
                max_iter=self.max_iter, seed=child_seed(own, 1), progress=check,
            )  # fmt: skip
        io.save(found, path)


@dataclasses.dataclass(frozen=True)
class Drift(Experiment):
    """Stochastic gradient descent on random labels from the start on; an instance is networks side by side."""

    load: float
    batch: int
    longest_lag: int
    width: int = 16
    hidden_layers: int = 2
    learning_rate: float = 0.1
    n_repeats: int = 4
    n_instances: int = 1
    seed: int = 3

    @property
    def n_parameters(self) -> int:
        """N."""
        return learning.effective_parameters(self.width, self.width, self.hidden_layers)

    @property
    def name(self) -> str:
        """For files."""
        return f"drift_load{self.load:g}_batch{self.batch}_rate{self.learning_rate:g}"

    @property
    def cost(self) -> float:
        """Products; small networks wait for the interpreter."""
        one = self.batch * products(self.width, self.width, self.hidden_layers)
        return self.longest_lag * (1e6 + self.n_repeats * one)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Train."""
        found = learning.two_time_displacement(
            [round(self.load * self.n_parameters)], n_inputs=self.width, width=self.width,
            hidden_layers=self.hidden_layers, waiting_times=[0], longest_lag=self.longest_lag, batch=self.batch,
            learning_rate=self.learning_rate, n_repeats=self.n_repeats, threads=1, progress=check,
            seed=child_seed(self.seed, instance),
        )  # fmt: skip
        found["distance"] = np.sqrt(self.n_parameters * found["displacement"].isel(waiting_time=0))
        io.save(found.isel(n_samples=0, drop=True), path)


class Potential(NamedTuple):
    """Walks in random potentials of one kind."""

    hurst: float
    strength: float
    log_times: tuple[float, ...]
    n_sites: int
    n_environments: int


class Sizes(NamedTuple):
    """What is computed."""

    glasses: tuple[Glass, ...]
    networks: tuple[Saddles, ...]
    drifts: tuple[Drift, ...]
    potentials: tuple[Potential, ...]


_QUICK = Sizes(
    tuple(Glass(n, 8) for n in (16, 32, 64)),
    (Saddles(6, 8, 150),),
    tuple(Drift(6.0, batch, 4096) for batch in (8, 32, 128)),
    (
        Potential(0.5, 2.0, (10.0, 20.0, 40.0), 3500, 400),
        Potential(0.75, 2.0, (10.0, 20.0, 40.0), 3500, 400),
        Potential(0.0, 1.0, tuple(np.log([1e2, 1e3, 1e4])), 1500, 400),
    ),
)
_FULL = Sizes(
    tuple(Glass(n, 24, n_instances=k) for n, k in ((16, 64), (32, 48), (64, 32), (96, 16))),
    tuple(
        Saddles(n_inputs, width, n_samples, decay, (0.05, 0.1, 0.3), 1000, n_instances=12)
        for n_inputs, width, n_samples, decay in ((6, 8, 150, 3e-3), (10, 9, 220, 3e-3), (6, 8, 150, 1e-3))
    ),
    tuple(
        Drift(load, batch, 65_536, learning_rate=rate, n_repeats=8)
        for load, rate in ((6.0, 0.1), (6.0, 0.02), (1.0, 0.1))
        for batch in (8, 32, 128)
    ),
    (
        Potential(0.5, 2.0, (10.0, 20.0, 40.0, 60.0), 8000, 8000),
        Potential(0.75, 2.0, (10.0, 20.0, 40.0, 60.0), 6000, 4000),
        Potential(0.0, 1.0, tuple(np.log([1e2, 1e3, 1e4, 1e5])), 5000, 4000),
    ),
)


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, sizes: Sizes, workers: int = 0) -> list[Path]:
    require("torch")
    all_of_them: tuple[Experiment, ...] = (*sizes.glasses, *sizes.networks, *sizes.drifts)
    found = dict(zip(all_of_them, run_trainings(all_of_them, output / "instances", workers), strict=True))
    walks = {
        one: learning.random_potential_walk(
            np.exp(one.log_times), hurst=one.hurst, strength=one.strength, n_sites=one.n_sites,
            n_environments=one.n_environments, seed=4,
        )
        for one in sizes.potentials
    }  # fmt: skip
    datasets = {one.name: result for one, result in found.items()}
    datasets |= {f"potential_{one.hurst:g}": result for one, result in walks.items()}
    figures = {"index": partial(_index_figure, found, sizes), "drift": partial(_drift_figure, found, walks, sizes)}
    return write(output, datasets, figures, _table(found, walks, sizes))


# ---- Analysis


def _excess(result: xr.Dataset) -> Estimate:
    """Index of the points found less the exact one, mean over instances."""
    there = result["converged"].values
    excess = np.full(there.shape, np.nan)
    exact = parisi.stationary_points(_MODEL, result["energy"].values[there])["index"].values
    excess[there] = result["index"].values[there] - exact
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # instances without any point
        return mean_of(xr.DataArray(np.nanmean(excess, axis=1)))


def _extrapolated(sizes: Sequence[float], values: Sequence[Estimate]) -> Estimate:
    """Of a + b / size to infinite size."""
    design = np.column_stack([np.ones(len(sizes)), 1.0 / np.asarray(sizes)])
    weights = 1.0 / np.array([one.error for one in values])
    covariance = np.linalg.inv((design * weights[:, np.newaxis] ** 2).T @ design)
    value = covariance @ design.T @ (weights**2 * np.array([one.value for one in values]))
    return Estimate(float(value[0]), float(np.sqrt(covariance[0, 0])))


def _rank_correlation(result: xr.Dataset) -> Estimate:
    """Of loss and index, mean over instances."""
    from scipy.stats import spearmanr

    found = []
    for i in range(result.sizes["instance"]):
        one = result.isel(instance=i)
        there = one["converged"].values
        if there.sum() > 3:
            found.append(spearmanr(one["loss"].values[there], one["index"].values[there]).statistic)
    return mean_of(xr.DataArray(found))


class Fit(NamedTuple):
    """Least squares of the relative deviations."""

    slope: float  # b of a + b ln t
    log_residual: float  # root mean square
    exponent: float  # nu of c t^nu
    power_residual: float


def _fit(t: Array, distance: Array) -> Fit:
    from scipy.optimize import minimize_scalar

    one = np.ones(len(t))
    design = np.column_stack([one, np.log(t)]) / distance[:, np.newaxis]
    logarithm = np.linalg.lstsq(design, one, rcond=None)[0]

    def miss(exponent: float) -> float:
        power = t**exponent / distance
        return float(np.mean((power * power.sum() / (power @ power) - 1.0) ** 2))

    best = minimize_scalar(miss, bounds=(1e-3, 2.0), method="bounded", options={"xatol": 1e-9})
    residual = float(np.sqrt(np.mean((design @ logarithm - 1.0) ** 2)))
    return Fit(float(logarithm[1]), residual, float(best.x), math.sqrt(best.fun))


def _fits(result: xr.Dataset) -> list[Fit]:
    """Of each network."""
    late = result.sel(lag=slice(_FIRST_LAG, None))
    distances = late["distance"].transpose("instance", "repeat", "lag").values.reshape(-1, late.sizes["lag"])
    return [_fit(late["lag"].values.astype(float), distance) for distance in distances]


# ---- Table


def _table(found: dict[Experiment, xr.Dataset], walks: dict[Potential, xr.Dataset], sizes: Sizes) -> list[Row]:
    return [
        *_glass_rows({one: found[one] for one in sizes.glasses}),
        *(row for one in sizes.networks for row in _network_rows(one, found[one])),
        *(_walk_row(one, result) for one, result in walks.items()),
        *(_drift_row(one, found[one]) for one in sizes.drifts),
    ]


def _glass_rows(glasses: dict[Glass, xr.Dataset]) -> list[Row]:
    ground = float(parisi.full_rsb(_MODEL)["energy"])
    points = parisi.stationary_points(_MODEL, [0.0])
    threshold = float(points["threshold_energy"])
    minima = parisi.stationary_points(_MODEL, [threshold])
    rows = [
        Row(
            "three-spin model: minima are almost global", "yes", f"{threshold / ground:.4f}", "yes",
            f"energies: highest usual minimum {threshold:.4f}, least {ground:.4f}, typical of a sphere 0",
        ),
        Row(
            "  stationary points are mostly saddles", "yes", "yes", "-",
            f"(ln number) / N = {points['complexity'].item():.4f} of all, {minima['complexity'].item():.4f} of minima",
        ),
    ]  # fmt: skip
    excess = []
    for glass, result in glasses.items():
        excess.append(_excess(result))
        rows.append(
            Row(
                f"  index at given energy, N = {glass.n_spins}", "grows with the error", f"{excess[-1]}", "0 + O(1/N)",
                f"mean of index - exact; {int(result['converged'].sum())} of {result['converged'].size} searches, "
                f"energies {float(result['energy'].min()):.2f} to {float(result['energy'].max()):.2f}",
            )
        )  # fmt: skip
    limit = _extrapolated([glass.n_spins for glass in glasses], excess)
    rows.append(Row("  extrapolated in 1/N", "-", f"{limit}", f"{limit.value / limit.error:+.1f} errors", "exact: 0"))
    return rows


def _network_rows(one: Saddles, result: xr.Dataset) -> list[Row]:
    correlation = _rank_correlation(result)
    there = result["converged"].values
    loss, index = result["loss"].values[there], result["index"].values[there]
    minima = loss[index == 0.0]
    setting = f"network of {one.n_parameters} parameters, weight decay {one.weight_decay:g}"
    return [
        Row(
            f"{setting}: rank correlation of loss and index", "> 0", f"{correlation}",
            "yes" if correlation.value > 3.0 * correlation.error else "no",
            f"{there.sum()} of {there.size} searches found a point, losses {loss.min():.3f} to {loss.max():.3f}, "
            f"index to {index.max():.3f}",
        ),
        Row(
            "  minima are almost global", "yes",
            f"{minima.min():.3f} to {minima.max():.3f}" if minima.size else "none found",
            "-", f"losses of {minima.size} minima; of {index.size - minima.size} saddles "
            f"{loss[index > 0.0].min(initial=np.inf):.3f} to {loss.max():.3f}",
        ),
    ]  # fmt: skip


def _walk_row(one: Potential, result: xr.Dataset) -> Row:
    t = result["time"].values
    walls = f"{one.n_environments} potentials, near the walls {float(result['at_walls'].max()):.0e}"
    if one.hurst == 0.0:
        diffusion = 2.0 * math.exp(-3.0 * one.strength**2 / 8.0)
        last = Estimate(*(float(result[name][-1]) / t[-1] for name in ("square", "square_error")))
        return Row(
            "walk, potential without correlations: E x^2 / t", "-", f"{last}", f"{last.value - diffusion:+.4f}",
            f"from {diffusion:.4f}, exact at great t: diffusion, not log t; t = {t[-1]:.0e}, corrections 1/sqrt(t); "
            f"{walls}",
        )  # fmt: skip
    if one.hurst == 0.5:
        unit = one.strength**2 / np.log(t) ** 2
        values, errors = (unit * result[name].values for name in ("distance", "distance_error"))
        scaled = [Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)]
        return Row(
            "walk, Sinai's potential: E|x| strength^2 / ln^2 t", "-", f"{scaled[-1]}",
            f"{scaled[-1].value - 5 / 6:+.3f}",
            f"from 5/6, exact at great t; ln t = {np.log(t[-1]):.0f}, corrections 1 / ln t: "
            f"{', '.join(map(str, scaled[:-1]))} before; {walls}",
        )  # fmt: skip
    distance, error = result["distance"].values, result["distance_error"].values / result["distance"].values
    step = math.log(math.log(t[-1]) / math.log(t[-2]))
    exponent = Estimate(math.log(distance[-1] / distance[-2]) / step, float(np.hypot(*error[-2:])) / step)
    return Row(
        f"walk, potential that grows as |x|^{one.hurst:g}: E|x| ~ (ln t)^z, z =", "1", f"{exponent}",
        f"{exponent.value - 1 / one.hurst:+.3f}",
        f"from exact {1 / one.hurst:.3f}; from ln t = {np.log(t[-2]):.0f} to {np.log(t[-1]):.0f}, error as of "
        f"independent means; {walls}",
    )  # fmt: skip


def _drift_row(one: Drift, result: xr.Dataset) -> Row:
    fits = _fits(result)
    slope, log_residual, exponent, power_residual = (
        mean_of(xr.DataArray([fit[i] for fit in fits])) for i in range(len(Fit._fields))
    )
    better = sum(fit.log_residual < fit.power_residual for fit in fits)
    return Row(
        f"|w_t - w_0|, P/N = {one.load:g}, batch {one.batch}, rate {one.learning_rate:g}", "a + b log t",
        f"t^{exponent}", "reproduced" if better > len(fits) / 2 else f"log better in {better} of {len(fits)}",
        f"relative residuals: power {power_residual}, logarithm {log_residual}, b = {slope}; t from {_FIRST_LAG} to "
        f"{one.longest_lag}, loss at the end {float(result['loss'].mean()):.3f}",
    )  # fmt: skip


# ---- Pictures


def _index_figure(found: dict[Experiment, xr.Dataset], sizes: Sizes) -> Figure:
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(10.2, 3.6))
    ground = float(parisi.full_rsb(_MODEL)["energy"])
    exact = parisi.stationary_points(_MODEL, np.linspace(ground, 0.0, 400))
    threshold = float(exact["threshold_energy"])
    left.plot(exact["energy"], exact["complexity"], color="k", label="all")
    minima = exact["energy"] <= threshold
    left.plot(exact["energy"][minima], exact["complexity"][minima], color="C1", linewidth=3.0, label="mostly minima")
    left.set(xlabel="energy of a spin", ylabel="(ln number) / $N$")
    left.set_title("Stationary points, spherical\nthree-spin model (exact)", loc="left", fontsize=9)
    left.legend(fontsize="x-small")

    middle.plot(exact["energy"], exact["index"], color="k", label="exact")
    for i, glass in enumerate(sizes.glasses):
        there = found[glass]["converged"].values
        middle.plot(
            found[glass]["energy"].values[there], found[glass]["index"].values[there], color=f"C{i}", marker="o",
            markersize=2.5, linestyle="", alpha=0.6, label=f"$N={glass.n_spins}$",
        )  # fmt: skip
    middle.axvline(threshold, color="0.6", linewidth=0.7, linestyle=":", label="threshold")
    middle.set(xlabel="energy of a spin", ylabel="fraction of negative eigenvalues", ylim=(-0.02, 0.55))
    middle.set_title("Points found", loc="left", fontsize=9)
    middle.legend(fontsize="x-small", loc="upper left")

    for i, one in enumerate(sizes.networks):
        there = found[one]["converged"].values
        right.plot(
            found[one]["loss"].values[there], found[one]["index"].values[there], color=f"C{i}", marker="o",
            markersize=3.0, linestyle="", alpha=0.6, label=f"{one.n_parameters} parameters, decay {one.weight_decay:g}",
        )  # fmt: skip
    right.set(xlabel="loss, penalty included", ylabel="fraction of negative eigenvalues", ylim=(-0.02, None))
    right.set_title("Stationary points of networks,\nrandom labels", loc="left", fontsize=9)
    right.legend(fontsize="x-small", loc="upper left")
    return figure


def _drift_figure(
    found: dict[Experiment, xr.Dataset], walks: dict[Potential, xr.Dataset], sizes: Sizes
) -> Figure:  # fmt: skip
    figure, (left, *others) = pyplot.subplots(1, 3, figsize=(10.2, 3.6))
    for i, (one, result) in enumerate(walks.items()):
        log_t = np.log(result["time"].values)
        label = "no correlations" if one.hurst == 0.0 else f"grows as $|x|^{{{one.hurst:g}}}$"
        left.errorbar(
            log_t, result["distance"], result["distance_error"], color=f"C{i}", marker="o", linestyle="", capsize=2.0,
            label=label,
        )  # fmt: skip
        x = np.geomspace(log_t[0], log_t[-1], 100)
        last = float(result["distance"][-1])
        law = np.exp((x - log_t[-1]) / 2) if one.hurst == 0.0 else (x / log_t[-1]) ** (1.0 / one.hurst)
        if one.hurst == 0.5:
            last = 5.0 / 6.0 * log_t[-1] ** 2 / one.strength**2
        left.plot(x, last * law, color=f"C{i}", linewidth=0.9, label="_")
    left.set(xscale="log", yscale="log", xlabel=r"$\ln t$", ylabel="mean distance")
    left.set_xticks([5, 10, 20, 40, 60], ["5", "10", "20", "40", "60"])
    left.set_xticks([], minor=True)
    left.set_title("Walks in random potentials\n(lines: exact, for great $t$)", loc="left", fontsize=9)
    left.legend(fontsize="x-small")
    _draw_drifts(others, found, sizes)
    return figure


def _draw_drifts(axes: Sequence[Axes], found: dict[Experiment, xr.Dataset], sizes: Sizes) -> None:
    """The first of the loads and rates: distances with both fits, on two scales."""
    first = sizes.drifts[0]
    mine = [one for one in sizes.drifts if (one.load, one.learning_rate) == (first.load, first.learning_rate)]
    for i, one in enumerate(mine):
        distance = found[one]["distance"].stack(network=("instance", "repeat")).transpose("lag", "network")
        mean, error = distance.mean("network").values, distance.std("network", ddof=1).values
        error = error / np.sqrt(distance.sizes["network"])
        lag = distance["lag"].values.astype(float)
        late = lag >= _FIRST_LAG
        t = lag[late]
        one_fit = _fit(t, mean[late])
        power = t**one_fit.exponent
        power *= (power / mean[late]).sum() / ((power / mean[late]) @ (power / mean[late]))
        offset = float(np.average(mean[late] - one_fit.slope * np.log(t), weights=mean[late] ** -2))
        for ax in axes:
            ax.errorbar(
                lag, mean, error, color=f"C{i}", marker="o", linestyle="", capsize=2.0, label=f"batch {one.batch}"
            )
            ax.plot(t, power, color=f"C{i}", label="_")
            ax.plot(t, offset + one_fit.slope * np.log(t), color=f"C{i}", linestyle=":", label="_")
    for ax, scale in zip(axes, ("linear", "log"), strict=True):
        ax.set(xscale="log", yscale=scale, xlabel="$t$ (steps)", ylabel=r"$|w_t - w_0|$")
        ax.legend(fontsize="x-small", loc="upper left")
    title = f"Descent on random labels, $P/N={first.load:g}$\n(solid: power law, dots: logarithm)"
    axes[0].set_title(title, loc="left", fontsize=9)
    axes[1].set_title("The same, both axes logarithmic", loc="left", fontsize=9)
    axes[1].set_ylim(bottom=0.03)
