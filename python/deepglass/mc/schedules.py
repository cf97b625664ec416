"""Schedules: annealing in temperature or in the number of patterns, and replica exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core, io
from .._check import integer
from .._progress import Progress, reporting
from ..random import child_seed
from .data import Data
from .network import PerceptronNetwork
from .simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["anneal", "replica_exchange"]


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
        Adapt the rotations in the first half of each step, see `Simulation.tune`; the steps found are in the result.
    progress : bool or callable(done, total)
        In steps.
    **simulation : optional
        Other arguments of `Simulation`: n_chains, seed, start, step, threads, ...

    Returns
    -------
    simulation : Simulation
        At the last step, ready to go on.
    steps : xarray.Dataset
        ``energy`` (chain, anneal_step, layer) and ``acceptance`` in the second half of each step, energies averaged
        over it, with ``beta``, ``n_patterns`` and ``sweep`` (at its end).

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

    lengths = {np.size(x) for x in (beta, sweeps, [] if n_patterns is None else n_patterns) if np.ndim(x) > 0}
    lengths.discard(0)
    if len(lengths) != 1:
        raise ValueError(f"beta, sweeps and n_patterns must have one length, got {sorted(lengths)}")
    n_steps = lengths.pop()
    betas = np.broadcast_to(np.asarray(beta, float), (n_steps,))
    times = [integer("sweeps", int(t), 1, 2**32 - 1) for t in np.broadcast_to(np.asarray(sweeps), (n_steps,))]
    sizes = [data.n_patterns] * n_steps if n_patterns is None else list(n_patterns)
    sizes = [integer("n_patterns", size, 1, data.n_patterns) for size in sizes]
    if sizes != sorted(sizes):
        raise ValueError(f"n_patterns must not decrease, got {sizes}")
    whole = Simulation(network, data, beta=betas[0], **simulation) if sizes[0] < data.n_patterns else None
    sim = whole
    records: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], int]] = []
    with reporting(progress, "annealing") as report:
        for k, (b, size, time) in enumerate(zip(betas, sizes, times, strict=True)):
            if sim is None or sim.data.n_patterns != size:
                sim = _on_more_patterns(
                    network, data.subset(size) if size < data.n_patterns else data, b, sim, whole, simulation
                )
            sim.beta = b
            first = time // 2
            if first and tune and network.bonds == "spherical":
                sim.tune(first, rounds=min(5, first))
            rest = max(1, time - first)
            sim.run(max(0, time - rest - (first if first and tune else 0)), every=time, observe=())
            run = sim.run(rest, every=max(1, rest // 20))
            records.append(
                (run["energy"].values.mean(axis=1), run["acceptance"].values.mean(axis=1), sim.step, sim.sweep)
            )
            report(k + 1, n_steps)
    assert sim is not None
    energy, acceptance, step, sweep = (np.array(x) for x in zip(*records, strict=True))
    steps = xr.Dataset(
        {
            "energy": (("chain", "anneal_step", "layer"), energy.swapaxes(0, 1)),
            "acceptance": (("chain", "anneal_step", "layer"), acceptance.swapaxes(0, 1)),
            "step": (("anneal_step", "layer"), step),
            "beta": ("anneal_step", betas.copy()),
            "n_patterns": ("anneal_step", sizes),
            "sweep": ("anneal_step", sweep),
        },
        {"chain": np.arange(sim.n_chains), "anneal_step": np.arange(n_steps), "layer": np.arange(1, network.depth + 1)},
        io.provenance(
            "mc.anneal", {"beta": betas, "sweeps": times, "n_patterns": sizes, "data": dict(data.provenance)}, sim.seed
        ),
    )
    return sim, steps


def _on_more_patterns(
    network: PerceptronNetwork,
    data: Data,
    beta: float,
    old: Simulation | None,
    whole: Simulation | None,
    arguments: dict[str, Any],
) -> Simulation:
    """A simulation on more patterns: old patterns and bonds as they are, new ones as a direct run starts them."""
    new = Simulation(network, data, beta=beta, **arguments)
    if old is None:
        return new
    new._engine.sweep = old.sweep
    new.step = old.step
    for chain in range(new.n_chains):
        known = old.data.n_patterns if old is not whole else 0
        spins = [
            np.concatenate([before[:known], start[known:]])
            for before, start in zip(old.spins(chain), new.spins(chain), strict=True)
        ]
        new._engine.set_state(chain, spins, old.bonds(chain))
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
        Sweeps with measurements.
    swap_every : int >= 1
        Sweeps between two attempts.
    n_chains : int >= 1
        Independent ladders.
    burn_in : int >= 0
        Sweeps before, with exchanges.
    every : int, optional
        Sweeps from draw to draw, a multiple of `swap_every`, which is the default.
    progress : bool or callable(done, total)
        In sweeps.
    **simulation : optional
        Other arguments of `Simulation`: seed, start, step, threads, ...

    Returns
    -------
    xarray.Dataset
        ``energy`` (chain, draw, temperature, layer), ``replica`` (chain, draw, temperature): which of the replicas
        0..K-1 is at a temperature, ``swap_acceptance`` (chain, pair of neighbours), ``round_trips`` (chain), and
        ``beta`` as coordinate.

    Notes
    -----
    With n gaps and ``c = beta^2 Var(E) / n`` neighbours should differ by ``d ln(beta) ~ (n c)^(-1/2)``: about a hundred
    temperatures per factor e at N = 64, L = 6, M = 256.  It is practical for widths up to about 32.

    Examples
    --------
    >>> from deepglass.mc import random_data
    >>> network = PerceptronNetwork(width=8, depth=2)
    >>> run = replica_exchange(network, random_data(network, 16, 1), [1.0, 1.2, 1.4], 200, burn_in=20, seed=1)
    >>> run["energy"].dims, bool((run["swap_acceptance"] > 0.3).all())
    (('chain', 'draw', 'temperature', 'layer'), True)
    """
    import xarray as xr

    ladder = np.asarray(betas, float)
    if (
        ladder.ndim != 1
        or ladder.size < 2
        or not np.isfinite(ladder).all()
        or not (np.diff(ladder) > 0).all()
        or ladder[0] < 0
    ):
        raise ValueError(f"betas must be at least two increasing numbers >= 0, got {betas!r}")
    n_sweeps = integer("n_sweeps", n_sweeps, 1, 2**32 - 1)
    swap_every = integer("swap_every", swap_every, 1, 2**32 - 1)
    n_ladders = integer("n_chains", n_chains, 1, 2**24 // ladder.size)
    burn_in = integer("burn_in", burn_in, 0, 2**32 - 1)
    every = swap_every if every is None else integer("every", every, 1, 2**32 - 1)
    if every % swap_every:
        raise ValueError(f"every must be a multiple of swap_every = {swap_every}, got {every}")
    k = ladder.size
    sim = Simulation(network, data, beta=np.tile(ladder, n_ladders), n_chains=n_ladders * k, **simulation)
    place = np.tile(np.arange(k), (n_ladders, 1))  # of the ladder, on which each replica stands
    seed = child_seed(sim.seed, 2**32)
    n_draws = n_sweeps // every
    energy = np.empty((n_ladders, n_draws, k, network.depth))
    replica = np.empty((n_ladders, n_draws, k), np.int64)
    tried, done = np.zeros((n_ladders, k - 1)), np.zeros((n_ladders, k - 1))
    heading, trips = np.zeros((n_ladders, k), int), np.zeros(n_ladders, int)
    rows = np.arange(n_ladders)[:, None]
    total = (burn_in // swap_every) * swap_every + n_draws * every
    with reporting(progress, "sweeps") as report:
        for turn in range(total // swap_every):
            sim.beta = ladder[place].ravel()
            record = sim._advance(1, swap_every)
            by_layer = record.energy[:, 0].reshape(n_ladders, k, -1)
            sweeps = (turn + 1) * swap_every - (burn_in // swap_every) * swap_every
            at = np.argsort(place, axis=1)  # replica at each temperature
            if sweeps > 0 and sweeps % every == 0:
                draw = sweeps // every - 1
                energy[:, draw] = by_layer[rows, at]
                replica[:, draw] = at
            e = by_layer.sum(axis=2)[rows, at]
            lower = np.arange(turn % 2, k - 1, 2)
            u = _core.philox_uniform(seed, turn, n_ladders * lower.size).reshape(n_ladders, lower.size)
            gain = (ladder[lower] - ladder[lower + 1]) * (e[:, lower] - e[:, lower + 1])
            yes = np.log(u) <= gain
            if sweeps > 0:
                tried[:, lower] += 1
                done[:, lower] += yes
            a, b = at[:, lower], at[:, lower + 1]
            place[rows, a], place[rows, b] = lower + yes, lower + 1 - yes
            # A round trip: from the hot end to the cold one and back.
            cold, hot = place == k - 1, place == 0
            trips += np.count_nonzero(hot & (heading == 2), axis=1) if sweeps > 0 else 0
            heading = np.where(hot, 1, np.where(cold & (heading == 1), 2, heading))
            report((turn + 1) * swap_every, total)
    with np.errstate(invalid="ignore"):
        swap_acceptance = done / tried
    return xr.Dataset(
        {
            "energy": (("chain", "draw", "temperature", "layer"), energy),
            "replica": (("chain", "draw", "temperature"), replica),
            "swap_acceptance": (("chain", "neighbour"), swap_acceptance),
            "round_trips": ("chain", trips),
        },
        {
            "chain": np.arange(n_ladders),
            "draw": every * np.arange(1, n_draws + 1),
            "beta": ("temperature", ladder),
            "layer": np.arange(1, network.depth + 1),
        },
        io.provenance(
            "mc.replica_exchange",
            {
                "betas": ladder,
                "n_sweeps": n_sweeps,
                "swap_every": swap_every,
                "burn_in": burn_in,
                "data": dict(data.provenance),
            },
            sim.seed,
        ),
    )
