"""Training, sample by sample and step by step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["gradient", "train"]

Array = npt.NDArray[np.float64]
Layers = list[tuple[Array, Array]]  # W (fan_out, fan_in) and b (fan_out,) of each layer


def outputs(layers: Layers, x: Array) -> list[Array]:
    """Values of all layers for one sample."""
    values = [x]
    for number, (weight, bias) in enumerate(layers, start=1):
        field = weight @ values[-1] + bias
        values.append(np.maximum(field, 0.0) if number < len(layers) else field)
    return values


def gradient(layers: Layers, x: Array, label: int) -> Layers:
    """Gradient of the cross entropy of one sample: delta^L = p - y, delta^l = phi'(u^l) W^{l+1}^T delta^{l+1}."""
    values = outputs(layers, x)
    p = np.exp(values[-1] - values[-1].max())
    delta = p / p.sum() - np.eye(len(p))[label]
    found: Layers = []
    for (weight, _), below in zip(reversed(layers), reversed(values[:-1]), strict=True):
        found.insert(0, (np.outer(delta, below), delta))
        delta = (below > 0.0) * (weight.T @ delta)
    return found


def train(
    inputs: Array,
    labels: npt.NDArray[np.int64],
    seed: int,
    rate: float,
    *,
    hidden_layers: int,
    width: int,
    batch: int,
    extrapolation: float = 1.0,
    n_epochs: int,
) -> Layers:
    """Noise-enhanced descent  w <- w - eta [a grad L_B + (1 - a) grad L_B'],  plain descent where a = 1."""
    rng = np.random.default_rng(seed)
    sizes = [inputs.shape[1], *[width] * hidden_layers, int(labels.max()) + 1]
    layers: Layers = []
    for fan_in, fan_out in pairwise(sizes):
        bound = np.sqrt(6.0 / (fan_in + fan_out))
        layers.append((rng.uniform(-bound, bound, (fan_in, fan_out)).T.copy(), np.zeros(fan_out)))
    n = len(inputs)
    for _ in range(n_epochs):
        orders = [(extrapolation, rng.permutation(n))]
        if extrapolation != 1.0:
            orders.append((1.0 - extrapolation, rng.permutation(n)))
        for begin in range(0, n, batch):
            step = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in layers]
            for factor, order in orders:
                chosen = order[begin : begin + batch]
                for i in chosen:
                    for (weight, bias), (by_weight, by_bias) in zip(
                        step, gradient(layers, inputs[i], int(labels[i])), strict=True
                    ):
                        weight += factor / len(chosen) * by_weight
                        bias += factor / len(chosen) * by_bias
            layers = [(w - rate * dw, b - rate * db) for (w, b), (dw, db) in zip(layers, step, strict=True)]
    return layers
