"""Schedules: annealing in temperature or in the number of patterns, and replica exchange."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core, io
from .._check import integer, per_item
from .._progress import Progress, reporting
from ..random import child_seed, seed_entropy
from ._engine import acceptance
from ._run import Checkpoint, go_on, refuse_too_large
from .data import Data
from .network import PerceptronNetwork
from .simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["anneal", "replica_exchange"]

_SWAP_SEED = 2**32  # child of the seed of the simulation


def anneal(
    network: PerceptronNetwork,
    data: Data,
    *,
    beta: float | Sequence[float] | npt.NDArray[np.float64],
    sweeps: int | Sequence[int],
    n_patterns: Sequence[int] | None = None,
    tune: bool = False,
    progress: Progress = False,
    **simulation: Any,
) -> tuple[Simulation, xr.Dataset]:
    """Lower the temperature, or add patterns, step by step.

    Parameters
    ----------
    network : PerceptronNetwork
        As for `Simulation`.
    data : Data
        As for `Simulation`.
    beta : sequence of floats >= 0, or one float
        Inverse temperature of each step.
    sweeps : int >= 1, or one for each step
        Sweeps of a step.
    n_patterns : increasing sequence of int, optional
        Number of patterns of each step, the first ones of the data; all of them at every step by default.  A new
        pattern comes with the hidden neurons it would have had in a direct run from the start, so that the
        annealed and the direct run start from the same configuration and end on the same data.
    tune : bool
        Adapt the rotations in the first half of each step, see `Simulation.tune`; the angles found are in the result.
    progress : bool or callable(done, total)
        In steps.
    **simulation : optional
        Other arguments of `Simulation`: n_chains, seed, start, step, threads, ...

    Returns
    -------
    simulation : Simulation
        At the last step, ready to go on.
    steps : xarray.Dataset
        ``energy`` (chain, anneal_step, layer) and ``acceptance``, averages over the second half of each step, with
        ``step`` (of the rotations), ``beta``, ``n_patterns`` and ``sweep`` (at its end).

    Notes
    -----
    Ctrl-C ends the annealing: the steps that are complete are returned, with the attribute ``interrupted`` = 1.

    Examples
    --------
    >>> from deepglass.mc import random_data
    >>> network = PerceptronNetwork(width=8, depth=2)
    >>> data = random_data(network, 32, seed=1)
    >>> cold, steps = anneal(network, data, beta=[1.0, 5.0, 25.0], sweeps=100, seed=1, n_chains=2)
    >>> mean = steps["energy"].sum("layer").mean("chain").values
    >>> bool(mean[0] > mean[1] > mean[2]), cold.beta
    (True, array([25., 25.]))
    """
    import xarray as xr

    given: dict[str, Any] = {
        "beta": beta,
        "sweeps": sweeps,
        "n_patterns": data.n_patterns if n_patterns is None else n_patterns,
    }
    lengths = {name: np.size(x) for name, x in given.items() if np.ndim(x) > 0}
    n_steps = max(lengths.values(), default=0)
    if n_steps < 1 or len(set(lengths.values())) > 1:
        raise ValueError(f"beta, sweeps or n_patterns must be sequences of one length >= 1, got lengths {lengths}")
    every_step = {name: list(x) if np.ndim(x) > 0 else [x] * n_steps for name, x in given.items()}
    betas = per_item("beta", every_step["beta"], n_steps, ">= 0", lambda x: x >= 0.0)
    times = [integer("sweeps", t, 1, 2**32 - 1) for t in every_step["sweeps"]]
    sizes = [integer("n_patterns", size, 1, data.n_patterns) for size in every_step["n_patterns"]]
    if sizes != sorted(sizes):
        raise ValueError(f"n_patterns must not decrease, got {sizes}")
    simulation["seed"] = seed_entropy(simulation.get("seed"))
    sim = Simulation(network, _first(data, sizes[0]), beta=betas[0], **simulation)
    shape = (sim.n_chains, n_steps, network.depth)
    energy, accepted, angles = np.empty(shape), np.empty(shape), np.empty(shape[1:])
    sweep = np.empty(n_steps, int)
    done, interrupted = 0, False
    with reporting(progress, "annealing") as report:
        try:
            report(0, n_steps)
            for k, (b, size, time) in enumerate(zip(betas, sizes, times, strict=True)):
                if sim.data.n_patterns != size:
                    sim = _with_more_patterns(sim, _first(data, size), simulation)
                sim.beta = b
                first = time // 2
                if first and tune:
                    sim.tune(first)
                elif first:
                    sim._sweeps(first)
                run = sim.run(time - first, every=max(1, (time - first) // 20))
                if "interrupted" in run.attrs:
                    raise KeyboardInterrupt
                energy[:, k], accepted[:, k] = (run[name].values.mean(axis=1) for name in ("energy", "acceptance"))
                angles[k], sweep[k] = sim.step, sim.sweep
                done = k + 1
                report(done, n_steps)
        except KeyboardInterrupt:
            interrupted = True
    parameters = {"network": network.to_json(), "data": dict(data.provenance), **every_step, "tune": tune}
    attributes: dict[str, Any] = io.provenance("mc.anneal", {**parameters, **simulation}, sim.seed)
    if interrupted:
        attributes["interrupted"] = 1
    steps = xr.Dataset(
        {
            "energy": (("chain", "anneal_step", "layer"), energy),
            "acceptance": (("chain", "anneal_step", "layer"), accepted),
            "step": (("anneal_step", "layer"), angles),
            "beta": ("anneal_step", betas),
            "n_patterns": ("anneal_step", sizes),
            "sweep": ("anneal_step", sweep),
        },
        {"chain": np.arange(sim.n_chains), "anneal_step": np.arange(n_steps), "layer": np.arange(1, network.depth + 1)},
        attributes,
    )
    return sim, steps.isel(anneal_step=slice(done))


def _first(data: Data, n_patterns: int) -> Data:
    return data if n_patterns == data.n_patterns else data.subset(n_patterns)


def _with_more_patterns(old: Simulation, data: Data, arguments: dict[str, Any]) -> Simulation:
    """A simulation on more patterns: old patterns and bonds as they are, new ones as a direct run starts them."""
    new = Simulation(old.network, data, beta=old.beta, **arguments)
    new._engine.sweep = old.sweep
    new.step = old.step
    for chain in range(new.n_chains):
        spins = [
            np.concatenate([before, start[len(before) :]])
            for before, start in zip(old.spins(chain), new.spins(chain), strict=True)
        ]
        new.set_state(chain, spins, old.bonds(chain))
    return new


def replica_exchange(
    network: PerceptronNetwork,
    data: Data,
    betas: Sequence[float] | npt.NDArray[np.float64],
    n_sweeps: int,
    *,
    swap_every: int = 1,
    n_chains: int = 1,
    burn_in: int = 0,
    every: int | None = None,
    progress: Progress = False,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_interval: float = 60.0,
    **simulation: Any,
) -> xr.Dataset:
    """Simulate a ladder of temperatures whose neighbours are exchanged.

    Neighbours a, b swap temperatures with the probability ``min(1, exp((beta_a - beta_b)(E_a - E_b)))``; even and odd
    pairs take turns.

    Parameters
    ----------
    network : PerceptronNetwork
        As for `Simulation`.
    data : Data
        As for `Simulation`.
    betas : increasing sequence of at least two floats >= 0
        The ladder.
    n_sweeps : int >= 1
        Sweeps with measurements; rounded down to a multiple of `swap_every`.
    swap_every : int >= 1
        Sweeps between two attempts.
    n_chains : int >= 1
        Independent ladders.
    burn_in : int >= 0
        Sweeps before, with exchanges; rounded up to a multiple of `swap_every`.
    every : int, optional
        Sweeps from draw to draw, a multiple of `swap_every`, which is the default.
    progress : bool or callable(done, total)
        In sweeps.
    checkpoint : path, optional
        File in which the run is kept.  If it exists, it must be of this very run (give a seed), which goes on from
        there, to the last bit as if it had not been interrupted; at the end it holds the result.
    checkpoint_interval : float >= 0
        Seconds between two writings.
    **simulation : optional
        Other arguments of `Simulation`: seed, start, step, threads, ...

    Returns
    -------
    xarray.Dataset
        ``energy`` (chain, draw, temperature, layer), ``replica`` (chain, draw, temperature): which of the replicas
        0..K-1 is at a temperature, ``swap_acceptance`` (chain, neighbour), of the places k and k + 1, ``round_trips``
        (chain), of all replicas from the hot end to the cold one and back, and ``beta`` as coordinate.

    Raises
    ------
    ValueError
        An argument out of its range, or a checkpoint of another network, data set, ladder, seed or run.
    OSError
        The checkpoint cannot be written; the older one is whole, and the next call goes on from it.

    Notes
    -----
    With n gaps and ``c = beta^2 Var(E) / n`` neighbours should differ by ``d ln(beta) ~ (n c)^(-1/2)``: about a hundred
    temperatures per factor e at N = 64, L = 6, M = 256.  It is practical for widths up to about 32.

    Ctrl-C ends it within a part of a second: what was measured is returned, with the attribute ``interrupted`` = 1,
    and with a checkpoint the same call goes on.

    Examples
    --------
    >>> from deepglass.mc import random_data
    >>> network = PerceptronNetwork(width=8, depth=2)
    >>> run = replica_exchange(network, random_data(network, 16, 1), [1.0, 1.2, 1.4], 200, burn_in=20, seed=1)
    >>> run["energy"].dims, bool((run["swap_acceptance"] > 0.3).all())
    (('chain', 'draw', 'temperature', 'layer'), True)
    """
    import xarray as xr

    try:
        ladder = np.array(betas, float)
    except (TypeError, ValueError):
        ladder = np.empty(0)
    if (
        ladder.ndim != 1
        or ladder.size < 2
        or not (np.isfinite(ladder) & (ladder >= 0.0)).all()
        or np.any(np.diff(ladder) <= 0.0)
    ):
        raise ValueError(f"betas must be at least two increasing numbers >= 0, got {betas!r}")
    n_sweeps = integer("n_sweeps", n_sweeps, 1, 2**32 - 1)
    swap_every = integer("swap_every", swap_every, 1, 2**32 - 1)
    n_ladders = integer("n_chains", n_chains, 1, 2**24 // ladder.size)
    burn_in = integer("burn_in", burn_in, 0, 2**32 - 1)
    every = swap_every if every is None else integer("every", every, 1, 2**32 - 1)
    if every % swap_every:
        raise ValueError(f"every must be a multiple of swap_every = {swap_every}, got {every}")
    arguments: dict[str, Any] = {
        "betas": ladder.tolist(),
        "n_sweeps": n_sweeps,
        "swap_every": swap_every,
        "n_chains": n_ladders,
        "burn_in": burn_in,
        "every": every,
    }
    n_draws, before = n_sweeps // every, -(-burn_in // swap_every) * swap_every
    refuse_too_large("the measurements", 8 * (network.depth + 1) * n_ladders * n_draws * ladder.size)
    sim = Simulation(network, data, beta=np.tile(ladder, n_ladders), n_chains=n_ladders * ladder.size, **simulation)
    keeper = None
    if checkpoint is not None:
        keeper = Checkpoint(sim, "mc.replica_exchange", arguments, checkpoint, checkpoint_interval)
    run = _ExchangeRun(sim, ladder, n_ladders, before, n_sweeps // swap_every * swap_every, swap_every, every)
    if keeper:
        keeper.restore(run)
    interrupted = go_on(run, keeper, progress)
    parameters = {"network": network.to_json(), "data": dict(data.provenance), **arguments, **simulation}
    attributes: dict[str, Any] = io.provenance("mc.replica_exchange", parameters, sim.seed)
    if interrupted:
        attributes["interrupted"] = 1
    n_draws = max(0, run.done - before) // every
    return xr.Dataset(
        {
            "energy": (("chain", "draw", "temperature", "layer"), run.energy[:, :n_draws]),
            "replica": (("chain", "draw", "temperature"), run.replica[:, :n_draws]),
            "swap_acceptance": (("chain", "neighbour"), run.exchange.acceptance),
            "round_trips": ("chain", run.exchange.round_trips),
        },
        {
            "chain": np.arange(n_ladders),
            "draw": before + every * np.arange(1, n_draws + 1),
            "beta": ("temperature", ladder),
            "layer": np.arange(1, network.depth + 1),
        },
        attributes,
    )


class _ExchangeRun:
    """A replica exchange under way: sweeps, swaps between them, what was measured."""

    first_sweep = 0

    def __init__(
        self,
        simulation: Simulation,
        ladder: npt.NDArray[np.float64],
        n_ladders: int,
        before: int,
        measured: int,
        swap_every: int,
        every: int,
    ) -> None:
        self.simulation, self.done, self.n_sweeps = simulation, 0, before + measured
        self._ladder, self._before, self._swap_every, self._every = ladder, before, swap_every, every
        self.exchange = _Exchange(ladder, n_ladders, child_seed(simulation.seed, _SWAP_SEED))
        shape = (n_ladders, measured // every, ladder.size)
        self.energy = np.full((*shape, simulation.network.depth), np.nan)
        self.replica = np.zeros(shape, np.int64)
        self._whole = True  # not in the middle of a part

    @property
    def stands(self) -> bool:
        """Whether the run can go on: it was not stopped in the middle of a part."""
        return self._whole and self.simulation.sweep == self.done

    def advance(self) -> None:
        """Go on to the next swap, or for a part of a second."""
        self._whole = False
        sim, exchange = self.simulation, self.exchange
        sim.beta = self._ladder[exchange.place].ravel()
        part = min(sim._part, self._swap_every - self.done % self._swap_every)
        by_layer = sim._advance(1, part).energy[:, 0].reshape(*exchange.place.shape, -1)
        self.done += part
        if self.done % self._swap_every == 0:
            self._measure_and_swap(by_layer)
        self._whole = True

    def kept_numbers(self) -> list[int]:
        """Give what the shapes of `memory` depend on, besides the arguments."""
        return []

    def keep_numbers(self, numbers: Sequence[int]) -> None:
        """Nothing depends on them."""

    def memory(self) -> list[npt.NDArray[Any]]:
        """Give the arrays that make the run, besides the chains."""
        return [self.energy, self.replica, *self.exchange.memory()]

    def _measure_and_swap(self, by_layer: npt.NDArray[np.float64]) -> None:
        exchange, measured = self.exchange, self.done - self._before
        at = exchange.replica
        by_place = np.take_along_axis(by_layer, at[:, :, None], axis=1)
        if measured > 0 and measured % self._every == 0:
            draw = measured // self._every - 1
            self.energy[:, draw], self.replica[:, draw] = by_place, at
        exchange.swap(by_place.sum(axis=-1), measured=measured > 0)


class _Exchange:
    """Which replica is where on its ladder, and how often neighbours were exchanged."""

    def __init__(self, betas: npt.NDArray[np.float64], n_ladders: int, seed: int) -> None:
        self._betas, self._seed = betas, seed
        n_places = betas.size
        self.place = np.tile(np.arange(n_places), (n_ladders, 1))  # of each replica
        self.round_trips = np.zeros(n_ladders, np.int64)
        self._turn = np.zeros((), np.int64)
        self._tried, self._done = np.zeros((2, n_ladders, n_places - 1))
        self._left_hot = self.place == 0
        self._seen_cold = np.zeros_like(self._left_hot)

    @property
    def replica(self) -> npt.NDArray[np.int64]:
        """Replica at each place."""
        return np.argsort(self.place, axis=1)

    @property
    def acceptance(self) -> npt.NDArray[np.float64]:
        """Fraction of accepted swaps of each pair of neighbours; NaN before the first."""
        return acceptance(self._done, self._tried)

    def memory(self) -> list[npt.NDArray[Any]]:
        """Give the arrays that a continuation needs."""
        return [
            self.place,
            self.round_trips,
            self._turn,
            self._tried,
            self._done,
            self._left_hot,
            self._seen_cold,
        ]

    def swap(self, energy: npt.NDArray[np.float64], *, measured: bool) -> None:
        """Exchange neighbours, even and odd pairs in turn, by the energies (n_ladders, n_places) at the places."""
        n_ladders, n_places = energy.shape
        lower = np.arange(int(self._turn) % 2, n_places - 1, 2)
        u = _core.philox_uniform(self._seed, int(self._turn), n_ladders * lower.size).reshape(n_ladders, lower.size)
        gain = (self._betas[lower] - self._betas[lower + 1]) * (energy[:, lower] - energy[:, lower + 1])
        accepted = np.log(u) <= gain
        replica, rows = self.replica, np.arange(n_ladders)[:, None]
        self.place[rows, replica[:, lower]] += accepted
        self.place[rows, replica[:, lower + 1]] -= accepted
        self._turn += 1
        if measured:
            self._tried[:, lower] += 1
            self._done[:, lower] += accepted
        self.count_round_trips(measured=measured)

    def count_round_trips(self, *, measured: bool) -> None:
        """Follow the replicas from the hot end of the ladder to the cold one and back."""
        hot, cold = self.place == 0, self.place == self._betas.size - 1
        back = hot & self._seen_cold
        if measured:
            self.round_trips += np.count_nonzero(back, axis=1)
        self._seen_cold = (self._seen_cold | (cold & self._left_hot)) & ~back
        self._left_hot |= hot
