"""Results on disk: netCDF-4 files, written whole or not at all, that say where they come from."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    import xarray

__all__ = ["load", "provenance", "save"]

_LONGEST_ARRAY = 1000  # longer parameters are recorded by shape and digest


def save(dataset: xarray.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a dataset to a netCDF-4 file, whole or not at all.

    The file is first written beside `path` and then moved over it, so that a full disk, an interrupt or a
    crash leaves the older file as it was.  Complex numbers are kept.

    Parameters
    ----------
    dataset : xarray.Dataset
        Its attributes and those of its variables must be text, numbers or arrays of numbers (netCDF knows
        neither bool nor None; write those as text).
    path : path
        An existing file is replaced.

    Raises
    ------
    TypeError
        An attribute that netCDF cannot hold; nothing is written.
    OSError
        The file cannot be written; an older one is still there.

    Notes
    -----
    The file is made in memory: the call needs once more the memory of the dataset.

    Examples
    --------
    >>> import tempfile, xarray
    >>> dataset = xarray.Dataset({"overlap": ("draw", [0.5, 0.25])}, {"draw": [0, 1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(dataset, f"{folder}/result.nc")
    ...     load(f"{folder}/result.nc").identical(dataset)
    True
    """
    _check_attributes("the dataset", dataset.attrs)
    for name, variable in dataset.variables.items():
        _check_attributes(str(name), variable.attrs)
    final = os.path.realpath(path)
    if os.path.exists(final) and not os.path.isfile(final):
        raise OSError(errno.EINVAL, "is not a file, will not be replaced", final)
    # HDF5 fails badly on a full disk (its handle cannot be closed any more); Python's own files do not.
    content = BytesIO()
    dataset.to_netcdf(content, engine="h5netcdf")
    replace_file(final, content.getbuffer())


def replace_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file beside `path` and move it over it: there is the old one or the new one, whole."""
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def load(path: str | os.PathLike[str]) -> xarray.Dataset:
    """Read a file written by `save`, all of it, and close it.

    Parameters
    ----------
    path : path
        A netCDF-4 file.

    Returns
    -------
    xarray.Dataset
        In memory.  Units such as "s" or "days" stay attributes; nothing is made a date.

    Examples
    --------
    >>> import tempfile, xarray
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(xarray.Dataset(attrs={"model": "perceptron"}), f"{folder}/result.nc")
    ...     load(f"{folder}/result.nc").attrs
    {'model': 'perceptron'}
    """
    import xarray

    return xarray.load_dataset(path, engine="h5netcdf", decode_times=False)


def provenance(function: str, parameters: Mapping[str, Any], seed: Any = None) -> dict[str, str]:
    """Attributes that say how a result was made.

    Parameters
    ----------
    function : str
        Public name of the function, as ``"parisi.solve"``.
    parameters : mapping
        All its arguments.  Arrays of more than 1000 elements are recorded by shape, type and SHA-256.
    seed : int, numpy.random.SeedSequence or None
        The seed from which the run can be repeated, if it used one.

    Returns
    -------
    dict of str
        ``deepglass_version``, ``function``, ``cpu_level``, ``parameters`` (JSON; infinities and NaN as text)
        and, where given, ``seed`` (JSON).

    Examples
    --------
    >>> attributes = provenance("mc.run", {"beta": float("inf"), "load": 0.5}, seed=7)
    >>> attributes["parameters"], attributes["seed"]
    ('{"beta": "inf", "load": 0.5}', '7')
    """
    attributes = {
        "deepglass_version": _core.version,
        "function": function,
        "parameters": json.dumps(_plain(parameters), allow_nan=False),
        "cpu_level": _core.isa,
    }
    if seed is not None:
        attributes["seed"] = json.dumps(_plain(seed), allow_nan=False)
    return attributes


def _check_attributes(owner: str, attributes: Mapping[Any, Any]) -> None:
    for name, value in attributes.items():
        if not isinstance(name, str):
            raise TypeError(f"names of attributes must be text, {owner} has {name!r}")
        fine = isinstance(value, str)
        if not fine and not isinstance(value, (bool, bytes, Mapping)) and value is not None:
            kind = np.asarray(value).dtype.kind  # of a ragged list: ValueError, which says so
            fine = kind in "iufc" or (kind == "U" and isinstance(value, (list, tuple)))
        if not fine:
            raise TypeError(
                f"attribute {name!r} of {owner} must be text, a number or an array of numbers, got {value!r}"
            )


def _plain(value: Any) -> Any:
    """What JSON can hold of `value`."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, complex):
        return {"real": _plain(value.real), "imag": _plain(value.imag)}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        if value.size <= _LONGEST_ARRAY:
            return _plain(value.tolist())
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"shape": list(value.shape), "dtype": str(value.dtype), "sha256": digest}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.random.SeedSequence):
        return {"entropy": _plain(value.entropy), "spawn_key": _plain(value.spawn_key)}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        parts = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [_plain(part) for part in parts]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
