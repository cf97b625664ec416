"""Trajectories of spherical bonds: against a sweep of pair rotations, and against NumPy with its BLAS."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .. import _core
from . import Bench, Row

N_STEPS, STEP, BETA = 10, 0.05, 1.0


def numpy_trajectory(
    J: NDArray[np.float32], w: NDArray[np.float32], S_in: NDArray[np.float32], S_out: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """One layer in single precision; S_in (N, M), S_out (n, M)."""
    R = np.float32(np.sqrt(J.shape[1]))
    half = np.float32(-STEP * BETA) / R

    def gaps() -> NDArray[np.float32]:
        r: NDArray[np.float32] = np.minimum((J @ S_in) * (S_out / R), 0)
        return r

    def kick(w: NDArray[np.float32], factor: np.float32) -> NDArray[np.float32]:
        pushed = w + factor * ((r * S_out) @ S_in.T)
        tangent: NDArray[np.float32] = pushed - J * (np.einsum("ik,ik->i", J, pushed) / (R * R))[:, None]
        return tangent

    def energy() -> NDArray[np.float64]:
        e: NDArray[np.float64] = BETA * np.einsum("im,im->i", r, r).astype(float) + np.einsum("ik,ik->i", w, w) / 2
        return e

    r = gaps()
    w = kick(w, np.float32(0))
    start = energy()
    w = kick(w, half)
    for s in range(1, N_STEPS + 1):
        speed = np.sqrt(np.einsum("ik,ik->i", w, w))[:, None]
        a = speed * np.float32(STEP) / R
        c, sine = np.cos(a), np.sin(a)
        J, w = J * c + w * (R / speed * sine), w * c - J * (speed / R * sine)
        r = gaps()
        w = kick(w, 2 * half if s < N_STEPS else half)
    return J, energy() - start


def measure(bench: Bench, n: int, depth: int, n_patterns: int) -> Row:
    rng = np.random.default_rng(0)
    spins = [rng.choice(np.array([-1, 1], dtype=np.int8), (n_patterns, n)) for _ in range(depth + 1)]
    networks = _core.FreeNetworks([n] * (depth + 1), spins[0], spins[-1], seed=1)
    networks.set_state(0, spins[1:-1], [rng.standard_normal((n, n)) for _ in range(depth)])

    def sweep(n_steps: int, spin_passes: int, threads: int = 1) -> object:
        result: object = networks.run(
            1,
            1,
            np.array([BETA]),
            np.full((1, depth), 0.5),
            spin_passes=spin_passes,
            trajectory_steps=n_steps,
            trajectory_step=STEP,
            threads=threads,
        )
        return result

    rounds = 40 if n < 100 else 10
    for _ in range(5):
        sweep(0, 1)
    pair = bench.best(lambda: sweep(0, 0), rounds, clock=time.process_time)
    fast = bench.best(lambda: sweep(N_STEPS, 0), rounds, clock=time.process_time)

    layers = [
        tuple(np.ascontiguousarray(x, dtype=np.float32) for x in (J, below.T, own.T))
        for J, below, own in zip(networks.bonds(0), networks.spins(0)[:-1], networks.spins(0)[1:], strict=True)
    ]
    momenta = np.random.default_rng(1)

    def with_numpy() -> None:
        for J, below, own in layers:
            after, rise = numpy_trajectory(J, momenta.standard_normal(J.shape, dtype=np.float32), below, own)
            J[:] = np.where((rise <= momenta.exponential(size=len(J)))[:, None], after, J)

    with threadpool_limits(1):
        blas = bench.best(with_numpy, max(rounds // 4, 3), clock=time.process_time)
    flops = 2.0 * depth * n * n * n_patterns * (2 * N_STEPS + 1)  # of the products; the first fields are kept
    return Row(
        f"trajectory of {N_STEPS} steps, N = {n}, L = {depth}, M = {n_patterns}",
        fast,
        numpy=blas,
        more={
            "ms of a sweep of pair rotations": pair * 1e3,
            "GF/s": flops / fast * 1e-9,
            "GF/s of BLAS": blas_speed(bench) * 1e-9,
        },
    )


def blas_speed(bench: Bench) -> float:
    """Flops a second of a product of two large matrices in single precision."""
    large = np.ones((768, 768), dtype=np.float32)
    with threadpool_limits(1):
        return 2 * 768**3 / bench.best(lambda: large @ large, 20, clock=time.process_time)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a trajectory of all bonds; CPU time, so that other work on the machine does not count."""
    for n, depth, n_patterns in bench.some(((32, 1, 128), (64, 6, 256), (128, 6, 512))):
        yield measure(bench, n, depth, n_patterns)
