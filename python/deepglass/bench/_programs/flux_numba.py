"""What a careful Numba user would write for the worm algorithm of the flux representation: the same moves."""

# ruff: noqa: NPY002  (Numba knows np.random best)

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=False)
def sweeps(n_sweeps, n_worms, flux, pairs, power, neighbour, grow, shrink, hop, up, down, quenched, tanh):
    """Worms and changes of the pairs; gives the sums of density and <phi^2> over the sweeps, and the moves tried."""
    volume = power.size
    density, square, n_moves = 0.0, 0.0, 0
    for _ in range(n_sweeps):
        for _ in range(n_worms):
            tail = np.random.randint(volume)
            head = tail
            while True:
                direction = np.random.randint(4)
                to = neighbour[direction, head]
                axis = direction // 2
                back = direction % 2
                site = to if back else head
                change = -1 if back else 1
                k = flux[axis, site]
                total = abs(k) + pairs[axis, site]
                grows = k * change >= 0
                loop = to == head
                here = loop or ((head == tail) == grows)
                there = (not loop) and ((to == tail) != grows)
                if grows:
                    ratio = grow[direction] / (total + 1)
                    if here:
                        ratio *= up[power[head]]
                    if there:
                        ratio *= up[power[to]]
                else:
                    ratio = shrink[direction] * total
                    if here:
                        ratio *= down[power[head]]
                    if there:
                        ratio *= down[power[to]]
                n_moves += 1
                if np.random.random() < ratio:
                    step = 1 if grows else -1
                    flux[axis, site] = k + change
                    if here:
                        power[head] += step
                    if there:
                        power[to] += step
                    head = to
                if head == tail:
                    break
        for axis in range(2):
            factor = hop[axis] * hop[axis]
            for site in range(volume):
                to = neighbour[2 * axis, site]
                k = abs(flux[axis, site])
                n = pairs[axis, site]
                if np.random.random() < 0.5:
                    ratio = factor / ((n + 1.0) * (k + n + 1)) * up[power[site]] * up[power[to]]
                    step = 1
                else:
                    if n == 0:
                        continue
                    ratio = n * (k + n) / factor * down[power[site]] * down[power[to]]
                    step = -1
                if np.random.random() < ratio:
                    pairs[axis, site] = n + step
                    power[site] += step
                    power[to] += step
        total_flux = 0
        for site in range(volume):
            total_flux += abs(flux[1, site]) + 2 * pairs[1, site] if quenched else -flux[1, site]
            square += up[power[site]] / volume
        density += (tanh if quenched else 1.0) * total_flux / volume
    return density, square, n_moves


class Chain:
    """One chain on a lattice of at least three sites in each direction."""

    def __init__(self, shape: tuple[int, int], up: np.ndarray, mu: float, *, quenched: bool = False) -> None:
        sites = np.arange(shape[0] * shape[1]).reshape(shape)
        self.neighbour = np.stack([np.roll(sites, -step, axis).ravel() for axis in (0, 1) for step in (1, -1)]).astype(
            np.int32
        )
        volume = sites.size
        self.flux, self.pairs = (np.zeros((2, volume), np.int32) for _ in range(2))
        self.power = np.zeros(volume, np.int32)
        self.hop = np.array([0.5, math.cosh(mu) / 2 if quenched else 0.5])
        bias = np.array([1.0, 1.0, 1.0, 1.0] if quenched else [1.0, 1.0, math.exp(-mu), math.exp(mu)])
        self.grow, self.shrink = bias * np.repeat(self.hop, 2), bias / np.repeat(self.hop, 2)
        self.up, self.down = up, np.concatenate([[0.0], 1 / up])
        self.quenched, self.tanh = quenched, math.tanh(mu)

    def run(self, n_sweeps: int, n_worms: int) -> tuple[float, float, int]:
        density, square, n_moves = sweeps(
            n_sweeps,
            n_worms,
            self.flux,
            self.pairs,
            self.power,
            self.neighbour,
            self.grow,
            self.shrink,
            self.hop,
            self.up,
            self.down,
            self.quenched,
            self.tanh,
        )
        return density / n_sweeps, square / n_sweeps, n_moves
