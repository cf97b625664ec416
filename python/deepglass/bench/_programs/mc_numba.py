"""What a careful Numba user would write for one Monte Carlo sweep: soft potential, spheres, patterns in the lanes."""

# ruff: noqa: NPY002  (Numba knows np.random best)

from __future__ import annotations

import math

import numba
import numpy as np

from .mc_numpy import Chain as _Chain


@numba.njit(fastmath=True, cache=False)
def flip_spins(from_input, spin, field, beta, block):
    """Try every hidden spin in blocks of patterns; from_input (L, N, N): bonds, inputs first."""
    depth, width, n_patterns = from_input.shape[0], spin.shape[1], spin.shape[2]
    scale, zero = np.float32(1 / math.sqrt(width)), np.float32(0)
    new, old, change = np.empty(block, np.float32), np.empty(block, np.float32), np.empty(block, np.float32)
    gap, out = np.empty((width, block), np.float32), np.empty((width, block), np.float32)
    for start in range(0, n_patterns, block):
        for layer in range(1, depth):
            old[:] = zero
            for j in range(width):
                for b in range(block):
                    out[j, b] = spin[layer + 1, j, start + b]
                    gap[j, b] = field[layer + 1, j, start + b] * out[j, b]
                    r = min(gap[j, b], zero)
                    old[b] += r * r
            for i in range(width):
                for b in range(block):
                    new[b] = zero
                    change[b] = -2 * scale * spin[layer, i, start + b]
                for j in range(width):
                    bond = from_input[layer, i, j]
                    for b in range(block):
                        r = min(gap[j, b] + bond * change[b] * out[j, b], zero)
                        new[b] += r * r
                for b in range(block):
                    own = field[layer, i, start + b] * spin[layer, i, start + b]
                    rise = np.float32(own * abs(own)) + new[b] - old[b]
                    if np.random.random() < np.exp(-beta * rise):
                        old[b] = new[b]
                        spin[layer, i, start + b] = -spin[layer, i, start + b]
                    else:
                        change[b] = zero
                for j in range(width):
                    bond = from_input[layer, i, j]
                    for b in range(block):
                        gap[j, b] += bond * change[b] * out[j, b]
            for j in range(width):
                for b in range(block):
                    field[layer + 1, j, start + b] = gap[j, b] * out[j, b]


@numba.njit(fastmath=True, cache=False)
def rotate_bonds(bonds, from_input, spin, field, beta, step):
    """Try a rotation of every pair of a random matching, perceptron by perceptron."""
    depth, width, n_patterns = bonds.shape[0], bonds.shape[1], spin.shape[2]
    scale, zero = np.float32(1 / math.sqrt(width)), np.float32(0)
    order = np.arange(width)
    for layer in range(1, depth + 1):
        for i in range(width):
            own_field, out = field[layer, i], spin[layer, i]
            old = zero
            for m in range(n_patterns):
                r = min(own_field[m] * out[m], zero)
                old += r * r
            for p in range(width - 1, 0, -1):
                q = np.random.randint(0, p + 1)
                order[p], order[q] = order[q], order[p]
            for p in range(width // 2):
                a, b = order[2 * p], order[2 * p + 1]
                angle = (2 * np.random.random() - 1) * step
                c, s = np.cos(angle), np.sin(angle)
                bond_a, bond_b = bonds[layer - 1, i, a], bonds[layer - 1, i, b]
                new_a, new_b = np.float32(c * bond_a - s * bond_b), np.float32(s * bond_a + c * bond_b)
                da, db = (new_a - bond_a) * scale, (new_b - bond_b) * scale
                spin_a, spin_b = spin[layer - 1, a], spin[layer - 1, b]
                new = zero
                for m in range(n_patterns):
                    r = min(out[m] * (own_field[m] + da * spin_a[m] + db * spin_b[m]), zero)
                    new += r * r
                if np.random.random() < np.exp(-beta * (new - old)):
                    old = new
                    bonds[layer - 1, i, a] = from_input[layer - 1, a, i] = new_a
                    bonds[layer - 1, i, b] = from_input[layer - 1, b, i] = new_b
                    for m in range(n_patterns):
                        own_field[m] += da * spin_a[m] + db * spin_b[m]


class Chain(_Chain):
    """One chain on random data."""

    def __init__(self, width: int, depth: int, n_patterns: int, beta: float, step: float) -> None:
        super().__init__(width, depth, n_patterns, beta, step)
        self.from_input = np.ascontiguousarray(self.bonds.transpose(0, 2, 1))

    def sweep(self) -> None:
        """All bonds, then all hidden spins."""
        rotate_bonds(self.bonds, self.from_input, self.spin, self.field, self.beta, self.step)
        flip_spins(self.from_input, self.spin, self.field, self.beta, 32)
