"""Contours on disk."""

from __future__ import annotations

import inspect
import json
import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .actions import Action, Airy, ComplexPhi4, Gaussian, PowerModel, Quartic
from .contours import LinearContour, RealPlane, Shift
from .flow import HolomorphicFlow
from .network import LinearPlusNetwork, NetworkContour, TranslationInvariantNetwork

__all__ = ["load", "save"]

Array: TypeAlias = NDArray[np.float64]

_ACTIONS = {kind.__name__: kind for kind in (Airy, ComplexPhi4, Gaussian, PowerModel, Quartic)}
_CONTOURS = {
    kind.__name__: kind
    for kind in (
        RealPlane,
        Shift,
        LinearContour,
        NetworkContour,
        LinearPlusNetwork,
        TranslationInvariantNetwork,
        HolomorphicFlow,
    )
}


def save(contour: RealPlane, path: str | os.PathLike[str]) -> None:
    """Write a contour, its action and all its arrays to a netCDF-4 file, whole or not at all.

    Parameters
    ----------
    contour : RealPlane or any other contour
        Not of a CustomAction, which is made of functions.
    path : path
        An existing file is replaced.

    Examples
    --------
    >>> import tempfile
    >>> contour = NetworkContour(Quartic(1 + 4j, 1.0), 8, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(contour, f"{folder}/contour.nc")
    ...     again = load(f"{folder}/contour.nc")
    >>> repr(again) == repr(contour), bool(again.map([0.5]) == contour.map([0.5]))
    (True, True)
    """
    import xarray as xr

    from .. import io

    arrays: dict[str, Array] = {}
    description = _describe(contour, arrays, "")
    # Each array has dimensions of its own.
    variables = {name: (tuple(f"{name}_{axis}" for axis in range(value.ndim)), value) for name, value in arrays.items()}
    attributes = io.provenance("deepglass.contour.save", {"contour": repr(contour)})
    io.save(xr.Dataset(variables, attrs=attributes | {"description": json.dumps(description)}), path)


def load(path: str | os.PathLike[str]) -> RealPlane:
    """Read a contour written by `save`.

    Parameters
    ----------
    path : path
        A file of `save`.

    Returns
    -------
    RealPlane
        Of the class of the contour that was saved, with the same map, bit for bit.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Shift(0.5), f"{folder}/contour.nc")
    ...     load(f"{folder}/contour.nc")
    Shift(0.5)
    """
    from .. import io

    dataset = io.load(path)
    if "description" not in dataset.attrs:
        raise ValueError(f"path must be a file written by contour.save, got {os.fspath(path)!r}")
    arrays = {str(name): np.array(value) for name, value in dataset.data_vars.items()}
    return _made(json.loads(dataset.attrs["description"]), arrays, "")


def _describe(contour: RealPlane, arrays: dict[str, Array], prefix: str) -> dict[str, Any]:
    """Arguments from which the contour is made; what is not in them goes into `arrays`."""
    kind = type(contour).__name__
    if _CONTOURS.get(kind) is not type(contour):
        raise ValueError(f"contour must be one of {', '.join(_CONTOURS)}, got {contour!r}")
    found: dict[str, Any] = {"kind": kind}
    if isinstance(contour, Shift):
        found["y"] = contour.offset
    if isinstance(contour, (LinearContour, NetworkContour, HolomorphicFlow)):
        found["action"] = _describe_action(contour.action)
    if isinstance(contour, LinearContour):
        found["max_kappa"] = contour.max_kappa
        if isinstance(contour.action, ComplexPhi4):
            found["mass_squared"] = contour.mass_squared
            arrays[f"{prefix}kernel"] = contour.kernel
        else:
            arrays[f"{prefix}line"] = np.array([contour.slope.real, contour.slope.imag, contour.offset])
    if isinstance(contour, NetworkContour):
        tied = isinstance(contour, TranslationInvariantNetwork)
        found |= {"channels": contour.channels} if tied else {"hidden": contour.hidden}  # type: ignore[attr-defined]
        if isinstance(contour.linear, LinearContour):
            found["linear"] = _describe(contour.linear, arrays, f"{prefix}linear_")
        arrays |= {f"{prefix}{name}": value for name, value in contour.parameters.items()}
    if isinstance(contour, HolomorphicFlow):
        found |= {"flow_time": contour.flow_time, "n_steps": contour.n_steps}
    return found


def _made(description: dict[str, Any], arrays: dict[str, Array], prefix: str) -> RealPlane:
    arguments = dict(description)
    kind: Any = _CONTOURS[arguments.pop("kind")]
    if "action" in arguments:
        arguments["action"] = _made_action(arguments["action"])
    if "linear" in arguments:
        arguments["linear"] = _made(arguments["linear"], arrays, f"{prefix}linear_")
    if issubclass(kind, NetworkContour):
        network: NetworkContour = kind(**arguments, seed=0)
        return network.with_parameters({name: arrays[f"{prefix}{name}"] for name in network.parameters})
    contour: RealPlane = kind(**arguments)
    if isinstance(contour, LinearContour):  # as it was, even if today another one would be found
        if f"{prefix}kernel" in arrays:
            contour.kernel = arrays[f"{prefix}kernel"]
            contour.kappa = float(np.abs(contour.kernel).sum())
        else:
            real, imag, offset = arrays[f"{prefix}line"].tolist()
            contour.slope, contour.offset, contour.kappa = complex(real, imag), offset, abs(imag)
    return contour


def _describe_action(action: Action) -> dict[str, Any]:
    kind = type(action).__name__
    if _ACTIONS.get(kind) is not type(action):
        raise ValueError(f"contour must be for one of {', '.join(_ACTIONS)} to be saved, got {action!r}")
    values = {name: getattr(action, name) for name in inspect.signature(type(action)).parameters}
    plain = {name: [value.real, value.imag] if isinstance(value, complex) else value for name, value in values.items()}
    return {"kind": kind, **plain}


def _made_action(description: dict[str, Any]) -> Action:
    arguments = dict(description)
    kind = _ACTIONS[arguments.pop("kind")]
    for name in ("sigma", "h"):
        if name in arguments:
            arguments[name] = complex(*arguments[name])
    return kind(**arguments)
