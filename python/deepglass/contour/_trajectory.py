"""One hybrid Monte Carlo trajectory of many chains at once, for contours without compiled kernels."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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
) -> tuple[Array, Complex, NDArray[np.bool_]]:
    """Leapfrog with steps of its own for each chain, then accept or not; t, L(t) and which were accepted."""
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
    return np.where(accepted.reshape(each), moved, t), np.where(accepted, new_weight, weight), accepted


def default_step(action: Action) -> float:
    """Leapfrog step with which most trajectories of length 1 are accepted."""
    return 0.26 * math.prod(action.shape) ** -0.25 if isinstance(action, ComplexPhi4) else 0.15
