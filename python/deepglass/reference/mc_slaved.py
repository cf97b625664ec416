"""The slaved perceptron network: Monte Carlo of its bonds, all patterns and layers evaluated for each move.

Hidden spins follow the bonds, S[l] = sgn(J[l] S[l-1]) with sgn(0) = +1, and the energy is the number of wrong
output bits (hard potential: H. Yoshino, SciPost Phys. Core 2, 005 (2020), arXiv:2302.07419). The random numbers
and the single precision are those of the kernel, so the trajectories are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rng import philox_words

__all__ = ["SlavedNetwork", "slaved_forward"]

_REBUILD_EVERY = 20
_STREAM = 1 << 62
_INVERSE = [1.0 / math.factorial(k) for k in range(22)]


def _sign(fields: NDArray[Any]) -> NDArray[np.int8]:
    return np.where(fields < 0, -1, 1).astype(np.int8)


def slaved_forward(bonds: Sequence[ArrayLike], inputs: ArrayLike) -> list[NDArray[np.int8]]:
    """Spins of all layers, the inputs first.

    Parameters
    ----------
    bonds : sequence of arrays, shapes (N_l, N_{l-1})
        Layers l = 1 .. L.
    inputs : array of +-1, shape (n_patterns, N_0)
        Patterns.

    Returns
    -------
    list of arrays of int8, shapes (n_patterns, N_l)

    Examples
    --------
    >>> slaved_forward([[[1.0, -1.0]], [[-2.0]]], [[1, 1], [-1, 1]])[1:]
    [array([[ 1],
           [-1]], dtype=int8), array([[-1],
           [ 1]], dtype=int8)]
    """
    spins = [np.asarray(inputs, dtype=np.int8)]
    for layer in bonds:
        spins.append(_sign(spins[-1].astype(float) @ np.asarray(layer, dtype=float).T))
    return spins


def _cosine_sine(x: float) -> tuple[np.float32, np.float32]:
    """Taylor's series, in the order of the kernel."""
    z = -(x * x)
    c, s = _INVERSE[20], _INVERSE[21]
    for k in range(18, -1, -2):
        c = c * z + _INVERSE[k]
        s = s * z + _INVERSE[k + 1]
    return np.float32(c), np.float32(s * x)


class SlavedNetwork:
    """One chain.

    Parameters
    ----------
    bonds : sequence of arrays, shapes (N_l, N_{l-1})
        Start; real rows are scaled to norm^2 = N_{l-1}.
    inputs, outputs : arrays of +-1, shapes (n_patterns, N_0) and (n_patterns, N_L)
        Data.
    binary : bool
        Bonds +-1 instead of rows on spheres.
    seed, chain : int
        Key and stream of the random numbers.
    sweep : int
        Number of sweeps done so far.

    Examples
    --------
    >>> network = SlavedNetwork([[[1, 1, 1]]], [[1, 1, -1]], [[-1]], binary=True, seed=1)
    >>> network.energy
    1
    >>> network.run(10, beta=np.inf)
    >>> network.energy
    0
    """

    def __init__(
        self,
        bonds: Sequence[ArrayLike],
        inputs: ArrayLike,
        outputs: ArrayLike,
        *,
        binary: bool,
        seed: int,
        chain: int = 0,
        sweep: int = 0,
    ) -> None:
        self.binary, self.seed, self.chain, self.sweep = binary, seed, chain, sweep
        self.inputs, self.outputs = np.asarray(inputs, dtype=np.int8), np.asarray(outputs, dtype=np.int8)
        self.bonds = [np.array(layer, dtype=np.float32) for layer in bonds]
        self.attempts = np.zeros(len(self.bonds), dtype=np.int64)
        self.acceptances = np.zeros(len(self.bonds), dtype=np.int64)
        self.rebuild()

    @property
    def spins(self) -> list[NDArray[np.int8]]:
        """Spins (n_patterns, N_l), l = 0 .. L."""
        return [self.inputs, *(_sign(layer) for layer in self.fields)]

    def count_wrong(self, output_fields: NDArray[np.float32]) -> int:
        """Number of output bits that differ from the data."""
        return int(np.sum(_sign(output_fields) != self.outputs))

    def rebuild(self) -> None:
        """Norms, fields (n_patterns, N_l), and energy from the bonds, with sums in double precision, in order."""
        self.fields: list[NDArray[np.float32]] = []
        spins = self.inputs
        for bonds in self.bonds:
            if not self.binary:
                norm = np.cumsum(bonds.astype(float) ** 2, axis=1)[:, -1:]
                bonds[:] = bonds * np.sqrt(bonds.shape[1] / norm)
            terms = spins[:, np.newaxis, :] * bonds.astype(float)
            self.fields.append(np.cumsum(terms, axis=2)[:, :, -1].astype(np.float32) + np.float32(0))
            spins = _sign(self.fields[-1])
        self.energy = self.count_wrong(self.fields[-1])

    def run(self, n_sweeps: int, beta: float, step: Sequence[float] = ()) -> None:
        """Sweeps at inverse temperature beta, with angles up to step[l - 1] in layer l."""
        n_bonds = sum(bonds.size for bonds in self.bonds)
        per_sweep = n_bonds if self.binary else max(1, n_bonds // 2)
        for _ in range(n_sweeps):
            first = self.sweep * per_sweep
            words = philox_words(self.seed, _STREAM + self.chain, 4 * per_sweep, 4 * first).reshape(-1, 4)
            for word in words.tolist():
                self.attempt(word, beta, step)
            self.sweep += 1
            if not self.binary and self.sweep % _REBUILD_EVERY == 0:
                self.rebuild()

    def attempt(self, word: Sequence[int], beta: float, step: Sequence[float]) -> None:
        """One move, made of four random words."""
        bond = word[0] * sum(bonds.size for bonds in self.bonds) >> 32
        layer = 0
        while bond >= self.bonds[layer].size:
            bond -= self.bonds[layer].size
            layer += 1
        neuron, a = divmod(bond, self.bonds[layer].shape[1])
        cost = -math.log((word[3] + 1) / 2**32)
        allowance = math.inf if beta == 0 else math.floor(cost / beta)
        self.attempts[layer] += 1

        row = self.bonds[layer][neuron].copy()
        spins = self.spins[layer]
        trial = [fields.copy() for fields in self.fields]
        own = trial[layer][:, neuron]
        if self.binary:
            row[a] = -row[a]
            own += 2 * row[a] * spins[:, a]
        else:
            b = word[1] * (len(row) - 1) >> 32
            b += b >= a
            c, s = _cosine_sine(step[layer] * ((2 * word[2] + 1 - 2**32) / 2**32))
            old_a, old_b = row[a], row[b]
            row[a], row[b] = old_a * c - old_b * s, old_a * s + old_b * c
            own += (row[a] - old_a) * spins[:, a]
            own += (row[b] - old_b) * spins[:, b]
        # A spin that turns takes twice its bonds with it: first those that turn up, then those that turn down.
        for behind in range(layer + 1, len(trial)):
            change = _sign(trial[behind - 1]) - _sign(self.fields[behind - 1])
            for direction in (2, -2):
                for k in range(change.shape[1]):
                    step_k = np.where(change[:, k] == direction, np.float32(direction), np.float32(0))
                    trial[behind] += step_k[:, np.newaxis] * self.bonds[behind][:, k]
        energy = self.count_wrong(trial[-1])
        if energy <= self.energy + allowance:
            self.bonds[layer][neuron], self.fields, self.energy = row, trial, energy
            self.acceptances[layer] += 1
