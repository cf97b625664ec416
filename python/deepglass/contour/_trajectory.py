"""Hybrid Monte Carlo of many chains at once, for what has no compiled kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .actions import Action, ComplexPhi4
from .contours import RealPlane

Array: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]


class Weighting:
    """The log weight L(t) = ln J - S(z(t)) of configurations t, shape (n_chains, ...), and its force."""

    def __init__(self, action: Action, contour: RealPlane) -> None:
        self.action, self.contour = action, contour

    def log_weight(self, t: Array) -> Complex:
        return np.asarray(self.contour.log_jacobian(t) - self.action.action(self.contour.map(t)))

    def force(self, t: Array) -> Array:
        return self.contour.force(t, self.action.gradient(self.contour.map(t)))


def advance(
    weighting: Weighting, t: Array, weight: Complex, momentum: Array, step: Array, n_steps: int, uniform: Array
) -> tuple[Array, Complex, NDArray[np.bool_], NDArray[np.bool_]]:
    """Leapfrog with steps of its own for each chain, then accept or not.

    Gives t and L(t), which were accepted, and which ended where the weight is zero.  The proposal is reversible and
    keeps volumes with any force that is a function of t.
    """
    each = (len(t), *(1,) * (t.ndim - 1))
    axes = tuple(range(1, t.ndim))
    eps = step.reshape(each)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what runs off is rejected
        before = (momentum**2).sum(axis=axes) / 2 - weight.real
        moved, p = t, momentum + eps / 2 * weighting.force(t)
        for leap in range(n_steps):
            moved = moved + eps * p
            p = p + (eps if leap < n_steps - 1 else eps / 2) * weighting.force(moved)
        new_weight = weighting.log_weight(moved)
        rise = (p**2).sum(axis=axes) / 2 - new_weight.real - before
        accepted = rise <= -np.log(uniform)
    moved, new = np.where(accepted.reshape(each), moved, t), np.where(accepted, new_weight, weight)
    return moved, new, accepted, np.isneginf(new_weight.real)


class Chains:
    """Configurations t that go on by trajectories, each chain with random numbers from a stream of its own.

    The contour may change between trajectories.
    """

    def __init__(self, action: Action, contour: RealPlane, n_chains: int, seed: int, step: float, n_steps: int) -> None:
        self.action, self.n_chains, self.seed, self.step, self.n_steps = action, n_chains, seed, step, n_steps
        self._n_made = 0  # trajectories
        self.t = 0.5 * self._numbers()[0]
        given = action.action(contour.map(self.t)).shape
        if given != (n_chains,):
            raise ValueError(f"action must give shape ({n_chains},) for {n_chains} configurations, got {given}")
        self.set_contour(contour)

    def set_contour(self, contour: RealPlane) -> None:
        """Go on with the weight of this contour."""
        self._weighting = Weighting(self.action, contour)
        self.weight = self._weighting.log_weight(self.t)

    def advance(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """One trajectory of each chain: which were accepted, and which ended where the weight is zero."""
        self._n_made += 1
        momentum, uniform = self._numbers()
        step = self.step * (0.8 + 0.4 * uniform[:, 0])
        self.t, self.weight, accepted, dropped = advance(
            self._weighting, self.t, self.weight, momentum, step, self.n_steps, uniform[:, 1]
        )
        return accepted, dropped

    def _numbers(self) -> tuple[Array, Array]:
        """Normal numbers, shape (n_chains, *field_shape), and two uniform ones for each chain."""
        shape = self.action.field_shape
        size = math.prod(shape)
        even = 2 * ((size + 1) // 2)
        start = self._n_made * (even + 2)

        def draw(fill: Callable[..., Array], n: int, offset: int) -> Array:
            return np.stack([fill(self.seed, chain, n, offset) for chain in range(self.n_chains)])

        normal = draw(_core.philox_normal, size, start).reshape(self.n_chains, *shape)
        return normal, draw(_core.philox_uniform, 2, start + even)


def default_step(action: Action) -> float:
    """Leapfrog step with which most trajectories of length 1 are accepted."""
    return 0.26 * math.prod(action.shape) ** -0.25 if isinstance(action, ComplexPhi4) else 0.15
