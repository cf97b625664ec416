"""Gradients and Fisher information of a network as the definitions say: one sample, one output, dense matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from .meanfield import Function, Phi, moments, two_point

__all__ = ["fisher", "jacobian", "kappas", "metric"]

Array = npt.NDArray[np.float64]


def jacobian(
    weights: Sequence[Array],
    biases: Sequence[Array],
    phi: Function,
    slope: Function,
    x: Array,
    train_biases: bool = True,
) -> Array:
    """Give d f_k / d theta of one input x: for each layer and unit, its weights and its bias; shape (n_outputs, P)."""
    depth = len(weights)
    activities, signals = [x], []
    for w, b in zip(weights, biases, strict=True):
        signals.append(w @ activities[-1] + b)
        activities.append(phi(signals[-1]))
    rows = []
    for k in range(len(weights[-1])):
        row = []
        for layer in range(depth):
            chain = np.eye(len(weights[layer]))  # d u^depth / d u^layer
            for after in range(layer + 1, depth):
                chain = weights[after] @ np.diag(slope(signals[after - 1])) @ chain
            for unit in range(len(weights[layer])):
                row += [chain[k, unit] * a for a in activities[layer]] + [chain[k, unit]] * train_biases
        rows.append(row)
    return np.array(rows)


def fisher(gradients: Array, outputs: Array, categorical: bool = False) -> Array:
    """(1/T) sum_t sum_kk' grad f_k Q_kk' grad f_k'^T of gradients (T, C, P) and outputs (T, C)."""
    total = np.zeros((gradients.shape[2],) * 2)
    for gradient, f in zip(gradients, outputs, strict=True):
        g = softmax(f)
        q = np.diag(g) - np.outer(g, g) if categorical else np.eye(len(f))
        total += gradient.T @ q @ gradient / len(outputs)
    return total


def kappas(phi: Phi, sw2: float, sb2: float, depth: int) -> tuple[float, float]:
    """kappa_1 and kappa_2 of Karakida, Akaho and Amari, one layer after the other."""
    qhat, qhat_st, chi, chi_st = [1.0], [0.0], [], []
    for _ in range(depth - 1):
        q, q_st = sw2 * qhat[-1] + sb2, sw2 * qhat_st[-1] + sb2
        at, (value, slope) = moments(phi, q), two_point(phi, q, q, q_st / q)
        qhat.append(at["square"])
        qhat_st.append(value)
        chi.append(sw2 * at["slope_square"])
        chi_st.append(sw2 * slope)
    kappa_1 = kappa_2 = 0.0
    for layer in range(depth):  # qtilde^l is the product of all chi above
        kappa_1 += float(np.prod(chi[layer:])) * qhat[layer] / (depth - 1)
        kappa_2 += float(np.prod(chi_st[layer:])) * qhat_st[layer] / (depth - 1)
    return kappa_1, kappa_2


def metric(name: str, inputs: Sequence[Array], deltas: Sequence[Array], root_damping: float = 0.0) -> Array:
    """The metric G of the parameters as a P x P matrix, from x (N, fan-in) and d f_k / d u (N, C, units) of each layer.

    Parameters are in the order of `jacobian`.  The damping of kfac goes into its factors.
    """
    n = len(inputs[0])
    gradients = [
        np.einsum("ski,sj->skij", d, x).reshape(n * d.shape[1], -1) for x, d in zip(inputs, deltas, strict=True)
    ]
    places = np.cumsum([0, *(g.shape[1] for g in gradients)])
    full = np.concatenate(gradients, axis=1)
    if name == "exact":
        return np.asarray(full.T @ full / n)
    total = np.zeros((places[-1], places[-1]))
    for i, first in enumerate(gradients):
        for j, second in enumerate(gradients):
            if i == j or (abs(i - j) == 1 and name == "block_tridiagonal"):
                total[places[i] : places[i + 1], places[j] : places[j + 1]] = first.T @ second / n
        block = total[places[i] : places[i + 1], places[i] : places[i + 1]]
        fan_in = inputs[i].shape[1]
        if name == "kfac":
            rows = deltas[i].reshape(-1, deltas[i].shape[2])
            a = inputs[i].T @ inputs[i] / n + root_damping * np.eye(fan_in)
            b = rows.T @ rows / n + root_damping * np.eye(rows.shape[1])
            block[...] = np.kron(b, a)
        if name == "unit_wise":
            block *= np.kron(np.eye(deltas[i].shape[2]), np.ones((fan_in, fan_in)))
    return total


def normalised(weights: Sequence[Array], biases: Sequence[Array], phi: Function, x: Array, kind: str) -> Array:
    """Outputs (T, C) of a network whose pre-activations, or whose outputs, are normalised over the batch x."""
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        u = x @ w.T + b
        if kind == "batch":
            u = (u - np.mean(u, axis=0)) / np.std(u, axis=0)
        if kind == "layer":
            u = ((u.T - np.mean(u, axis=1)) / np.std(u, axis=1)).T
        x = phi(u)
    f = x @ weights[-1].T + biases[-1]
    return f - np.mean(f, axis=0) if kind == "mean_subtraction" else f
