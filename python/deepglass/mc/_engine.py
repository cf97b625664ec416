"""The kernels behind a simulation: networks with free and with slaved hidden neurons, seen in one way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .. import _core
from .data import Data
from .network import PerceptronNetwork

__all__ = ["Engine", "Moves", "Record", "estimated_bytes", "make_engine"]

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Moves:
    """How the chains move."""

    step: Floats  # (depth,)
    bond_passes: int = 1
    spin_passes: int = 1
    trajectory_steps: int = 0
    trajectory_step: float = 0.0


@dataclasses.dataclass(frozen=True)
class Record:
    """What was measured at each draw."""

    energy: Floats  # (n_chains, n_draws, depth)
    bond_acceptance: Floats  # (n_chains, n_draws, depth)
    neuron_acceptance: Floats  # (n_chains, n_draws, depth); NaN where no neuron moves
    drift: float  # largest change of a field when it was computed anew


class Engine(Protocol):
    """Chains of one network on one data set."""

    sweep: int

    def run(self, n_draws: int, every: int, beta: Floats, moves: Moves, threads: int) -> Record:
        """Do n_draws times `every` sweeps."""

    def set_state(self, chain: int, spins: Sequence[npt.NDArray[np.int8]], bonds: Sequence[npt.NDArray[Any]]) -> None:
        """Set the spins of layers 0..L (those that are free) and the bonds of layers 1..L."""

    def spins(self, chain: int) -> list[npt.NDArray[np.int8]]:
        """Give the spins of layers 0..L."""

    def bonds(self, chain: int) -> list[npt.NDArray[Any]]:
        """Give the bonds of layers 1..L."""

    def memory(self, chain: int) -> list[npt.NDArray[Any]]:
        """Give what a continuation to the last bit needs."""

    def set_memory(self, chain: int, memory: Sequence[npt.NDArray[Any]]) -> None:
        """Set what `memory` gave."""


class _Free:
    def __init__(self, network: PerceptronNetwork, data: Data, n_chains: int, seed: int) -> None:
        graph = [network.inputs(layer) for layer in range(1, network.depth + 1)]
        self._depth = network.depth
        self._core = _core.FreeNetworks(
            list(network.widths),
            data.inputs,
            data.outputs,
            potential=str(network.potential),
            binary=network.bonds == "binary",
            graph=[] if network.connectivity is None else graph,
            n_chains=n_chains,
            seed=seed,
        )
        half = 1 if network.bonds == "binary" else 2
        layers = range(1, network.depth + 1)
        self._bond_attempts = np.array(
            [network.widths[layer] * (network.n_inputs(layer) // half) for layer in layers], float
        )
        self._perceptrons = np.array([network.widths[layer] for layer in layers], float)
        self._spin_attempts = np.array([network.widths[layer] * data.n_patterns for layer in layers], float)
        self._spin_attempts[-1] = 0.0

    @property
    def sweep(self) -> int:
        return int(self._core.sweep)

    @sweep.setter
    def sweep(self, sweep: int) -> None:
        self._core.sweep = sweep

    def run(self, n_draws: int, every: int, beta: Floats, moves: Moves, threads: int) -> Record:
        trajectory: dict[str, Any] = {}
        if moves.trajectory_steps:
            trajectory = {"trajectory_steps": moves.trajectory_steps, "trajectory_step": moves.trajectory_step}
        out = self._core.run(
            n_draws,
            every,
            beta,
            np.broadcast_to(moves.step, (len(beta), self._depth)),
            bond_passes=moves.bond_passes,
            spin_passes=moves.spin_passes,
            **trajectory,
            threads=threads,
        )
        bond_attempts = self._perceptrons if moves.trajectory_steps else self._bond_attempts
        with np.errstate(invalid="ignore", divide="ignore"):
            return Record(
                out["energy"],
                out["bonds_accepted"][..., 1:] / (bond_attempts * (every * moves.bond_passes)),
                out["spins_accepted"][..., 1:] / (self._spin_attempts * (every * moves.spin_passes)),
                float(np.max(out["drift"])),
            )

    def set_state(self, chain: int, spins: Sequence[npt.NDArray[np.int8]], bonds: Sequence[npt.NDArray[Any]]) -> None:
        self._core.set_state(chain, list(spins[1:-1]), list(bonds))

    def spins(self, chain: int) -> list[npt.NDArray[np.int8]]:
        return list(self._core.spins(chain))

    def bonds(self, chain: int) -> list[npt.NDArray[Any]]:
        return list(self._core.bonds(chain))

    def memory(self, chain: int) -> list[npt.NDArray[Any]]:
        return list(self._core.memory(chain))

    def set_memory(self, chain: int, memory: Sequence[npt.NDArray[Any]]) -> None:
        self._core.set_memory(chain, list(memory))


class _Slaved:
    def __init__(self, network: PerceptronNetwork, data: Data, n_chains: int, seed: int) -> None:
        self._network, self._n_chains = network, n_chains
        self._core = _core.SlavedNetworks(
            list(network.widths),
            data.inputs,
            data.outputs,
            binary=network.bonds == "binary",
            n_chains=n_chains,
            seed=seed,
        )
        self._names: list[str] = []

    @property
    def sweep(self) -> int:
        return int(self._core.sweep)

    @sweep.setter
    def sweep(self, sweep: int) -> None:
        self._core.sweep = sweep

    def run(self, n_draws: int, every: int, beta: Floats, moves: Moves, threads: int) -> Record:
        depth = self._network.depth
        energy = np.zeros((self._n_chains, n_draws, depth))
        acceptance = np.empty((self._n_chains, n_draws, depth))
        for draw in range(n_draws):
            self._core.reset_counters()
            self._core.run(every, beta, moves.step, threads=threads)
            energy[:, draw, -1] = self._core.energy()
            attempts = self._core.attempts()
            acceptance[:, draw] = np.divide(
                self._core.acceptances(), attempts, out=np.full(attempts.shape, np.nan), where=attempts > 0
            )
        return Record(energy, acceptance, np.full(acceptance.shape, np.nan), 0.0)

    def set_state(self, chain: int, spins: Sequence[npt.NDArray[np.int8]], bonds: Sequence[npt.NDArray[Any]]) -> None:
        kind = np.int8 if self._network.bonds == "binary" else np.float32
        self._core.set_bonds(chain, [np.asarray(layer, kind) for layer in bonds])

    def spins(self, chain: int) -> list[npt.NDArray[np.int8]]:
        return list(self._core.spins(chain))

    def bonds(self, chain: int) -> list[npt.NDArray[Any]]:
        return list(self._core.bonds(chain))

    def memory(self, chain: int) -> list[npt.NDArray[Any]]:
        raise NotImplementedError

    def set_memory(self, chain: int, memory: Sequence[npt.NDArray[Any]]) -> None:
        raise NotImplementedError


def make_engine(network: PerceptronNetwork, data: Data, n_chains: int, seed: int) -> Engine:
    """Give the kernel for the kind of hidden neurons."""
    return (_Free if network.hidden == "free" else _Slaved)(network, data, n_chains, seed)


def estimated_bytes(network: PerceptronNetwork, n_patterns: int, n_chains: int) -> int:
    """Memory of the chains: single precision, patterns and perceptrons padded to sixteen."""
    padded = [-(-width // 16) * 16 for width in network.widths]
    row = -(-n_patterns // 16) * 16 + 16
    neurons = sum(padded) * row
    bonds = sum(network.widths[layer - 1] * padded[layer] for layer in range(1, network.depth + 1))
    moves = max(network.widths[:-1]) * row * network.depth
    return n_chains * (8 * neurons + 4 * bonds + moves)
