"""Simulations of the item "fisher": eigenvalues of random networks, and networks trained to find stable rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import fisher, io, meanfield
from ..random import child_seed
from . import _experiment
from ._images import pictures_of

__all__ = ["Epoch", "Growth", "Online", "critical_hard_tanh", "epoch_data", "estimated_hours"]

Array = npt.NDArray[np.float64]
Check = Callable[[int, int], None]

N_CLASSES = 10
BATCH = 50  # images of a step
NETWORKS = 6  # whose Fisher information is computed in each instance of an epoch; the first one is trained
RELU: dict[str, Any] = {"weight_variance": 2.0, "bias_variance": 0.0}
HARD_TANH_BIAS = 1e-4  # small: depth (1 - E phi'^2) << 1, and singular values are all about 1
_LAST, _TOGETHER = 100, 20  # steps whose mean loss is taken: at the end, and for its largest value
_PER_SECOND = 3e9  # operations of one thread, about
_DIVERGED = 1e4  # times the loss before training


def epoch_data(path: str, n: int, instance: int, centred: bool) -> tuple[Array, Array]:
    """Normalised images and their classes as unit vectors, without mean for outputs that have none."""
    some = pictures_of(path).chosen(n, np.random.default_rng([31, instance]))
    y = np.eye(N_CLASSES)[some.labels]
    return some.normalised(), y - y.mean(axis=0) if centred else y


@dataclasses.dataclass(frozen=True)
class Growth(_experiment.Experiment):
    """Largest eigenvalue against width with one normalisation, relu, depth 3, `ratio` units a sample."""

    normalisation: str
    widths: tuple[int, ...]
    ratio: int
    n_draws: int
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"growth_{self.normalisation}"

    @property
    def cost(self) -> float:
        """Operations."""
        batch = self.normalisation in ("batch", "layer")
        return float(sum(self.n_draws * (w**4 / self.ratio**2 * 8 if batch else 8 * w**3) for w in self.widths))

    def run(self, instance: int, path: Path, check: Check) -> None:
        """All widths and draws."""
        io.save(
            fisher.largest_eigenvalues(
                "relu",
                weight_variance=2.0,
                bias_variance=0.1,
                depth=3,
                widths=self.widths,
                n_samples=[width // self.ratio for width in self.widths],
                normalisation=self.normalisation,
                n_draws=self.n_draws,
                seed=1 + instance,
                progress=check,
            ),
            path,
        )


@dataclasses.dataclass(frozen=True)
class Epoch(_experiment.Experiment):
    """One epoch of mini-batches on images with (1/2) |y - f|^2, at several rates: relu, depth 4, no biases.

    ``centred``: the outputs less their means over the batch, batch normalisation of the last layer without gain.
    """

    width: int
    rates: tuple[float, ...]
    n_images: int
    centred: bool
    images: str
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"epoch_{'centred_' if self.centred else ''}{self.width}"

    @property
    def cost(self) -> float:
        """Operations."""
        return 7.0 * len(self.rates) * self.n_images * (784 * self.width + 2 * self.width**2)

    def run(self, instance: int, path: Path, check: Check) -> None:
        """All rates from the same weights."""
        x, y = epoch_data(self.images, self.n_images, instance, self.centred)
        networks = [self._network(x.shape[1], instance, i) for i in range(NETWORKS)]
        top = [np.linalg.eigvalsh(one.fisher(x[:BATCH], centred=self.centred))[-N_CLASSES:] for one in networks]
        network = networks[0]
        first = _loss(network.weights, x, y, self.centred)
        found = np.empty((2, len(self.rates)))
        for i, rate in enumerate(self.rates):
            check(i, len(self.rates))
            found[:, i] = _one_epoch(network.weights, x, y, rate, self.centred, _DIVERGED * first)
        io.save(
            xr.Dataset(
                {
                    "loss": ("rate", found[0]),
                    "peak": ("rate", found[1]),
                    "first_loss": first,
                    # Theory has one for each output
                    "largest_eigenvalue": ("network", np.mean(top, axis=1)),
                },
                {"rate": list(self.rates)},
            ),
            path,
        )

    def _network(self, n_inputs: int, *numbers: int) -> fisher.Network:
        return fisher.Network(
            depth=4,
            width=self.width,
            n_inputs=n_inputs,
            n_outputs=N_CLASSES,
            activation="relu",
            parametrisation="standard",
            train_biases=False,
            seed=np.random.default_rng([33, self.width, *numbers]),
            **RELU,
        )


def _forward(weights: Sequence[Array], x: Array, centred: bool) -> tuple[list[Array], Array]:
    """Activities h^0 .. h^{depth-1}, and the outputs."""
    h = [x]
    for w in weights[:-1]:
        h.append(np.maximum(h[-1] @ w.T, 0.0))
    f = h[-1] @ weights[-1].T
    return h, f - f.mean(axis=0) if centred else f


def _half_square(error: Array) -> float:
    return 0.5 * float(np.mean(np.sum(error**2, axis=1)))


def _loss(weights: Sequence[Array], x: Array, y: Array, centred: bool) -> float:
    return _half_square(_forward(weights, x, centred)[1] - y)


def _one_epoch(
    weights: Sequence[Array], x: Array, y: Array, rate: float, centred: bool, limit: float
) -> tuple[float, float]:
    """Training loss after it, and the largest loss of a batch; both infinite where one has passed the limit."""
    w, peak = [one.copy() for one in weights], 0.0
    for begin in range(0, len(x), BATCH):
        h, f = _forward(w, x[begin : begin + BATCH], centred)
        delta = f - y[begin : begin + BATCH]
        peak = max(peak, _half_square(delta))
        if not peak < limit:
            return np.inf, np.inf
        delta /= len(f)
        if centred:
            delta -= delta.mean(axis=0)
        for layer in range(len(w) - 1, -1, -1):
            gradient = delta.T @ h[layer]
            delta = (delta @ w[layer]) * (h[layer] > 0.0)
            w[layer] -= rate * gradient
    last = _loss(w, x, y, centred)
    return (last, peak) if last < limit else (np.inf, np.inf)


def critical_hard_tanh() -> tuple[float, float]:
    """Weight variance at the edge of chaos, and the mean square of the activities at the fixed point."""
    sw2 = float(meanfield.critical_weight_variance("hard_tanh", HARD_TANH_BIAS))
    q = float(meanfield.fixed_point("hard_tanh", sw2, HARD_TANH_BIAS).q)
    return sw2, (q - HARD_TANH_BIAS) / sw2


@dataclasses.dataclass(frozen=True)
class Online(_experiment.Experiment):
    """Learning one image after the other: hard tanh, orthogonal weights, (1 / 2 width) |y - f|^2, at several rates.

    Rates are in units of 2 / (depth qhat).  Images are projected at random to as many inputs as there are units.
    """

    depth: int
    width: int
    rates: tuple[float, ...]
    steps: int
    images: str
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"online_{self.depth}"

    @property
    def cost(self) -> float:
        """Operations."""
        return 12.0 * len(self.rates) * self.depth * self.width**2 * self.steps

    def run(self, instance: int, path: Path, check: Check) -> None:
        """All rates side by side, from the same weights on the same images."""
        sw2, qhat = critical_hard_tanh()
        rng = np.random.default_rng([32, instance])
        some = pictures_of(self.images).chosen(self.steps, rng)
        order = np.arange(self.steps) % len(some.labels)
        x = some.pixels @ rng.normal(size=(some.pixels.shape[1], self.width))
        x *= np.sqrt(qhat * self.width) / np.linalg.norm(x, axis=1, keepdims=True)
        y = np.eye(N_CLASSES)[some.labels]
        network = fisher.Network(
            depth=self.depth,
            width=self.width,
            n_inputs=self.width,
            n_outputs=N_CLASSES,
            activation="hard_tanh",
            weight_variance=sw2,
            bias_variance=HARD_TANH_BIAS,
            parametrisation="standard",
            weights="orthogonal",
            train_biases=False,
            seed=child_seed(instance, self.depth),
        )
        rates = np.array(self.rates) * 2.0 / (self.depth * qhat)
        spectra = np.linalg.eigvalsh(network.conditional_fisher(x[:5])) / self.width
        first = _half_square(network(x) - y) / self.width
        losses = _online(network, x[order], y[order], rates, _DIVERGED * first, check)
        io.save(
            xr.Dataset(
                {
                    "loss": ("rate", losses[:, -_LAST:].mean(axis=1)),
                    "peak": ("rate", losses.reshape(len(rates), -1, _TOGETHER).mean(axis=2).max(axis=1)),
                    "first_loss": first,
                    "largest_eigenvalue": spectra[:, -1].mean(),
                },
                {"rate": list(self.rates)},
            ),
            path,
        )


def _online(network: fisher.Network, x: Array, y: Array, rates: Array, limit: float, check: Check) -> Array:
    """Loss of each image before it is learnt, infinite from where one has passed the limit: (rates, steps)."""
    width, phi = x.shape[1], network.activation
    w = [np.repeat(one[np.newaxis], len(rates), axis=0) for one in network.weights]
    rate = rates[:, np.newaxis, np.newaxis] / width
    losses = np.empty((len(rates), len(x)))
    with np.errstate(over="ignore", invalid="ignore"):  # where it diverges
        for t in range(len(x)):
            check(t, len(x))
            h, slopes = [np.repeat(x[np.newaxis, t], len(rates), axis=0)], []
            for one, b in zip(w, network.biases, strict=True):
                u = np.matmul(one, h[-1][:, :, np.newaxis])[:, :, 0] + b
                h.append(np.asarray(phi(u)))
                slopes.append(np.asarray(phi.derivative(u)))
            delta = u - y[t]  # the last layer is linear
            losses[:, t] = 0.5 * np.sum(delta**2, axis=1) / width
            for layer in range(len(w) - 1, -1, -1):
                back = np.matmul(delta[:, np.newaxis, :], w[layer])[:, 0]
                w[layer] -= rate * delta[:, :, np.newaxis] * h[layer][:, np.newaxis, :]
                delta = back * slopes[layer - 1] if layer else back
    return np.where(np.logical_and.accumulate(losses < limit, axis=1), losses, np.inf)


def estimated_hours(experiments: Iterable[_experiment.Experiment]) -> float:
    """Hours on one thread of a list with one entry for each instance."""
    return sum(one.cost for one in experiments) / _PER_SECOND / 3600.0
