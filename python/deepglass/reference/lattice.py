"""Ising and Potts models on periodic lattices: both Markov chains step by step, and Kaufman's exact sum.

E = -sum_bonds s_i s_j (Ising, s = +-1) or -sum_bonds delta(s_i, s_j) (Potts), one bond forward from each site in each
direction.  Two states are an Ising model: its energy at beta is twice that of Potts, plus the number of bonds.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from .rng import philox_words

__all__ = ["cluster_chain", "heat_bath_chain", "ising_log_partition_function", "neighbours"]

_LANES = 512
_BLOCKS = 256  # of random numbers, for one site
_ONE = np.uint64(1)


def neighbours(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Give the sites beside each site: forward in each direction, then backward.

    Parameters
    ----------
    shape : tuple of int
        Extents of the lattice; sites are numbered row by row.

    Returns
    -------
    array of int, shape (n_sites, 2 dims)
    """
    sites = np.arange(math.prod(shape)).reshape(shape)
    steps = [np.roll(sites, step, axis) for step in (-1, 1) for axis in range(len(shape))]
    return np.stack([moved.ravel() for moved in steps], axis=1)


def heat_bath_chain(shape: tuple[int, ...], beta: float, chain: int, n_sweeps: int, seed: int) -> NDArray[np.uint8]:
    """Run one Ising chain from a random start.

    Site after site, the spin takes the value against the field h of its neighbours if u < 1 / (1 + exp(2 beta |h|)),
    else the one along it; for h = 0 it is up if u < 1/2.  u has 64 binary digits.

    Parameters
    ----------
    shape : tuple of int
        Extents.
    beta : float
        Inverse temperature.
    chain : int
        Its number: it is a bit of the random words of 512 chains.
    n_sweeps : int
        How many.
    seed : int
        Of all chains.

    Returns
    -------
    array of 0 and 1, shape (n_sites,)
    """
    around = neighbours(shape)
    n, dims = len(around), len(shape)
    word, bit = divmod(chain % _LANES, 64)

    def digits(sweep: int, site: int) -> int:
        blocks = philox_words(seed, chain // _LANES, 4 * _BLOCKS, 4 * _BLOCKS * (sweep * n + site)).reshape(-1, 8, 4)
        mine = blocks[:, word].astype(np.uint64)  # (pairs of digits, words of the block)
        pairs = np.stack([mine[:, 0] | mine[:, 1] << np.uint64(32), mine[:, 2] | mine[:, 3] << np.uint64(32)], axis=1)
        return int("".join(map(str, (pairs.ravel() >> np.uint64(bit) & _ONE).tolist())), 2)

    spins = np.array([digits(0, i) >> 63 for i in range(n)], dtype=np.uint8)
    for sweep, i in itertools.product(range(1, n_sweeps + 1), range(n)):
        k = int(spins[around[i]].sum()) - dims  # h = 2k
        p = 1 / (1 + math.exp(4 * beta * abs(k)))
        spins[i] = (k > 0) ^ (digits(sweep, i) < int(math.ldexp(p, 64)))
    return spins


def cluster_chain(
    shape: tuple[int, ...], n_states: int, beta: float, chain: int, n_sweeps: int, seed: int
) -> NDArray[np.uint8]:
    """Run one Potts chain by clusters (Swendsen and Wang 1987) from a random start.

    Parameters
    ----------
    shape : tuple of int
        Extents.
    n_states : int
        Number of states.
    beta : float
        Inverse temperature.
    chain : int
        Its number, which is its stream of random numbers.
    n_sweeps : int
        How many.
    seed : int
        Of all chains.

    Returns
    -------
    array of 0 .. n_states-1, shape (n_sites,)
    """
    forward = neighbours(shape)[:, : len(shape)]
    n, dims = forward.shape
    stride = -(-(dims + 1) * n // 4) * 4
    tie = round(math.ldexp(-math.expm1(-beta), 32))
    spins = (philox_words(seed, chain, n).astype(np.uint64) * np.uint64(n_states) >> np.uint64(32)).astype(np.uint8)
    for sweep in range(1, n_sweeps + 1):
        words = philox_words(seed, chain, (dims + 1) * n, sweep * stride).astype(np.int64).reshape(dims + 1, n)
        label = np.arange(n)
        tied = [
            (i, j) for i in range(n) for a, j in enumerate(forward[i]) if spins[i] == spins[j] and words[a, i] < tie
        ]
        while True:  # the smallest site of each cluster
            before = label.copy()
            for i, j in tied:
                label[i] = label[j] = min(label[i], label[j])
            if np.array_equal(label, before):
                break
        spins = (words[dims, label] * n_states >> 32).astype(np.uint8)
    return spins


def ising_log_partition_function(shape: tuple[int, int], beta: float) -> float:
    """Logarithm of the partition function of a finite periodic Ising lattice (B. Kaufman, Phys. Rev. 76, 1232 (1949)).

    Z = (1/2) (2 sinh 2 beta)^{mn/2} [prod 2 cosh(m g_{2r+1}/2) + prod 2 sinh(m g_{2r+1}/2) + prod 2 cosh(m g_{2r}/2)
    +- prod 2 sinh(m g_{2r}/2)],  r = 0 .. n-1,  cosh g_k = cosh(2 beta) coth(2 beta) - cos(pi k/n),
    where g_0 = 2 beta + ln tanh(beta) changes its sign at the critical point.

    Parameters
    ----------
    shape : (m, n)
        Extents.
    beta : float > 0
        Inverse temperature.

    Returns
    -------
    float
    """
    m, n = shape
    c = math.cosh(2 * beta) / math.tanh(2 * beta)
    g = np.arccosh(c - np.cos(np.pi * np.arange(1, 2 * n) / n))
    g = np.concatenate([[2 * beta + math.log(math.tanh(beta))], g])
    odd, even = m * g[1::2] / 2, m * g[::2] / 2

    def log_cosh(x: NDArray[np.float64]) -> float:
        return float(np.logaddexp(x, -x).sum())

    def log_sinh(x: NDArray[np.float64]) -> float:
        return float((np.abs(x) + np.log(-np.expm1(-2 * np.abs(x)))).sum())

    terms = [log_cosh(odd), log_sinh(odd), log_cosh(even), log_sinh(even)]
    signs = [1.0, 1.0, 1.0, math.copysign(1.0, even[0])]
    largest = max(terms)
    total = sum(sign * math.exp(term - largest) for sign, term in zip(signs, terms, strict=True))
    return m * n / 2 * math.log(2 * math.sinh(2 * beta)) + largest + math.log(total / 2)
