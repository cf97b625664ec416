r"""Training of many fully connected ReLU networks at a time.

    h^0 = x,  h^l = max(W^l h^{l-1} + b^l, 0) for l = 1..hidden_layers,  f = W^{L+1} h^L + b^{L+1},

by stochastic gradient descent without momentum, minibatches reshuffled each epoch, until a full pass over the training
set has no error:  w <- w - eta grad L_B.  With ``extrapolation`` a the step is that of noise-enhanced descent,

    w <- w - eta [a grad L_B + (1 - a) grad L_B'],

B and B' independent minibatches; see `deepglass.learning.noise`.

Folds, rates and repetitions are networks of one shape.  `train` takes each step of some of them in one batched product
a layer, with gradients written out; a network that has ended gives its place to the next.  `train_one_by_one` is the
same protocol as anybody would write it in PyTorch: modules, automatic differentiation, one network after the other.
Both draw initial weights and minibatches alike, and give the same trajectories to rounding.

References
----------
T. Mori, M. Ueda, arXiv:2005.12488 (protocol); arXiv:2009.13094 (noise enhancement).
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._check import choice, finite_matrix, integer, number
from .._progress import Progress, Report, reporting
from ._torch import require, torch_threads

__all__ = ["Trained", "Trainer", "train", "train_one_by_one"]

Array: TypeAlias = npt.NDArray[Any]  # of the precision asked for
Integers: TypeAlias = npt.NDArray[np.int64]
Trainer: TypeAlias = Callable[..., "Trained"]

LOSSES = ("cross_entropy", "squared", "quadratic_hinge")
_FITTED, _DEAD, _UNFINISHED = "fitted", "dead", "unfinished"
_DEAD_LOSS = 50.0
_DEAD_ERROR, _DEAD_EPOCH = 0.4, 60  # still that bad after so many epochs
_CHUNK = 100  # samples of a pass over the training set that are looked at together
_CACHE = 2**21  # bytes of the networks that go together, measured (`deepglass bench learning`)
_FEWEST = 8  # of them


@dataclass(frozen=True)
class Problem:
    """All that the networks of a call have in common, checked."""

    inputs: Array  # (n, n_inputs)
    targets: Array  # (n,): class indices, or -1 and 1
    classes: npt.NDArray[Any]
    samples: list[Integers]  # of each network
    seeds: list[int]
    rates: Array
    hidden_layers: int
    width: int
    batch: int
    extrapolation: float
    loss: str
    parametrisation: str
    centred: bool
    stop_loss: float | None
    max_epochs: int
    dtype: str

    @property
    def sizes(self) -> list[int]:
        """Units of each layer, inputs and outputs included."""
        n_outputs = len(self.classes) if self.loss == "cross_entropy" else 1
        return [self.inputs.shape[1], *[self.width] * self.hidden_layers, n_outputs]

    @property
    def rate_factors(self) -> list[float]:
        """What multiplies the rate of the weights of a layer: in NTK parametrisation W = sqrt(2 / fan-in) w."""
        return [2.0 / n if self.parametrisation == "ntk" else 1.0 for n in self.sizes[:-1]]

    def generator(self, network: int) -> np.random.Generator:
        """Random numbers of a network: initial weights, then the order of its samples, epoch by epoch."""
        return np.random.default_rng(self.seeds[network])

    def initial(self, rng: np.random.Generator) -> list[Array]:
        """Weights (fan_in, fan_out); biases are 0."""
        return [
            (_glorot if self.parametrisation == "standard" else _gaussian)(rng, *shape).astype(self.dtype)
            for shape in pairwise(self.sizes)
        ]

    def minibatches(self, network: int, rng: np.random.Generator) -> tuple[Integers, Array]:
        """Samples of each step of an epoch and their weights in the gradient, (steps, batch or twice that).

        Where the last minibatch is not full, the rest has weight 0.
        """
        own = self.samples[network]
        n_steps = -(-len(own) // self.batch)
        n = n_steps * self.batch
        sizes = np.full((n_steps, 1), self.batch)
        sizes[-1] -= n - len(own)
        filled = np.arange(self.batch) < sizes
        parts, weights = [], []
        a = self.extrapolation
        for factor in (1.0,) if a == 1.0 else (a, 1.0 - a):
            order = np.append(rng.permutation(own), np.full(n - len(own), own[0]))
            parts.append(order.reshape(n_steps, self.batch))
            weights.append(factor * filled / sizes)
        return np.concatenate(parts, axis=1), np.concatenate(weights, axis=1).astype(self.dtype)

    def may_be_over(self, epochs: int, n_seen: int, n_samples: int, loss: float, errors: float) -> bool:
        """Whether to look at more samples: loss and errors are sums over those seen."""
        if not loss <= _DEAD_LOSS * n_seen or epochs in (_DEAD_EPOCH, self.max_epochs):
            return True
        return errors == 0.0 if self.stop_loss is None else loss <= self.stop_loss * n_samples

    def verdict(self, epochs: int, loss: float, error: float) -> str:
        """State of a network whose training is over, or nothing."""
        if not loss <= _DEAD_LOSS:
            return _DEAD
        if error == 0.0 if self.stop_loss is None else loss <= self.stop_loss:
            return _FITTED
        if self.stop_loss is None and epochs == _DEAD_EPOCH and error > _DEAD_ERROR:
            return _DEAD
        return _UNFINISHED if epochs == self.max_epochs else ""


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks after training.

    Attributes
    ----------
    classes : array
        The labels, sorted.
    weights : tuple of arrays, shapes (network, fan_in, fan_out)
        Of each layer: W transposed.
    biases : tuple of arrays, shapes (network, fan_out)
        Of each layer.
    epochs : array of int, shape (network,)
        Passes over the training samples.
    state : array of str, shape (network,)
        "fitted", "unfinished" (after max_epochs) or "dead".
    train_loss, train_error : array, shape (network,)
        Means over the training samples at the end.
    displacement : array, shape (network,)
        |w - w_0| / |w_0| over all parameters; in NTK parametrisation of the standard normal ones.
    initial_weights : tuple of arrays, shapes (network, fan_in, fan_out)
        Where training began, with all biases 0; empty where there was no training.
    centred : bool
        Whether outputs are those minus the ones of the initial weights.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import train
    >>> x = np.random.default_rng(1).normal(size=(100, 3))
    >>> trained = train(x, x[:, 0] > 0, [1, 2], 0.5, hidden_layers=1, width=10)
    >>> trained.state.tolist(), (trained.predict(x) == (x[:, 0] > 0)).all(axis=1).tolist()
    (['fitted', 'fitted'], [True, True])
    """

    classes: npt.NDArray[Any]
    weights: tuple[Array, ...] = field(repr=False)
    biases: tuple[Array, ...] = field(repr=False)
    epochs: Integers
    state: npt.NDArray[np.str_]
    train_loss: Array
    train_error: Array
    displacement: Array
    initial_weights: tuple[Array, ...] = field(default=(), repr=False)
    centred: bool = False

    def outputs(self, inputs: npt.ArrayLike) -> Array:
        """Outputs f of all networks, (network, sample, output); minus those at the start where training was centred."""
        found = np.array([layers[-1] for layers in self._each(inputs)])
        if self.centred:
            found -= [layers[-1] for layers in self._each(inputs, initial=True)]
        return found

    def hidden(self, inputs: npt.ArrayLike, *, initial: bool = False) -> tuple[Array, ...]:
        """Values of the hidden layers h^l of all networks, (network, sample, unit) each; with the initial weights."""
        if initial and not self.initial_weights:
            raise ValueError("initial must be False: these networks have not been trained")
        networks = [layers[:-1] for layers in self._each(inputs, initial=initial)]
        return tuple(np.array(layer) for layer in zip(*networks, strict=True))

    def _each(self, inputs: npt.ArrayLike, *, initial: bool = False) -> Iterator[list[Array]]:
        """Layers above the inputs, network by network."""
        x = finite_matrix("inputs", inputs, self.weights[0].shape[1]).astype(self.weights[0].dtype)
        weights = self.initial_weights if initial else self.weights
        for network in range(len(self.epochs)):
            h, layers = x, []
            with np.errstate(over="ignore", invalid="ignore"):  # of dead networks
                for layer, (weight, bias) in enumerate(zip(weights, self.biases, strict=True), start=1):
                    u = h @ weight[network]
                    u = u if initial else u + bias[network]
                    h = np.maximum(u, 0.0) if layer < len(weights) else u
                    layers.append(h)
            yield layers

    def predict(self, inputs: npt.ArrayLike) -> npt.NDArray[Any]:
        """Classes that all networks give, (network, sample)."""
        found = self.outputs(inputs)
        return np.asarray(self.classes[found.argmax(-1) if found.shape[-1] > 1 else (found[..., 0] > 0).astype(int)])

    def error(self, inputs: npt.ArrayLike, labels: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Fraction of the samples that each network gives another class, (network,); NaN where weights are infinite."""
        wrong = np.mean(self.predict(inputs) != np.asarray(labels), axis=1)
        finite = [np.isfinite(w).reshape(len(w), -1).all(axis=1) for w in (*self.weights, *self.biases)]
        return np.where(np.all(finite, axis=0), wrong, np.nan)


def train(
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    seeds: Sequence[int],
    learning_rate: npt.ArrayLike,
    *,
    hidden_layers: int,
    width: int,
    samples: Sequence[npt.ArrayLike] | None = None,
    batch: int = 50,
    extrapolation: float = 1.0,
    loss: str = "cross_entropy",
    parametrisation: str = "standard",
    centred: bool = False,
    stop_loss: float | None = None,
    max_epochs: int = 1000,
    dtype: str = "float32",
    threads: int = 0,
    progress: Progress = False,
) -> Trained:
    """Train ReLU networks side by side; see the module for the equations.

    Parameters
    ----------
    inputs : array_like, shape (n, n_inputs)
        Samples, one a row.
    labels : array_like, shape (n,)
        Their classes: anything that NumPy sorts.
    seeds : sequence of int >= 0
        One for each network: initial weights and minibatches.
    learning_rate : float > 0, or one for each network
        eta.  It multiplies the mean over the minibatch.
    hidden_layers : int >= 0
        Number of hidden layers, depth - 1.
    width : int >= 1
        Units of each.
    samples : sequence of int arrays, optional
        Rows of `inputs` that each network is trained on; default: all.
    batch : int >= 1
        Size of a minibatch.
    extrapolation : float
        The number a of noise-enhanced descent; 1: plain descent.
    loss : {"cross_entropy", "squared", "quadratic_hinge"}
        Softmax and cross entropy with one output for each class, or, of two classes y = -1 and 1 and one output,
        (1/2) (y - f)^2 or (1/2) max(0, 1 - y f)^2.
    parametrisation : {"standard", "ntk"}
        Glorot's uniform initial weights, and descent in W and b; or W = sqrt(2 / fan-in) w with w standard normal at
        the start, and descent in w (no bias), for which the limit of large width is that of `deepglass.kernels.ntk`
        with weight_variance = 2.
    centred : bool
        Train f minus its value at the start, so that all networks begin at 0; for the squared loss.
    stop_loss : float >= 0, optional
        Train until the mean loss is not larger; default: until there is no error.
    max_epochs : int >= 1
        Most passes over the samples.
    dtype : {"float32", "float64"}
        Precision.
    threads : int
        Threads among which networks are shared out, 0: as many as PyTorch would use.
    progress : bool or callable(done, total)
        Of networks.

    Returns
    -------
    Trained
        The same for any number of threads.  Networks are dead, and not trained on, when their loss is not finite or
        exceeds 50, or, where the end is no error, when they have more than 40 % errors after 60 epochs.

    Raises
    ------
    ValueError
        Arguments out of range, inputs that are not finite, labels of one class.
    ModuleNotFoundError
        Without PyTorch, the extra ``learning``.

    Notes
    -----
    On one core, for 100 inputs and a width of 100, several times the networks a second of `train_one_by_one`: see
    ``deepglass bench learning``.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import train
    >>> x = np.random.default_rng(1).normal(size=(200, 4))
    >>> y = np.sign(x[:, 0] * x[:, 1])
    >>> trained = train(x, y, [1, 2, 3], [0.1, 0.3, 1.0], hidden_layers=2, width=20, batch=20)
    >>> trained.state.tolist(), trained.train_error.tolist()
    (['fitted', 'fitted', 'fitted'], [0.0, 0.0, 0.0])
    """
    problem = _problem(
        inputs, labels, seeds, learning_rate, hidden_layers, width, samples, batch, extrapolation, loss,
        parametrisation, centred, stop_loss, max_epochs, dtype,
    )  # fmt: skip
    with torch_threads(threads), reporting(progress, "train") as report:
        return _collected(problem, _batched(problem, report))


def train_one_by_one(
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    seeds: Sequence[int],
    learning_rate: npt.ArrayLike,
    *,
    hidden_layers: int,
    width: int,
    samples: Sequence[npt.ArrayLike] | None = None,
    batch: int = 50,
    extrapolation: float = 1.0,
    loss: str = "cross_entropy",
    parametrisation: str = "standard",
    centred: bool = False,
    stop_loss: float | None = None,
    max_epochs: int = 1000,
    dtype: str = "float32",
    threads: int = 0,
    progress: Progress = False,
) -> Trained:
    """Train one network after the other with modules and automatic differentiation: a check, and the speed to beat.

    Parameters
    ----------
    inputs, labels, seeds, learning_rate, hidden_layers, width, samples, batch, extrapolation, loss :
        As for `train`.
    parametrisation, centred, stop_loss, max_epochs, dtype, threads, progress :
        As for `train`.

    Returns
    -------
    Trained
        The networks of `train`, to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from deepglass.learning import train, train_one_by_one
    >>> x = np.random.default_rng(1).normal(size=(60, 3))
    >>> one, other = (f(x, x[:, 0] > 0, [1], 0.2, hidden_layers=1, width=5, max_epochs=3, dtype="float64")
    ...               for f in (train, train_one_by_one))
    >>> bool(np.abs(one.weights[0] - other.weights[0]).max() < 1e-13)
    True
    """
    problem = _problem(
        inputs, labels, seeds, learning_rate, hidden_layers, width, samples, batch, extrapolation, loss,
        parametrisation, centred, stop_loss, max_epochs, dtype,
    )  # fmt: skip
    with torch_threads(threads), reporting(progress, "train") as report:
        return _collected(problem, _modules(problem, report))


# ---- What both share


def _glorot(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    bound = float(np.sqrt(6.0 / (fan_in + fan_out)))
    return rng.uniform(-bound, bound, (fan_in, fan_out))


def _gaussian(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    return float(np.sqrt(2.0 / fan_in)) * rng.standard_normal((fan_in, fan_out))


def labelled(inputs: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Array, npt.NDArray[Any]]:
    """Check samples with their labels."""
    x = finite_matrix("inputs", inputs)
    given = np.asarray(labels)
    if given.shape != (len(x),):
        raise ValueError(f"labels must have shape ({len(x)},), one for each row of inputs, got {given.shape}")
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise ValueError(f"labels must be finite, got {float(given[~np.isfinite(given)][0])}")
    if len(np.unique(given)) < 2:
        raise ValueError(f"labels must be of at least 2 classes, got only {np.unique(given).tolist()}")
    return x, given


def _problem(
    inputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    seeds: Sequence[int],
    learning_rate: npt.ArrayLike,
    hidden_layers: int,
    width: int,
    samples: Sequence[npt.ArrayLike] | None,
    batch: int,
    extrapolation: float,
    loss: str,
    parametrisation: str,
    centred: bool,
    stop_loss: float | None,
    max_epochs: int,
    dtype: str,
) -> Problem:
    x, given = labelled(inputs, labels)
    classes, index = np.unique(given, return_inverse=True)
    choice("loss", loss, LOSSES)
    choice("dtype", dtype, ("float32", "float64"))
    if loss != "cross_entropy" and len(classes) != 2:
        raise ValueError(f"labels must be of 2 classes for the loss {loss!r}, got {len(classes)}")
    if centred and loss != "squared":
        raise ValueError(f"centred must be False for the loss {loss!r}: only for 'squared'")
    own = [integer("seeds", seed, 0, 2**64 - 1) for seed in seeds]
    if not own:
        raise ValueError("seeds must have one for each network, got none")
    try:
        rates = np.broadcast_to(np.asarray(learning_rate, float), (len(own),))
    except (TypeError, ValueError):
        rates = np.array([np.nan])
    if not (np.isfinite(rates).all() and (rates > 0.0).all()):
        raise ValueError(f"learning_rate must be a number > 0, or {len(own)} of them, got {learning_rate!r}")
    chosen = [np.arange(len(x))] * len(own) if samples is None else [np.asarray(rows) for rows in samples]
    if len(chosen) != len(own):
        raise ValueError(f"samples must be one array of rows for each of the {len(own)} networks, got {len(chosen)}")
    for rows in chosen:
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not rows.size or rows.min() < 0 or rows.max() >= len(x):
            raise ValueError(f"samples must be arrays of rows from 0 to {len(x) - 1}, got {rows!r}")
    return Problem(
        inputs=x.astype(dtype),
        targets=index.astype(np.int64) if loss == "cross_entropy" else (2.0 * index - 1.0).astype(dtype),
        classes=classes,
        samples=[rows.astype(np.int64) for rows in chosen],
        seeds=own,
        rates=rates,
        hidden_layers=integer("hidden_layers", hidden_layers, 0, 1000),
        width=integer("width", width, 1, 2**20),
        batch=integer("batch", batch, 1, 2**31),
        extrapolation=number("extrapolation", extrapolation, "a finite number", lambda value: True),
        loss=loss,
        parametrisation=choice("parametrisation", parametrisation, ("standard", "ntk")),
        centred=centred,
        stop_loss=None if stop_loss is None else number("stop_loss", stop_loss, ">= 0", lambda value: value >= 0.0),
        max_epochs=integer("max_epochs", max_epochs, 1, 2**31),
        dtype=dtype,
    )


@dataclass
class _End:
    """A network that is not trained any further."""

    weights: list[Array]
    biases: list[Array]
    epochs: int
    state: str
    loss: float
    error: float


def _collected(problem: Problem, ends: dict[int, _End]) -> Trained:
    ordered = [ends[network] for network in range(len(problem.seeds))]
    weights, biases = (
        tuple(np.array(parts) for parts in zip(*(getattr(end, name) for end in ordered), strict=True))
        for name in ("weights", "biases")
    )
    starts = [problem.initial(problem.generator(network)) for network in range(len(ordered))]
    start = tuple(np.array(parts) for parts in zip(*starts, strict=True))
    moved, size = np.zeros(len(ordered)), np.zeros(len(ordered))
    with np.errstate(over="ignore", invalid="ignore"):
        for now, bias, then, factor in zip(weights, biases, start, problem.rate_factors, strict=True):
            moved += np.sum((now - then) ** 2, axis=(1, 2), dtype=float) / factor + np.sum(bias**2, axis=1, dtype=float)
            size += np.sum(then**2, axis=(1, 2), dtype=float) / factor
    return Trained(
        classes=problem.classes,
        weights=weights,
        biases=biases,
        epochs=np.array([end.epochs for end in ordered]),
        state=np.array([end.state for end in ordered]),
        train_loss=np.array([end.loss for end in ordered]),
        train_error=np.array([end.error for end in ordered]),
        displacement=np.sqrt(moved / size),
        initial_weights=start,
        centred=problem.centred,
    )


def losses(loss: str, outputs: Any, targets: Any) -> Any:
    """Loss of each sample; outputs (..., n_outputs), targets (...)."""
    torch = require("torch")
    if loss == "cross_entropy":
        return outputs.logsumexp(-1) - outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    if loss == "squared":
        return 0.5 * (outputs[..., 0] - targets) ** 2
    return 0.5 * torch.relu(1.0 - outputs[..., 0] * targets) ** 2


def _wrong(problem: Problem, outputs: Any, targets: Any) -> Any:
    """Which samples get another class."""
    if problem.loss == "cross_entropy":
        return outputs.argmax(-1) != targets
    return outputs[..., 0] * targets <= 0.0


# ---- Networks side by side


class Stack:
    """Networks of one shape as batched matrices, (network, fan_in, fan_out) and (network, 1, fan_out).

    The activation is "relu" or "tanh".  What `forward` and `backward` give lies in memory that their next call for as
    many samples uses again: fresh pages for each product would cost as much as the product.
    """

    def __init__(self, weights: list[Any], biases: list[Any], activation: str = "relu") -> None:
        self.weights, self.biases, self.activation = weights, biases, activation
        self._memory: dict[tuple[str, int, int, int], Any] = {}

    def _product(self, name: str, layer: int, a: Any, b: Any) -> Any:
        key = (name, layer, *a.shape[:2])
        if key not in self._memory:
            self._memory[key] = a.new_empty((len(a), a.shape[1], b.shape[2]))
        return require("torch").bmm(a, b, out=self._memory[key])

    def some(self, index: Any) -> Stack:
        """Copies of some of the networks."""
        return Stack([w[index] for w in self.weights], [b[index] for b in self.biases], self.activation)

    def forward(self, x: Any) -> list[Any]:
        """Values of all layers for x (network, sample, n_inputs): x, hidden layers, outputs."""
        values = [x]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            u = self._product("forward", layer, values[-1], weight).add_(bias)
            values.append(getattr(u, f"{self.activation}_")() if layer < len(self.weights) else u)
        return values

    def backward(self, values: list[Any], delta: Any) -> Iterator[tuple[int, Any, Any]]:
        """From the derivatives by the outputs: layer, its inputs and the derivatives by its fields u.

        A layer may be changed once it has been given.
        """
        for layer in reversed(range(len(self.weights))):
            below = None
            if layer:
                below = self._product("backward", layer, delta, self.weights[layer].transpose(1, 2))
                below.mul_(values[layer].sign() if self.activation == "relu" else 1.0 - values[layer] ** 2)
            yield layer, values[layer], delta
            delta = below

    def descend(self, values: list[Any], delta: Any, factors: Sequence[float], with_bias: bool) -> None:
        """Subtract gradients, rates being in delta, times a factor for each layer."""
        for layer, x, d in self.backward(values, delta):
            self.weights[layer].baddbmm_(x.transpose(1, 2), d, alpha=-factors[layer])
            if with_bias:
                self.biases[layer].sub_(d.sum(1, keepdim=True))


def slopes(loss: str, outputs: Any, targets: Any) -> Any:
    """Derivatives of the loss of each sample by the outputs (network, sample, n_outputs)."""
    torch = require("torch")
    if loss == "cross_entropy":
        delta = outputs.softmax(-1)
        return delta.scatter_add_(-1, targets.unsqueeze(-1), delta.new_full((1, 1, 1), -1.0).expand(*targets.shape, 1))
    y = targets.unsqueeze(-1)
    return outputs - y if loss == "squared" else -y * torch.relu(1.0 - y * outputs)


@dataclass
class _Place:
    """A network in training."""

    network: int
    rng: np.random.Generator
    rows: Any  # its samples
    epochs: int = 0


class _Batch:
    """Networks that go together; those that end are taken out at the end of an epoch."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.torch = torch = require("torch")
        self.inputs = torch.from_numpy(problem.inputs)
        self.targets = torch.from_numpy(problem.targets)
        self.places: list[_Place] = []
        self.stack = Stack([], [])
        self.rates = torch.empty(0)
        self.shifts: Any = None  # (network, n): outputs at the start

    def add(self, networks: Sequence[int]) -> None:
        """Put networks beside those that are there, at their initial weights."""
        problem, torch = self.problem, self.torch
        weights: list[list[Array]] = []
        for network in networks:
            rng = problem.generator(network)
            weights.append(problem.initial(rng))
            self.places.append(_Place(network, rng, torch.from_numpy(problem.samples[network])))
        new = Stack(
            [torch.from_numpy(np.array(layer)) for layer in zip(*weights, strict=True)],
            [torch.zeros((len(networks), 1, n), dtype=self.inputs.dtype) for n in problem.sizes[1:]],
        )
        rates = torch.from_numpy(problem.rates[list(networks)].astype(problem.dtype))
        shifts = None
        if problem.centred:
            shifts = new.forward(self.inputs.expand(len(networks), -1, -1))[-1][..., 0].clone()
        if len(self.places) == len(networks):
            self.stack, self.rates, self.shifts = new, rates, shifts
        else:
            self.stack = Stack(
                [torch.cat(pair) for pair in zip(self.stack.weights, new.weights, strict=True)],
                [torch.cat(pair) for pair in zip(self.stack.biases, new.biases, strict=True)],
            )
            self.rates = torch.cat([self.rates, rates])
            self.shifts = torch.cat([self.shifts, shifts]) if problem.centred else None

    def keep(self, which: list[int]) -> None:
        """Leave the others out."""
        self.places = [self.places[i] for i in which]
        index = self.torch.tensor(which, dtype=self.torch.int64)
        self.stack = self.stack.some(index)
        self.rates = self.rates[index]
        self.shifts = self.shifts[index] if self.problem.centred else None

    def select(self, index: Any, which: Any = None) -> tuple[Any, Any]:
        """Inputs and targets of samples (network, sample); of some of the networks."""
        targets = self.targets[index]
        if self.problem.centred:
            shifts = self.shifts if which is None else self.shifts[which]
            targets = targets + shifts.gather(1, index)
        return self.inputs[index], targets

    def epoch(self) -> None:
        """One pass over the samples of each."""
        problem, torch = self.problem, self.torch
        orders = [problem.minibatches(place.network, place.rng) for place in self.places]
        n_steps = max(len(order) for order, _ in orders)
        index = np.zeros((n_steps, len(orders), orders[0][0].shape[1]), dtype=np.int64)
        scale = np.zeros(index.shape, dtype=problem.dtype)  # no step where a network has fewer of them
        for i, (order, weight) in enumerate(orders):
            index[: len(order), i], scale[: len(order), i] = order, weight
        steps = torch.from_numpy(scale).mul_(self.rates[:, None]).unsqueeze(-1)
        for rows, step in zip(torch.from_numpy(index), steps, strict=True):
            x, y = self.select(rows)
            values = self.stack.forward(x)
            delta = slopes(problem.loss, values[-1], y).mul_(step)
            self.stack.descend(values, delta, problem.rate_factors, problem.parametrisation == "standard")
        for place in self.places:
            place.epochs += 1

    def sums(self, which: list[int], begin: int) -> tuple[Array, Array]:
        """Sums of loss and errors over the `_CHUNK` training samples from begin on, of some of the networks."""
        torch, problem = self.torch, self.problem
        index = torch.tensor(which, dtype=torch.int64)
        own = [self.places[i].rows[begin : begin + _CHUNK] for i in which]
        sizes = torch.tensor([len(rows) for rows in own])
        rows = torch.nn.utils.rnn.pad_sequence(own, batch_first=True)
        there = torch.arange(rows.shape[1]) < sizes[:, None]
        stack = self.stack if len(which) == len(self.places) else self.stack.some(index)
        x, y = self.select(rows, index)
        outputs = stack.forward(x)[-1]
        loss = torch.where(there, losses(problem.loss, outputs, y), 0.0).sum(1, dtype=torch.float64)
        if problem.centred:
            outputs, y = outputs - (y - self.targets[rows]).unsqueeze(-1), self.targets[rows]
        return loss.numpy(), (_wrong(problem, outputs, y) & there).sum(1).numpy()

    def ends(self) -> dict[int, _End]:
        """Take out the networks whose training is over; the others are looked at until one sample tells."""
        problem = self.problem
        n = len(self.places)
        loss, errors = np.zeros(n), np.zeros(n)
        sizes = np.array([len(place.rows) for place in self.places])
        looked_at = list(range(n))
        for begin in range(0, max(sizes), _CHUNK):
            for total, some in zip((loss, errors), self.sums(looked_at, begin), strict=True):
                total[looked_at] += some
            seen = np.minimum(begin + _CHUNK, sizes)
            totals = zip(self.places, seen, sizes, loss, errors, strict=True)
            undecided = {i for i, (place, *total) in enumerate(totals) if problem.may_be_over(place.epochs, *total)}
            looked_at = [i for i in looked_at if i in undecided]
            if not looked_at:
                break
        found: dict[int, _End] = {}
        over = set()
        for i in looked_at:
            place = self.places[i]
            state = problem.verdict(place.epochs, loss[i] / sizes[i], errors[i] / sizes[i])
            if state:
                over.add(i)
                weights = [w[i].numpy().copy() for w in self.stack.weights]
                biases = [b[i, 0].numpy().copy() for b in self.stack.biases]
                found[place.network] = _End(
                    weights, biases, place.epochs, state, loss[i] / sizes[i], errors[i] / sizes[i]
                )
        if over:
            self.keep([i for i in range(n) if i not in over])
        return found


def _batched(problem: Problem, report: Report) -> dict[int, _End]:
    torch = require("torch")
    n = len(problem.seeds)
    bytes_each = np.dtype(problem.dtype).itemsize * (
        sum(a * b for a, b in pairwise(problem.sizes)) + 2 * problem.batch * sum(problem.sizes)
    )
    n_threads = torch.get_num_threads()
    n_workers = min(n, n_threads)
    together = min(-(-n // n_workers), max(_FEWEST, _CACHE // bytes_each))
    waiting = deque(range(n))
    ends: dict[int, _End] = {}
    reported, stopped = threading.Lock(), threading.Event()

    def work() -> None:
        with torch.inference_mode():
            batch = _Batch(problem)
            while not stopped.is_set():
                new = _taken(waiting, together - len(batch.places))
                if new:
                    batch.add(new)
                if not batch.places:
                    return
                batch.epoch()
                ended = batch.ends()
                if ended:
                    with reported:
                        ends.update(ended)
                        report(len(ends), n)

    if n_workers == 1:
        work()
        return ends
    # Networks need nothing of each other: a product of small matrices shared by threads would wait for them each time.
    with torch_threads(n_threads // n_workers), ThreadPoolExecutor(n_workers) as pool:
        try:
            for worker in as_completed([pool.submit(work) for _ in range(n_workers)]):
                worker.result()
        except BaseException:
            stopped.set()
            raise
    return ends


def _taken(waiting: deque[int], most: int) -> list[int]:
    taken: list[int] = []
    while len(taken) < most:
        try:
            taken.append(waiting.popleft())
        except IndexError:  # others were faster
            break
    return taken


# ---- One network after the other


def _modules(problem: Problem, report: Report) -> dict[int, _End]:
    torch = require("torch")
    ends = {}
    for network in range(len(problem.seeds)):
        rng = problem.generator(network)
        net = _sequential(problem, problem.initial(rng))
        start = copy.deepcopy(net) if problem.centred else None
        rows = torch.from_numpy(problem.samples[network])
        inputs, targets = torch.from_numpy(problem.inputs)[rows], torch.from_numpy(problem.targets)[rows]
        place = torch.zeros(len(problem.inputs), dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        groups = [
            {"params": list(layer.parameters()), "lr": problem.rates[network] * factor}
            for layer, factor in zip(net[::2], problem.rate_factors, strict=True)
        ]
        optimizer = torch.optim.SGD(groups, lr=problem.rates[network])

        def output(x: Any, net: Any = net, start: Any = start) -> Any:
            return net(x) if start is None else net(x) - start(x).detach()

        def means(output: Any = output, inputs: Any = inputs, targets: Any = targets) -> tuple[float, float]:
            with torch.no_grad():
                outputs = output(inputs)
                return (
                    float(losses(problem.loss, outputs, targets).mean(dtype=torch.float64)),
                    float(_wrong(problem, outputs, targets).mean(dtype=torch.float64)),
                )

        epochs, state = 0, ""
        while not state:
            for order, weight in zip(*map(torch.from_numpy, problem.minibatches(network, rng)), strict=True):
                here = place[order]
                optimizer.zero_grad()
                loss = (losses(problem.loss, output(inputs[here]), targets[here]) * weight).sum()
                loss.backward()
                optimizer.step()
            epochs += 1
            state = problem.verdict(epochs, *means())
        layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
        biases = [
            np.zeros(n, problem.dtype) if layer.bias is None else layer.bias.detach().numpy()
            for layer, n in zip(layers, problem.sizes[1:], strict=True)
        ]
        ends[network] = _End([layer.weight.detach().numpy().T for layer in layers], biases, epochs, state, *means())
        report(len(ends), len(problem.seeds))
    return ends


def _sequential(problem: Problem, weights: list[Array]) -> Any:
    torch = require("torch")
    layers: list[Any] = []
    for weight in weights:
        linear = torch.nn.Linear(
            *weight.shape, bias=problem.parametrisation == "standard", dtype=getattr(torch, problem.dtype)
        )
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T.copy()))
            if linear.bias is not None:
                linear.bias.zero_()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])
