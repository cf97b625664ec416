"""A Monte Carlo sweep as one would write it in NumPy: vectorised over patterns and perceptrons."""

from __future__ import annotations

import math

import numpy as np


class Chain:
    """One chain on random data."""

    def __init__(self, width: int, depth: int, n_patterns: int, beta: float, step: float) -> None:
        rng = np.random.default_rng(1)
        self.beta, self.step = beta, step
        self.spin = (1 - 2 * rng.integers(0, 2, (depth + 1, width, n_patterns))).astype(np.float32)
        bonds = rng.normal(size=(depth, width, width))
        bonds *= math.sqrt(width) / np.linalg.norm(bonds, axis=2, keepdims=True)
        self.bonds = bonds.astype(np.float32)
        self.field = np.zeros((depth + 1, width, n_patterns), np.float32)
        for layer in range(1, depth + 1):
            self.field[layer] = self.bonds[layer - 1] @ self.spin[layer - 1] / math.sqrt(width)

    def sweep(self) -> None:
        """All bonds (of a layer at once, by one matching), then all hidden spins (of all patterns at once)."""
        depth, width, _ = self.bonds.shape
        scale = np.float32(1 / np.sqrt(width))
        rng, spin, field = np.random.default_rng(), self.spin, self.field
        for layer in range(1, depth + 1):
            bonds, h = self.bonds[layer - 1], field[layer]
            old = np.sum(np.minimum(spin[layer] * h, 0) ** 2, axis=1)
            order = rng.permutation(width)
            for a, b in zip(order[: width // 2 * 2 : 2], order[1::2], strict=False):
                angle = rng.uniform(-self.step, self.step, width)
                c, s = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
                new_a, new_b = c * bonds[:, a] - s * bonds[:, b], s * bonds[:, a] + c * bonds[:, b]
                trial = h + np.outer((new_a - bonds[:, a]) * scale, spin[layer - 1, a])
                trial += np.outer((new_b - bonds[:, b]) * scale, spin[layer - 1, b])
                new = np.sum(np.minimum(spin[layer] * trial, 0) ** 2, axis=1)
                yes = rng.random(width) < np.exp(np.minimum(-self.beta * (new - old), 0))
                h[yes], old[yes] = trial[yes], new[yes]
                bonds[yes, a], bonds[yes, b] = new_a[yes], new_b[yes]
        for layer in range(1, depth):
            bonds, h = self.bonds[layer], field[layer + 1]
            old = np.sum(np.minimum(spin[layer + 1] * h, 0) ** 2, axis=0)
            for i in range(width):
                trial = h - np.outer(2 * scale * bonds[:, i], spin[layer, i])
                new = np.sum(np.minimum(spin[layer + 1] * trial, 0) ** 2, axis=0)
                own = field[layer, i] * spin[layer, i]
                yes = rng.random(len(own)) < np.exp(np.minimum(-self.beta * (own * abs(own) + new - old), 0))
                h[:, yes], old[yes] = trial[:, yes], new[yes]
                spin[layer, i, yes] *= -1

    def energy(self) -> float:
        """Per gap."""
        gap = np.minimum(self.spin[1:] * self.field[1:], 0)
        return float(np.mean(gap**2, dtype=float))
