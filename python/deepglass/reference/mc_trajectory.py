"""Hamiltonian dynamics of the bonds of perceptrons on the sphere, in plain NumPy.

Given the spins, the bonds J of one perceptron, |J|^2 = N, have the energy E = sum_mu v(r), r = S_out h,
h = N^(-1/2) J . S_in, v(r) = r^2 for r < 0. A trajectory is a leapfrog along great circles; each perceptron
accepts or rejects its own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepglass.reference.rng import philox_normal, philox_uniform

__all__ = ["trajectory", "trajectory_numbers", "trajectory_pass"]

Array = NDArray[np.float64]

_TRAJECTORY = 4  # what a stream of random numbers is for


def trajectory(
    bonds: ArrayLike, momentum: ArrayLike, inputs: ArrayLike, outputs: ArrayLike, beta: float, n_steps: int, step: float
) -> tuple[Array, Array, Array]:
    """Geodesic leapfrog of H = beta E + |w|^2 / 2 for independent perceptrons.

    A step of length eps, R = sqrt(N):

        w += eps F / 2,  F = -beta N^(-1/2) sum_mu v'(r) S_out S_in,  then the tangent part of w;
        J' = J cos(a) + w (R/|w|) sin(a),  w' = w cos(a) - J (|w|/R) sin(a),  a = |w| eps / R;
        the first line once more.

    Parameters
    ----------
    bonds, momentum : arrays, shape (n_perceptrons, n_inputs)
        J, brought to |J|^2 = n_inputs, and w, of which the tangent part counts.
    inputs, outputs : arrays of +-1, shapes (n_patterns, n_inputs) and (n_patterns, n_perceptrons)
        S_in and S_out.
    beta : float
        Inverse temperature.
    n_steps : int
        Length of the trajectory.
    step : float
        eps.

    Returns
    -------
    bonds, momentum : arrays, shape (n_perceptrons, n_inputs)
        At the end.
    rise : array, shape (n_perceptrons,)
        H at the end minus H at the start.

    Examples
    --------
    >>> J, w, rise = trajectory([[1.0, 1.0]], [[0.3, -0.3]], [[1, 1]], [[1]], beta=1.0, n_steps=4, step=0.1)
    >>> print((J @ J.T).round(12), rise)  # a gap > 0: free motion
    [[2.]] [0.]
    """
    J, w = np.array(bonds, dtype=float), np.array(momentum, dtype=float)
    S_in, S_out = np.asarray(inputs, dtype=float), np.asarray(outputs, dtype=float)
    R = np.sqrt(J.shape[1])
    J *= R / np.linalg.norm(J, axis=1, keepdims=True)

    def gaps() -> Array:
        r: Array = S_out * (S_in @ J.T) / R
        return r

    def tangent(w: Array) -> Array:
        across: Array = w - J * (J * w).sum(axis=1, keepdims=True) / R**2
        return across

    def energy() -> Array:
        H: Array = beta * (np.minimum(gaps(), 0) ** 2).sum(axis=0) + (w**2).sum(axis=1) / 2
        return H

    def half_kick(w: Array) -> Array:
        force = -beta / R * (2 * np.minimum(gaps(), 0) * S_out).T @ S_in
        return tangent(w + step / 2 * force)

    w = tangent(w)
    start = energy()
    for _ in range(n_steps):
        w = half_kick(w)
        speed = np.linalg.norm(w, axis=1, keepdims=True)
        a = speed * step / R
        along = np.sin(a) / np.where(speed > 0, speed, 1)
        J, w = J * np.cos(a) + R * along * w, w * np.cos(a) - J * speed / R * np.sin(a)
        w = half_kick(w)
    return J, w, energy() - start


def trajectory_numbers(
    shape: tuple[int, int], *, seed: int, chain: int, layer: int, bond_pass: int, sweep: int
) -> tuple[Array, Array]:
    """Random numbers of the trajectories of a layer in one pass: momenta, and the limits -ln(u) on the rise of H.

    A perceptron has whole tiles of 32 blocks of Philox: the first block is for u, each further one for the
    momenta of two inputs.

    Parameters
    ----------
    shape : (int, int)
        Perceptrons and neurons of the layer below.
    seed, chain, layer, bond_pass, sweep : int
        Key and stream of Philox; layer from 1.

    Returns
    -------
    momentum : array, shape (n_perceptrons, n_inputs)
    limit : array, shape (n_perceptrons,)

    Examples
    --------
    >>> w, limit = trajectory_numbers((2, 3), seed=1, chain=0, layer=1, bond_pass=0, sweep=0)
    >>> w.shape, bool((limit >= 0).all())
    ((2, 3), True)
    """
    n, n_inputs = shape
    stream = chain | layer << 24 | _TRAJECTORY << 36 | bond_pass << 40
    n_blocks = 32 * math.ceil((1 + math.ceil(n_inputs / 2)) / 32)
    first = [(sweep << 32) + i * n_blocks for i in range(n)]
    u = [philox_uniform(seed, stream, 1, 2 * block)[0] for block in first]
    w = [philox_normal(seed, stream, n_inputs, 2 * block + 2) for block in first]
    return np.array(w), -np.log(u)


def trajectory_pass(
    bonds: ArrayLike,
    inputs: ArrayLike,
    outputs: ArrayLike,
    beta: float,
    n_steps: int,
    step: float,
    *,
    graph: ArrayLike | None = None,
    seed: int = 0,
    chain: int = 0,
    layer: int = 1,
    bond_pass: int = 0,
    sweep: int = 0,
) -> tuple[Array, NDArray[np.bool_]]:
    """One trajectory for every perceptron of a layer, accepted with probability min(1, exp(-dH)).

    Parameters
    ----------
    bonds, inputs, outputs, beta, n_steps, step
        As in ``trajectory``.
    graph : array of int, shape (n_perceptrons, c), optional
        The inputs of each perceptron, where it has not all of them; then |J|^2 = c.
    seed, chain, layer, bond_pass, sweep : int
        As in ``trajectory_numbers``.

    Returns
    -------
    bonds : array, shape (n_perceptrons, n_inputs)
        At the end.
    accepted : array of bool, shape (n_perceptrons,)

    Examples
    --------
    >>> J, accepted = trajectory_pass(np.ones((1, 3)), np.ones((4, 3)), np.ones((4, 1)), 1.0, 5, 0.1)
    >>> J.shape, accepted.shape
    ((1, 3), (1,))
    """
    J = np.array(bonds, dtype=float)
    S_in, S_out = np.asarray(inputs), np.asarray(outputs)
    n, n_inputs = J.shape
    w, limit = trajectory_numbers((n, n_inputs), seed=seed, chain=chain, layer=layer, bond_pass=bond_pass, sweep=sweep)
    accepted = np.zeros(n, dtype=bool)
    for i in range(n):
        own = np.arange(n_inputs) if graph is None else np.asarray(graph)[i]
        after, _, rise = trajectory(
            J[i : i + 1, own], w[i : i + 1, own], S_in[:, own], S_out[:, i : i + 1], beta, n_steps, step
        )
        accepted[i] = rise[0] <= limit[i]
        if accepted[i]:
            J[i, own] = after[0]
    return J, accepted
