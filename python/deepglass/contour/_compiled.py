"""Complex phi^4 in compiled code: chains, and gradients by the weights of networks."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .actions import ComplexPhi4
from .contours import LinearContour, RealPlane, kernel_transform
from .network import NetworkContour

__all__ = ["is_compiled", "kernel_of", "network_kernel", "weight_gradient"]

Array: TypeAlias = NDArray[np.float64]
Kernel: TypeAlias = "_core.LinearPhi4 | _core.NetworkPhi4"


def is_compiled(action: object, contour: RealPlane) -> bool:
    """Whether there are kernels for it."""
    return isinstance(action, ComplexPhi4) and (
        type(contour) in (RealPlane, LinearContour) or isinstance(contour, NetworkContour)
    )


def kernel_of(action: ComplexPhi4, contour: RealPlane) -> Kernel:
    """Give the kernel for a contour of an action, with its weights of this moment."""
    return (
        network_kernel(action, contour)
        if isinstance(contour, NetworkContour)
        else _core.LinearPhi4(_transform(action, contour), action.mass, action.coupling, action.chemical_potential)
    )


def network_kernel(action: ComplexPhi4, contour: NetworkContour) -> _core.NetworkPhi4:
    """Give the same for a network."""
    weights = contour.weights
    q = weights["W1"] @ contour.linear_inverse if isinstance(contour.linear, LinearContour) else None
    model = (action.mass, action.coupling, action.chemical_potential)
    return _core.NetworkPhi4(_transform(action, contour.linear), *model, **weights, Q=q)


def _transform(action: ComplexPhi4, contour: RealPlane) -> Array:
    return kernel_transform(contour.kernel) if isinstance(contour, LinearContour) else np.zeros(action.shape)


def weight_gradient(kernel: _core.NetworkPhi4, contour: NetworkContour, t: Array, threads: int) -> dict[str, Array]:
    """Mean over configurations of the derivatives of Re L by the weights."""
    gradient = dict(kernel.weight_gradient(t, threads=threads))
    if "Q_re" in gradient:  # Q = W1 (1 + i B)^-1
        by_q = gradient.pop("Q_re") + 1j * gradient.pop("Q_im")
        gradient["W1"] = gradient["W1"] + (by_q @ contour.linear_inverse.T).real
    return gradient
