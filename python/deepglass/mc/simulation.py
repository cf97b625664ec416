"""Simulations: chains that move, what is measured on the way, checkpoints."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import io
from .._check import choice, integer, number
from .._progress import Progress, reporting
from ..random import SeedLike, child_seed, seed_entropy
from . import observables
from ._engine import Engine, Moves, Record, estimated_bytes, make_engine
from .data import Data, forward, random_bonds
from .network import PerceptronNetwork

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Simulation", "simulate"]

Spins = tuple[npt.NDArray[np.int8], ...]
Bonds = tuple[npt.NDArray[Any], ...]
Machine = tuple[Spins, Bonds]
Start = Literal["random", "planted", "teacher"]

_log = logging.getLogger("deepglass")

_LARGEST_DRIFT = 1e-3  # of a field between two computations from bonds and spins
_PART = 0.05  # seconds between two looks at signals, progress and clock
_CHEAP = ("energy", "acceptance")
_OBSERVABLES = (
    *_CHEAP,
    "neuron_overlap",
    "bond_overlap",
    "normalised_overlap",
    "aligned_overlap",
    "training_error",
    "generalisation_error",
    "histogram",
)


class Simulation:
    """Metropolis chains of a perceptron network on a data set.

    A sweep is one attempt on every bond (rotations of random pairs, or flips), then one on every hidden neuron
    in every pattern; slaved neurons follow the bonds.  The stationary law is the prior of the bonds times
    ``exp(-beta E)``.

    Parameters
    ----------
    network : PerceptronNetwork
        Widths, prior and potential.
    data : Data
        Patterns, of the widths of the network.
    beta : float >= 0 or infinity, or one for each chain
        Inverse temperature.  Infinity: greedy, a move is accepted where the energy does not rise.
    n_chains : int >= 1
        Independent chains on the same data.  Chain c depends on the seed and c only.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.
    start : "random", "planted" or "teacher"
        Bonds from the prior and hidden neurons by coins; the planted equilibrium configuration of
        ``teacher_data(noise="gibbs")``, in all chains; or the bonds of the teacher, neurons following them.
    step : float in (0, pi], or one for each layer
        Rotations are uniform in (-step, step); see `tune`.
    bond_passes, spin_passes : int from 0 to 256
        Passes over the bonds and over the neurons in a sweep.  They set the clock of correlations.
    trajectory_steps, trajectory_step : int >= 0 and float > 0
        With trajectory_steps > 0, a bond pass is one geodesic Hamiltonian trajectory of so many leapfrog steps
        (spherical bonds, soft potential).  It is another dynamics: not for correlation functions that are to be
        compared with those of rotations.
    threads : int
        0: the OpenMP default.  The trajectory does not depend on it.

    Attributes
    ----------
    sweep : int
        Sweeps done.
    beta : array, shape (n_chains,)
        May be set between runs.
    step : array, shape (depth,)
        May be set between runs.

    Raises
    ------
    ValueError
        If the data do not fit the network, or an argument is out of its range.
    MemoryError
        If the chains would not fit into the memory of the machine; nothing is allocated.

    Notes
    -----
    The cost of a sweep is ``M (sum_l N_l N_{l+1} + sum_l N_l N_{l-1} / 2)`` evaluations of a gap, of about
    0.1 ns each with AVX2.  Local moves relax slowly even where the landscape is simple: compare a random start
    with a planted or annealed one, and judge by the first and the last layer, which are the slowest.

    Examples
    --------
    >>> network = PerceptronNetwork(width=16, depth=3)
    >>> from deepglass.mc import random_data
    >>> simulation = Simulation(network, random_data(network, 64, seed=1), beta=5.0, n_chains=2, seed=1)
    >>> run = simulation.run(100, every=10)
    >>> run["energy"].dims, dict(run.sizes)
    (('chain', 'draw', 'layer'), {'chain': 2, 'draw': 10, 'layer': 3})
    """

    def __init__(
        self,
        network: PerceptronNetwork,
        data: Data,
        *,
        beta: float | Sequence[float] | npt.NDArray[np.float64],
        n_chains: int = 4,
        seed: SeedLike = None,
        start: Start = "random",
        step: float | Sequence[float] | npt.NDArray[np.float64] = 0.5,
        bond_passes: int = 1,
        spin_passes: int = 1,
        trajectory_steps: int = 0,
        trajectory_step: float = 0.1,
        threads: int = 0,
    ) -> None:
        if not isinstance(network, PerceptronNetwork):
            raise TypeError(f"network must be a PerceptronNetwork, got {type(network).__name__}")
        if not isinstance(data, Data):
            raise TypeError(f"data must be Data, as data_from(inputs, outputs) gives, got {type(data).__name__}")
        data.check_network(network)
        self.network, self.data = network, data
        self.n_chains = integer("n_chains", n_chains, 1, 2**24)
        self.seed = seed_entropy(seed)
        self.beta = beta
        self.step = step
        self.threads = integer("threads", threads, 0, 2**31 - 1)
        self._passes = {
            "bond_passes": integer("bond_passes", bond_passes, 0, 256),
            "spin_passes": integer("spin_passes", spin_passes, 0, 256),
            "trajectory_steps": integer("trajectory_steps", trajectory_steps, 0, 10**6),
            "trajectory_step": number("trajectory_step", trajectory_step, "> 0", lambda x: x > 0.0),
        }
        if trajectory_steps and (network.hidden, network.bonds, network.potential) != ("free", "spherical", "soft"):
            raise ValueError(
                "trajectory_steps must be 0 unless bonds are spherical, neurons free and the potential soft"
            )
        _refuse_too_large(estimated_bytes(network, data.n_patterns, self.n_chains))
        self._start: str = choice("start", start, ("random", "planted", "teacher"))
        self._engine: Engine = make_engine(network, data, self.n_chains, self.seed)
        for chain in range(self.n_chains):
            self._engine.set_state(chain, *self._first_state(chain))

    # ---- State

    @property
    def sweep(self) -> int:
        """Sweeps done."""
        return self._engine.sweep

    @property
    def beta(self) -> npt.NDArray[np.float64]:
        """Inverse temperature of each chain."""
        return self._beta

    @beta.setter
    def beta(self, beta: float | Sequence[float] | npt.NDArray[np.float64]) -> None:
        values = _per_item("beta", beta, self.n_chains, ">= 0", lambda x: x >= 0.0)
        if self.network.hidden == "slaved" and self.network.potential == "hard" and np.isfinite(values).any():
            raise ValueError(f"beta must be infinite for the hard potential, got {beta!r}")
        self._beta = values

    @property
    def step(self) -> npt.NDArray[np.float64]:
        """Largest angle of the rotations of each layer."""
        return self._step

    @step.setter
    def step(self, step: float | Sequence[float] | npt.NDArray[np.float64]) -> None:
        self._step = _per_item("step", step, self.network.depth, "in (0, pi]", lambda x: 0.0 < x <= math.pi)

    def spins(self, chain: int) -> Spins:
        """Give the spins of layers 0..L of a chain, int8 of shape (n_patterns, N_l)."""
        return tuple(self._engine.spins(integer("chain", chain, 0, self.n_chains - 1)))

    def bonds(self, chain: int) -> Bonds:
        """Give the bonds of layers 1..L of a chain, shape (N_l, N_{l-1}); 0 where not connected."""
        return tuple(self._engine.bonds(integer("chain", chain, 0, self.n_chains - 1)))

    def set_state(self, chain: int, spins: Sequence[npt.ArrayLike], bonds: Sequence[npt.ArrayLike]) -> None:
        """Set a chain: spins of layers 0..L (the data of layers 0 and L stay as they are), bonds of layers 1..L."""
        chain = integer("chain", chain, 0, self.n_chains - 1)
        checked = [np.asarray(layer) for layer in spins]
        if len(checked) != self.network.depth + 1:
            raise ValueError(f"spins must have {self.network.depth + 1} layers, got {len(checked)}")
        for spin in checked:
            if not np.isin(spin, (-1, 1)).all():
                raise ValueError("spins must be +1 or -1")
        weights = [np.asarray(layer, float) for layer in bonds]
        for layer, inputs in enumerate(self._graph(), start=1):
            if inputs is not None and layer <= len(weights) and weights[layer - 1].ndim == 2:
                absent = np.ones(weights[layer - 1].shape, bool)
                np.put_along_axis(absent, inputs.astype(np.intp), False, axis=1)
                if weights[layer - 1][absent].any():
                    raise ValueError(f"bonds must be 0 where not connected; those of layer {layer} are not")
        if self.network.bonds == "binary" and not all(np.isin(layer, (-1, 0, 1)).all() for layer in weights):
            raise ValueError("bonds must be +1 or -1 for binary bonds")
        self._engine.set_state(chain, [layer.astype(np.int8) for layer in checked], weights)

    def energy(self) -> npt.NDArray[np.float64]:
        """Energies (n_chains, depth) by layer, computed from bonds and spins in double precision."""
        return np.array([self._energy(chain) for chain in range(self.n_chains)])

    # ---- Runs

    def tune(self, n_sweeps: int = 100, *, acceptance: float = 0.5, rounds: int = 5) -> npt.NDArray[np.float64]:
        """Adapt the steps of the rotations, layer by layer, to an acceptance; for the time before measurements.

        Parameters
        ----------
        n_sweeps : int >= 1
            Sweeps of all rounds together.
        acceptance : float in (0, 1)
            Wanted fraction of accepted rotations.
        rounds : int >= 1
            How often the steps are changed.

        Returns
        -------
        array, shape (depth,)
            The steps, which stay as they are from now on.
        """
        target = number("acceptance", acceptance, "in (0, 1)", lambda x: 0.0 < x < 1.0)
        rounds = integer("rounds", rounds, 1, 10**6)
        part = -(-integer("n_sweeps", n_sweeps, 1, 2**32 - 1) // rounds)
        for _ in range(rounds):
            seen = self._advance(1, part).bond_acceptance[:, 0].mean(axis=0)
            # The acceptance falls about as exp(-step / s): take the step where it would be the target.
            ratio = math.log(target) / np.log(np.clip(seen, 0.01, 0.99))
            self.step = np.clip(self.step * np.clip(ratio, 0.5, 2.0), 1e-4, math.pi)
        return self.step

    def run(
        self,
        n_sweeps: int,
        *,
        every: int = 1,
        observe: str | Iterable[str] = _CHEAP,
        lags: Literal["log"] | Sequence[int] | None = None,
        waiting_times: Sequence[int] = (0,),
        progress: Progress = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval: float = 60.0,
    ) -> xr.Dataset:
        """Go on for some sweeps, and measure.

        Parameters
        ----------
        n_sweeps : int >= 0
            Sweeps of this run.
        every : int >= 1
            Sweeps from draw to draw; a rest of n_sweeps that makes no draw is done too.
        observe : names
            Of "energy" (by layer, summed over neurons and patterns), "acceptance" (of bonds; that of neurons is
            ``neuron_acceptance``), "neuron_overlap" and "bond_overlap" (matched, of each pair of chains, and with the
            teacher if there is one), "normalised_overlap" (free of gauge, with its prior value ``prior_overlap``),
            "aligned_overlap" (of neurons; of bonds it is ``aligned_bond_overlap``), "training_error" (wrong output bits
            of the machine on its patterns), "generalisation_error" (on the test set; on the inputs not seen up
            to sign it is ``unseen_error``) and "histogram" (of the overlaps K of pairs of patterns, by layer).
        lags : "log" or sequence of int >= 0, optional
            Sweeps after each waiting time at which ``neuron_correlation`` and ``bond_correlation`` are measured;
            "log": 0, 1, 2, 3, ... with eight in a factor of ten.
        waiting_times : sequence of int >= 0
            Sweeps of this run after which a configuration is kept for those correlations.
        progress : bool or callable(done, total)
            In sweeps.
        checkpoint : path, optional
            File in which the run is kept.  If it exists, it must be of this very run, which goes on from there,
            to the last bit as if it had not been interrupted; at the end it holds the result.
        checkpoint_interval : float >= 0
            Seconds between two writings.

        Returns
        -------
        xarray.Dataset
            Dimensions chain, draw, layer (1..L), and pair, waiting_time, lag where needed; ``draw`` counts sweeps
            from the start of the simulation.

        Raises
        ------
        ValueError
            An argument out of its range, or a checkpoint of another network, data set or run.
        OSError
            The checkpoint cannot be written; the older one is whole, and the run stands where it was.
        NumericalError
            If a field drifted by more than 1e-3 between two computations from bonds and spins.

        Notes
        -----
        Ctrl-C ends the run after the sweep: what was measured is returned, with the attribute ``interrupted`` = 1,
        and the simulation can go on.
        """
        plan = _Plan(self, n_sweeps, every, observe, lags, waiting_times)
        keeper = None if checkpoint is None else _Checkpoint(self, plan, checkpoint, checkpoint_interval)
        run = _Run(self, plan) if keeper is None else keeper.restore()
        interrupted = False
        with reporting(progress, "sweeps") as report:
            report(run.done, plan.n_sweeps)
            try:
                while run.done < plan.n_sweeps:
                    run.advance()
                    report(run.done, plan.n_sweeps)
                    if keeper is not None:
                        keeper.write_if_due(run)
            except KeyboardInterrupt:
                interrupted = True
        if keeper is not None:
            keeper.write(run)
        return run.dataset(interrupted)

    # ---- Private

    def _graph(self) -> list[npt.NDArray[np.int32] | None]:
        return [self.network.inputs(layer) for layer in range(1, self.network.depth + 1)]

    def _parameters(self, plan: _Plan) -> dict[str, Any]:
        return {
            "network": json.loads(self.network.to_json()),
            "data": dict(self.data.provenance),
            "n_patterns": self.data.n_patterns,
            "start": self._start,
            **self._passes,
            **json.loads(plan.text()),
        }

    def _energy(self, chain: int) -> npt.NDArray[np.float64]:
        network, spins, bonds = self.network, self.spins(chain), self.bonds(chain)
        energies = np.zeros(network.depth)
        if network.hidden == "slaved":
            energies[-1] = np.count_nonzero(forward(bonds, self.data.inputs)[-1] != self.data.outputs)
            return energies
        for layer in range(1, network.depth + 1):
            fields = spins[layer - 1].astype(float) @ np.asarray(bonds[layer - 1], float).T
            wrong = np.minimum(spins[layer] * fields, 0.0) / math.sqrt(network.n_inputs(layer))
            energies[layer - 1] = np.sum(wrong**2) if network.potential == "soft" else np.count_nonzero(wrong)
        return energies

    def _moves(self) -> Moves:
        return Moves(self.step, **self._passes)  # type: ignore[arg-type]

    def _advance(self, n_draws: int, every: int) -> Record:
        record = self._engine.run(n_draws, every, self._beta, self._moves(), self.threads)
        if not record.drift <= _LARGEST_DRIFT:
            from .._core import NumericalError

            raise NumericalError(
                f"a field drifted by {record.drift:.1e} between two computations from bonds and spins, more than "
                f"{_LARGEST_DRIFT:.0e}"
            )
        return record

    def _first_state(self, chain: int) -> Machine:
        network, data = self.network, self.data
        if self._start == "random":
            own = child_seed(self.seed, chain)
            bonds = random_bonds(network, child_seed(own, 0))
            rows = np.random.Generator(np.random.Philox(child_seed(own, 1)))
            # Pattern by pattern, so that a data set and its first patterns start in the same way.
            coins = rows.integers(0, 2, (data.n_patterns, sum(network.widths[1:-1])), np.int8)
            hidden = np.split(1 - 2 * coins, np.cumsum(network.widths[1:-1])[:-1], axis=1) if network.depth > 1 else []
            return (data.inputs, *(np.ascontiguousarray(layer) for layer in hidden), data.outputs), bonds
        if data.teacher is None or tuple(b.shape for b in data.teacher) != _shapes(network):
            raise ValueError(f"start must be 'random' for data without a teacher of the widths {network.widths}")
        if self._start == "teacher":
            spins = forward(data.teacher, data.inputs)
            return (*spins[:-1], data.outputs), data.teacher
        if data.planted_spins is None:
            raise ValueError(
                "start must not be 'planted': these data have no planted equilibrium configuration; it takes "
                "teacher_data(noise='gibbs', beta=...) and the count potential"
            )
        if (self._beta != data.planted_beta).any():
            raise ValueError(f"beta must be that of the planted data, {data.planted_beta}, got {self._beta.tolist()}")
        return data.planted_spins, data.teacher


def simulate(
    network: PerceptronNetwork,
    data: Data,
    n_sweeps: int,
    *,
    beta: float | Sequence[float] | npt.NDArray[np.float64],
    burn_in: int = 0,
    tune: bool = True,
    every: int = 1,
    observe: str | Iterable[str] = _CHEAP,
    lags: Literal["log"] | Sequence[int] | None = None,
    waiting_times: Sequence[int] = (0,),
    progress: Progress = False,
    **simulation: Any,
) -> xr.Dataset:
    """Run chains of a perceptron network: burn in, then measure.

    Parameters
    ----------
    network, data, beta
        As for `Simulation`.
    n_sweeps : int >= 0
        Sweeps with measurements.
    burn_in : int >= 0
        Sweeps before.
    tune : bool
        Adapt the steps of the rotations during the first half of the burn-in.
    every, observe, lags, waiting_times, progress
        As for `Simulation.run`.
    **simulation : optional
        Other arguments of `Simulation`: n_chains, seed, start, step, threads, ...

    Returns
    -------
    xarray.Dataset
        As `Simulation.run` gives it.

    Examples
    --------
    >>> from deepglass.mc import random_data
    >>> network = PerceptronNetwork(width=16, depth=3)
    >>> run = simulate(network, random_data(network, 64, seed=1), 200, beta=2.0, burn_in=100, seed=1, n_chains=2)
    >>> from deepglass.stats import gamma_method
    >>> gap_energy = run["energy"].sum("layer") / (3 * 16 * 64)
    >>> bool(0.05 < gamma_method(gap_energy.values).value < 0.07)  # 0.0618 for width -> infinity
    True
    """
    integer("burn_in", burn_in, 0, 2**32 - 1)
    plan = Simulation(network, data, beta=beta, **simulation)
    if burn_in and tune and network.bonds == "spherical" and not plan._passes["trajectory_steps"]:
        plan.tune(-(-burn_in // 2))
    plan.run(max(0, burn_in - plan.sweep), every=max(1, burn_in), observe=(), progress=progress)
    return plan.run(n_sweeps, every=every, observe=observe, lags=lags, waiting_times=waiting_times, progress=progress)


# ---- A run and what it keeps


class _Plan:
    """The arguments of a run, checked, and the sweeps at which something is done."""

    def __init__(
        self,
        simulation: Simulation,
        n_sweeps: int,
        every: int,
        observe: str | Iterable[str],
        lags: Literal["log"] | Sequence[int] | None,
        waiting_times: Sequence[int],
    ) -> None:
        most = 2**32 - 1 - simulation.sweep
        self.n_sweeps = integer("n_sweeps", n_sweeps, 0, most)
        self.every = integer("every", every, 1, 2**32 - 1)
        names = (observe,) if isinstance(observe, str) else tuple(observe)
        self.observe = tuple(choice("observe", name, _OBSERVABLES) for name in names)
        if "generalisation_error" in self.observe and simulation.data.test_inputs is None:
            raise ValueError("observe must not have 'generalisation_error': the data have no test set")
        if (
            simulation.n_chains < 2
            and simulation.data.teacher is None
            and {"neuron_overlap", "bond_overlap"} & set(names)
        ):
            raise ValueError("observe must not have overlaps of replicas with one chain and no teacher")
        self.lags = _checked_lags(lags, self.n_sweeps)
        self.waiting_times = tuple(integer("waiting_times", t, 0, self.n_sweeps) for t in waiting_times)
        if len(set(self.waiting_times)) != len(self.waiting_times):
            raise ValueError(f"waiting_times must differ, got {list(waiting_times)!r}")
        self.first_sweep = simulation.sweep
        self.n_draws = self.n_sweeps // self.every
        if not self.lags:
            self.waiting_times = ()
        self.stops = sorted(
            {self.n_sweeps, self.n_draws * self.every, *self.waiting_times}
            | {t + lag for t in self.waiting_times for lag in self.lags if t + lag <= self.n_sweeps}
        )

    def text(self) -> str:
        return json.dumps(
            {
                "n_sweeps": self.n_sweeps,
                "every": self.every,
                "observe": list(self.observe),
                "lags": list(self.lags),
                "waiting_times": list(self.waiting_times),
                "first_sweep": self.first_sweep,
            }
        )


class _Run:
    """A run under way: the series measured, the configurations kept."""

    def __init__(self, simulation: Simulation, plan: _Plan) -> None:
        self.simulation, self.plan = simulation, plan
        self.done = 0
        self.series: dict[str, npt.NDArray[Any]] = {}
        self.kept: dict[int, list[Machine]] = {}
        self._prior: dict[str, Any] = {}
        self._rate = 0.0  # sweeps a second
        self._correlate()

    def advance(self) -> None:
        """Go on to the next event, or for a twentieth of a second."""
        plan, simulation = self.plan, self.simulation
        stop = next(t for t in plan.stops if t > self.done)
        draws = self.done < plan.n_draws * plan.every
        to_draw = plan.every - self.done % plan.every if draws else plan.n_sweeps + 1
        most = max(1, int(self._rate * _PART))
        start, before = time.perf_counter(), self.done
        costly = any(name not in _CHEAP for name in plan.observe)
        if draws and to_draw == plan.every and stop - self.done >= plan.every and most >= plan.every:
            n_draws = 1 if costly else min((stop - self.done) // plan.every, most // plan.every)
            n_draws = max(1, n_draws)
            record = simulation._advance(n_draws, plan.every)
            self.done += n_draws * plan.every
            self._note(record, self.done // plan.every - n_draws)
        else:
            n = min(stop - self.done, to_draw, most)
            record = simulation._advance(1, n)
            self.done += n
            self._partial(record, n)
        spent = max(time.perf_counter() - start, 1e-6)
        self._rate = min((self.done - before) / spent, 10 * self._rate + 1 / spent)
        if draws and self.done % plan.every == 0 and costly:
            self._observe(self.done // plan.every - 1)
        self._correlate()

    def _put(self, name: str, draw: int, values: npt.NDArray[Any]) -> None:
        """Values (first dimension chain or pair, ...) of a draw."""
        if name not in self.series:
            shape = (values.shape[0], self.plan.n_draws, *values.shape[1:])
            self.series[name] = np.full(shape, np.nan)
        self.series[name][:, draw] = values

    def _note(self, record: Record, first: int) -> None:
        for k in range(record.energy.shape[1]):
            if "energy" in self.plan.observe:
                self._put("energy", first + k, record.energy[:, k])
            if "acceptance" in self.plan.observe:
                self._put("acceptance", first + k, record.bond_acceptance[:, k])
                self._put("neuron_acceptance", first + k, record.neuron_acceptance[:, k])

    def _partial(self, record: Record, n: int) -> None:
        """A draw that is made of several parts: acceptances are averaged over them."""
        plan = self.plan
        end = self.done
        draw = (end - 1) // plan.every
        if draw >= plan.n_draws:
            return
        before = self.series.get("_acceptance")
        now = np.stack([record.bond_acceptance[:, 0], record.neuron_acceptance[:, 0]]) * n
        total = now if (end - n) % plan.every == 0 or before is None else before + now
        self.series["_acceptance"] = total
        if end % plan.every == 0:
            mean = total / plan.every
            whole = Record(record.energy, mean[0][:, None], mean[1][:, None], record.drift)
            self._note(whole, draw)

    def _machines(self) -> list[Machine]:
        return [(self.simulation.spins(c), self.simulation.bonds(c)) for c in range(self.simulation.n_chains)]

    def _observe(self, draw: int) -> None:
        observe, simulation = self.plan.observe, self.simulation
        machines = self._machines()
        groups = {"": [(machines[a], machines[b]) for a, b in _pairs(simulation.n_chains)]}
        teacher = self._teacher()
        if teacher is not None:
            groups["teacher_"] = [(teacher, machine) for machine in machines]
        for prefix, group in groups.items():
            for name in observe:
                if name in _OF_TWO and group:
                    self._put(prefix + name, draw, np.array([_OF_TWO[name](a, b) for a, b in group]))
            if "aligned_overlap" in observe and group:
                permute = simulation.network.connectivity is None
                done = [observables.align(*a, *b, permute=permute) for a, b in group]
                self._put(prefix + "aligned_overlap", draw, np.array([x.aligned_overlap[1:] for x in done]))
                self._put(prefix + "aligned_bond_overlap", draw, np.array([x.aligned_bond_overlap for x in done]))
        for name, error in _OF_ONE.items():
            if name.replace("unseen", "generalisation") in observe:
                self._put(name, draw, np.array([error(bonds, simulation.data) for _, bonds in machines]))
        if "histogram" in observe:
            self._histogram(machines)

    def _teacher(self) -> Machine | None:
        data = self.simulation.data
        if data.teacher is None or tuple(b.shape for b in data.teacher) != _shapes(self.simulation.network):
            return None
        if "teacher" not in self._prior:
            spins = data.planted_spins if data.planted_spins is not None else forward(data.teacher, data.inputs)
            self._prior["teacher"] = (spins, data.teacher)
        found: Machine = self._prior["teacher"]
        return found

    def _histogram(self, machines: Sequence[Machine]) -> None:
        edges = np.linspace(-1.0, 1.0, _BINS + 1)
        for chain, (spins, _) in enumerate(machines):
            for layer in range(1, self.simulation.network.depth + 1):
                values = observables.pattern_pairs(observables.neuron_kernel(spins[layer]))
                name = "_histogram"
                if name not in self.series:
                    shape = (self.simulation.n_chains, self.simulation.network.depth, _BINS)
                    self.series[name] = np.zeros(shape)
                # Not exactly at an edge: the values are multiples of 2/N.
                self.series[name][chain, layer - 1] += np.histogram(np.clip(values + 1e-9, -1.0, 1.0), edges)[0]

    def _correlate(self) -> None:
        plan = self.plan
        for k, waiting in enumerate(plan.waiting_times):
            if self.done == waiting and k not in self.kept:
                self.kept[k] = self._machines()
            if k in self.kept and self.done - waiting in plan.lags:
                now = self._machines()
                lag = plan.lags.index(self.done - waiting)
                for chain, (new, old) in enumerate(zip(now, self.kept[k], strict=True)):
                    neurons, bonds = _OF_TWO["neuron_overlap"](new, old), _OF_TWO["bond_overlap"](new, old)
                    for name, values in (("neuron_correlation", neurons), ("bond_correlation", bonds)):
                        if name not in self.series:
                            shape = (self.simulation.n_chains, len(plan.waiting_times), len(plan.lags), len(bonds))
                            self.series[name] = np.full(shape, np.nan)
                        self.series[name][chain, k, lag] = values

    def dataset(self, interrupted: bool) -> xr.Dataset:
        """Give what was measured so far."""
        import xarray as xr

        plan, simulation = self.plan, self.simulation
        n_draws = min(self.done // plan.every, plan.n_draws)
        variables: dict[str, Any] = {}
        for name, values in self.series.items():
            if name.startswith("_"):
                continue
            if name.endswith("_correlation"):
                variables[name] = (("chain", "waiting_time", "lag", "layer"), values)
                continue
            first = "pair" if _of_pairs(name) else "chain"
            dims = (first, "draw") if values.ndim == 2 else (first, "draw", "layer")
            variables[name] = (dims, values[:, :n_draws])
        for name in {"energy", "acceptance", "neuron_acceptance"} - set(variables):
            if name.removeprefix("neuron_") in plan.observe:
                shape = (simulation.n_chains, 0, simulation.network.depth)
                variables[name] = (("chain", "draw", "layer"), np.empty(shape))
        if "_histogram" in self.series:
            counts = self.series["_histogram"]
            width = 2.0 / _BINS
            total = counts.sum(axis=-1, keepdims=True)
            variables["overlap_density"] = (("chain", "layer", "bin"), counts / np.where(total > 0, total, 1) / width)
        if "normalised_overlap" in plan.observe and simulation.network.depth > 0:
            value, error = self._prior_value()
            variables["prior_overlap"] = ("layer", value)
            variables["prior_overlap_error"] = ("layer", error)
        variables["beta"] = ("chain", simulation.beta.copy())
        variables["step"] = ("layer", simulation.step.copy())
        coordinates: dict[str, Any] = {
            "chain": np.arange(simulation.n_chains),
            "draw": plan.first_sweep + plan.every * np.arange(1, n_draws + 1),
            "layer": np.arange(1, simulation.network.depth + 1),
        }
        if any("pair" in dims for dims, _ in variables.values()):
            coordinates["pair"] = [f"{a}-{b}" for a, b in _pairs(simulation.n_chains)]
        if "overlap_density" in variables:
            coordinates["bin"] = -1.0 + (np.arange(_BINS) + 0.5) * 2.0 / _BINS
        if "neuron_correlation" in variables:
            coordinates["waiting_time"] = np.array(plan.waiting_times) + plan.first_sweep
            coordinates["lag"] = np.array(plan.lags)
        attributes = {
            **io.provenance("mc.Simulation.run", simulation._parameters(plan), simulation.seed),
            "n_sweeps": self.done,
        }
        if interrupted:
            attributes["interrupted"] = 1
        return xr.Dataset(variables, coordinates, attributes)

    def _prior_value(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        if "value" not in self._prior:
            simulation = self.simulation
            seed = child_seed(simulation.seed, 2**31)
            self._prior["value"] = observables.prior_normalised_overlap(
                simulation.network, simulation.data.inputs, seed, n_pairs=32
            )
        value, error = self._prior["value"]
        return value, error


_BINS = 80  # of histograms

# Of two machines, by layer 1..L.
_OF_TWO: dict[str, Callable[[Machine, Machine], npt.NDArray[np.float64]]] = {
    "neuron_overlap": lambda a, b: _by_layer(observables.matched_overlap, a[0][1:], b[0][1:]),
    "bond_overlap": lambda a, b: _by_layer(observables.bond_overlap, a[1], b[1]),
    "normalised_overlap": lambda a, b: _by_layer(observables.normalised_overlap, a[0][1:], b[0][1:]),
}
_OF_ONE: dict[str, Callable[[Bonds, Data], float]] = {
    "training_error": observables.training_error,
    "generalisation_error": observables.generalisation_error,
    "unseen_error": lambda bonds, data: observables.generalisation_error(bonds, data, only_unseen=True),
}


def _by_layer(overlap: Callable[..., Any], a: Sequence[Any], b: Sequence[Any]) -> npt.NDArray[np.float64]:
    return np.array([overlap(x, y) for x, y in zip(a, b, strict=True)])


def _of_pairs(name: str) -> bool:
    return not name.startswith("teacher_") and name in (
        "neuron_overlap", "bond_overlap", "normalised_overlap", "aligned_overlap", "aligned_bond_overlap"
    )  # fmt: skip


def _pairs(n: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(n) for b in range(a + 1, n)]


class _Checkpoint:
    """A file that holds a run: the configurations to the last bit, the series, and whose they are."""

    def __init__(self, simulation: Simulation, plan: _Plan, path: str | os.PathLike[str], interval: float) -> None:
        self._simulation, self._plan, self._path = simulation, plan, os.fspath(path)
        self._interval = number("checkpoint_interval", interval, ">= 0", lambda x: x >= 0.0)
        self._last = time.monotonic()

    def _identity(self) -> dict[str, str]:
        simulation = self._simulation
        digest = hashlib.sha256(simulation.data.inputs.tobytes() + simulation.data.outputs.tobytes()).hexdigest()
        return {
            "network": simulation.network.to_json(),
            "data": digest,
            "simulation": json.dumps(
                {
                    "n_chains": simulation.n_chains,
                    "seed": simulation.seed,
                    "start": simulation._start,
                    "beta": simulation.beta.tolist(),
                    "step": simulation.step.tolist(),
                    **simulation._passes,
                }
            ),
            "run": self._plan.text(),
        }

    def restore(self) -> _Run:
        """Give the run of the file, or a new one where there is none."""
        run = _Run(self._simulation, self._plan)
        if not os.path.exists(self._path):
            return run
        try:
            stored = io.load(self._path)
            identity = json.loads(stored.attrs["identity"])
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"checkpoint must be a file that a run wrote; {self._path} is not: {error}") from error
        for part, mine in self._identity().items():
            if identity.get(part) != mine:
                raise ValueError(f"checkpoint {self._path} is of another {part}: {identity.get(part)}, not {mine}")
        engine = self._simulation._engine
        for chain in range(self._simulation.n_chains):
            n_parts = int(stored.attrs["n_parts"])
            engine.set_memory(chain, [stored[f"memory_{chain}_{k}"].values for k in range(n_parts)])
        engine.sweep = int(stored.attrs["sweep"])
        run.done = int(stored.attrs["done"])
        run.series = {
            str(name).removeprefix("series_"): variable.values
            for name, variable in stored.data_vars.items()
            if str(name).startswith("series_")
        }
        run.kept = {}
        depth = self._simulation.network.depth
        for k in json.loads(stored.attrs["kept"]):
            run.kept[k] = [
                (
                    tuple(stored[f"kept_{k}_{chain}_spins_{layer}"].values for layer in range(depth + 1)),
                    tuple(stored[f"kept_{k}_{chain}_bonds_{layer}"].values for layer in range(1, depth + 1)),
                )
                for chain in range(self._simulation.n_chains)
            ]
        _log.info("run goes on from %s at sweep %d", self._path, engine.sweep)
        return run

    def write_if_due(self, run: _Run) -> None:
        """Write if the interval has passed."""
        if time.monotonic() - self._last >= self._interval:
            self.write(run)

    def write(self, run: _Run) -> None:
        """Write the whole file, or leave the older one as it is."""
        import xarray as xr

        arrays: dict[str, npt.NDArray[Any]] = {}
        n_parts = 0
        for chain in range(self._simulation.n_chains):
            memory = self._simulation._engine.memory(chain)
            n_parts = len(memory)
            arrays |= {f"memory_{chain}_{k}": part for k, part in enumerate(memory)}
        arrays |= {f"series_{name}": values for name, values in run.series.items()}
        for k, machines in run.kept.items():
            for chain, (spins, bonds) in enumerate(machines):
                arrays |= {f"kept_{k}_{chain}_spins_{layer}": values for layer, values in enumerate(spins)}
                arrays |= {f"kept_{k}_{chain}_bonds_{layer}": values for layer, values in enumerate(bonds, start=1)}
        variables = {
            name: ([f"{name}_{axis}" for axis in range(values.ndim)], values) for name, values in arrays.items()
        }
        attributes = {
            **io.provenance("mc.Simulation.run", {"file": "checkpoint"}),
            "identity": json.dumps(self._identity()),
            "sweep": self._simulation.sweep,
            "done": run.done,
            "n_parts": n_parts,
            "kept": json.dumps(sorted(run.kept)),
        }
        io.save(xr.Dataset(variables, attrs=attributes), self._path)
        self._last = time.monotonic()


# ---- Small things


def _shapes(network: PerceptronNetwork) -> tuple[tuple[int, int], ...]:
    widths = network.widths
    return tuple((widths[layer], widths[layer - 1]) for layer in range(1, network.depth + 1))


def _per_item(name: str, value: Any, n: int, allowed: str, ok: Callable[[float], bool]) -> npt.NDArray[np.float64]:
    try:
        values = np.array(np.broadcast_to(np.asarray(value, float), (n,)))
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number {allowed}, or {n} of them, got {value!r}") from None
    for entry in values:
        if math.isnan(entry) or not ok(float(entry)):
            raise ValueError(f"{name} must be {allowed}, got {float(entry)!r}")
    return values


def _checked_lags(lags: Literal["log"] | Sequence[int] | None, n_sweeps: int) -> tuple[int, ...]:
    if lags is None:
        return ()
    if isinstance(lags, str):
        choice("lags", lags, ("log",))
        powers = 10.0 ** (np.arange(0, 8 * 10 + 1) / 8.0)
        return (0, *sorted({int(t) for t in np.round(powers) if t <= n_sweeps}))
    checked = tuple(integer("lags", t, 0, n_sweeps) for t in lags)
    if list(checked) != sorted(set(checked)):
        raise ValueError(f"lags must increase, got {list(lags)!r}")
    return checked


def _refuse_too_large(needed: int) -> None:
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    if needed > 0.9 * available:
        raise MemoryError(
            f"the chains need about {needed / 2**30:.1f} GiB, the machine has {available / 2**30:.1f} GiB"
        )
