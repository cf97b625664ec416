"""What normalisation of signals makes of the largest eigenvalue of the Fisher information: by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer, per_item
from .._progress import Progress, reporting
from ..io import provenance
from ..meanfield import Activation
from ..meanfield import activation as make_activation
from ..random import SeedLike, child_seed, seed_entropy
from .network import Array, Network

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["largest_eigenvalues", "normalised_fisher"]

_KINDS = ["none", "mean_subtraction", "batch", "layer"]


def normalised_fisher(network: Network, X: npt.ArrayLike, *, normalisation: str) -> Array:
    """Dual Fisher information J J^T / T of a network with normalised signals.

    Parameters
    ----------
    network : Network
        Gives weights and biases.
    X : array_like, shape (T, n_inputs)
        Inputs, all of one batch.
    normalisation : {"none", "mean_subtraction", "batch", "layer"}
        mean_subtraction: the outputs less their means over the samples, ``network.fisher(X, centred=True)``.
        batch, layer: phi((u - mean) / sd) in all hidden layers, mean and standard deviation of each unit over the
        samples, or of each sample over the units; gain 1 and shift 0 are not trained.

    Returns
    -------
    array, shape (n_outputs T, n_outputs T)
        Exact: gradients go through means and standard deviations, so that with batch each output has a gradient by the
        signals of all samples.  Memory n_outputs T^2 width, time n_outputs^2 T^3 width.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> network = dg.fisher.Network(depth=3, width=200, n_inputs=50, activation="relu", weight_variance=2.0,
    ...                             bias_variance=0.1, seed=1)
    >>> x = np.random.default_rng(1).normal(size=(20, 50))
    >>> for kind in ("none", "mean_subtraction", "batch", "layer"):
    ...     print(kind, np.linalg.eigvalsh(dg.fisher.normalised_fisher(network, x, normalisation=kind))[-1].round(2))
    none 2.49
    mean_subtraction 0.58
    batch 0.47
    layer 1.15
    """
    kind = choice("normalisation", normalisation, _KINDS)
    x = finite_matrix("X", X, network.n_inputs)
    if kind in ("none", "mean_subtraction"):
        return network.fisher(x, centred=kind == "mean_subtraction")
    axis = 0 if kind == "batch" else 1  # of (samples, units)
    if (len(x), network.weights[0].shape[0])[axis] < 2 and network.depth > 1:
        raise ValueError(f"normalisation must not be {kind!r} over a single {('sample', 'unit')[axis]}")
    activities, normal, deviations, slopes = [x], [], [], []
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        u = activities[-1] @ w.T + b
        sd = u.std(axis=axis, keepdims=True)
        if not sd.all():
            raise ValueError(f"X must not have signals without variance, layer {len(activities)} has")
        normal.append((u - u.mean(axis=axis, keepdims=True)) / sd)
        deviations.append(sd)
        slopes.append(np.asarray(network.activation.derivative(normal[-1])))
        activities.append(np.asarray(network.activation(normal[-1])))

    n, c = len(x), network.n_outputs
    # d f_k(t) / d u^l(s), rows (t, k): shape (n c, n, n_units).
    delta: Array = np.zeros((n, c, n, c))
    delta[np.arange(n), :, np.arange(n), :] = np.eye(c)
    delta = delta.reshape(n * c, n, c)
    total = np.zeros((n * c, n * c))
    for layer in range(network.depth - 1, -1, -1):
        inputs = network.layer_inputs(layer, activities[layer])
        rows = delta.reshape(n * c, -1)
        total += ((inputs @ inputs.T) @ delta).reshape(n * c, -1) @ rows.T
        if layer > 0:
            h, sd = normal[layer - 1], deviations[layer - 1]
            delta = (delta @ network.weights[layer]) * slopes[layer - 1]
            # Of u -> (u - mean) / sd: projects out the constant and h itself.
            mean = delta.mean(axis=axis + 1, keepdims=True)
            delta = (delta - mean - h * (delta * h).mean(axis=axis + 1, keepdims=True)) / sd
    return total / n


def largest_eigenvalues(
    activation: str | Activation,
    *,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    widths: Sequence[int],
    n_samples: int | Sequence[int],
    n_outputs: int = 1,
    normalisation: str = "none",
    n_draws: int = 10,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    """Largest eigenvalue of the Fisher information of random networks against width, and its exponent.

    Networks and inputs as in `statistics`, whose theory is that of normalisation "none"; without gradients by biases.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance), > 0 and >= 0.
    depth : int >= 2
        Number of weight layers.
    widths : sequence of int >= 2
        Units of each hidden layer, and inputs; increasing, two or more.
    n_samples : int >= 2, or one for each width
        Samples T.
    n_outputs : int >= 1
        Number C of outputs.
    normalisation : {"none", "mean_subtraction", "batch", "layer"}
        See `normalised_fisher`.
    n_draws : int >= 2
        Networks and sets of inputs of each width.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of all of them.
    progress : bool or callable(done, total)
        Of eigenvalues.

    Returns
    -------
    xarray.Dataset
        ``largest_eigenvalue`` (width, draw); ``n_samples`` (width); ``exponent`` of the width, a straight line through
        the logarithms, each width weighted by the spread of its draws; ``exponent_error``; ``seed``.

    Examples
    --------
    >>> import deepglass as dg
    >>> law = dict(weight_variance=2.0, bias_variance=0.1, depth=3, widths=[50, 100, 200], n_samples=20, seed=1)
    >>> plain = dg.fisher.largest_eigenvalues("relu", **law)
    >>> abs(float(plain.exponent) - 1) < 3 * float(plain.exponent_error)  # grows as the width
    True
    """
    import xarray as xr

    phi = make_activation(activation)
    integer("depth", depth, 2, 1_000_000)
    sizes = [integer("widths", width, 2, 2**31) for width in widths]
    if len(sizes) < 2 or any(a >= b for a, b in pairwise(sizes)):
        raise ValueError(f"widths must increase, two or more of them, got {sizes}")
    samples = per_item("n_samples", n_samples, len(sizes), "an integer >= 2", lambda t: t >= 2 and t == int(t))
    kind = choice("normalisation", normalisation, _KINDS)
    n_draws, entropy = integer("n_draws", n_draws, 2, 2**31), seed_entropy(seed)
    values = np.empty((len(sizes), n_draws))
    with reporting(progress, "eigenvalues") as report:
        for i, (width, t) in enumerate(zip(sizes, samples, strict=True)):
            for draw in range(n_draws):
                rng = np.random.default_rng(child_seed(child_seed(entropy, width), draw))
                network = Network(
                    depth=depth,
                    width=width,
                    n_inputs=width,
                    n_outputs=n_outputs,
                    activation=phi,
                    weight_variance=weight_variance,
                    bias_variance=bias_variance,
                    parametrisation="standard",
                    train_biases=False,
                    seed=rng,
                )
                dual = normalised_fisher(network, rng.standard_normal((int(t), width)), normalisation=kind)
                values[i, draw] = np.linalg.eigvalsh(dual)[-1]
                report(i * n_draws + draw + 1, values.size)
    exponent, error = _power(np.array(sizes, dtype=float), values)
    parameters = {
        "activation": phi.name,
        "weight_variance": weight_variance,
        "bias_variance": bias_variance,
        "depth": depth,
        "widths": sizes,
        "n_samples": samples,
        "n_outputs": n_outputs,
        "normalisation": kind,
        "n_draws": n_draws,
    }
    variables: dict[str, Any] = {
        "largest_eigenvalue": (("width", "draw"), values),
        "n_samples": ("width", samples.astype(int)),
        "exponent": exponent,
        "exponent_error": error,
        "seed": np.uint64(entropy),
    }
    attributes = provenance("deepglass.fisher.largest_eigenvalues", parameters, seed=entropy)
    return xr.Dataset(variables, {"width": sizes}, attributes)


def _power(x: Array, values: Array) -> tuple[float, float]:
    """Exponent p of values ~ x^p and its error, from several draws at each x."""
    logs = np.log(values)
    y, variance = logs.mean(axis=1), logs.var(axis=1, ddof=1) / logs.shape[1]
    weight = 1.0 / variance
    t = np.log(x) - weight @ np.log(x) / weight.sum()
    norm = float(weight @ t**2)
    return float(weight @ (t * y)) / norm, float(np.sqrt(1.0 / norm))
