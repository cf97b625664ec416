r"""The jamming transition of networks that are trained on random data.

Quadratic hinge loss  (1 / 2P) sum_mu max(0, 1 - y_mu f(x_mu))^2  of P samples with random labels.  A network of N
parameters (one less for each hidden neuron of ReLU, which may be rescaled) satisfies all margins while P < P*; above
P* it cannot, and at the transition the number N_Delta of margins that are not satisfied jumps from 0 to a finite
fraction of N, as the contacts of a packing do.

References
----------
M. Geiger et al., arXiv:1809.09349; S. Spigler et al., arXiv:1810.09665 (jamming).
M. Baity-Jesi et al., arXiv:1803.06969 (displacement between two times).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._progress import Progress, reporting
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from ._torch import require, torch_threads
from .training import Stack, losses, slopes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["effective_parameters", "jamming", "two_time_displacement"]

Array: TypeAlias = npt.NDArray[np.float64]

_SATISFIED = 1e-10  # rounding leaves margins at 1e-16
_LOSS = "quadratic_hinge"


def effective_parameters(n_inputs: int, width: int, hidden_layers: int) -> int:
    """Number of parameters N that count: one output, biases, less one rescaling of each hidden ReLU neuron.

    Parameters
    ----------
    n_inputs : int >= 1
        Dimension of the inputs.
    width : int >= 1
        Units of each hidden layer.
    hidden_layers : int >= 1
        Number of hidden layers.

    Returns
    -------
    int

    Examples
    --------
    >>> from deepglass.learning import effective_parameters
    >>> effective_parameters(16, 16, 2)
    529
    """
    d, h = integer("n_inputs", n_inputs, 1, 2**20), integer("width", width, 1, 2**20)
    layers = integer("hidden_layers", hidden_layers, 1, 1000)
    return (d + 1) * h + (layers - 1) * (h + 1) * h + (h + 1) - layers * h


def jamming(
    n_samples: Sequence[int],
    *,
    n_inputs: int,
    width: int,
    hidden_layers: int,
    n_steps: int = 12_000,
    learning_rate: float = 3e-3,
    n_repeats: int = 3,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Train networks on random data by gradient descent with all samples, for growing numbers of them.

    Standard normal inputs, labels -1 and 1 with equal probability, orthogonal initial weights, no initial bias, Adam in
    double precision; the rate falls linearly to 0 in the second half of the steps.

    Parameters
    ----------
    n_samples : sequence of int >= 1
        P.
    n_inputs, width, hidden_layers : int
        The network, with one output.
    n_steps : int >= 1
        Most steps; a network with all margins satisfied ends before.
    learning_rate : float > 0
        Of Adam (D. P. Kingma, J. Ba, arXiv:1412.6980).
    n_repeats : int >= 1
        Data sets and initial weights.
    seed : int, SeedSequence, Generator or None
        Of all of it.
    threads : int
        Threads of PyTorch, 0: its default.
    progress : bool or callable(done, total)
        Of steps.

    Returns
    -------
    xarray.Dataset
        ``loss``, ``n_unsatisfied`` (N_Delta, margins with 1 - y f > 1e-10), ``n_errors`` and ``steps`` with dimensions
        (n_samples, repeat), coordinate ``load`` = P / N, attribute ``n_parameters``, the N of `effective_parameters`.
        Near P* the number of steps that is needed diverges: there a network with small loss is not converged.

    Examples
    --------
    >>> from deepglass.learning import jamming
    >>> found = jamming([20, 400], n_inputs=10, width=10, hidden_layers=1, n_steps=400, learning_rate=0.02,
    ...                 n_repeats=2, seed=1)
    >>> found.n_unsatisfied.values[0].tolist(), bool((found.n_unsatisfied[1] > 100).all())
    ([0, 0], True)
    """
    import xarray as xr

    torch = require("torch")
    counts = _samples(n_samples)
    n_parameters = effective_parameters(n_inputs, width, hidden_layers)
    n_steps = integer("n_steps", n_steps, 1, 2**40)
    rate = number("learning_rate", learning_rate, "> 0", lambda value: value > 0.0)
    n_repeats = integer("n_repeats", n_repeats, 1, 2**20)
    entropy = seed_entropy(seed)
    names = ("loss", "n_unsatisfied", "n_errors", "steps")
    table = {name: np.zeros((len(counts), n_repeats), float if name == "loss" else int) for name in names}
    with torch_threads(threads), torch.inference_mode(), reporting(progress, "jamming") as report:
        for i, count in enumerate(counts):
            x, y, stack = _start(count, n_inputs, width, hidden_layers, n_repeats, child_seed(entropy, i))
            adam = _Adam(stack)
            places = list(range(n_repeats))
            for step in range(n_steps + 1):
                values = stack.forward(x)
                left = 1.0 - y * values[-1][..., 0] > _SATISFIED
                unsatisfied = left.sum(1).tolist()
                over = [k for k, n in enumerate(unsatisfied) if n == 0 or step == n_steps]
                if over:
                    loss = losses(_LOSS, values[-1], y).mean(1).tolist()
                    errors = (y * values[-1][..., 0] <= 0.0).sum(1).tolist()
                    for k in over:
                        found = (loss[k], unsatisfied[k], errors[k], step)
                        for name, value in zip(names, found, strict=True):
                            table[name][i, places[k]] = value
                    kept = [k for k in range(len(places)) if k not in over]
                    if not kept:
                        break
                    places = [places[k] for k in kept]
                    index = torch.tensor(kept)
                    x, y, values = x[index], y[index], [value[index] for value in values]
                    adam.keep(index)
                now = rate * min(1.0, 2.0 * (n_steps - step) / n_steps)
                adam.step(values, slopes(_LOSS, values[-1], y).div_(count), now)
                report(i * n_steps + step + 1, len(counts) * n_steps)
            report((i + 1) * n_steps, len(counts) * n_steps)
    result = xr.Dataset(
        {name: (("n_samples", "repeat"), values) for name, values in table.items()},
        {"n_samples": counts, "load": ("n_samples", np.array(counts) / n_parameters)},
        provenance(
            "deepglass.learning.jamming",
            {
                "n_inputs": n_inputs, "width": width, "hidden_layers": hidden_layers, "n_steps": n_steps,
                "learning_rate": rate, "n_repeats": n_repeats,
            },
            entropy,
        ),
    )  # fmt: skip
    result.attrs["n_parameters"] = n_parameters
    return result


def two_time_displacement(
    n_samples: Sequence[int],
    *,
    n_inputs: int,
    width: int,
    hidden_layers: int,
    waiting_times: Sequence[int] = (100, 1000, 10_000),
    longest_lag: int = 10_000,
    learning_rate: float = 0.1,
    batch: int = 32,
    n_repeats: int = 3,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Mean square displacement of the parameters between two times of stochastic gradient descent on random data.

        Delta(t_w, t_w + t) = (1 / number of parameters) |w(t_w + t) - w(t_w)|^2

    Below P* the noise of minibatches ends with the loss, and the parameters stay where they are; above it they go on
    and on.

    Parameters
    ----------
    n_samples : sequence of int >= 1
        P.
    n_inputs, width, hidden_layers : int
        The network, with one output; data and loss as for `jamming`.
    waiting_times : sequence of int >= 0
        t_w, in steps.
    longest_lag : int >= 1
        Lags t are 1, 2, 4, ... steps up to it.
    learning_rate : float > 0
        Of plain descent.
    batch : int >= 1
        Samples of a step, drawn at random.
    n_repeats : int >= 1
        Data sets and initial weights.
    seed : int, SeedSequence, Generator or None
        Of all of it.
    threads : int
        Threads of PyTorch, 0: its default.
    progress : bool or callable(done, total)
        Of steps.

    Returns
    -------
    xarray.Dataset
        ``displacement`` (n_samples, repeat, waiting_time, lag);  ``loss`` and ``n_unsatisfied`` (n_samples, repeat) at
        the end, of all samples.

    Examples
    --------
    >>> from deepglass.learning import two_time_displacement
    >>> found = two_time_displacement([10, 300], n_inputs=5, width=8, hidden_layers=1, waiting_times=[1000],
    ...                               longest_lag=64, n_repeats=2, seed=1)
    >>> rest, moving = found.displacement.isel(lag=-1, waiting_time=0).mean("repeat").values
    >>> bool(rest < 1e-6 * moving)
    True
    """
    import xarray as xr

    torch = require("torch")
    counts = _samples(n_samples)
    waits = sorted({integer("waiting_times", value, 0, 2**31) for value in waiting_times})
    if not waits:
        raise ValueError("waiting_times must be some integers >= 0, got none")
    longest_lag = integer("longest_lag", longest_lag, 1, 2**31)
    lags = [2**k for k in range(longest_lag.bit_length())]
    rate = number("learning_rate", learning_rate, "> 0", lambda value: value > 0.0)
    batch = integer("batch", batch, 1, 2**31)
    n_repeats = integer("n_repeats", n_repeats, 1, 2**20)
    n_parameters = effective_parameters(n_inputs, width, hidden_layers)
    entropy = seed_entropy(seed)
    n_steps = waits[-1] + lags[-1]
    displacement = np.zeros((len(counts), n_repeats, len(waits), len(lags)))
    loss, unsatisfied = np.zeros((len(counts), n_repeats)), np.zeros((len(counts), n_repeats), int)
    wanted: dict[int, list[tuple[int, int]]] = {}
    for a, wait in enumerate(waits):
        for b, lag in enumerate(lags):
            wanted.setdefault(wait + lag, []).append((a, b))
    with torch_threads(threads), torch.inference_mode(), reporting(progress, "displacement") as report:
        for i, count in enumerate(counts):
            own = child_seed(entropy, i)
            x, y, stack = _start(count, n_inputs, width, hidden_layers, n_repeats, own)
            rng = np.random.default_rng(child_seed(own, n_repeats))
            each = torch.arange(n_repeats)[:, None]
            kept: dict[int, Any] = {}
            for step in range(n_steps + 1):
                if step in waits or step in wanted:
                    now = torch.cat([part.flatten(1) for part in (*stack.weights, *stack.biases)], dim=1)
                    for a, b in wanted.get(step, ()):
                        displacement[i, :, a, b] = ((now - kept[a]) ** 2).mean(1).numpy()
                    if step in waits:
                        kept[waits.index(step)] = now
                if step < n_steps:
                    rows = torch.from_numpy(rng.integers(0, count, (n_repeats, batch)))
                    values = stack.forward(x[each, rows])
                    delta = slopes(_LOSS, values[-1], y[each, rows]).mul_(rate / batch)
                    stack.descend(values, delta, [1.0] * len(stack.weights), True)
                report(i * n_steps + step, len(counts) * n_steps)
            f = stack.forward(x)[-1]
            loss[i] = losses(_LOSS, f, y).mean(1).numpy()
            unsatisfied[i] = (1.0 - y * f[..., 0] > _SATISFIED).sum(1).numpy()
    result = xr.Dataset(
        {
            "displacement": (("n_samples", "repeat", "waiting_time", "lag"), displacement),
            "loss": (("n_samples", "repeat"), loss),
            "n_unsatisfied": (("n_samples", "repeat"), unsatisfied),
        },
        {
            "n_samples": counts, "load": ("n_samples", np.array(counts) / n_parameters), "waiting_time": waits,
            "lag": lags,
        },
        provenance(
            "deepglass.learning.two_time_displacement",
            {
                "n_inputs": n_inputs, "width": width, "hidden_layers": hidden_layers, "learning_rate": rate,
                "batch": batch, "n_repeats": n_repeats,
            },
            entropy,
        ),
    )  # fmt: skip
    result.attrs["n_parameters"] = n_parameters
    return result


def _samples(value: Any) -> list[int]:
    counts = [integer("n_samples", count, 1, 2**31) for count in np.atleast_1d(np.asarray(value, dtype=object))]
    if not counts:
        raise ValueError("n_samples must be some integers >= 1, got none")
    return counts


def _start(
    count: int, n_inputs: int, width: int, hidden_layers: int, n_repeats: int, seed: int
) -> tuple[Any, Any, Stack]:
    """Data and networks: x (repeat, sample, n_inputs), y (repeat, sample)."""
    torch = require("torch")
    sizes = [n_inputs, *[width] * hidden_layers, 1]
    inputs, labels = [], []
    weights: list[list[Array]] = [[] for _ in sizes[1:]]
    for repeat in range(n_repeats):
        rng = np.random.default_rng(child_seed(seed, repeat))
        inputs.append(rng.standard_normal((count, n_inputs)))
        labels.append(rng.choice([-1.0, 1.0], count))
        for layer, shape in zip(weights, pairwise(sizes), strict=True):
            layer.append(_orthogonal(rng, *shape))
    stack = Stack(
        [torch.from_numpy(np.array(layer)) for layer in weights],
        [torch.zeros((n_repeats, 1, n), dtype=torch.float64) for n in sizes[1:]],
    )
    return torch.from_numpy(np.array(inputs)), torch.from_numpy(np.array(labels)), stack


def _orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Array:
    """Orthonormal rows or columns, Haar distributed."""
    q, r = np.linalg.qr(rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out))))
    q = q * np.sign(np.diag(r))
    return np.asarray(q if fan_in >= fan_out else q.T)


class _Adam:
    """Adam for networks side by side."""

    def __init__(self, stack: Stack) -> None:
        torch = require("torch")
        self._stack, self._count = stack, 0
        self._moments = [[(torch.zeros_like(p), torch.zeros_like(p)) for p in kind] for kind in self._kinds()]

    def _kinds(self) -> list[list[Any]]:
        return [self._stack.weights, self._stack.biases]

    def keep(self, index: Any) -> None:
        for kind, moments in zip(self._kinds(), self._moments, strict=True):
            kind[:] = [p[index] for p in kind]
            moments[:] = [(first[index], second[index]) for first, second in moments]

    def step(self, values: list[Any], delta: Any, rate: float) -> None:
        self._count += 1
        gradients = {
            layer: (x.transpose(1, 2).bmm(d), d.sum(1, keepdim=True))
            for layer, x, d in self._stack.backward(values, delta)
        }
        first_scale, second_scale = 1.0 - 0.9**self._count, 1.0 - 0.999**self._count
        for which, (kind, moments) in enumerate(zip(self._kinds(), self._moments, strict=True)):
            for layer, (p, (first, second)) in enumerate(zip(kind, moments, strict=True)):
                g = gradients[layer][which]
                first.lerp_(g, 0.1)
                second.mul_(0.999).addcmul_(g, g, value=0.001)
                p.addcdiv_(first, (second / second_scale).sqrt_().add_(1e-8), value=-rate / first_scale)
