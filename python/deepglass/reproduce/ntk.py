"""Wide networks and their tangent kernel: training, the smallest eigenvalue against depth, errors of ridge regression.

Jacot et al. (2018), Lee et al. (2019), as in the review talk of R. Karakida.  Inputs on a circle (of mean square 1), a
few of them with targets; networks in the NTK parametrisation, trained by gradient flow on (1/2) sum |y - f|^2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from .. import io, kernels, meanfield
from ..fisher import Network
from ..plot import Figure, pyplot
from ..spectra import MarchenkoPastur, ridge_risk
from ._experiment import Experiment, run_all
from ._finite import Array, Estimate, compare, extrapolated
from ._report import Row, write

__all__ = ["run"]

_HIDDEN = 2
_LAW: dict[str, Any] = {"activation": "tanh", "weight_variance": 2.0, "bias_variance": 0.1}
_N, _N_TEST = 8, 48
_TIMES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
_STEP = 0.5  # of the fourth-order rule, over the largest eigenvalue: an error of 3e-4 in one mode, for a moment
_SPHERE = (30, 10)  # inputs and their dimension, for the smallest eigenvalue
_PHASES = {
    "relu, critical": ("relu", 2.0, 0.0),
    "tanh, critical": ("tanh", float(meanfield.critical_weight_variance("tanh", 0.05)), 0.05),
    "tanh, order": ("tanh", 1.0, 0.05),
    "tanh, chaos": ("tanh", 2.5, 0.05),
}
_COLOURS = dict(zip(_PHASES, ("C1", "0.4", "C0", "C2"), strict=True))
_FEATURES = {"one layer": ("last", 1), "two layers": ("last", 2), "tangent kernel": ("all", 1)}
_SHARES = (0.25, 0.5, 1.0, 2.0, 4.0)  # features to samples
_INPUT_RATIO, _RIDGE, _NOISE = 2.0, 1e-3, 0.1
_PER_SECOND = 5e8


class Sizes(NamedTuple):
    """Networks of training, of the average, of the smallest eigenvalue; samples and networks of ridge regression."""

    widths: tuple[int, ...]
    networks: int
    ensemble: tuple[int, int]
    layers: tuple[int, ...]
    finite_width: int
    finite_networks: int
    samples: int
    regressions: int


_QUICK = Sizes((64, 128, 256, 512), 10, (256, 200), (1, 2, 4, 8, 16, 32, 64, 128), 256, 12, 200, 16)
_FULL = Sizes(
    (64, 128, 256, 512, 1024, 2048), 12, (1024, 400), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), 1024, 30, 1000, 24
)


def _circle(angle: Array) -> Array:
    return np.asarray(np.sqrt(2.0) * np.column_stack([np.cos(angle), np.sin(angle)]))


def _data() -> tuple[Array, Array, Array]:
    """Training inputs, targets, test inputs."""
    angle = 2.0 * np.pi * (np.arange(_N) + 0.35 * np.sin(3.0 * np.arange(_N))) / _N
    test = 2.0 * np.pi * np.arange(_N_TEST) / _N_TEST
    return _circle(angle), np.sin(2.0 * angle) + 0.5 * np.cos(angle), _circle(test)


# ---- Training


State = tuple[list[Array], list[Array]]  # weights, biases


def _slopes(network: Network, state: State, x: Array, y: Array) -> tuple[State, Array]:
    """Time derivatives of weights and biases, and the outputs; parameters are w, beta of W = s w, b = s beta."""
    weights, biases = state
    phi, h, signals = network.activation, [x], []
    for w, b in zip(weights, biases, strict=True):
        signals.append(h[-1] @ w.T + b)
        h.append(np.asarray(phi(signals[-1])))
    delta, d_weights, d_biases = y[:, np.newaxis] - signals[-1], [], []
    for layer in range(len(weights) - 1, -1, -1):
        d_weights.append(_LAW["weight_variance"] / h[layer].shape[1] * (delta.T @ h[layer]))
        d_biases.append(_LAW["bias_variance"] * delta.sum(axis=0))
        if layer:
            delta = (delta @ weights[layer]) * np.asarray(phi.derivative(signals[layer - 1]))
    return (d_weights[::-1], d_biases[::-1]), signals[-1][:, 0]


def _plus(state: State, change: State, factor: float) -> State:
    first, second = ([a + factor * b for a, b in zip(*pair, strict=True)] for pair in zip(state, change, strict=True))
    return first, second


def _flow(
    network: Network, x: Array, y: Array, x_test: Array, check: Callable[[int, int], None]
) -> tuple[Array, State]:
    """Outputs on training and test inputs at the times, by the fourth-order Runge-Kutta rule; the last parameters."""
    largest = float(np.linalg.eigvalsh(network.ntk(x))[-1])
    state: State = (list(network.weights), list(network.biases))
    every = np.vstack([x, x_test])
    found = []
    for i, (begin, end) in enumerate(zip((0.0, *_TIMES[:-1]), _TIMES, strict=True)):
        check(i, len(_TIMES))
        steps = int(np.ceil((end - begin) * largest / _STEP))
        for _ in range(steps):
            h = (end - begin) / steps

            def moved(k: Any, factor: float, state: Any = state) -> Any:
                return tuple(
                    [a + factor * b for a, b in zip(*pair, strict=True)] for pair in zip(state, k, strict=True)
                )

            k1, _ = _slopes(network, state, x, y)
            k2, _ = _slopes(network, _plus(state, k1, h / 2), x, y)
            k3, _ = _slopes(network, _plus(state, k2, h / 2), x, y)
            k4, _ = _slopes(network, _plus(state, k3, h), x, y)
            for k, share in ((k1, 1.0), (k2, 2.0), (k3, 2.0), (k4, 1.0)):
                state = _plus(state, k, share * h / 6)
        found.append(_slopes(network, state, every, np.zeros(len(every)))[1])
    return np.array(found), state


def _linear_flow(theta: Array, cross: Array, start: Array, y: Array) -> Array:
    """f_t = f_0 + Theta(., X) Theta^{-1} (1 - exp(-Theta t)) (y - f_0) for a given kernel: (times, train and test)."""
    levels, vectors = np.linalg.eigh(theta)
    rest = vectors.T @ (y - start[: len(y)])
    step = [vectors @ (-np.expm1(-levels * t) / levels * rest) for t in _TIMES]
    return np.asarray(start + step @ np.vstack([theta, cross]).T)


def _network(width: int, *numbers: int) -> Network:
    return Network(
        depth=_HIDDEN + 1, width=width, n_inputs=2, seed=np.random.default_rng([61, width, *numbers]), **_LAW
    )


@dataclasses.dataclass(frozen=True)
class Trained(Experiment):
    """A network of this width trained by gradient flow, its linearisation, and the infinite network from its start."""

    width: int
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"trained_{self.width}"

    @property
    def cost(self) -> float:
        """Operations."""
        return 4.0 * 6.0 * _TIMES[-1] * 30.0 / _STEP * (self.width**2 + 3e3) * _N

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """All times."""
        x, y, x_test = _data()
        network = _network(self.width, instance)
        theta, cross = network.ntk(x), network.ntk(x_test, x)
        start = network(np.vstack([x, x_test]))[:, 0]
        outputs, (weights, biases) = _flow(network, x, y, x_test, check)
        infinite = kernels.ntk_regression(
            x, y, x_test, hidden_layers=_HIDDEN, times=_TIMES, initial=(start[:_N], start[_N:]), threads=1, **_LAW
        )
        after = _moved(network, weights, biases).ntk(x)
        limit = kernels.ntk(x, hidden_layers=_HIDDEN, threads=1, **_LAW)
        io.save(
            xr.Dataset(
                {
                    "output": (("time", "point"), outputs),
                    "linear": (("time", "point"), _linear_flow(theta, cross, start, y)),
                    "infinite": (
                        ("time", "point"),
                        np.concatenate([infinite.train.values, infinite.test.values], axis=1)[:, :, 0],
                    ),
                    "kernel_change": np.linalg.norm(after - theta) / np.linalg.norm(theta),
                    "kernel_distance": np.linalg.norm(theta - limit) / np.linalg.norm(limit),
                },
                {"time": list(_TIMES)},
            ),
            path,
        )


def _moved(network: Network, weights: list[Array], biases: list[Array]) -> Network:
    """The network with these weights and biases."""
    sw2, sb2 = _LAW["weight_variance"], _LAW["bias_variance"]
    rows = [
        np.hstack([w / np.sqrt(sw2 / w.shape[1]), b[:, np.newaxis] / np.sqrt(sb2)]).reshape(-1)
        for w, b in zip(weights, biases, strict=True)
    ]
    return network.with_parameters(np.concatenate(rows))


def _estimated_hours(experiments: Iterable[Experiment]) -> float:
    return sum(one.cost for one in experiments) / _PER_SECOND / 3600.0


def run(output: Path, *, quick: bool) -> list[Path]:
    """Compute, draw and compare; see `deepglass.reproduce.run`."""
    return _reproduce(output, _QUICK if quick else _FULL)


def _reproduce(output: Path, sizes: Sizes, workers: int = 0) -> list[Path]:
    experiments = [Trained(width, sizes.networks) for width in sizes.widths]
    found = run_all(experiments, output / "instances", _estimated_hours, workers=workers)
    data = {
        "training": _training(found, sizes),
        "ensemble": _ensemble(*sizes.ensemble),
        "smallest": _smallest(sizes),
        "risk": _risk(sizes.samples, sizes.regressions),
    }
    figures = {
        "ridge_risk": partial(_figure_risk, data["risk"]),
        "training": partial(_figure_training, data),
        "smallest_eigenvalue": partial(_figure_smallest, data["smallest"]),
    }
    return write(output, data, figures, _table(data))


# ---- Numbers


def _root_mean_square(values: xr.DataArray) -> xr.DataArray:
    mean: xr.DataArray = (values**2).mean(["time", "point"]) ** 0.5
    return mean


def _training(found: list[xr.Dataset], sizes: Sizes) -> xr.Dataset:
    """Distances of the three, over all times and points, by width and network; outputs of the widest ones."""
    one = xr.concat(found, "width").assign_coords(width=list(sizes.widths))
    train, test = one.isel(point=slice(0, _N)), one.isel(point=slice(_N, None))
    result = one[["kernel_change", "kernel_distance"]]
    for name, part in (("train", train), ("test", test)):
        result[f"to_linear_{name}"] = _root_mean_square(part.output - part.linear)
        result[f"to_infinite_{name}"] = _root_mean_square(part.output - part.infinite)
    for name in ("output", "linear", "infinite"):
        result[name] = one[name].isel(width=-1)
    return result.assign_attrs(networks=sizes.networks)


def _ensemble(width: int, networks: int) -> xr.Dataset:
    """Test outputs at the end of training: mean and variance over initialisations, extrapolated from two widths."""
    x, y, x_test = _data()
    means, spreads = [], []
    for size in (width // 2, width):
        outputs = []
        for i in range(networks):
            network = _network(size, 1, i)
            solved = np.linalg.solve(network.ntk(x), y - network(x)[:, 0])
            outputs.append(network(x_test)[:, 0] + network.ntk(x_test, x) @ solved)
        values = np.array(outputs)
        means.append(Estimate.of(values))
        spreads.append(Estimate.of((values - values.mean(axis=0)) ** 2 * networks / (networks - 1)))
    mean, variance = extrapolated(means), extrapolated(spreads)
    theory = kernels.ntk_regression(x, y, x_test, hidden_layers=_HIDDEN, threads=1, **_LAW).isel(time=0)
    return xr.Dataset(
        {
            "mean": ("point", mean.mean),
            "mean_error": ("point", mean.error),
            "mean_theory": ("point", theory.test.values[:, 0]),
            "variance": ("point", variance.mean),
            "variance_error": ("point", variance.error),
            "variance_theory": ("point", theory.test_variance.values),
            "widest_mean": ("point", means[-1].mean),
            "widest_variance": ("point", spreads[-1].mean),
        },
        attrs={"width": width, "networks": networks},
    )


def _smallest(sizes: Sizes) -> xr.Dataset:
    """Smallest eigenvalue of the tangent kernel against hidden layers; of finite networks for a few of them."""
    n, d = _SPHERE
    x = np.random.default_rng(62).normal(size=(n, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
    layers = list(sizes.layers)
    values, squares, chis, finite, errors = [], [], [], [], []
    for activation, sw2, sb2 in _PHASES.values():
        law: dict[str, Any] = {"activation": activation, "weight_variance": sw2, "bias_variance": sb2}
        values.append(kernels.smallest_eigenvalue(x, hidden_layers=layers, threads=1, **law))
        at = meanfield.propagate(activation, sw2, sb2, 400, 1.0)  # relu: any variance is a fixed point
        squares.append(float(at.q[-1, 0]))
        chis.append(float(at.chi[-1, 0]))
        rows = []
        for hidden in (1, 2, 4):
            both = []
            for width in (sizes.finite_width // 2, sizes.finite_width):
                draws = [
                    Network(
                        depth=hidden + 1, width=width, n_inputs=d, seed=np.random.default_rng([63, hidden, i]), **law
                    )
                    for i in range(sizes.finite_networks)
                ]
                both.append(Estimate.of(np.array([np.linalg.eigvalsh(one.ntk(x))[0] for one in draws])))
            rows.append(extrapolated(both))
        finite.append([float(one.mean) for one in rows])
        errors.append([float(one.error) for one in rows])
    return xr.Dataset(
        {
            "eigenvalue": (("phase", "layers"), np.array(values)),
            "chi": ("phase", chis),
            "q": ("phase", squares),
            "finite": (("phase", "few"), finite),
            "finite_error": (("phase", "few"), errors),
        },
        {"phase": list(_PHASES), "layers": layers, "few": [1, 2, 4]},
        {"n": n, "dimension": d, "width": sizes.finite_width, "networks": sizes.finite_networks},
    )


def _risk(n: int, networks: int) -> xr.Dataset:
    """Test error of ridge regression on features of random networks, against the number of features."""
    phi = meanfield.activation("tanh").normalised()
    d, inputs = round(n / _INPUT_RATIO), MarchenkoPastur(_INPUT_RATIO)
    fine = np.geomspace(0.15, 6.0, 61)
    theory, curve, simulated, errors = [], [], [], []
    for trained, hidden in _FEATURES.values():

        def risk(share: float, trained: str = trained, hidden: int = hidden) -> float:
            found = ridge_risk(phi, [1.0 / share] * hidden, inputs, _RIDGE, trained=trained, noise=_NOISE)
            return float(found.test_error)

        curve.append([risk(float(share)) for share in fine])
        theory.append([risk(share) for share in _SHARES])
        measured = []
        for i, share in enumerate(_SHARES):
            draws = [
                _regression(trained, hidden, n, d, round(share * n), np.random.default_rng([65, hidden, i, k]))
                for k in range(networks)
            ]
            measured.append(Estimate.of(np.array(draws)))
        simulated.append([float(one.mean) for one in measured])
        errors.append([float(one.error) for one in measured])
    return xr.Dataset(
        {
            "curve": (("features", "fine"), curve),
            "theory": (("features", "share"), theory),
            "simulated": (("features", "share"), simulated),
            "simulated_error": (("features", "share"), errors),
        },
        {"features": list(_FEATURES), "share": list(_SHARES), "fine": fine},
        {"n": n, "networks": networks, "ridge": _RIDGE, "noise": _NOISE, "input_ratio": _INPUT_RATIO},
    )


def _regression(trained: str, hidden: int, n: int, d: int, width: int, rng: np.random.Generator) -> float:
    """Mean square error on as many new inputs, of a linear target with noise."""
    x = rng.normal(size=(2 * n, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1, keepdims=True)
    y = x @ rng.normal(size=d) / np.sqrt(d) + np.sqrt(_NOISE) * rng.normal(size=2 * n)
    network = Network(
        depth=hidden + 1,
        width=width,
        n_inputs=d,
        activation=meanfield.activation("tanh").normalised(),
        weight_variance=1.0,
        bias_variance=0.0,
        seed=rng,
    )
    train, test = x[:n], x[n:]
    if trained == "all":
        kernel, cross = network.ntk(train), network.ntk(test, train)
    else:
        features = network.gradients(train)[-1]
        kernel, cross = features.gram(), network.gradients(test)[-1].gram(features)
    solved = np.linalg.solve(kernel + _RIDGE * np.eye(n), y[:n])
    return float(np.mean((y[n:] - cross @ solved) ** 2))


# ---- Pictures


def _figure_risk(data: xr.Dataset) -> Figure:
    figure, ax = pyplot.subplots(figsize=(5.6, 3.7))
    for name, colour, mark in zip(_FEATURES, ("C0", "C2", "C1"), "os^", strict=True):
        at = data.sel(features=name)
        ax.plot(data.fine, at.curve, color=colour, label=name)
        ax.errorbar(data.share, at.simulated, at.simulated_error, fmt=mark, color=colour, mfc="w", ms=5)
    ax.axhline(_NOISE, color="0.6", lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="units of a hidden layer / samples", ylabel="test error")
    ax.set_xticks(_SHARES, [f"{one:g}" for one in _SHARES])
    ax.minorticks_off()
    ax.legend(title="trained: the last layer of one or two,\nor all (tangent kernel)", title_fontsize=8)
    ax.set_title(
        f"ridge {_RIDGE:g}, noise {_NOISE:g} (dotted), n = {_INPUT_RATIO:g} d; points: n = {data.attrs['n']}",
        fontsize=9,
    )
    return figure


def _figure_training(data: dict[str, xr.Dataset]) -> Figure:
    training, ensemble = data["training"], data["ensemble"]
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(10.2, 3.5), width_ratios=(1.15, 1.0, 1.15))
    x, y, x_test = _data()
    angle = np.degrees(np.arctan2(x_test[:, 1], x_test[:, 0])) % 360.0
    shown = [i for i, t in enumerate(_TIMES) if t in (0.0, 0.3, 1.0, 10.0)]
    one = training.isel(instance=0)
    for i, depth in zip(shown, (0.75, 0.55, 0.3, 0.0), strict=True):
        shade = pyplot.get_cmap("viridis")(depth)
        left.plot(angle, one.infinite[i, _N:], color=shade, label=f"t = {_TIMES[i]:g}")
        left.plot(angle, one.output[i, _N:], "o", color=shade, mfc="w", ms=3)
    left.plot(np.degrees(np.arctan2(x[:, 1], x[:, 0])) % 360.0, y, "kx", ms=6, label="targets")
    left.set(xlabel="angle of the input", ylabel=r"output $f_t$", xticks=[0, 90, 180, 270, 360])
    left.set_ylim(top=1.9 * float(np.abs(y).max()))
    left.legend(ncols=3, fontsize=7.5, loc="upper center", columnspacing=0.8)
    left.set_title(f"infinite width (lines), M = {int(training.width[-1])} (points)", fontsize=9)
    widths = training.width.values
    for i, (key, colour, label) in enumerate(
        (
            ("to_infinite_test", "C1", "to infinite width, test"),
            ("to_infinite_train", "C1", "to infinite width, train"),
            ("to_linear_test", "C0", "to linearised, test"),
            ("to_linear_train", "C0", "to linearised, train"),
        )
    ):
        mean, error = Estimate.of(training[key].transpose("instance", "width").values)
        filled = colour if "train" in key else "w"
        middle.errorbar(widths, mean, error, fmt="os"[i // 2], color=colour, mfc=filled, ms=4.5, label=label)
        if "test" in key:
            power = 0.5 if "infinite" in key else 1.0
            line = mean[-1] * (widths / widths[-1]) ** -power
            middle.plot(widths, line, color=colour, lw=1.0, ls="--", label=rf"$M^{{-{power:g}}}$")
    middle.set(xscale="log", yscale="log", xlabel="width M", ylabel="distance of the outputs, rms")
    middle.set_ylim(top=80 * float(training.to_infinite_test.max()))
    middle.set_xticks(widths, [str(one) for one in widths])
    middle.minorticks_off()
    middle.legend(fontsize=7.5, loc="upper right")
    middle.set_title("training of the network against", fontsize=9)
    centre, deviation = ensemble.mean_theory.values, np.sqrt(ensemble.variance_theory.values)
    right.plot(angle, centre, color="C0", label="mean, theory")
    right.fill_between(angle, centre - deviation, centre + deviation, color="C0", alpha=0.25, lw=0, label="one s.d.")
    right.errorbar(
        angle, ensemble.widest_mean, np.sqrt(ensemble.widest_variance), fmt="o", color="0.3", mfc="w", ms=3, lw=0.8,
        label="networks",
    )  # fmt: skip
    right.set(xlabel="angle of the input", ylabel=r"$f_\infty$", xticks=[0, 90, 180, 270, 360])
    right.set_ylim(top=2.2 * float(np.abs(y).max()))
    right.legend(fontsize=7.5, ncols=3, loc="upper center", columnspacing=0.8)
    right.set_title(f"after training, {ensemble.attrs['networks']} initialisations", fontsize=9)
    return figure


def _figure_smallest(data: xr.Dataset) -> Figure:
    figure, ax = pyplot.subplots(figsize=(5.6, 3.9))
    for phase in _PHASES:
        at = data.sel(phase=phase)
        floor = 1e-13 * float(at.eigenvalue.max())
        values = at.eigenvalue.where(at.eigenvalue > floor)
        ax.plot(data.layers, values, "-", color=_COLOURS[phase], label=f"{phase}: $\\chi$ = {float(at.chi):.3f}")
        ax.errorbar(data.few, at.finite, at.finite_error, fmt="o", color=_COLOURS[phase], mfc="w", ms=5)
    ax.set(xscale="log", yscale="log", xlabel="hidden layers", ylabel="smallest eigenvalue of the tangent kernel")
    ax.set_xticks(data.layers.values, [str(one) for one in data.layers.values])
    ax.minorticks_off()
    ax.legend(loc="upper left")
    ax.set_ylim(1e-9, 1e12)
    ax.set_title(
        f"{data.attrs['n']} inputs on a sphere in {data.attrs['dimension']} dimensions; points: networks, extrapolated",
        fontsize=9,
    )
    return figure


# ---- Table


def _exponent(values: xr.DataArray) -> Estimate:
    """Of the width, over networks drawn for each width by themselves: bootstrap of their means."""
    logs = np.log(values.width.values.astype(float))
    samples = values.transpose("instance", "width").values
    rng = np.random.default_rng(64)
    n = len(samples)
    slopes = []
    for _ in range(400):
        means = [column[rng.integers(0, n, n)].mean() for column in samples.T]
        slopes.append(np.polyfit(logs, np.log(means), 1)[0])
    return Estimate(np.polyfit(logs, np.log(samples.mean(axis=0)), 1)[0], np.std(slopes, ddof=1))


def _table(data: dict[str, xr.Dataset]) -> list[Row]:
    training, ensemble, smallest = data["training"], data["ensemble"], data["smallest"]
    span = f"M = {int(training.width[0])} .. {int(training.width[-1])}, {training.attrs['networks']} networks each"
    rows = []
    for key, label, theory, why in (
        (
            "to_linear_train",
            "f_t less its linearisation, training inputs",
            -1.0,
            "bound -1/2 (Lee et al.); -1: Huang and Yau",
        ),
        (
            "to_linear_test",
            "f_t less its linearisation, test inputs",
            -1.0,
            "bound -1/2 (Lee et al.); -1: Huang and Yau",
        ),
        ("to_infinite_train", "f_t less that of infinite width, training inputs", -0.5, "the first kernel fluctuates"),
        ("to_infinite_test", "f_t less that of infinite width, test inputs", -0.5, "the first kernel fluctuates"),
        ("kernel_change", "change of the tangent kernel in training", -1.0, "Huang and Yau; Dyer and Gur-Ari"),
        ("kernel_distance", "tangent kernel before training, to infinite width", -0.5, "central limit theorem"),
    ):
        slope = _exponent(training[key])
        rows.append(compare(f"{label}: exponent of M", theory, float(slope.mean), float(slope.error), f"{why}; {span}"))
    for key in ("to_linear_test", "to_infinite_test"):
        last = Estimate.of(training[key].isel(width=-1).values)
        rows.append(
            Row(
                f"{'f_t less its linearisation' if 'linear' in key else 'f_t less that of infinite width'}, test, "
                f"M = {int(training.width[-1])}",
                "0 (M = infinity)",
                f"{float(last.mean):.4f} +- {float(last.error):.4f}",
                f"{float(last.mean):+.4f}",
                "rms over times and inputs; targets are of order 1",
            )
        )
    for quantity, formula in (("mean", "Theta(x', X) Theta^-1 y"), ("variance", "over initialisations")):
        pulls = ((ensemble[quantity] - ensemble[f"{quantity}_theory"]) / ensemble[f"{quantity}_error"]).values
        at = int(np.argmax(ensemble.variance_theory.values))
        one = ensemble.isel(point=at)
        rows.append(
            compare(
                f"f_infinity, {quantity} ({formula}), at the test input of largest variance",
                float(one[f"{quantity}_theory"]),
                float(one[quantity]),
                float(one[f"{quantity}_error"]),
                f"{ensemble.attrs['networks']} networks of each of two widths, extrapolated in 1/M; "
                f"all {pulls.size} inputs: rms {np.sqrt(np.mean(pulls**2)):.2f} s.e.",
            )
        )
    return [*rows, *_rows_smallest(smallest), *_rows_risk(data["risk"])]


def _rows_risk(data: xr.Dataset) -> list[Row]:
    why = f"n = {data.attrs['n']}, {data.attrs['networks']} networks; ridge {_RIDGE:g}, noise {_NOISE:g}; talk: open"
    return [
        compare(
            f"ridge regression, {name}: test error, {share:g} units a sample",
            float(data.theory.sel(features=name, share=share)),
            float(data.simulated.sel(features=name, share=share)),
            float(data.simulated_error.sel(features=name, share=share)),
            why,
        )
        for name in _FEATURES
        for share in _SHARES
    ]


def _rows_smallest(data: xr.Dataset) -> list[Row]:
    rows = []
    for phase in _PHASES:
        at = data.sel(phase=phase)
        for few in data.few.values:
            one = at.sel(few=few)
            rows.append(
                compare(
                    f"smallest eigenvalue, {phase}, {few} hidden layers",
                    float(at.eigenvalue.sel(layers=few)),
                    float(one.finite),
                    float(one.finite_error),
                    f"widths {data.attrs['width'] // 2} and {data.attrs['width']} extrapolated in 1/M",
                )
            )
    layers = data.layers.values
    for phase, share, rate in (("relu, critical", 3 / 4, "3/4"), ("tanh, critical", 2 / 3, "2/3")):
        at = data.sel(phase=phase)
        growth = float(at.eigenvalue[-1] - at.eigenvalue[-2]) / float(layers[-1] - layers[-2]) / float(at.q)
        rows.append(
            Row(
                f"{phase}: growth of the smallest eigenvalue a layer, over q",
                f"positive? ({rate} for L = infinity)",
                f"{growth:.4f}",
                f"{growth - share:+.4f}",
                f"{layers[-2]} .. {layers[-1]} layers; off-diagonal / diagonal tends to {1 - share:.3g} (Hayou et al.)",
            )
        )
    for phase, power in (("tanh, order", 1.0), ("tanh, chaos", 0.0)):
        at = data.sel(phase=phase)
        good = np.flatnonzero(at.eigenvalue.values > 1e-11 * float(at.eigenvalue.values[0]))[-2:]
        low, high = layers[good]
        change = np.diff(np.log(at.eigenvalue.values[good]))[0] - power * np.log(high / low)
        theory, found = float(np.log(at.chi)), float(change) / float(high - low)
        law = "L chi^L" if power else "chi^L"
        rows.append(
            Row(
                f"{phase}: ln of the factor of the smallest eigenvalue a layer",
                f"{theory:.4f} (ln chi)",
                f"{found:.4f}",
                f"{found - theory:+.4f}",
                f"as {law}, {low} .. {high} layers",
            )
        )
    return rows
