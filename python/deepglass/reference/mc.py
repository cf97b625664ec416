"""Monte Carlo of perceptron networks with free hidden neurons, the slow twin: the same bits, by NumPy.

Layers l = 0..L of widths N_0..N_L, patterns mu = 1..M.  Kept are, in float32,

    w[l][i,k] = 2 J[l][i,k] / sqrt(n_inputs),  the change of a field that a flip of the input makes,
    r[l][i,mu] = S[l][i,mu] h[l][i,mu],        the gaps,   h[l][i] = sum_k w[l][i,k] S[l-1][k] / 2,

and E = sum of v(r), v = r^2 theta(-r) ("soft") or theta(-r) ("count").  Moves are those of H. Yoshino, SciPost Phys.
Core 2, 005 (2020), in the order in which the kernels make them.  A trajectory is a function of the seed, the number of
the chain and the sweep, so kernel and twin can be compared bit by bit; for that every operation is made in float32, and
sums run over sixteen lanes, which are added by a fixed tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rng import philox_words

__all__ = ["Trajectory", "run"]

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]

LANES = 16
REBUILD_EVERY = 100  # sweeps
f32 = np.float32


# ---- Which random number is whose: the only place that knows


@dataclass(frozen=True)
class _Numbers:
    """Random words: key = seed, counter = (block, sweep, stream); the stream is chain, layer, purpose and pass.

    They come in tiles of 128: number 32 k + b of tile t is word k of block 32 t + b.
    """

    seed: int
    chain: int

    def _tiles(self, purpose: int, layer: int, pass_: int, sweep: int, n_tiles: int) -> Words:
        """Tiles 0, 1, ..., (n_tiles, 128)."""
        stream = self.chain | layer << 24 | purpose << 36 | pass_ << 40
        words = philox_words(self.seed, stream, 128 * n_tiles, 4 * (sweep << 32))
        return words.reshape(n_tiles, 32, 4).transpose(0, 2, 1).reshape(n_tiles, 128)

    def spins(self, layer: int, pass_: int, sweep: int, width: int, n_patterns: int) -> Words:
        """For the acceptance of each neuron and pattern, (width, n_patterns), by integer kernels.

        A tile is 8 neurons, 16 patterns.
        """
        n_groups, batches = -(-n_patterns // LANES), -(-width // 8)
        words = self._tiles(0, layer, pass_, sweep, n_groups * batches).reshape(n_groups, batches * 8, LANES)
        return words.transpose(1, 0, 2).reshape(batches * 8, n_groups * LANES)[:width, :n_patterns]

    def spins_by_halves(self, layer: int, pass_: int, sweep: int, width: int, n_patterns: int) -> Words:
        """The same by float kernels: a tile is the upper (purpose 0) or lower 16 bits for 16 neurons, 16 patterns."""
        n_groups, batches = -(-n_patterns // LANES), -(-width // 16)
        tiles = (self._tiles(purpose, layer, pass_, sweep, n_groups * batches) for purpose in (0, 5))
        upper, lower = (words.astype("<u4").view("<u2").astype(np.uint32) for words in tiles)
        words = (upper << np.uint32(16) | lower).reshape(n_groups, batches * 16, LANES)
        return words.transpose(1, 0, 2).reshape(batches * 16, n_groups * LANES)[:width, :n_patterns]

    def bonds(self, layer: int, pass_: int, sweep: int, n_moves: int, width: int) -> tuple[Words, Words]:
        """For acceptance and angle of each move and perceptron, (n_moves, width): a tile is 32 moves of 4."""
        n_strips, batches = -(-width // 4), -(-n_moves // 32)
        both = []
        for purpose in (1, 2):
            words = self._tiles(purpose, layer, pass_, sweep, n_strips * batches).reshape(n_strips, batches * 32, 4)
            both.append(words.transpose(1, 0, 2).reshape(batches * 32, n_strips * 4)[:n_moves, :width])
        return both[0], both[1]

    def order(self, layer: int, pass_: int, sweep: int, n: int) -> list[int]:
        """A random order of 0 .. n - 1 (Fisher, Yates)."""
        words = self._tiles(3, layer, pass_, sweep, -(-n // 128)).ravel()
        order = list(range(n))
        for last, word in zip(range(n - 1, 0, -1), words.tolist(), strict=False):
            k = word * (last + 1) >> 32
            order[last], order[k] = order[k], order[last]
        return order


def _minus_log_uniform(words: Words) -> Floats:
    """-log(u), u = (k + 1/2) / 2^31, k = word >> 1: the exponent from the bits, the mantissa by a polynomial."""
    x = (words >> np.uint32(1)).astype(f32) + f32(0.5)
    bits = x.view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> 23
    f = (bits - (exponent << 23)).view(f32) - f32(1)
    z = f * f
    z2 = z * z  # even and odd powers apart
    even = (z * f32(0.1262231985) + f32(0.1421449592)) * z2 + (z * f32(0.2000104509) + f32(0.3333333073))
    odd = (z * f32(-0.07902743772) - f32(0.1299818376)) * z2 + (z * f32(-0.1664128146) - f32(0.2500030642))
    p = even + f * odd
    log_mantissa = f - (z * f32(0.5) - z * f * p)
    result: Floats = (31 - exponent).astype(f32) * f32(0.69314718056) - log_mantissa
    return result


def _cos_sin(angle: Floats) -> tuple[Floats, Floats]:
    """Of an angle in -pi .. pi, from its half: cos = 1 - 2 s^2, sin = 2 s c."""
    x = angle * f32(0.5)
    z = x * x
    s = z * f32(2.634756392e-6) - f32(0.0001982273949)
    s = s * z + f32(0.008333242135)
    s = s * z - f32(0.1666666596)
    s = x + x * (z * s)
    c = z * f32(-2.629751742e-7) + f32(2.477457975e-5)
    c = c * z - f32(0.001388865165)
    c = c * z + f32(0.04166665936)
    c = c * z - f32(0.4999999996)
    c = f32(1) + z * c
    return f32(1) - f32(2) * (s * s), f32(2) * (s * c)


# ---- Energies


def _potential(r: Floats, potential: str) -> Floats:
    """v(r)."""
    if potential == "count":
        return (r < 0).astype(f32)
    below = np.minimum(r, f32(0))
    return below * below


def _lane_sums(r: Floats, potential: str) -> Floats:
    """Sums of v(r) over each sixteenth number of the last axis, in order, (..., 16)."""
    lanes = np.zeros((*r.shape[:-1], LANES), f32)
    for first in range(0, r.shape[-1], LANES):
        v = _potential(r[..., first : first + LANES], potential)
        lanes[..., : v.shape[-1]] += v
    return lanes


def _energy(r: Floats, potential: str) -> Floats:
    """Sum v(r) over the last axis; the lanes by a tree: k + (k+8), k + (k+4), k + (k+2), k + (k+1)."""
    lanes = _lane_sums(r, potential)
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    total: Floats = lanes[..., 0]
    return total


# ---- The network


@dataclass(frozen=True)
class Trajectory:
    """Where a run ended, and what it saw.

    Attributes
    ----------
    spins : list of L + 1 int8 arrays, shapes (M, N_l)
        Of layers 0..L.
    bonds : list of L float64 arrays, shapes (N_l, N_{l-1})
        J of layers 1..L: the float32 numbers w, times sqrt(n_inputs) / 2.
    gaps : list of L float32 arrays, shapes (N_l, M)
        r of layers 1..L.
    energy : array, shape (n_sweeps, L)
        Energy of each layer after each sweep.
    bonds_accepted, spins_accepted : arrays, shape (n_sweeps, L + 1)
        Accepted moves of layers 0..L in each sweep.
    drift : float
        Largest change of a gap when gaps were computed anew.
    """

    spins: list[NDArray[np.int8]]
    bonds: list[NDArray[np.float64]]
    gaps: list[Floats]
    energy: NDArray[np.float64]
    bonds_accepted: NDArray[np.float64]
    spins_accepted: NDArray[np.float64]
    drift: float


class _Chain:
    """Spins S[l] (N_l, M), l = 0..L; w[l] (N_l, N_{l-1}) and gaps r[l] (N_l, M), l = 1..L; [0] is unused."""

    def __init__(
        self, potential: str, binary: bool, inputs: list[NDArray[np.int32]], S: list[Floats], w: list[Floats]
    ) -> None:
        self.potential, self.binary, self.inputs = potential, binary, inputs
        self.S, self.w = S, w
        self.r = [np.zeros_like(S[0])] + [np.zeros_like(layer) for layer in S[1:]]
        self.depth = len(S) - 1

    def rebuild(self) -> float:
        """Normalise |w|^2 = 4 and compute the gaps anew, in float64; the largest change of a gap."""
        drift = 0.0
        for layer in range(1, self.depth + 1):
            w = self.w[layer].astype(np.float64)
            if not self.binary:
                norm = np.zeros(len(w))
                for column in w.T:  # one after the other, as NumPy's own sums are not
                    norm += column * column
                w = (w * (2 / np.sqrt(norm))[:, None]).astype(f32).astype(np.float64)
                self.w[layer] = w.astype(f32)
            field = np.zeros(self.r[layer].shape)
            for k, spins in enumerate(self.S[layer - 1].astype(np.float64)):
                field += 0.5 * w[:, k, None] * spins
            fresh = field * self.S[layer]
            drift = max(drift, float(np.abs(fresh - self.r[layer]).max()))
            self.r[layer] = fresh.astype(f32)
        return drift

    def move_bonds(self, layer: int, numbers: _Numbers, sweep: int, pass_: int, temperature: f32, step: f32) -> int:
        """Each bond of each perceptron once, given the spins: flips of binary or single bonds, rotations of pairs.

        (J_a, J_b) -> (J_a cos p - J_b sin p, J_a sin p + J_b cos p),  p uniform in (-step, step);
        r_mu -> r_mu + S_mu (dJ_a S_a,mu + dJ_b S_b,mu) / sqrt(n_inputs).
        """
        w, r, S, below = self.w[layer], self.r[layer], self.S[layer], self.S[layer - 1]
        width, n_inputs = self.inputs[layer].shape
        order = numbers.order(layer, pass_, sweep, n_inputs)
        flips = self.binary or n_inputs == 1
        moves = [(k, k) for k in order] if flips else list(zip(order[::2], order[1::2], strict=False))
        acceptance, angle = numbers.bonds(layer, pass_, sweep, len(moves), width)
        limit = _minus_log_uniform(acceptance) * temperature
        # Odd numbers: an angle is as likely as its opposite.
        cos, sin = _cos_sin((angle.view(np.int32) | 1).astype(f32) * (step * f32(2.0**-31)))
        energy = _energy(r, self.potential)
        i = np.arange(width)
        n_accepted = 0
        for q, move in enumerate(moves):
            a, b = (self.inputs[layer][:, k] for k in move)
            w_a, w_b = w[i, a], w[i, b]
            if flips:
                new_a, new_b = -w_a, -w_b
                change = -w_a[:, None] * below[a]
            else:
                new_a = cos[q] * w_a - sin[q] * w_b
                new_b = sin[q] * w_a + cos[q] * w_b
                d_a, d_b = (new_a - w_a) * f32(0.5), (new_b - w_b) * f32(0.5)
                change = d_a[:, None] * below[a] + d_b[:, None] * below[b]
            trial_r = r + change * S
            trial = _energy(trial_r, self.potential)
            accepted = trial - energy <= limit[q]
            energy = np.where(accepted, trial, energy)
            w[i, a], w[i, b] = np.where(accepted, new_a, w_a), np.where(accepted, new_b, w_b)
            r[accepted] = trial_r[accepted]
            n_accepted += int(accepted.sum())
        return n_accepted

    def flip_spins(self, layer: int, numbers: _Numbers, sweep: int, pass_: int, temperature: f32) -> int:
        """Each hidden spin of the layer once, given the bonds; all patterns at a time.

        dE = v(-r) - v(r) + sum_j [ v(r_j - w_ji S_i S_j) - v(r_j) ],  j in the layer above.
        """
        S, r, S_above = self.S[layer], self.r[layer], self.S[layer + 1].T
        r_above = self.r[layer + 1].T.copy()  # (M, N_{l+1})
        limit = _minus_log_uniform(numbers.spins_by_halves(layer, pass_, sweep, *S.shape)) * temperature
        energy = _energy(r_above, self.potential)
        n_accepted = 0
        for i in range(len(S)):
            trial_r = r_above - S[i][:, None] * S_above * self.w[layer + 1][:, i]
            trial = _energy(trial_r, self.potential)
            own = r[i]
            # v(-r) - v(r) = r |r|, or the sign of r
            rise = (trial - energy) + (own * np.abs(own) if self.potential == "soft" else np.sign(own))
            accepted = rise <= limit[i]
            energy = np.where(accepted, trial, energy)
            S[i], r[i] = np.where(accepted, -S[i], S[i]), np.where(accepted, -own, own)
            r_above[accepted] = trial_r[accepted]
            n_accepted += int(accepted.sum())
        self.r[layer + 1] = r_above.T.copy()
        return n_accepted

    def energy(self) -> list[float]:
        """Of layers 1..L; added up in float64 from the first step of the tree on."""
        result = []
        for r in self.r[1:]:
            lanes = _lane_sums(r, self.potential)
            total = 0.0
            for row in (lanes[:, :8] + lanes[:, 8:]).astype(np.float64):
                total += sum(row.tolist())
            result.append(total)
        return result


def run(
    widths: Sequence[int],
    inputs: ArrayLike,
    outputs: ArrayLike,
    spins: Sequence[ArrayLike],
    bonds: Sequence[ArrayLike],
    *,
    potential: str = "soft",
    binary: bool = False,
    graph: Sequence[ArrayLike | None] = (),
    seed: int = 0,
    chain: int = 0,
    beta: float,
    step: float | Sequence[float] = 0.5,
    n_sweeps: int,
    first_sweep: int = 0,
    bond_passes: int = 1,
    spin_passes: int = 1,
) -> Trajectory:
    """One chain, from a given state: n_sweeps times the passes over the bonds, then those over the spins.

    A move is accepted where dE <= -log(u) / beta.

    Parameters
    ----------
    widths : sequence of L + 1 ints
        N_0 .. N_L.
    inputs, outputs : arrays of +-1, shapes (M, N_0) and (M, N_L)
        The data.
    spins : sequence of L - 1 arrays of +-1, shapes (M, N_l)
        Hidden neurons at the start.
    bonds : sequence of L arrays, shapes (N_l, N_{l-1})
        Bonds at the start.
    potential : {"soft", "count"}
        v(r).
    binary : bool
        Bonds +-1, whose moves are flips; soft potential only.
    graph : sequence of L arrays of ints (N_l, c), or None where all are connected
        Inputs of each perceptron.
    seed, chain : int
        The random numbers.
    beta : float
        Inverse temperature, from 0 to infinity.
    step : float, or one for each layer
        Largest angle of a rotation.
    n_sweeps, first_sweep : int
        How many, and the number of the first.
    bond_passes, spin_passes : int
        In each sweep.

    Returns
    -------
    Trajectory

    Examples
    --------
    >>> J = [[[1.0, 1.0], [1.0, -1.0]]] * 2
    >>> end = run([2, 2, 2], [[1, 1]], [[-1, 1]], [[[1, 1]]], J, beta=2.0, n_sweeps=3)
    >>> end.energy.round(3).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.003, 0.0]]
    """
    if binary and potential == "count":
        raise ValueError("potential must be 'soft' with binary bonds: the count potential has an integer kernel")
    depth = len(widths) - 1
    lists: list[Any] = [None] * depth if len(graph) == 0 else list(graph)
    named = [np.zeros((0, 0), np.int32)]
    S, w, unit = [np.asarray(inputs, f32).T.copy()], [np.zeros((0, 0), f32)], [0.0]
    for layer in range(1, depth + 1):
        n_in, n_out = widths[layer - 1], widths[layer]
        all_inputs = np.tile(np.arange(n_in, dtype=np.int32), (n_out, 1))
        named.append(all_inputs if lists[layer - 1] is None else np.asarray(lists[layer - 1], np.int32))
        S.append(np.asarray(spins[layer - 1] if layer < depth else outputs, f32).T.copy())
        unit.append(2 / math.sqrt(named[layer].shape[1]))
        w.append((np.asarray(bonds[layer - 1], np.float64) * unit[layer]).astype(f32))
    state = _Chain(potential, binary, named, S, w)
    state.rebuild()

    numbers = _Numbers(seed, chain)
    temperature = f32(min(1 / beta, 1e30) if beta > 0 else 1e30)
    steps = np.broadcast_to(np.asarray(step, f32), depth)
    energy = np.zeros((n_sweeps, depth))
    bonds_accepted, spins_accepted = np.zeros((2, n_sweeps, depth + 1))
    drift = 0.0
    for t in range(n_sweeps):
        sweep = first_sweep + t
        for pass_ in range(bond_passes):
            for layer in range(1, depth + 1):
                bonds_accepted[t, layer] += state.move_bonds(
                    layer, numbers, sweep, pass_, temperature, steps[layer - 1]
                )
        for pass_ in range(spin_passes):
            for layer in range(1, depth):
                spins_accepted[t, layer] += state.flip_spins(layer, numbers, sweep, pass_, temperature)
        if (sweep + 1) % REBUILD_EVERY == 0:
            drift = max(drift, state.rebuild())
        energy[t] = state.energy()
    return Trajectory(
        [layer.T.astype(np.int8) for layer in state.S],
        [layer.astype(np.float64) / unit[k + 1] for k, layer in enumerate(state.w[1:])],
        state.r[1:],
        energy,
        bonds_accepted,
        spins_accepted,
        drift,
    )
