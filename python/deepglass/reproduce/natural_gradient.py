"""Natural gradient of wide networks and its approximations: one path for functions, different ones for parameters.

Karakida and Osawa (2020), as in the review talk of R. Karakida: f_t = y + (1 - eta alpha)^t (f_0 - y) for the exact
metric, layer blocks, neighbouring layer blocks, K-FAC and unit blocks.  Images of two classes (odd and even digits),
targets -1 and 1, one output; tanh, where not said otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from .. import io, kernels
from ..fisher import Network, natural_gradient
from ..plot import Figure, pyplot
from ._experiment import Experiment, run_all
from ._finite import Array, Estimate, compare
from ._images import pictures_of
from ._report import Row, write

__all__ = ["run"]

_METRICS = ("exact", "block_diagonal", "block_tridiagonal", "kfac", "unit_wise")
_TITLES = {
    "exact": "exact",
    "block_diagonal": "layers",
    "block_tridiagonal": "pairs of layers",
    "kfac": "K-FAC",
    "unit_wise": "units",
}
_COLOURS = dict(zip(_METRICS, ("C0", "C1", "C2", "0.4", "#CC79A7"), strict=True))
_MARKS = dict(zip(_METRICS, "os^Dv", strict=True))
_DEPTH = 3
_LAW: dict[str, Any] = {"weight_variance": 2.0, "bias_variance": 0.1}
_RATE = 0.3  # times alpha, of the trajectories
# A unit whose slope vanishes moves as 1 / slope without damping, and the network leaves the linear regime.
_DAMPING = {"unit_wise": 1e-6}  # over the width
_PER_SECOND = 1e9


class Sizes(NamedTuple):
    """Samples N, widths and networks of the training part; of generalisation."""

    n: int
    widths: tuple[int, ...]
    steps: int
    networks: int
    test_width: int
    n_test: int
    splits: int


_QUICK = Sizes(40, (64, 128, 256, 512), 8, 3, 256, 400, 10)
_FULL = Sizes(100, (128, 256, 512, 1024, 2048), 12, 6, 2000, 2000, 40)


def _data(path: str, n: int, n_test: int, *numbers: int) -> tuple[Array, Array, Array, Array]:
    """Training inputs and targets, test inputs and targets."""
    some = pictures_of(path).chosen(n + n_test, np.random.default_rng([51, *numbers]))
    x, y = some.normalised(), np.where(some.labels % 2 == 1, 1.0, -1.0)[:, np.newaxis]
    return x[:n], y[:n], x[n:], y[n:]


def _damping(metric: str, width: int) -> float:
    return _DAMPING.get(metric, 0.0) / width


def _network(activation: str, width: int, n_inputs: int, *numbers: int) -> Network:
    seed = np.random.default_rng([52, width, *numbers])
    return Network(depth=_DEPTH, width=width, n_inputs=n_inputs, activation=activation, seed=seed, **_LAW)


@dataclasses.dataclass(frozen=True)
class Training(Experiment):
    """The five metrics at one network: constants, linearised training, and training of the network itself."""

    width: int
    n: int
    steps: int
    images: str
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"training_{self.width}"

    @property
    def cost(self) -> float:
        """Operations: mostly those of unit_wise."""
        return float((self.steps + 4) * 2 * self.width * (6 * self.n**3 + 8 * self.n**2 * self.width / 10))

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """All metrics from the same parameters on the same samples."""
        x, y, *_ = _data(self.images, self.n, 0, instance)
        network = _network("tanh", self.width, x.shape[1], instance)
        parts = []
        for i, metric in enumerate(_METRICS):
            check(i, len(_METRICS))
            parts.append(self._one(network, x, y, metric))
        displacements = np.array([one.attrs.pop("displacement") for one in parts])
        result = xr.concat(parts, "metric").assign_coords(metric=list(_METRICS))
        norms = np.linalg.norm(displacements, axis=1)
        result["norm"] = "metric", norms / norms[0]
        result["cosine"] = "metric", displacements @ displacements[0] / (norms * norms[0])
        result["layer_share"] = ("metric", "layer"), _layer_shares(network, displacements)
        relu = natural_gradient(_network("relu", self.width, x.shape[1], instance), x, y, metric="unit_wise", steps=0)
        result["relu_alpha"], result["relu_residual"] = relu.alpha, relu.residual
        io.save(result, path)

    def _one(self, network: Network, x: Array, y: Array, metric: str) -> xr.Dataset:
        first = natural_gradient(network, x, y, metric=metric)
        alpha, residual = float(first.alpha), float(first.residual)
        linear = natural_gradient(network, x, y, metric=metric, learning_rate=_RATE / alpha, steps=self.steps)
        shrunk = y + (1.0 - _RATE) ** np.arange(self.steps + 1)[:, np.newaxis, np.newaxis] * (network(x) - y)

        def loss(at: Network) -> float:
            return float(np.mean((at(x) - y) ** 2))

        # The network itself, with the metric of where it is
        path, at, damping = [loss(network)], network, _damping(metric, self.width)
        for _ in range(self.steps):
            step = natural_gradient(at, x, y, metric=metric, damping=damping, learning_rate=_RATE / alpha)
            at = at.with_parameters(at.parameters + step.displacement.values)
            path.append(loss(at))
        undamped = float(np.linalg.norm(first.displacement))
        if damping:
            first = natural_gradient(network, x, y, metric=metric, damping=damping)
        moved = network.with_parameters(network.parameters + first.displacement.values)
        found = xr.Dataset(
            {
                "alpha": alpha,
                "residual": residual,
                "undamped_length": undamped,
                "deviation": float(np.abs(linear.train.values - shrunk).max()),
                "linear": ("step", linear.loss.values / linear.loss.values[0]),
                "trained": ("step", np.array(path) / path[0]),
                "one_step": loss(moved) / path[0],
            },
            {"step": np.arange(self.steps + 1)},
        )
        for scaled in (1.9, 2.1):
            far = natural_gradient(network, x, y, metric=metric, learning_rate=scaled / alpha, steps=20).loss.values
            found[f"growth_{scaled:g}"] = (far[-1] / far[0]) ** (1 / 40)  # of the error, a step
        found.attrs["displacement"] = first.displacement.values
        return found


def _layer_shares(network: Network, displacements: Array) -> Array:
    """Shares of the layers in the squared lengths."""
    sizes = [w.size + network.train_biases * len(w) for w in network.weights]
    squares = np.add.reduceat(displacements**2, np.cumsum([0, *sizes[:-1]]), axis=1)
    return np.asarray(squares / squares.sum(axis=1, keepdims=True))


@dataclasses.dataclass(frozen=True)
class Generalisation(Experiment):
    """Error of the trained function on other images, Thetabar(x', X) Thetabar^{-1} y, for the five metrics."""

    width: int
    n: int
    n_test: int
    images: str
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"generalisation_{self.width}"

    @property
    def cost(self) -> float:
        """Operations."""
        return 2.0 * self.width * (6 * self.n**3 + (self.n + self.n_test) * self.n * self.width / 2)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """One set of samples, one network."""
        x, y, x_test, y_test = _data(self.images, self.n, self.n_test, 1, instance)
        network = _network("tanh", self.width, x.shape[1], 1, instance)
        f, f_test = network(x), network(x_test)
        functions, left = [], []
        for i, metric in enumerate(_METRICS):
            check(i, len(_METRICS))
            damping = _damping(metric, self.width)  # with it, one step is not the end
            steps = 300 if damping else 1
            trained = natural_gradient(network, x, y + f, metric=metric, damping=damping, steps=steps, X_test=x_test)
            functions.append(trained.test.values[-1] - f_test)
            left.append(np.sqrt(trained.loss.values[-1] / trained.loss.values[0]))
        limit = kernels.ntk_regression(
            x, y[:, 0], x_test, activation="tanh", hidden_layers=_DEPTH - 1, threads=1, **_LAW
        ).test.values[0]
        io.save(
            xr.Dataset(
                {
                    "square": ("metric", [np.mean((one - y_test) ** 2) for one in functions]),
                    "wrong": ("metric", [np.mean(one * y_test <= 0) for one in functions]),
                    "distance": (
                        "metric",
                        [np.sqrt(np.mean((one - functions[0]) ** 2) / np.mean(functions[0] ** 2)) for one in functions],
                    ),
                    "training_error": ("metric", left),
                    "limit_square": np.mean((limit - y_test) ** 2),
                    "limit_wrong": np.mean(limit * y_test <= 0),
                },
                {"metric": list(_METRICS)},
            ),
            path,
        )


def _estimated_hours(experiments: Iterable[Experiment]) -> float:
    return sum(one.cost for one in experiments) / _PER_SECOND / 3600.0


def run(output: Path, *, quick: bool, images: Path | None = None) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL, images)


def _reproduce(output: Path, sizes: Sizes, images: Path | None, workers: int = 0) -> list[Path]:
    path = str(images) if images else ""
    source, pixels, _ = pictures_of(path)
    n = min(sizes.n, 2 * pixels.shape[1] // 3)  # the inputs must be of full rank
    trainings = [Training(width, n, sizes.steps, path, sizes.networks) for width in sizes.widths]
    experiments: list[Training | Generalisation] = [
        *trainings,
        Generalisation(sizes.test_width, n, sizes.n_test, path, sizes.splits),
    ]
    found = run_all(experiments, output / "instances", _estimated_hours, workers=workers)
    training = xr.concat(found[:-1], "width").assign_coords(width=list(sizes.widths))
    attributes = {"source": source, "n": n, "networks": sizes.networks}
    data = {
        "training": training.assign_attrs(attributes),
        "generalisation": found[-1].assign_attrs(attributes, width=sizes.test_width),
    }
    figures = {
        "trajectories": partial(_figure_training, data["training"]),
        "generalisation": partial(_figure_generalisation, data["generalisation"]),
    }
    return write(output, data, figures, _table(data))


def _of(values: xr.DataArray) -> Estimate:
    """Mean over instances and its error."""
    return Estimate.of(np.asarray(values.transpose("instance", ...).values, float))


# ---- Pictures


def _ticks(metric: str) -> str:
    return _TITLES[metric].replace("of ", "of\n")


def _figure_training(data: xr.Dataset) -> Figure:
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(10.0, 3.5), width_ratios=(1.1, 1.1, 1.0))
    steps, widths = data.step.values, data.width.values
    left.plot(steps, (1 - _RATE) ** (2.0 * steps), color="k", lw=1.0, label=r"$(1-\eta\alpha)^{2t}$")
    for i, metric in enumerate(_METRICS):
        style = {"color": _COLOURS[metric], "fmt": _MARKS[metric], "mfc": "w", "ms": 4.5}
        mean, error = _of(data.trained.isel(width=-1).sel(metric=metric))
        left.errorbar(steps + 0.1 * (i - 2), mean, error, label=_TITLES[metric], **style)
        mean, error = _of(data.one_step.sel(metric=metric))
        middle.errorbar(widths * 1.03 ** (i - 2), mean, error, **style)
    reference = float(data.one_step.isel(width=0).sel(metric="exact").mean())
    middle.plot(widths, reference * (widths[0] / widths) ** 2.0, color="k", lw=1.0, ls="--", label=r"$1/M^2$")
    left.set(yscale="log", xlabel="step t", ylabel="loss / initial")
    left.set_title(rf"function: networks of width {widths[-1]}, $\eta\alpha$ = {_RATE:g}", fontsize=9)
    left.legend(fontsize=7.5)
    middle.set(xscale="log", yscale="log", xlabel="width M", ylabel="loss / initial after one step")
    middle.set_xticks(widths, [str(one) for one in widths])
    middle.minorticks_off()
    middle.set_title(r"one step, $\eta\alpha$ = 1", fontsize=9)
    middle.legend()
    shares = data.layer_share.isel(width=-1).mean("instance")
    lengths = data.norm.isel(width=-1).mean("instance")
    bottom = np.zeros(len(_METRICS))
    for layer, shade in zip(range(shares.sizes["layer"]), ("0.25", "0.55", "0.8"), strict=True):
        part = shares.isel(layer=layer).values
        right.bar(np.arange(len(_METRICS)), part, bottom=bottom, color=shade, label=f"layer {layer + 1}")
        bottom += part
    for i, length in enumerate(lengths.values):
        right.text(i, 1.02, f"{length:.3g}", ha="center", fontsize=8)
    right.set_xticks(np.arange(len(_METRICS)), [_ticks(m) for m in _METRICS], fontsize=7.5)
    right.set(ylabel="share of the square", ylim=(0, 1.25), yticks=[0.0, 0.5, 1.0])
    right.legend(fontsize=7.5, ncols=3, loc="upper center", columnspacing=0.8, handlelength=1.0)
    right.set_title("parameters: length of the step / exact", fontsize=9)
    figure.suptitle(
        f"Natural gradient: N = {data.attrs['n']} of {data.attrs['source']}, depth {_DEPTH}, tanh", fontsize=10
    )
    return figure


def _figure_generalisation(data: xr.Dataset) -> Figure:
    figure, axes = pyplot.subplots(1, 2, figsize=(7.6, 3.2))
    at = np.arange(len(_METRICS))
    for ax, key, label in zip(axes, ("square", "wrong"), ("mean square error", "share of wrong classes"), strict=True):
        mean, error = _of(data[key])
        for i, metric in enumerate(_METRICS):
            ax.errorbar(at[i], mean[i], error[i], fmt=_MARKS[metric], color=_COLOURS[metric], mfc="w", ms=6, capsize=3)
        limit = _of(data[f"limit_{key}"])
        ax.axhspan(
            limit.mean - limit.error, limit.mean + limit.error, color="0.85", lw=0, label="exact, infinite width"
        )
        ax.set_xticks(at, [_ticks(m) for m in _METRICS], fontsize=8)
        ax.set(ylabel=label, xlim=(-0.6, len(_METRICS) - 0.4))
    axes[0].legend(fontsize=8)
    figure.suptitle(
        f"Other images after training: N = {data.attrs['n']} of {data.attrs['source']}, width {data.attrs['width']}",
        fontsize=10,
    )
    return figure


# ---- Table


def _estimate(estimate: Estimate, digits: int = 4) -> str:
    return f"{float(estimate.mean):.{digits}f} +- {float(estimate.error):.{digits}f}"


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    return [*_rows_constants(data["training"]), *_rows_training(data["training"]), *_rows_test(data["generalisation"])]


def _rows_constants(data: xr.Dataset) -> list[Row]:
    n, width, depth = data.attrs["n"], int(data.width[-1]), _DEPTH
    last = data.isel(width=-1)
    claims = {
        "exact": (1.0, "1", "full rank"),
        "block_diagonal": (depth, "L", "each layer gives 1"),
        "block_tridiagonal": (depth // 3 + depth % 3, "-", "1^T tridiag(1,1,1)^-1 1: s for L = 3 s, not definite"),
        "kfac": (n * depth, "N L", "N (L - 1) + 1: with one output all samples have the same delta in the last layer"),
        "unit_wise": (width * (depth - 1), "M (L - 1)", "smooth activation; M (L - 1) + 1 with the output unit"),
    }
    rows = []
    for metric, (talk, formula, why) in claims.items():
        at = last.sel(metric=metric)
        alpha, error = float(at.alpha.mean()), float(at.residual.max())
        rows.append(
            Row(
                f"alpha, {_TITLES[metric]} (L = {depth}, N = {n}, M = {width})",
                f"{talk:g} ({formula})",
                f"{alpha:g}; Thetabar is alpha 1 to {error:.0e}",
                f"{alpha - talk:+g}",
                why,
            )
        )
    relu = _of(last.relu_alpha)
    rows.append(
        compare(
            f"alpha, units, relu, M = {width}: M (L - 1) / 2",
            width * (depth - 1) / 2,
            float(relu.mean),
            float(relu.error),
            f"1 + active units, by sample; Thetabar isotropic to {float(last.relu_residual.mean()):.2f} only",
        )
    )
    for metric in _METRICS:
        at = last.sel(metric=metric)
        rows.append(
            Row(
                f"{_TITLES[metric]}: f_t = y + (1 - eta alpha)^t (f_0 - y), linearised",
                "0",
                f"{float(at.deviation.max()):.0e}",
                "largest deviation",
                f"{int(data.step[-1])} steps, eta alpha = {_RATE:g}, {data.attrs['networks']} networks",
            )
        )
    slow, fast = (float(np.abs(last[f"growth_{x}"] - (float(x) - 1)).max()) for x in ("1.9", "2.1"))
    rows.append(
        Row(
            "convergence for eta alpha < 2: factor of the error a step at 1.9 and 2.1, all metrics",
            "0.9, 1.1",
            f"{float(last['growth_1.9'].mean()):.6f}, {float(last['growth_2.1'].mean()):.6f}",
            f"{max(slow, fast):.0e}",
            "20 steps",
        )
    )
    return rows


def _rows_training(data: xr.Dataset) -> list[Row]:
    rows, width = [], int(data.width[-1])
    logs = np.log(data.width.values.astype(float))
    for metric in _METRICS:
        at = data.sel(metric=metric)
        one = _of(at.one_step.isel(width=-1))
        rows.append(
            Row(
                f"{_TITLES[metric]}: loss / initial after one step of the network, M = {width}",
                "0 (M = infinity)",
                _estimate(one, 5),
                f"{float(one.mean):+.5f}",
                "exponent of M: next row",
            )
        )
        values = np.log(at.one_step.transpose("instance", "width").values)
        slopes = Estimate.of(np.array([np.polyfit(logs, row, 1)[0] for row in values]))
        rows.append(
            Row(
                f"{_TITLES[metric]}: exponent of M of that loss",
                "-1 or less (condition 2)",
                _estimate(slopes, 2),
                f"to -2: {float(slopes.mean + 2):+.2f}",
                "f less its linearisation is of order 1/M (Huang and Yau; Dyer and Gur-Ari, 2020)"
                if metric not in _DAMPING
                else "what damping leaves, and units with small slopes",
            )
        )
        steps = at.trained.isel(width=-1).transpose("instance", "step").values
        few = slice(0, 4)  # while the loss is above what the second order leaves
        rate = Estimate.of(np.array([np.polyfit(np.arange(4.0), np.log(row[few]), 1)[0] / 2 for row in steps]))
        theory = float(np.log(1.0 - _RATE))
        rows.append(
            Row(
                f"{_TITLES[metric]}: ln of the factor of the error a step of the network, M = {width}",
                f"{theory:.5f}",
                _estimate(rate, 5),
                f"{float(rate.mean) - theory:+.5f}",
                "metric of each step, first three; finite width" + ("; damping" if metric in _DAMPING else ""),
            )
        )
    last = data.isel(width=-1)
    at = last.undamped_length / last.undamped_length.sel(metric="exact")
    rows.append(
        Row(
            f"units, no damping: length of the step in the parameters / exact, M = {width}",
            "linear regime",
            f"{float(at.sel(metric='unit_wise').min()):.0e} or more",
            "not linear",
            f"a unit moves as 1 / slope; all other rows of training: damping {_DAMPING['unit_wise']:g} / M",
        )
    )
    for metric in _METRICS[1:]:
        at = last.sel(metric=metric)
        length = _of(at.norm)
        product = _of(at.norm * at.cosine)
        rows.append(
            Row(
                f"{_TITLES[metric]}: length of the step in the parameters / exact",
                "other than 1",
                _estimate(length),
                f"{float(length.mean - 1):+.4f}",
                "all reach the same f; the exact one is the shortest",
            )
        )
        rows.append(
            Row(
                f"{_TITLES[metric]}: that times the cosine with the exact step",
                "1",
                f"{float(product.mean):.9f}",
                f"{float(product.mean - 1):+.0e}",
                "the difference of two solutions is orthogonal to the shortest one"
                + ("; damped, not yet a solution" if metric in _DAMPING else ""),
            )
        )
    return rows


def _rows_test(data: xr.Dataset) -> list[Row]:
    rows = []
    for key, label in (("square", "mean square error"), ("wrong", "share of wrong classes")):
        limit = _of(data[key].sel(metric="exact") - data[f"limit_{key}"])
        infinite = float(data[f"limit_{key}"].mean())
        rows.append(
            compare(
                f"test images, exact (= gradient flow): {label}",
                infinite,
                infinite + float(limit.mean),
                float(limit.error),
                f"infinite width; width {data.attrs['width']} is 1/M worse; {data.sizes['instance']} sets of samples",
            )
        )
        for metric in _METRICS[1:]:
            mean = _of(data[key].sel(metric=metric))
            pair = _of(data[key].sel(metric=metric) - data[key].sel(metric="exact"))
            apart = float(data.distance.sel(metric=metric).mean())
            left = float(data.training_error.sel(metric=metric).max())
            rows.append(
                Row(
                    f"test images, {_TITLES[metric]}: {label}",
                    "as exact, or not",
                    _estimate(mean),
                    f"{float(pair.mean):+.4f} +- {float(pair.error):.4f} to exact",
                    f"function {apart:.2f} away from that of exact, relative; left of the training error: {left:.0e}",
                )
            )
    return rows
