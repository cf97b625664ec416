"""Network contours of complex phi^4 in JAX: the program a user would write, with the full Jacobian and with Sylvester.

Gradients of the mean of Re(ln J - S) by the weights, and forces by the field; jit and vmap, double precision.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def programs(
    shape: tuple[int, int], mass: float, coupling: float, mu: float, sylvester: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Gradient by the weights, mean over chains, and force, (n_chains, N)."""

    def action(z: jax.Array) -> jax.Array:
        q = z.reshape(2, *shape)
        square, time, space = (q * q).sum(0), jnp.roll(q, -1, 2), jnp.roll(q, -1, 1)
        cross = q[0] * time[1] - q[1] * time[0]
        links = (q * space).sum(0) + math.cosh(mu) * (q * time).sum(0) - 1j * math.sinh(mu) * cross
        return ((4 + mass**2) / 2 * square + coupling / 4 * square**2 - links).sum()

    def contour(p: Mapping[str, jax.Array], t: jax.Array) -> jax.Array:
        f = jnp.tanh(p["W2"] @ jnp.tanh(p["W1"] @ t + p["b1"]) + p["b2"])
        return t + 1j * (p["alpha"] * f + p["beta"])

    def dense(p: Mapping[str, jax.Array], t: jax.Array) -> jax.Array:
        return jnp.linalg.slogdet(jax.jacfwd(lambda x: contour(p, x))(t))[1] - action(contour(p, t)).real

    def reduced(p: Mapping[str, jax.Array], t: jax.Array) -> jax.Array:
        a = jnp.tanh(p["W1"] @ t + p["b1"])
        f = jnp.tanh(p["W2"] @ a + p["b2"])
        left = (p["alpha"] * (1 - f**2))[:, None] * p["W2"]
        inner = jnp.eye(len(a)) + 1j * (((1 - a**2)[:, None] * p["W1"]) @ left)
        return jnp.linalg.slogdet(inner)[1] - action(t + 1j * (p["alpha"] * f + p["beta"])).real

    log_weight = reduced if sylvester else dense
    gradient = jax.jit(jax.grad(lambda p, t: jax.vmap(log_weight, (None, 0))(p, t).mean()))
    force = jax.jit(jax.vmap(jax.grad(log_weight, 1), (None, 0)))

    def run_gradient(weights: Mapping[str, np.ndarray], t: np.ndarray) -> Any:
        return jax.block_until_ready(gradient(weights, t))

    def run_force(weights: Mapping[str, np.ndarray], t: np.ndarray) -> Any:
        return jax.block_until_ready(force(weights, t))

    return run_gradient, run_force
