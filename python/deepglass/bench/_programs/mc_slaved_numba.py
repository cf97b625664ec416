"""The slaved perceptron network as a careful Numba user would write it: same moves, touched patterns only."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@numba.njit(cache=False)
def sweeps(
    bonds: Floats,  # (L, N, N)
    columns: Floats,  # (L, N, N): 2 J transposed
    fields: Floats,  # (L, N, M)
    rows: Floats,  # (L, M, N): the same transposed
    inputs: Floats,  # (N, M)
    wrong: NDArray[np.bool_],  # (M, N)
    n_wrong: NDArray[np.int64],  # (M,)
    energy: int,
    n_attempts: int,
    beta: float,
    step: float,
    early_stop: bool,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Gives the energy and the number of acceptances."""
    depth, n, m = fields.shape
    trial = np.empty(m, dtype=np.float32)
    touched = np.empty(m, dtype=np.int64)
    trial_rows = np.empty((m, depth, n), dtype=np.float32)
    reached = np.empty(m, dtype=np.int64)
    turned = np.empty(n, dtype=np.int64)
    accepted = 0
    for _ in range(n_attempts):
        layer, i, a = int(rng.random() * depth), int(rng.random() * n), int(rng.random() * n)
        b = int(rng.random() * (n - 1))
        b += b >= a
        angle = step * (2 * rng.random() - 1)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        limit = energy
        if beta < np.inf:
            limit += int(-np.log(1 - rng.random()) / beta)
        new_a = bonds[layer, i, a] * c - bonds[layer, i, b] * s
        new_b = bonds[layer, i, a] * s + bonds[layer, i, b] * c
        change_a, change_b = new_a - bonds[layer, i, a], new_b - bonds[layer, i, b]
        below = inputs if layer == 0 else fields[layer - 1]
        old, x, y = fields[layer, i], below[a], below[b]
        for mu in range(m):
            h = old[mu] + (-change_a if x[mu] < 0 else change_a)
            trial[mu] = h + (-change_b if y[mu] < 0 else change_b)
        n_touched = 0
        for mu in range(m):
            touched[n_touched] = mu
            n_touched += (trial[mu] < 0) != (old[mu] < 0)
        new_energy = energy
        if layer == depth - 1:
            for t in range(n_touched):
                new_energy += 1 - 2 * wrong[touched[t], i]
        else:
            for t in range(n_touched):
                new_energy -= n_wrong[touched[t]]
            for t in range(n_touched):
                mu = touched[t]
                turned[0], n_turned = i, 1
                sign = old
                count = n_wrong[mu]
                reached[t] = depth
                for behind in range(layer + 1, depth):
                    out, row = trial_rows[t, behind], rows[behind, mu]
                    for j in range(n):
                        out[j] = row[j]
                    for k in range(n_turned):
                        column = columns[behind, turned[k]]
                        negative = sign[mu] < 0 if behind == layer + 1 else rows[behind - 1, mu, turned[k]] < 0
                        if negative:
                            for j in range(n):
                                out[j] += column[j]
                        else:
                            for j in range(n):
                                out[j] -= column[j]
                    n_turned = 0
                    if behind == depth - 1:
                        count = 0
                        for j in range(n):
                            count += ((out[j] < 0) != (row[j] < 0)) != wrong[mu, j]
                    else:
                        for j in range(n):
                            if (out[j] < 0) != (row[j] < 0):
                                turned[n_turned] = j
                                n_turned += 1
                        if n_turned == 0:
                            reached[t] = behind + 1
                            break
                new_energy += count
                if early_stop and new_energy > limit:
                    break
        if new_energy > limit:
            continue
        accepted += 1
        energy = new_energy
        bonds[layer, i, a], bonds[layer, i, b] = new_a, new_b
        columns[layer, a, i], columns[layer, b, i] = 2 * new_a, 2 * new_b
        for mu in range(m):
            old[mu] = trial[mu]
            rows[layer, mu, i] = trial[mu]
        for t in range(n_touched):
            mu = touched[t]
            if layer == depth - 1:
                n_wrong[mu] += 1 - 2 * wrong[mu, i]
                wrong[mu, i] = not wrong[mu, i]
                continue
            for behind in range(layer + 1, reached[t]):
                if behind == depth - 1:
                    for j in range(n):
                        if (trial_rows[t, behind, j] < 0) != (rows[behind, mu, j] < 0):
                            n_wrong[mu] += 1 - 2 * wrong[mu, j]
                            wrong[mu, j] = not wrong[mu, j]
                for j in range(n):
                    rows[behind, mu, j] = trial_rows[t, behind, j]
                    fields[behind, j, mu] = trial_rows[t, behind, j]
    return energy, accepted
