"""Fully connected networks of finite width: gradients of every sample, tangent kernel, Fisher information."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer, number
from ..meanfield import Activation
from ..meanfield import activation as make_activation
from ..random import SeedLike, child_seed, seed_entropy

__all__ = ["Network"]

Array = npt.NDArray[np.float64]

MAX_MEMORY = 4 * 2**30
_MOST = 2**31


class LayerGradients(NamedTuple):
    """Gradients of one layer, one outer product for each sample s and output k: delta[s, k] (x) inputs[s]."""

    inputs: Array  # (n, n_parameters of a unit): x^{l-1}, scaled, and a column for the bias
    delta: Array  # (n, n_outputs, n_units): d f_k / d u^l

    def gram(self, other: LayerGradients | None = None) -> Array:
        """Products of the inputs, (n, n')."""
        return self.inputs @ (self if other is None else other).inputs.T

    def kernel(self, other: LayerGradients | None = None) -> Array:
        """Products of the gradients, (n, n_outputs, n', n_outputs)."""
        that = self if other is None else other
        (n, c, units), m = self.delta.shape, len(that.delta)
        products = (self.delta.reshape(-1, units) @ that.delta.reshape(-1, units).T).reshape(n, c, m, c)
        return self.gram(other)[:, np.newaxis, :, np.newaxis] * products


class Network:
    """A fully connected network with random weights and its exact gradients, in NumPy.

        u^l = W^l x^{l-1} + b^l,  x^l = phi(u^l) for l < depth,  f = u^depth

    Parameters
    ----------
    depth : int >= 1
        Number of weight layers; the last one is linear.
    width : int >= 1
        Units of each hidden layer.
    n_inputs, n_outputs : int >= 1
        Dimensions of x^0 and f.
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float
        W_ij ~ N(0, weight_variance / fan-in), b_i ~ N(0, bias_variance), > 0 and >= 0.
    parametrisation : {"ntk", "standard"}
        What the parameters are: standard normal w and beta in W = sqrt(weight_variance / fan-in) w,
        b = sqrt(bias_variance) beta, as in `deepglass.kernels.ntk`; or W and b themselves, as in `statistics`.
    weights : {"gaussian", "orthogonal"}
        Law of W.  Orthogonal, entries of the same variance: W W^T = weight_variance where fan-out <= fan-in, else
        W^T W = weight_variance fan-out / fan-in.
    train_biases : bool
        Whether the biases are parameters (they are not where ntk gives them the factor 0).
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        Of the weights.

    Attributes
    ----------
    weights, biases : tuple of arrays, shapes (fan-out, fan-in) and (fan-out,)
        W^l and b^l, l = 1 .. depth.
    n_parameters : int
        Length P of `parameters`: layer by layer, unit by unit, the weights of a unit and then its bias.
    arguments : dict
        From which the same network is made again, with the seed used; after `with_parameters` with these, too.

    Notes
    -----
    Kernels and dual matrices are sums over layers of products of two small matrices; gradients of length P are
    made only by `jacobian` and by ``fisher(form="full")``.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> network = dg.fisher.Network(depth=3, width=50, n_inputs=4, n_outputs=2, activation="tanh",
    ...                             weight_variance=1.5, bias_variance=0.1, seed=1)
    >>> x = np.random.default_rng(1).normal(size=(10, 4))
    >>> network(x).shape, network.jacobian(x).shape, network.ntk(x).shape
    ((10, 2), (10, 2, 2902), (20, 20))
    >>> dual, full = network.fisher(x), network.fisher(x, form="full")
    >>> np.allclose(np.linalg.eigvalsh(dual), np.linalg.eigvalsh(full)[-20:])
    True
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        n_inputs: int,
        n_outputs: int = 1,
        activation: str | Activation,
        weight_variance: float,
        bias_variance: float,
        parametrisation: str = "ntk",
        weights: str = "gaussian",
        train_biases: bool = True,
        seed: SeedLike = None,
    ) -> None:
        depth, width = integer("depth", depth, 1, 1_000_000), integer("width", width, 1, _MOST)
        n_inputs, n_outputs = integer("n_inputs", n_inputs, 1, _MOST), integer("n_outputs", n_outputs, 1, _MOST)
        self.activation = make_activation(activation)
        sw2 = number("weight_variance", weight_variance, "a finite number > 0", lambda x: x > 0.0)
        sb2 = number("bias_variance", bias_variance, "a finite number >= 0", lambda x: x >= 0.0)
        ntk = choice("parametrisation", parametrisation, ["ntk", "standard"]) == "ntk"
        orthogonal = choice("weights", weights, ["gaussian", "orthogonal"]) == "orthogonal"
        if not isinstance(train_biases, (bool, np.bool_)):
            raise ValueError(f"train_biases must be True or False, got {train_biases!r}")

        sizes = [n_inputs, *[width] * (depth - 1), n_outputs]
        self.train_biases = bool(train_biases) and (sb2 > 0.0 or not ntk)
        # Derivative of W_ij and b_i by their parameters.
        self._weight_scales = [np.sqrt(sw2 / n) if ntk else 1.0 for n in sizes[:-1]]
        self._bias_scale = np.sqrt(sb2) if ntk else 1.0
        entropy = seed_entropy(seed)
        self.arguments: dict[str, Any] = {
            "depth": depth,
            "width": width,
            "n_inputs": n_inputs,
            "n_outputs": n_outputs,
            "activation": self.activation.name,
            "weight_variance": sw2,
            "bias_variance": sb2,
            "parametrisation": parametrisation,
            "weights": weights,
            "train_biases": self.train_biases,
            "seed": entropy,
        }
        # Not default_rng(seed), from which the inputs may have been drawn.
        rng = np.random.default_rng(child_seed(entropy, 0))
        drawn, biases = [], []
        for fan_in, fan_out in pairwise(sizes):
            law = _orthogonal(rng, fan_out, fan_in) if orthogonal else rng.standard_normal((fan_out, fan_in))
            drawn.append(np.sqrt(sw2 / fan_in) * law)
            biases.append(np.sqrt(sb2) * rng.standard_normal(fan_out))
        self.weights: tuple[Array, ...] = tuple(drawn)
        self.biases: tuple[Array, ...] = tuple(biases)

    @property
    def depth(self) -> int:
        """Number of weight layers."""
        return len(self.weights)

    @property
    def n_inputs(self) -> int:
        """Dimension of the inputs."""
        return int(self.weights[0].shape[1])

    @property
    def n_outputs(self) -> int:
        """Dimension of the output f."""
        return len(self.weights[-1])

    @property
    def n_parameters(self) -> int:
        """Number P of parameters."""
        return sum(w.size + self.train_biases * len(w) for w in self.weights)

    @property
    def parameters(self) -> Array:
        """All parameters in one vector, shape (P,)."""
        layers = zip(self.weights, self.biases, self._weight_scales, strict=True)
        return np.concatenate([self._rows(w / scale, b).reshape(-1) for w, b, scale in layers])

    def with_parameters(self, parameters: npt.ArrayLike) -> Network:
        """The same network with other parameters, shape (P,)."""
        values = np.asarray(parameters, dtype=np.float64)
        if values.shape != (self.n_parameters,) or not np.isfinite(values).all():
            raise ValueError(
                f"parameters must be finite, of shape ({self.n_parameters},), got an array of shape {values.shape}"
            )
        other = object.__new__(Network)
        other.__dict__.update(self.__dict__)
        weights, biases, begin = [], [], 0
        for w, b, scale in zip(self.weights, self.biases, self._weight_scales, strict=True):
            rows = values[begin : (begin := begin + w.size + self.train_biases * len(w))].reshape(len(w), -1)
            weights.append(scale * rows[:, : w.shape[1]])
            biases.append(self._bias_scale * rows[:, -1] if self.train_biases else b)
        other.weights, other.biases = tuple(weights), tuple(biases)
        other.arguments = {**self.arguments, "parameters": values}
        return other

    def __call__(self, X: npt.ArrayLike) -> Array:
        """Outputs f, shape (n, n_outputs), of inputs of shape (n, n_inputs)."""
        return self._forward(self._inputs("X", X))[1][-1]

    def gradients(self, X: npt.ArrayLike) -> list[LayerGradients]:
        """Gradients of all outputs, layer by layer: pairs (inputs, delta) of arrays (n, .), (n, n_outputs, units).

        The gradient of output k for sample s by the parameters (weights, bias) of a unit i is
        ``delta[s, k, i] * inputs[s]``.
        """
        x = self._inputs("X", X)
        activities, signals = self._forward(x)
        delta = np.broadcast_to(np.eye(self.n_outputs), (len(x), self.n_outputs, self.n_outputs))
        layers = []
        for layer in range(self.depth - 1, -1, -1):
            layers.append(LayerGradients(self.layer_inputs(layer, activities[layer]), delta))
            if layer > 0:
                slope = np.asarray(self.activation.derivative(signals[layer - 1]))
                delta = (delta @ self.weights[layer]) * slope[:, np.newaxis, :]
        return layers[::-1]

    def layer_inputs(self, layer: int, activities: Array) -> Array:
        """Derivatives of u by the parameters of a unit of weight layer 0, 1, ..: scaled activities, 1 for the bias."""
        scaled = self._weight_scales[layer] * activities
        return self._with_bias(scaled, np.full((len(scaled), 1), self._bias_scale))

    def jacobian(self, X: npt.ArrayLike, *, max_memory: float = MAX_MEMORY) -> Array:
        """Gradients of all outputs by all parameters, shape (n, n_outputs, P), of at most `max_memory` bytes."""
        x = self._inputs("X", X)
        self._refuse_more("max_memory", max_memory, (len(x), self.n_outputs, self.n_parameters))
        blocks = [
            (layer.delta[..., np.newaxis] * layer.inputs[:, np.newaxis, np.newaxis, :]).reshape(
                len(x), self.n_outputs, -1
            )
            for layer in self.gradients(x)
        ]
        return np.concatenate(blocks, axis=2)

    def ntk(self, X1: npt.ArrayLike, X2: npt.ArrayLike | None = None) -> Array:
        """Empirical tangent kernel J(X1) J(X2)^T, shape (n1 n_outputs, n2 n_outputs).

        Row n_outputs s + k belongs to sample s and output k.  As the width grows it tends to
        ``deepglass.kernels.ntk(X1, X2, hidden_layers=depth - 1, ...)``, times 1 in the outputs, in parametrisation ntk.
        """
        first = self.gradients(X1)
        second = first if X2 is None else self.gradients(self._inputs("X2", X2))
        c = self.n_outputs
        n, m = len(first[0].inputs), len(second[0].inputs)
        self._refuse_more("the kernel", MAX_MEMORY, (n * c, m * c))
        total = np.zeros((n, c, m, c))
        for a, b in zip(first, second, strict=True):
            total += a.kernel(b)
        return total.reshape(n * c, m * c)

    def fisher(
        self,
        X: npt.ArrayLike,
        *,
        likelihood: str = "gaussian",
        form: str = "dual",
        centred: bool = False,
        max_memory: float = MAX_MEMORY,
    ) -> Array:
        """Fisher information of the parameters, averaged over the T inputs X.

            F = J^T Q J / T,  Q_t = 1 (gaussian), diag(g) - g g^T, g = softmax f (categorical)

        gaussian: y ~ N(f, 1), the loss is (1 / 2T) sum |y - f|^2; categorical: y ~ g, the loss is the cross entropy.

        Parameters
        ----------
        X : array_like, shape (T, n_inputs)
            Inputs.
        likelihood : {"gaussian", "categorical"}
            Law of the targets given f.
        form : {"dual", "full"}
            The matrix B^T J J^T B / T, Q_t = B_t B_t^T, of size n_outputs T, or F itself, of size P; their non-zero
            eigenvalues are the same.
        centred : bool
            Of the network f - mean of f over X (mean subtraction in the last layer).
        max_memory : float
            Bytes that the Jacobian and the full matrix may take.

        Returns
        -------
        array, shape (n_outputs T, n_outputs T) or (P, P)
        """
        x = self._inputs("X", X)
        categorical = choice("likelihood", likelihood, ["gaussian", "categorical"]) == "categorical"
        dual = choice("form", form, ["dual", "full"]) == "dual"
        n, c = len(x), self.n_outputs
        outputs = self(x)
        if dual:
            kernel = self.ntk(x).reshape(n, c, n, c)
            if centred:
                outputs = outputs - outputs.mean(axis=0)
                kernel = kernel - kernel.mean(axis=0)
                kernel -= kernel.mean(axis=2, keepdims=True)
            if categorical:
                root = likelihood_root(softmax(outputs))
                kernel = np.einsum("sak,satb,tbl->sktl", root, kernel, root, optimize=True)
            return kernel.reshape(n * c, n * c) / n
        self._refuse_more("max_memory", max_memory, (self.n_parameters, self.n_parameters))
        gradient = self.jacobian(x, max_memory=max_memory)
        if centred:
            outputs = outputs - outputs.mean(axis=0)
            gradient = gradient - gradient.mean(axis=0)
        if categorical:
            gradient = likelihood_root(softmax(outputs)).transpose(0, 2, 1) @ gradient
        flat = gradient.reshape(n * c, -1)
        return flat.T @ flat / n

    def conditional_fisher(self, X: npt.ArrayLike) -> Array:
        """Dual J(x) J(x)^T of the Fisher information of each input by itself, shape (n, n_outputs, n_outputs).

        In parametrisation "standard", without training biases, J J^T / width of a network of constant width has, when
        it is wide and its weights are orthogonal, the spectrum `deepglass.spectra.conditional_fisher_spectrum`.
        """
        layers = self.gradients(X)
        total = np.zeros((len(layers[0].inputs), self.n_outputs, self.n_outputs))
        for inputs, delta in layers:
            squares = np.einsum("si,si->s", inputs, inputs)
            total += squares[:, np.newaxis, np.newaxis] * (delta @ delta.transpose(0, 2, 1))
        return total

    def _forward(self, x: Array) -> tuple[list[Array], list[Array]]:
        """x^0 .. x^{depth-1} and u^1 .. u^depth."""
        activities, signals = [x], []
        for w, b in zip(self.weights, self.biases, strict=True):
            signals.append(activities[-1] @ w.T + b)
            if len(signals) < self.depth:
                activities.append(np.asarray(self.activation(signals[-1])))
        return activities, signals

    def _with_bias(self, columns: Array, bias: Array) -> Array:
        return np.hstack([columns, bias]) if self.train_biases else columns

    def _rows(self, weights: Array, biases: Array) -> Array:
        return self._with_bias(weights, (biases / self._bias_scale)[:, np.newaxis]) if self.train_biases else weights

    def _inputs(self, name: str, value: Any) -> Array:
        return finite_matrix(name, value, self.n_inputs)

    @staticmethod
    def _refuse_more(name: str, cap: Any, shape: tuple[int, ...]) -> None:
        cap = number("max_memory", cap, "a number of bytes > 0", lambda x: x > 0.0)
        needed = 8 * int(np.prod([float(n) for n in shape]))
        if needed > cap:
            what = f"{name} must be at least" if name == "max_memory" else f"{name} needs"
            raise ValueError(f"{what} {needed} bytes for shape {shape}, got {cap:.0f}")


def softmax(f: Array) -> Array:
    """Give exp f_k / sum_k exp f_k."""
    e = np.exp(f - f.max(axis=-1, keepdims=True))
    g: Array = e / e.sum(axis=-1, keepdims=True)
    return g


def likelihood_root(g: Array) -> Array:
    """B with B B^T = diag(g) - g g^T: diag(r) (1 - r r^T), r = sqrt(g), of each row of g."""
    r = np.sqrt(g)
    projector = np.eye(g.shape[-1]) - r[..., :, np.newaxis] * r[..., np.newaxis, :]
    root: Array = r[..., :, np.newaxis] * projector
    return root


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Haar rows or columns, entries of variance 1."""
    tall, short = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(rng.standard_normal((tall, short)))
    tall_matrix: Array = np.sqrt(tall) * q * np.sign(np.diag(r))
    return tall_matrix if rows > columns else tall_matrix.T
