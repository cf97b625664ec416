"""Training of contours with parameters: minimise ln Z_pq, that is, maximise the modulus of the average phase."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._check import choice, integer, number
from .._progress import Progress, reporting
from .._warnings import ConvergenceWarning, warn
from ..random import SeedLike, child_seed, seed_entropy
from ..stats import Estimate, gamma_method, gamma_method_derived
from ._compiled import network_kernel, weight_gradient
from ._trajectory import Chains, default_step
from .actions import Action, ComplexPhi4
from .network import NetworkContour
from .sampling import check_contour, sample

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Optimized", "optimize"]

Array: TypeAlias = NDArray[np.float64]
Parameters: TypeAlias = dict[str, Array]

_N_THERMAL = 30


@dataclass(frozen=True, eq=False)
class Optimized:
    """What `optimize` found.

    Attributes
    ----------
    contour : NetworkContour
        The best contour seen, of the class of the one given.
    history : xarray.Dataset
        Along ``update``: ``rate``, ``acceptance`` and ``average_phase``, the modulus of a running mean over the
        training samples of some ten updates.  Along ``candidate`` (number of the update, 0 the start):
        ``held_out_average_phase``, a modulus, and ``held_out_average_phase_error``.  ``best`` is the candidate chosen.

    Examples
    --------
    >>> from deepglass.contour import Gaussian
    >>> action = Gaussian(1 + 1j)
    >>> found = optimize(action, NetworkContour(action, 4, seed=1), n_updates=8, n_candidates=2, seed=1)
    >>> found.history.candidate.values
    array([0, 4, 8])
    """

    contour: NetworkContour
    history: xr.Dataset = field(repr=False)


def optimize(
    action: Action,
    contour: NetworkContour,
    *,
    n_updates: int = 300,
    optimizer: str = "adam",
    rate: float | None = None,
    n_chains: int = 64,
    n_candidates: int = 4,
    n_held_out: int = 1600,
    step: float | None = None,
    seed: SeedLike = None,
    threads: int = 0,
    progress: Progress = False,
) -> Optimized:
    r"""Train the parameters w of a contour, and give the best contour seen.

        F(w) = ln Z_pq = ln int d^N t e^{Re L},   dF/dw = <d Re L / dw>_pq,   average phase = Z / Z_pq,

    with Z the same on all contours: the gradient has no sign problem.  Each update takes its mean over chains that
    go one trajectory further on the contour of that moment.  The rate falls linearly to 5 % after a third of the
    updates.

    Candidates are the contour given and the means of the parameters over each of `n_candidates` equal parts of the
    updates (by default the last one is the mean of the last quarter).  The best is the one with the largest average
    phase in a run of its own, with its own random numbers; training that makes things worse gives back the start.

    Parameters
    ----------
    action : Action
        What the contour is for.
    contour : NetworkContour, LinearPlusNetwork or TranslationInvariantNetwork
        Where to start; it is not modified.
    n_updates : int
        Number of updates of the parameters.
    optimizer : "adam" or "adadelta"
        D. P. Kingma, J. Ba, arXiv:1412.6980; M. D. Zeiler, arXiv:1212.5701.
    rate : float > 0, optional
        By default 0.01 for Adam, but 0.003 for ComplexPhi4, and 1 for AdaDelta.
    n_chains : int
        Chains of hybrid Monte Carlo.
    n_candidates : int
        Number of candidates besides the start.
    n_held_out : int
        Draws of all chains together with which each candidate is judged, at least 4 `n_chains`.
    step : float, optional
        Leapfrog step, as for `measure`.
    seed : int, SeedSequence, Generator or None
        Of all chains.
    threads : int
        Most threads to use, 0 for the OpenMP default; of no effect on the result.
    progress : bool or callable(done, total)
        Of updates and candidates.

    Returns
    -------
    Optimized
        ``contour`` and ``history``.  If a gradient is not finite, training ends there, with a ConvergenceWarning.

    Examples
    --------
    >>> from deepglass.contour import Quartic
    >>> action = Quartic(1 + 4j, 1.0)
    >>> found = optimize(action, NetworkContour(action, seed=1), n_updates=100, n_candidates=1, seed=1)
    >>> [f"{value:.1f}" for value in found.history.held_out_average_phase.values[[0, -1]]]
    ['0.7', '1.0']
    """
    if not isinstance(action, Action):
        raise ValueError(f"action must be an Action, got {action!r}")
    if not isinstance(contour, NetworkContour):
        raise ValueError(f"contour must have parameters to be trained, as a NetworkContour has, got {contour!r}")
    check_contour(action, contour)
    n_updates = integer("n_updates", n_updates, 1, 2**31)
    make = {"adam": _adam, "adadelta": _adadelta}[choice("optimizer", optimizer, ("adam", "adadelta"))]
    usual = {"adam": 0.003 if isinstance(action, ComplexPhi4) else 0.01, "adadelta": 1.0}
    first_rate = usual[optimizer] if rate is None else rate
    first_rate = number("rate", first_rate, "> 0", lambda value: value > 0)
    n_chains = integer("n_chains", n_chains, 1, 2**20)
    n_candidates = integer("n_candidates", n_candidates, 1, n_updates)
    n_held_out = integer("n_held_out", n_held_out, 4 * n_chains, 2**40)
    step = number("step", default_step(action) if step is None else step, "> 0", lambda value: value > 0)
    plan = {
        "n_chains": n_chains,
        "n_draws": -(-n_held_out // n_chains),
        "n_thermal": _N_THERMAL,
        "every": 1,
        "n_steps": math.ceil(1 / step),
        "step": step,
    }
    entropy = seed_entropy(seed)
    ends = [n_updates * k // n_candidates for k in range(1, n_candidates + 1)]
    candidates = {0: contour}
    rows: list[tuple[float, float, float]] = []  # rate, acceptance, average phase
    with reporting(progress, "optimize") as report, np.errstate(over="ignore", invalid="ignore"):
        total = n_updates + n_candidates + 1
        first = (n_chains, child_seed(entropy, 0), step)
        training: _Training | _CompiledTraining
        if isinstance(action, ComplexPhi4):
            training = _CompiledTraining(action, contour, *first, threads)
        else:
            training = _Training(action, contour, *first)
        update = make({name: value.shape for name, value in contour.parameters.items()})
        parameters = dict(contour.parameters)
        sums, n_summed, running = _zeros(parameters), 0, 0j
        for k in range(1, n_updates + 1):
            acceptance = training.advance()
            gradient = training.gradient()
            if not all(np.isfinite(value).all() for value in gradient.values()):
                message = f"the gradient of update {k} of {n_updates} is not finite: training ends there"
                warn(message, ConvergenceWarning)
                break
            phase = training.phase()
            running = phase if k == 1 else 0.9 * running + 0.1 * phase
            now = first_rate * min(1.0, 1 - 0.95 * (k - n_updates / 3) / (n_updates * 2 / 3))
            rows.append((now, acceptance, abs(running)))
            change = update(gradient)
            parameters = {name: value - now * change[name] for name, value in parameters.items()}
            training.set_contour(contour.with_parameters(parameters))
            sums = {name: value + parameters[name] for name, value in sums.items()}
            n_summed += 1
            if k in ends:
                candidates[k] = contour.with_parameters({name: value / n_summed for name, value in sums.items()})
                sums, n_summed = _zeros(parameters), 0
            report(k, total)
        found = {}
        for index, (k, candidate) in enumerate(candidates.items()):
            found[k] = _held_out(action, candidate, plan, child_seed(entropy, index + 1), threads)
            report(n_updates + index + 1, total)
    best = max(found, key=lambda k: found[k].value if math.isfinite(found[k].value) else -1.0)
    arguments = {
        "action": repr(action),
        "contour": repr(contour),
        "n_updates": n_updates,
        "optimizer": optimizer,
        "rate": first_rate,
        "n_candidates": n_candidates,
        "n_held_out": n_held_out,
        **plan,
    }
    return Optimized(candidates[best], _history(rows, found, best, arguments, entropy))


class _Training:
    """Chains on the contour of the moment, and the gradient of ln Z_pq from where they are."""

    def __init__(self, action: Action, contour: NetworkContour, n_chains: int, seed: int, step: float) -> None:
        self._chains = Chains(action, contour, n_chains, seed, step, math.ceil(1 / step))
        self._contour = contour
        for _ in range(_N_THERMAL):
            self._chains.advance()

    def set_contour(self, contour: NetworkContour) -> None:
        self._contour = contour
        self._chains.set_contour(contour)

    def advance(self) -> float:
        """One trajectory of each chain; the part of them that was accepted."""
        return float(self._chains.advance()[0].mean())

    def gradient(self) -> Parameters:
        """Mean over the chains of d Re L / dw."""
        return self._contour.parameter_gradient(self._contour.weight_gradient(self._chains.t))

    def phase(self) -> complex:
        """Mean over the chains of e^{i theta}."""
        return complex(np.exp(1j * self._chains.weight.imag).mean())


class _CompiledTraining:
    """The same in compiled code."""

    def __init__(
        self, action: ComplexPhi4, contour: NetworkContour, n_chains: int, seed: int, step: float, threads: int
    ) -> None:
        self._action, self._threads = action, threads
        self._plan = {
            "n_chains": n_chains,
            "n_draws": 1,
            "every": 1,
            "step": step,
            "n_steps": math.ceil(1 / step),
            "seed": seed,
            "threads": threads,
        }
        self.set_contour(contour)
        self._draws = self._kernel.sample(n_thermal=_N_THERMAL - 1, **self._plan)
        self._n_made = _N_THERMAL

    def set_contour(self, contour: NetworkContour) -> None:
        self._contour = contour
        self._kernel = network_kernel(self._action, contour)

    def advance(self) -> float:
        self._draws = self._kernel.sample(
            n_thermal=0, field=self._draws["field"], trajectory=self._n_made, **self._plan
        )
        self._n_made += 1
        return float(self._draws["accepted"].mean())

    def gradient(self) -> Parameters:
        by_weights = weight_gradient(self._kernel, self._contour, self._draws["field"], self._threads)
        return self._contour.parameter_gradient(by_weights)

    def phase(self) -> complex:
        return complex(np.exp(-1j * self._draws["action_im"]).mean())


def _held_out(action: Action, contour: NetworkContour, plan: dict[str, float], seed: int, threads: int) -> Estimate:
    """Modulus of the average phase in a run of its own."""
    phase = sample(action, contour, (), plan, seed, threads)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a candidate may be bad, and then it is not chosen
        if isinstance(action, ComplexPhi4):  # Z > 0
            estimate = gamma_method(np.cos(phase))
            return Estimate(abs(estimate.value), estimate.error)
        estimate = gamma_method_derived(lambda c, s: math.hypot(c, s), [np.cos(phase), np.sin(phase)])
    return Estimate(estimate.value, estimate.error)


def _history(
    rows: list[tuple[float, float, float]],
    found: dict[int, Estimate],
    best: int,
    arguments: dict[str, object],
    seed: int,
) -> xr.Dataset:
    import xarray as xr

    from ..io import provenance

    table = np.array(rows).reshape(-1, 3)
    return xr.Dataset(
        {
            "rate": ("update", table[:, 0], {"long_name": "rate of the optimizer"}),
            "acceptance": ("update", table[:, 1]),
            "average_phase": ("update", table[:, 2], {"long_name": "modulus of the running average phase"}),
            "held_out_average_phase": ("candidate", [estimate.value for estimate in found.values()]),
            "held_out_average_phase_error": ("candidate", [estimate.error for estimate in found.values()]),
            "best": ((), best, {"long_name": "candidate chosen"}),
        },
        {"update": np.arange(1, len(table) + 1), "candidate": list(found)},
        attrs=provenance("deepglass.contour.optimize", arguments, seed=seed),
    )


# ---- Optimisers: from gradients to the changes of the parameters, to be multiplied by the rate

_Update: TypeAlias = Callable[[Parameters], Parameters]
_Shapes: TypeAlias = dict[str, tuple[int, ...]]


def _adam(shapes: _Shapes) -> _Update:
    first, second = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))
    count = 0

    def update(gradient: Parameters) -> Parameters:
        nonlocal count
        count += 1
        change = {}
        for name, g in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g**2
            change[name] = first[name] / (1 - 0.9**count) / (np.sqrt(second[name] / (1 - 0.999**count)) + 1e-8)
        return change

    return update


def _adadelta(shapes: _Shapes) -> _Update:
    squares, changes = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))

    def update(gradient: Parameters) -> Parameters:
        change = {}
        for name, g in gradient.items():
            squares[name] = 0.9 * squares[name] + 0.1 * g**2
            change[name] = np.sqrt(changes[name] + 1e-6) / np.sqrt(squares[name] + 1e-6) * g
            changes[name] = 0.9 * changes[name] + 0.1 * change[name] ** 2
        return change

    return update


def _zeros(parameters: Parameters) -> Parameters:
    return {name: np.zeros_like(value) for name, value in parameters.items()}
