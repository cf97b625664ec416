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

__all__ = ["Engine", "Moves", "Record", "acceptance", "estimated_bytes", "make_engine"]

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
    accepted: Floats  # (2, n_chains, n_draws, depth): moves of bonds and of neurons since the last draw
    attempted: Floats  # the same
    drift: float  # largest change of a field when it was computed anew

    @property
    def acceptance(self) -> Floats:
        """Fractions, shape (2, n_chains, n_draws, depth)."""
        return acceptance(self.accepted, self.attempted)

    def followed_by(self, later: Record) -> Record:
        """Give what would have been measured without the stop between the two."""
        accepted, attempted = self.accepted + later.accepted, self.attempted + later.attempted
        return Record(later.energy, accepted, attempted, max(self.drift, later.drift))


def acceptance(accepted: Floats, attempted: Floats) -> Floats:
    """Fraction of accepted moves; NaN where there were none."""
    fraction = np.full(accepted.shape, np.nan)
    np.divide(accepted, attempted, out=fraction, where=attempted > 0.0)
    return fraction


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
        layers = range(1, network.depth + 1)
        self._perceptrons = np.array([network.widths[layer] for layer in layers], float)
        moves = [network.n_inputs(layer) // (1 if network.bonds == "binary" else 2) for layer in layers]
        self._bond_moves = self._perceptrons * moves  # of a pass
        self._spin_moves = self._perceptrons * data.n_patterns
        self._spin_moves[-1] = 0.0

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
        bond_moves = self._perceptrons if moves.trajectory_steps else self._bond_moves
        attempted = every * np.array([moves.bond_passes * bond_moves, moves.spin_passes * self._spin_moves])
        accepted = np.stack([out["bonds_accepted"][..., 1:], out["spins_accepted"][..., 1:]])
        return Record(
            out["energy"],
            accepted,
            np.broadcast_to(attempted[:, None, None], accepted.shape),
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
        if network.connectivity is not None:
            raise ValueError(f"connectivity must be None with slaved neurons, got {network.connectivity}")
        self._network, self._n_chains = network, n_chains
        self._core = _core.SlavedNetworks(
            list(network.widths),
            data.inputs,
            data.outputs,
            binary=network.bonds == "binary",
            n_chains=n_chains,
            seed=seed,
        )

    @property
    def sweep(self) -> int:
        return int(self._core.sweep)

    @sweep.setter
    def sweep(self, sweep: int) -> None:
        self._core.sweep = sweep

    def run(self, n_draws: int, every: int, beta: Floats, moves: Moves, threads: int) -> Record:
        if moves.bond_passes != 1:
            raise ValueError(f"bond_passes must be 1 with slaved neurons, got {moves.bond_passes}")
        shape = (self._n_chains, n_draws, self._network.depth)
        energy, accepted, attempted = np.zeros(shape), np.zeros((2, *shape)), np.zeros((2, *shape))
        for draw in range(n_draws):
            self._core.reset_counters()
            self._core.run(every, beta, moves.step, threads=threads)
            energy[:, draw, -1] = self._core.energy()
            accepted[0, :, draw], attempted[0, :, draw] = self._core.acceptances(), self._core.attempts()
        return Record(energy, accepted, attempted, 0.0)

    def set_state(self, chain: int, spins: Sequence[npt.NDArray[np.int8]], bonds: Sequence[npt.NDArray[Any]]) -> None:
        kind = np.int8 if self._network.bonds == "binary" else np.float32
        self._core.set_bonds(chain, [np.asarray(layer, kind) for layer in bonds])

    def spins(self, chain: int) -> list[npt.NDArray[np.int8]]:
        return list(self._core.spins(chain))

    def bonds(self, chain: int) -> list[npt.NDArray[Any]]:
        return list(self._core.bonds(chain))

    # The entries of a state, in the order of their names, are arrays, lists of arrays or numbers.

    def memory(self, chain: int) -> list[npt.NDArray[Any]]:
        state = self._core.state(chain)
        parts: list[npt.NDArray[Any]] = []
        for name in sorted(state):
            parts += [np.asarray(x) for x in (state[name] if isinstance(state[name], list) else [state[name]])]
        return parts

    def set_memory(self, chain: int, memory: Sequence[npt.NDArray[Any]]) -> None:
        state, parts = self._core.state(chain), iter(memory)
        for name in sorted(state):
            if isinstance(state[name], list):
                state[name] = [next(parts) for _ in state[name]]
            else:
                part = next(parts)
                state[name] = part if isinstance(state[name], np.ndarray) else part.item()
        self._core.set_state(chain, state)


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
