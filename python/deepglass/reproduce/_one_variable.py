"""Integrals of one variable with a complex weight: saddles, thimbles and paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import contour
from ..contour.actions import OneVariable

__all__ = ["MODELS", "Model", "compute", "saddles", "thimble"]

Complex: TypeAlias = npt.NDArray[np.complex128]
Floats: TypeAlias = npt.NDArray[np.float64]

_STEP = 0.01  # of a line of steepest descent
_GRID = np.linspace(-12.0, 12.0, 24_001)  # the weights of all models are negligible at its ends


class Model(NamedTuple):
    """An integral and where to look at it."""

    action: OneVariable
    title: str
    before: contour.RealPlane
    other: contour.RealPlane | None  # a path in closed form or from the flow
    other_name: str
    window: tuple[float, float, float, float]  # Re z, Im z
    trained: bool = True


def _model(action: OneVariable, title: str, flow_time: float, *rest: Any) -> Model:
    flow = contour.HolomorphicFlow(action, flow_time, n_steps=40)
    return Model(action, title, contour.RealPlane(), flow, "flow", *rest)


def _models() -> dict[str, Model]:
    gaussian, airy = contour.Gaussian(1 + 4j, 1.0), contour.Airy(1.0)
    return {
        "gaussian": Model(
            gaussian, r"$\sigma x^2/2 + hx$, $\sigma=1+4i$, $h=1$", contour.RealPlane(),
            contour.LinearContour(gaussian), "linear", (-2.2, 2.2, -1.7, 1.7),
        ),
        "quartic": _model(
            contour.Quartic(1 + 4j, 1.0), r"$\sigma x^2/2 + x^4/4$, $\sigma=1+4i$", 0.5, (-2.2, 2.2, -2.2, 2.2)
        ),
        "quartic_field": _model(
            contour.Quartic(-1 + 3j, 1.0, 1 + 2j), r"$\sigma x^2/2 + x^4/4 + hx$, $\sigma=-1+3i$, $h=1+2i$", 0.2,
            (-2.8, 2.8, -2.4, 2.4),
        ),
        "airy": Model(
            airy, r"$-i(x^3/3 + ax)$, $a=1$", contour.Shift(0.3), contour.HolomorphicFlow(airy, 1.0, n_steps=40),
            "flow", (-3.4, 3.4, -1.8, 3.4), False,
        ),
        "power_10": _model(
            contour.PowerModel(10, 5.0), r"$x^2/2 - p\,\ln(x+i\alpha)$, $p=10$, $\alpha=5$", 0.5, (-5.0, 5.0, -6.5, 1.5)
        ),
        "power_50": _model(
            contour.PowerModel(50, 14.0), r"$x^2/2 - p\,\ln(x+i\alpha)$, $p=50$, $\alpha=14$", 0.5,
            (-7.0, 7.0, -13.0, 1.5),
        ),
    }  # fmt: skip


MODELS = _models()


def saddles(action: OneVariable) -> Complex:
    """Give the points where S' = 0."""
    if isinstance(action, contour.Gaussian):
        return np.array([-action.h / action.sigma])
    if isinstance(action, contour.Quartic):
        return np.roots([action.coupling, 0.0, action.sigma, action.h]).astype(complex)
    if isinstance(action, contour.Airy):
        root = complex(-action.a) ** 0.5
        return np.array([root, -root])
    assert isinstance(action, contour.PowerModel)
    root = complex(4 * action.p - action.alpha**2) ** 0.5
    return np.array([(-1j * action.alpha + root) / 2, (-1j * action.alpha - root) / 2])


def thimble(
    action: OneVariable, saddle: complex, upwards: bool, window: tuple[float, float, float, float]
) -> list[Complex]:
    """Both lines from a saddle along which Re S grows (or falls) most, and Im S is constant, as far as the window.

    They solve dz/ds = +-conj(S'(z)), here with s the length.

    Examples
    --------
    >>> from deepglass import contour
    >>> lines = thimble(contour.Gaussian(1.0), 0j, True, (-1.0, 1.0, -1.0, 1.0))
    >>> sorted(round(float(line[-1].real)) for line in lines)  # the real axis
    [-1, 1]
    """
    sign = 1.0 if upwards else -1.0
    curvature = complex(action.hessian_product(saddle, 1.0))
    start = np.exp(-0.5j * np.angle(curvature)) * (1.0 if upwards else 1j)

    def direction(z: complex) -> complex:
        slope = complex(action.gradient(z))
        return sign * slope.conjugate() / max(abs(slope), 1e-12)

    left, right, low, high = window
    lines = []
    for side in (start, -start):
        z = saddle + _STEP * side
        line = [saddle, z]
        while left <= z.real <= right and low <= z.imag <= high and len(line) < 4000:
            k1 = direction(z)
            k2 = direction(z + _STEP / 2 * k1)
            if (k1 * k2.conjugate()).real < 0.5:  # a zero of the weight, or another saddle
                break
            z = z + _STEP * k2
            line.append(z)
        lines.append(np.array(line))
    return lines


class Phase(NamedTuple):
    """Z and its phase on a path."""

    z: Complex
    theta: Floats  # relative to that of Z
    modulus: Floats  # of the weight, relative to its maximum
    average: float
    partition: complex


def phase_on(action: OneVariable, path: contour.RealPlane) -> Phase:
    """Integrate along a path, by the trapezoidal rule."""
    z = path.map(_GRID)
    with np.errstate(all="ignore"):
        log = path.log_jacobian(_GRID) - action.action(z)
    log = np.where(np.isfinite(log), log, -np.inf)
    highest = log.real.max()
    weight = np.exp(log - highest)
    total = complex(weight.sum())
    average = abs(total) / float(np.abs(weight).sum())
    partition = total * (_GRID[1] - _GRID[0]) * math.exp(highest)
    return Phase(z, np.angle(weight / total), np.abs(weight), average, partition)


def compute(name: str, n_updates: int, seed: int, check: Callable[[int, int], None]) -> xr.Dataset:
    """Average phase and points of each path of a model.

    Returns
    -------
    xarray.Dataset
        Dims ``path`` ("before", "other", "network") and ``point``: complex ``z``, ``phase`` relative to that of Z,
        ``modulus`` of the weight relative to its maximum; ``average_phase``, and ``difference``, that of Z from its
        exact value (from Z on the first path, where none is known), relative.
    """
    model = MODELS[name]
    paths = {"before": model.before}
    if model.other is not None:
        paths["other"] = model.other
    if model.trained:
        start = contour.NetworkContour(model.action, 10, seed=seed)
        paths["network"] = contour.optimize(
            model.action, start, n_updates=n_updates, n_held_out=6400, seed=seed, progress=check
        ).contour
    found = {label: phase_on(model.action, path) for label, path in paths.items()}
    try:
        exact = complex(model.action.exact()["partition_function"])
    except ValueError:  # no closed form
        exact = found["before"].partition
    thin = slice(None, None, 8)
    return xr.Dataset(
        {
            "z": (("path", "point"), np.array([one.z[thin] for one in found.values()])),
            "phase": (("path", "point"), np.array([one.theta[thin] for one in found.values()])),
            "modulus": (("path", "point"), np.array([one.modulus[thin] for one in found.values()])),
            "average_phase": ("path", [one.average for one in found.values()]),
            "difference": ("path", [abs(one.partition / exact - 1) for one in found.values()]),
            "saddle": ("saddle_number", saddles(model.action)),
        },
        {"path": list(found)},
    )
