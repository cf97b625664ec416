"""The same sweep in JAX: loops over spins and pairs, all patterns and perceptrons at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .mc_numpy import Chain as _Chain


def _cost(gap: Any) -> Any:
    return jnp.minimum(gap, 0) ** 2


@partial(jax.jit, static_argnames=("beta", "step"))
def _sweep(key: Any, bonds: Any, spin: Any, field: Any, beta: float, step: float) -> Any:
    depth, width, _ = bonds.shape
    scale = 1 / np.sqrt(width)
    for layer in range(1, depth + 1):
        key, own = jax.random.split(key)
        order = jax.random.permutation(own, width)

        def rotate(p: Any, state: Any, layer: int = layer, order: Any = order) -> Any:
            key, bond, h = state
            key, k1, k2 = jax.random.split(key, 3)
            a, b = order[2 * p], order[2 * p + 1]
            angle = jax.random.uniform(k1, (width,), minval=-step, maxval=step)
            c, s = jnp.cos(angle), jnp.sin(angle)
            new_a, new_b = c * bond[:, a] - s * bond[:, b], s * bond[:, a] + c * bond[:, b]
            trial = h + ((new_a - bond[:, a]) * scale)[:, None] * spin[layer - 1, a]
            trial += ((new_b - bond[:, b]) * scale)[:, None] * spin[layer - 1, b]
            rise = (_cost(spin[layer] * trial) - _cost(spin[layer] * h)).sum(1)
            yes = jax.random.uniform(k2, (width,)) < jnp.exp(-beta * rise)
            bond = bond.at[:, a].set(jnp.where(yes, new_a, bond[:, a]))
            bond = bond.at[:, b].set(jnp.where(yes, new_b, bond[:, b]))
            return key, bond, jnp.where(yes[:, None], trial, h)

        key, bond, h = jax.lax.fori_loop(0, width // 2, rotate, (key, bonds[layer - 1], field[layer]))
        bonds, field = bonds.at[layer - 1].set(bond), field.at[layer].set(h)
    for layer in range(1, depth):
        own_field = field[layer]

        def flip(
            i: Any, state: Any, above: Any = spin[layer + 1], bond: Any = bonds[layer], own_field: Any = own_field
        ) -> Any:
            key, x, h = state
            key, k1 = jax.random.split(key)
            own = x[i] * own_field[i]
            trial = h - (2 * scale * bond[:, i])[:, None] * x[i]
            rise = _cost(-own) - _cost(own) + (_cost(above * trial) - _cost(above * h)).sum(0)
            yes = jax.random.uniform(k1, own.shape) < jnp.exp(-beta * rise)
            return key, x.at[i].set(jnp.where(yes, -x[i], x[i])), jnp.where(yes, trial, h)

        key, x, h = jax.lax.fori_loop(0, width, flip, (key, spin[layer], field[layer + 1]))
        spin, field = spin.at[layer].set(x), field.at[layer + 1].set(h)
    return key, bonds, spin, field


class Chain(_Chain):
    """One chain on random data."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state = (jax.random.PRNGKey(0), jnp.array(self.bonds), jnp.array(self.spin), jnp.array(self.field))

    def sweep(self) -> None:
        """All bonds, then all hidden spins."""
        self.state = jax.block_until_ready(_sweep(*self.state, self.beta, self.step))
