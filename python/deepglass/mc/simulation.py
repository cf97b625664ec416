"""Simulations: chains that move, what is measured on the way, checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .._check import choice, integer, number, per_item
from .._core import NumericalError
from .._progress import Progress, Report, reporting
from ..random import SeedLike, child_seed, seed_entropy
from ._engine import Engine, Moves, Record, estimated_bytes, make_engine
from ._run import CHEAP, Bonds, Checkpoint, Lags, Machine, Plan, Run, Spins, go_on, network_shapes, refuse_too_large
from .data import Data, forward, random_bonds
from .network import PerceptronNetwork

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Simulation", "simulate"]

Start = Literal["random", "planted", "teacher"]

_LARGEST_DRIFT = 1e-3  # of a field between two computations from bonds and spins
_PART = 0.05  # seconds between two looks at signals, progress and clock


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
        if self._passes["trajectory_steps"] and (network.hidden, network.bonds, network.potential) != (
            "free",
            "spherical",
            "soft",
        ):
            raise ValueError(
                "trajectory_steps must be 0 unless bonds are spherical, neurons free and the potential soft"
            )
        self._start: str = choice("start", start, ("random", "planted", "teacher"))
        refuse_too_large("the chains", estimated_bytes(network, data.n_patterns, self.n_chains))
        self._engine: Engine = make_engine(network, data, self.n_chains, self.seed)
        self._part = 1  # sweeps of about _PART seconds
        self._unfinished: tuple[Checkpoint, Run] | None = None
        for chain in range(self.n_chains):
            self.set_state(chain, *self._first_state(chain))

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
        values = per_item("beta", beta, self.n_chains, ">= 0", lambda x: x >= 0.0)
        if self.network.hidden == "slaved" and self.network.potential == "hard" and np.isfinite(values).any():
            raise ValueError(f"beta must be infinite for the hard potential, got {beta!r}")
        self._beta = values

    @property
    def step(self) -> npt.NDArray[np.float64]:
        """Largest angle of the rotations of each layer."""
        return self._step

    @step.setter
    def step(self, step: float | Sequence[float] | npt.NDArray[np.float64]) -> None:
        self._step = per_item("step", step, self.network.depth, "in (0, pi]", lambda x: 0.0 < x <= math.pi)

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
        shapes = network_shapes(self.network)
        if tuple(layer.shape for layer in weights) != shapes:
            raise ValueError(f"bonds must have the shapes {shapes}, got {tuple(layer.shape for layer in weights)}")
        for layer, values in enumerate(weights, start=1):
            connected = np.ones(values.shape, bool)
            inputs = self.network.inputs(layer)
            if inputs is not None:
                connected[:] = False
                np.put_along_axis(connected, inputs.astype(np.intp), True, axis=1)
            if values[~connected].any():
                raise ValueError(f"bonds must be 0 where not connected, those of layer {layer} are not")
            if self.network.bonds == "binary" and not (np.abs(values[connected]) == 1.0).all():
                raise ValueError(f"bonds must be +1 or -1 in a binary network, those of layer {layer} are not")
        self._unfinished = None
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
            The steps, which stay as they are from now on.  Binary bonds and trajectories have none: the sweeps are
            done all the same.
        """
        target = number("acceptance", acceptance, "in (0, 1)", lambda x: 0.0 < x < 1.0)
        n_sweeps = integer("n_sweeps", n_sweeps, 1, 2**32 - 1)
        rounds = min(integer("rounds", rounds, 1, 10**6), n_sweeps)
        for part in np.diff(np.arange(rounds + 1) * n_sweeps // rounds):
            seen = self._sweeps(int(part)).acceptance[0, :, 0].mean(axis=0)
            if self.network.bonds == "spherical" and not self._passes["trajectory_steps"]:
                # The acceptance falls about as exp(-step / s): take the step where it would be the target.
                ratio = np.clip(math.log(target) / np.log(np.clip(seen, 0.01, 0.99)), 0.5, 2.0)
                self.step = np.clip(self.step * np.where(np.isnan(seen), 1.0, ratio), 1e-4, math.pi)
        return self.step

    def run(
        self,
        n_sweeps: int,
        *,
        every: int = 1,
        observe: str | Iterable[str] = CHEAP,
        lags: Lags = None,
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
        plan = Plan(self, n_sweeps, every, observe, lags, waiting_times)
        keeper = None
        if checkpoint is not None:
            keeper = Checkpoint(self, "mc.Simulation.run", plan.arguments(), checkpoint, checkpoint_interval)
        run = self._resumed(keeper) or Run(self, plan)
        if run.done == 0 and not (keeper and keeper.restore(run)):
            run.begin()
        self._unfinished = (keeper, run) if keeper else None
        interrupted = go_on(run, keeper, progress)
        if run.done == plan.n_sweeps:
            self._unfinished = None
        return run.dataset(interrupted)

    # ---- Private

    def _resumed(self, keeper: Checkpoint | None) -> Run | None:
        """Give the run that ended early if the call is for the same one, and nothing has moved since."""
        if keeper is None or self._unfinished is None:
            return None
        before, run = self._unfinished
        return run if run.stands and (before.path, before.identity) == (keeper.path, keeper.identity) else None

    def _parameters(self) -> dict[str, Any]:
        return {
            "network": json.loads(self.network.to_json()),
            "data": dict(self.data.provenance),
            "n_patterns": self.data.n_patterns,
            "start": self._start,
            **self._passes,
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

    def _advance(self, n_draws: int, every: int) -> Record:
        """Do n_draws times `every` sweeps, and see how many can be done at once."""
        start = time.perf_counter()
        moves = Moves(self.step, **self._passes)  # type: ignore[arg-type]
        record = self._engine.run(n_draws, every, self._beta, moves, self.threads)
        if not record.drift <= _LARGEST_DRIFT:
            raise NumericalError(
                f"a field drifted by {record.drift:.1e} between two computations from bonds and spins, more than "
                f"{_LARGEST_DRIFT:.0e}"
            )
        done, spent = n_draws * every, max(time.perf_counter() - start, 1e-9)
        self._part = max(1, min(int(done * _PART / spent), 10 * done))
        return record

    def _sweeps(self, n_sweeps: int, report: Report = lambda done, total: None) -> Record:
        """Do some sweeps, at least one, in parts; they count as one draw."""
        whole: Record | None = None
        done = 0
        while whole is None or done < n_sweeps:
            part = min(self._part, n_sweeps - done)
            record = self._advance(1, part)
            whole = record if whole is None else whole.followed_by(record)
            done += part
            report(done, n_sweeps)
        return whole

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
        if data.teacher is None or tuple(b.shape for b in data.teacher) != network_shapes(network):
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
    observe: str | Iterable[str] = CHEAP,
    lags: Lags = None,
    waiting_times: Sequence[int] = (0,),
    progress: Progress = False,
    **simulation: Any,
) -> xr.Dataset:
    """Run chains of a perceptron network: burn in, then measure.

    Parameters
    ----------
    network, data, beta : see `Simulation`
        The chains.
    n_sweeps : int >= 0
        Sweeps with measurements.
    burn_in : int >= 0
        Sweeps before.  Ctrl-C during them is a KeyboardInterrupt: nothing has been measured.
    tune : bool
        Adapt the steps of the rotations during the first half of the burn-in.
    every, observe, lags, waiting_times, progress : see `Simulation.run`
        The measurements.
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
    burn_in = integer("burn_in", burn_in, 0, 2**32 - 1)
    chains = Simulation(network, data, beta=beta, **simulation)
    arguments: dict[str, Any] = {"every": every, "observe": observe, "lags": lags, "waiting_times": waiting_times}
    Plan(chains, n_sweeps, **arguments)  # errors before the burn-in, not after it
    tuning = -(-burn_in // 2) if tune else 0
    if tuning:
        chains.tune(tuning)
    if burn_in > tuning:
        with reporting(progress, "burn-in") as report:
            chains._sweeps(burn_in - tuning, report)
    return chains.run(n_sweeps, progress=progress, **arguments)
