"""Configurations of Ising and Potts models, their exact laws where they are small, and what a classifier can learn."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core, io
from .._check import choice, integer, number
from .._progress import Progress, reporting
from ..random import SeedLike, seed_entropy
from .data import Array, DataLaw

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Ising", "Potts", "level_counts"]

_MOST_SITES = 2**24
_MOST_ROW_STATES = 512  # of the transfer matrix
_MOST_RING = 1000  # binomials beyond have no double
_MOST_BYTES = 2**34


@dataclasses.dataclass(frozen=True)
class _Spins(DataLaw):
    """Configurations at temperatures that are to be told apart; the classes take turns."""

    shape: Sequence[int]
    temperatures: Sequence[float] | Array
    n_states: int
    algorithm: Literal["clusters", "heat_bath"]
    n_chains: int = 64
    n_thermalise: int = 200
    every: int = 10

    def __post_init__(self) -> None:
        """Check the ranges."""
        shape = (self.shape,) if isinstance(self.shape, (int, np.integer)) else tuple(self.shape)
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"shape must have 1 to 3 extents, got {self.shape!r}")
        shape = tuple(integer("shape", extent, 2, _MOST_SITES) for extent in shape)
        if math.prod(shape) > _MOST_SITES:
            raise ValueError(f"shape must have at most 2^24 sites, got {shape}")
        try:
            temperatures = tuple(number("temperatures", t, "numbers > 0", lambda t: t > 0.0) for t in self.temperatures)
        except TypeError:
            temperatures = ()
        if not temperatures:
            raise ValueError(f"temperatures must be one or more numbers > 0, got {self.temperatures!r}")
        for name, value in {"shape": shape, "temperatures": temperatures}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "n_states", integer("n_states", self.n_states, 2, 255))
        choice("algorithm", self.algorithm, ("clusters", "heat_bath") if self.n_states == 2 else ("clusters",))
        most = _MOST_BYTES // (self.n_sites * len(temperatures))
        for name, low, high in (("n_chains", 1, most), ("n_thermalise", 0, 2**31 - 1), ("every", 1, 2**31 - 1)):
            object.__setattr__(self, name, integer(name, getattr(self, name), low, high))

    @property
    def n_sites(self) -> int:
        """Number of spins."""
        return math.prod(self.shape)

    @property
    def n_bonds(self) -> int:
        """One forward from each site in each direction."""
        return self.n_sites * len(self.shape)

    @property
    def betas(self) -> Array:
        """Inverse temperatures."""
        return 1.0 / np.array(self.temperatures)

    def _levels(self) -> tuple[Array, Array]:
        """Energies, and the logarithms of how many configurations have them; ValueError for a large lattice."""
        counts = level_counts(self.shape, self.n_states)
        satisfied = np.flatnonzero(counts > 0.0)
        return self._energy(satisfied), np.log(counts[satisfied])

    def _weights(self) -> tuple[Array, Array, Array]:
        """Energies, probabilities (temperature, energy), and ln Z."""
        from scipy.special import logsumexp

        energies, log_counts = self._levels()
        exponents = log_counts - self.betas[:, np.newaxis] * energies
        log_z = np.asarray(logsumexp(exponents, axis=1))
        return energies, np.exp(exponents - log_z[:, np.newaxis]), log_z

    @property
    def log_partition_function(self) -> Array:
        """Logarithm of Z at each temperature, by counting; for lattices that `level_counts` can do."""
        return self._weights()[2]

    @property
    def mean_energy(self) -> Array:
        """Mean energy at each temperature, by counting."""
        energies, weights, _ = self._weights()
        return np.asarray(weights @ energies)

    @property
    def energy_variance(self) -> Array:
        """Variance of the energy at each temperature, T^2 times the heat capacity, by counting."""
        energies, weights, _ = self._weights()
        return np.asarray(weights @ energies**2 - (weights @ energies) ** 2)

    @property
    def bayes_error(self) -> float:
        """Least error in telling the temperatures, from the energy, by counting; NaN for a large lattice.

        Nothing but the energy tells of the temperature.
        """
        try:
            weights = self._weights()[1]
        except ValueError:
            return math.nan
        return float(1.0 - weights.max(axis=0).sum() / len(self.temperatures))

    @abstractmethod
    def _energy(self, satisfied: npt.NDArray[Any]) -> Array:
        """From the number of bonds between equal spins."""

    def _chains(self, n_chains: int, seed: int) -> Any:
        # Chain c has the temperature c mod K.
        betas = np.tile(self.betas, n_chains)
        if self.algorithm == "clusters":
            betas = betas * self._potts_factor
        return _core.LatticeChains(
            list(self.shape), self.n_states, betas, algorithm=self.algorithm, ordered=False, seed=seed
        )

    @property
    def _potts_factor(self) -> float:
        return 1.0

    def simulate(
        self, n_draws: int, *, seed: SeedLike = None, threads: int = 0, progress: Progress = False
    ) -> xr.Dataset:
        """Run the chains at all temperatures, and measure.

        Parameters
        ----------
        n_draws : int >= 1
            Measurements of each chain, `every` sweeps apart, after `n_thermalise` sweeps from a random start.
        seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
            See `deepglass.random.seed_entropy`.
        threads : int
            0: the OpenMP default.  The result does not depend on it.
        progress : bool or callable(done, total)
            In draws.

        Returns
        -------
        xarray.Dataset
            ``energy`` and ``magnetisation`` (temperature, chain, draw), all spins together; for q states the latter is
            (q n_max - n) / (q - 1), with n_max sites in the most frequent one of them.
        """
        import xarray as xr

        n_draws = integer("n_draws", n_draws, 1, _MOST_BYTES // (8 * self.n_chains * len(self.temperatures)))
        entropy = seed_entropy(seed)
        chains = self._chains(self.n_chains, entropy)
        chains.run(1, self.n_thermalise, threads=threads)
        pieces = []
        with reporting(progress, "draws") as report:
            for done in range(n_draws) if progress is not False else (n_draws - 1,):
                pieces.append(chains.run(1 if progress is not False else n_draws, self.every, threads=threads))
                report(done + 1, n_draws)
        satisfied, counts = (np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True))
        shape = (self.n_chains, len(self.temperatures), n_draws)
        dims = ("chain", "temperature", "draw")
        return xr.Dataset(
            {
                "energy": (dims, self._energy(satisfied).reshape(shape)),
                "magnetisation": (dims, self._magnetisation(counts).reshape(shape)),
                "seed": np.uint64(entropy),
            },
            {"temperature": list(self.temperatures)},
            io.provenance(f"learning.{type(self).__name__}.simulate", self._parameters(), entropy),
        ).transpose("temperature", "chain", "draw")

    @abstractmethod
    def _magnetisation(self, counts: npt.NDArray[Any]) -> Array:
        """From the number of sites in each state."""

    def _draw(self, n_samples: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        n_classes = len(self.temperatures)
        chains = self._chains(self.n_chains, seed)
        chains.run(1, self.n_thermalise)
        at_once = self.n_chains * n_classes
        states = np.empty((n_samples, self.n_sites), np.uint8)
        satisfied = np.empty(n_samples, np.int64)
        for first in range(0, n_samples, at_once):
            part = slice(first, min(first + at_once, n_samples))
            satisfied[part] = chains.run(1, self.every)[0][: part.stop - first, 0]
            states[part] = chains.spins[: part.stop - first]
        labels = np.arange(n_samples) % n_classes
        return {"inputs": self._inputs(states), "labels": labels, "energy": self._energy(satisfied)}

    @abstractmethod
    def _inputs(self, states: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """What a learner is given, from the states."""


class Ising(_Spins):
    """Configurations of the Ising model, E = -sum s_i s_j, on a periodic lattice at several temperatures.

    The label is the number of the temperature, and the classes take turns.  Draws come from `n_chains` chains for each
    temperature, so that those of one chain are correlated where `every` is too short.

    Parameters
    ----------
    shape : one, two or three int >= 2
        Extents.  There is a bond forward from each site in each direction: two between the same pair where the extent
        is 2.
    temperatures : sequence of float > 0
        In units of the coupling.
    algorithm : "clusters" or "heat_bath"
        R. H. Swendsen and J.-S. Wang's, which does not slow down at the transition; or single spins, 512 chains being
        the bits of a word (some 6e9 spins a second on one thread with AVX-512 where that many chains are asked for).
    n_chains : int >= 1
        Independent chains for each temperature.
    n_thermalise : int >= 0
        Sweeps before the first draw, from a random start.
    every : int >= 1
        Sweeps between draws of a chain.

    Examples
    --------
    >>> law = Ising((4, 4), temperatures=[1.5, 2.5, 3.5])
    >>> data = law.draw(600, seed=1)
    >>> data.inputs.shape, law.log_partition_function.round(4), round(law.bayes_error, 4)
    ((600, 16), array([22.117 , 14.5611, 12.6004]), 0.3343)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        temperatures: Sequence[float] | Array,
        *,
        algorithm: Literal["clusters", "heat_bath"] = "clusters",
        n_chains: int = 64,
        n_thermalise: int = 200,
        every: int = 10,
    ) -> None:
        super().__init__(shape, temperatures, 2, algorithm, n_chains, n_thermalise, every)  # type: ignore[arg-type]

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        """One for each site, +1 or -1."""
        return self.n_sites

    @property
    def _potts_factor(self) -> float:
        return 2.0

    def energy(self, inputs: npt.ArrayLike) -> Array:
        """Give E for each row of spins +1 and -1."""
        spins = np.asarray(inputs, float).reshape(-1, *self.shape)
        axes = range(1, spins.ndim)
        return -np.asarray(sum((spins * np.roll(spins, -1, axis)).sum(axis=tuple(axes)) for axis in axes))

    def _energy(self, satisfied: npt.NDArray[Any]) -> Array:
        return self.n_bonds - 2.0 * satisfied

    def _magnetisation(self, counts: npt.NDArray[Any]) -> Array:
        return np.asarray(counts[..., 1] - counts[..., 0], float)

    def _inputs(self, states: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        return 2 * states.astype(np.int8) - np.int8(1)


class Potts(_Spins):
    """Configurations of the Potts model, E = -sum delta(s_i, s_j), on a periodic lattice at several temperatures.

    The label is the number of the temperature.  Each site has q inputs, of which the one of its state is 1 and the
    others are 0.  Chains go by clusters; above four states they pass the transition, of first order, too seldom.

    Parameters
    ----------
    shape : one, two or three int >= 2
        Extents, as for `Ising`.
    n_states : int from 2 to 255
        Number of states q.
    temperatures : sequence of float > 0
        In units of the coupling; in two dimensions the transition is at 1 / ln(1 + sqrt(q)).
    n_chains, n_thermalise, every : int
        As for `Ising`.

    Examples
    --------
    >>> law = Potts((3, 3), 3, temperatures=[0.8, 1.2])
    >>> data = law.draw(100, seed=1)
    >>> data.inputs.shape, law.mean_energy.round(4)
    ((100, 27), array([-17.2679, -13.4116]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        n_states: int,
        temperatures: Sequence[float] | Array,
        *,
        n_chains: int = 64,
        n_thermalise: int = 200,
        every: int = 10,
    ) -> None:
        super().__init__(shape, temperatures, n_states, "clusters", n_chains, n_thermalise, every)  # type: ignore[arg-type]

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        """One for each state of each site."""
        return self.n_sites * self.n_states

    def _energy(self, satisfied: npt.NDArray[Any]) -> Array:
        return -1.0 * satisfied

    def _magnetisation(self, counts: npt.NDArray[Any]) -> Array:
        return np.asarray((self.n_states * counts.max(axis=-1) - self.n_sites) / (self.n_states - 1.0))

    def _inputs(self, states: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        hot = states[..., np.newaxis] == np.arange(self.n_states, dtype=np.uint8)
        inputs: npt.NDArray[np.int8] = hot.reshape(len(states), -1).astype(np.int8)
        return inputs


def level_counts(shape: int | Sequence[int], n_states: int = 2) -> Array:
    """Count the configurations of a periodic lattice with k bonds between equal spins.

    Along a ring the counts are the coefficients of (x + q - 1)^n + (q - 1)(x - 1)^n; in two dimensions a transfer
    matrix adds one site after the other, for each first row.

    Parameters
    ----------
    shape : one or two int >= 2
        Extents: a ring of up to 1000 sites, or rows of up to 512 states, the shorter extent counting.
    n_states : int >= 2
        Number of states q.

    Returns
    -------
    array, shape (n_bonds + 1,)
        They add up to q^n_sites.

    Raises
    ------
    ValueError
        If the lattice is too large.

    Notes
    -----
    For Ising spins E = n_bonds - 2 k.  8 x 8 takes 2 seconds.

    Examples
    --------
    >>> level_counts((2, 2))  # two bonds between neighbours
    array([ 2.,  0.,  0.,  0., 12.,  0.,  0.,  0.,  2.])
    """
    extents = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    extents = tuple(integer("shape", extent, 2, _MOST_SITES) for extent in extents)
    q = integer("n_states", n_states, 2, 255)
    if len(extents) == 1 and extents[0] <= _MOST_RING and extents[0] * math.log10(q) < 300.0:
        n = extents[0]
        return np.array(
            [float(math.comb(n, k) * ((q - 1) ** (n - k) + (q - 1) * (-1) ** (n - k))) for k in range(n + 1)]
        )
    if len(extents) == 2 and q ** min(extents) <= _MOST_ROW_STATES and math.prod(extents) * math.log10(q) < 300.0:
        return _plane_counts(max(extents), min(extents), q).copy()
    raise ValueError(
        f"shape must be a ring of at most {_MOST_RING} sites, or rows with at most {_MOST_ROW_STATES} states, and have "
        f"fewer than 1e300 configurations; got {extents} with {q} states"
    )


@functools.lru_cache(maxsize=32)
def _plane_counts(rows: int, length: int, q: int) -> Array:
    states = np.array(list(itertools.product(range(q), repeat=length)))
    size, n_levels = len(states), 2 * rows * length + 1
    within = (states == np.roll(states, -1, axis=1)).sum(axis=1)

    def raised(counts: Array, by: npt.NDArray[Any]) -> Array:
        """Counts (size, n_levels) of configurations that have this many bonds more."""
        moved = np.zeros_like(counts)
        for step in np.unique(by):
            moved[by == step, step:] = counts[by == step, : n_levels - step]
        return moved

    total = np.zeros(n_levels)
    for first in range(size // q):  # rows that begin with state 0; the others are the same by symmetry
        counts = np.zeros((size, n_levels))
        counts[first, within[first]] = 1.0
        for _ in range(rows - 1):
            for site in range(length):
                # The spin of the new row takes the place of the one before it, with a bond between them.
                old = counts.reshape(q**site, q, q ** (length - 1 - site), n_levels)
                new = old.sum(axis=1, keepdims=True) - old
                new[..., 1:] += old[..., :-1]
                counts = new.reshape(size, n_levels)
            counts = raised(counts, within)
        total += q * raised(counts, (states == states[first]).sum(axis=1)).sum(axis=0)
    return total
