"""Parameter sweeps: a function at all points of a grid, by any executor, kept on disk as it goes."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import logging
import numbers
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import io
from ._check import integer
from ._progress import Progress, reporting
from ._warnings import warn
from .random import SeedLike, child_seed, seed_entropy

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["sweep"]

_log = logging.getLogger("deepglass")

_RESERVED = ("seed", "threads", "failure")


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    executor: Executor | None = None,
    store: str | os.PathLike[str] | None = None,
    seed: SeedLike = None,
    threads: int | None = None,
    progress: Progress = False,
) -> xr.Dataset:
    """Call a function at all points of a grid, and join what it gives into one dataset.

    Parameters
    ----------
    function : callable
        Called with one value of each name of the grid.  If it has a parameter ``seed``, it gets a number that depends
        on the seed of the sweep and the index of the point only; if it has a parameter ``threads``, it gets that.  It
        gives a Dataset, a DataArray, a number, an `Estimate`, or a dict of numbers.  Executors that start processes
        need one that can be imported, and give further arguments by `functools.partial`.
    grid : dict of str to sequence
        Distinct numbers, or distinct texts, for each name; the sweep has their product, the last name being fastest.
    executor : concurrent.futures.Executor, optional
        Any: ``ProcessPoolExecutor(mp_context=get_context("spawn"))``, ``mpi4py.futures.MPIPoolExecutor``,
        ``dask.distributed.Client(...).get_executor()``.  Default: one point after the other, here.
    store : path, optional
        A folder where finished points are kept.  Points found there are not computed again; those that had failed are.
        It belongs to one function, grid and seed.
    seed : int, numpy.random.SeedSequence, numpy.random.Generator or None
        See `deepglass.random.seed_entropy`.  None: that of the store, where there is one.
    threads : int >= 0, optional
        For functions that take it.  Default: 1 with an executor, else 0, all of them.
    progress : bool or callable(done, total)
        In points.

    Returns
    -------
    xarray.Dataset
        The dimensions of the grid, then those of the function.  A number has the name ``value``.  Where results differ
        in length or coordinates, and where a point failed, there is NaN (False, or no text).  ``failure`` holds
        the message of a point that failed and is empty elsewhere; ``seed`` is that of each point.

    Raises
    ------
    ValueError
        If the grid is not one, or the store belongs to another sweep.

    Warns
    -----
    RuntimeWarning
        If points failed; the others are there.  With a store, their tracebacks are in ``<index>.txt`` in its folder.

    Notes
    -----
    An interrupt keeps finished points in the store, cancels those that have not begun, and does not wait for the
    others.  Files are written by the calling process only, whole or not at all.

    Examples
    --------
    >>> import deepglass as dg
    >>> def overlap(load, depth):
    ...     return dg.parisi.solve(dg.parisi.DeepPerceptron(depth=depth, load=load, scenario="teacher"), threads=1)
    >>> found = dg.sweep(overlap, {"load": [5.0, 20.0], "depth": [4]})
    >>> found["free_entropy"].dims, bool(found["converged"].all())
    (('load', 'depth'), True)
    """
    if not callable(function):
        raise ValueError(f"function must be callable, got {function!r}")
    axes = _axes(grid)
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if threads is None:
        threads = 0 if executor is None else 1
    threads = integer("threads", threads, 0, 2**31 - 1)
    parameters = {"function": _description(function), "grid": axes}
    kept = None if store is None else _Store(Path(store), parameters)
    entropy = seed_entropy(seed) if kept is None else kept.entropy(seed)

    results: dict[int, xr.Dataset] = {}
    failures: dict[int, str] = {}
    if kept is not None:
        results = {index: found for index in range(len(points)) if (found := kept.read(index)) is not None}

    def collect(index: int, outcome: xr.Dataset | _Failure) -> None:
        if kept is not None and not isinstance(outcome, _Failure):
            try:
                kept.write(index, outcome)
            except (TypeError, ValueError) as error:  # no file can hold it
                outcome = _Failure.of(error)
        if isinstance(outcome, _Failure):
            failures[index] = outcome.message
            _log.warning("point %d of the sweep, %s, failed: %s", index, points[index], outcome.message)
            if kept is not None:
                kept.fail(index, outcome)
        else:
            results[index] = outcome

    with reporting(progress, "points") as report:
        report(len(results), len(points))
        calls = {
            index: functools.partial(_compute, function, point, child_seed(entropy, index), threads)
            for index, point in enumerate(points)
            if index not in results
        }
        for index, outcome in _outcomes(calls, executor):
            collect(index, outcome)
            report(len(results) + len(failures), len(points))
    if failures:
        first = min(failures)
        message = f"{len(failures)} of {len(points)} points failed, the first at {points[first]}: {failures[first]}"
        warn(message, RuntimeWarning)
    seeds = np.array([child_seed(entropy, index) for index in range(len(points))], np.uint64)
    joined = _joined([results.get(index) for index in range(len(points))], axes)
    shape = tuple(map(len, axes.values()))
    joined["failure"] = tuple(axes), np.array([failures.get(i, "") for i in range(len(points))]).reshape(shape)
    joined["seed"] = tuple(axes), seeds.reshape(shape)
    joined.attrs = io.provenance("sweep", parameters, entropy)
    return joined


# ---- Points


class _Failure:
    """What is left of a point that failed."""

    def __init__(self, message: str, details: str) -> None:
        self.message, self.details = message, details

    @classmethod
    def of(cls, error: BaseException) -> _Failure:
        return cls(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def _compute(function: Callable[..., Any], point: dict[str, Any], seed: int, threads: int) -> xr.Dataset | _Failure:
    """One point; runs in the worker."""
    given = {"seed": seed, "threads": threads}
    bound = function.keywords if isinstance(function, functools.partial) else {}
    try:
        known = set(inspect.signature(function).parameters)
    except ValueError:  # of some functions of C
        known = set()
    try:
        extra = {name: value for name, value in given.items() if name in known and name not in bound}
        return _dataset(function(**point, **extra), tuple(point))
    except Exception as error:
        return _Failure.of(error)


def _dataset(result: Any, names: tuple[str, ...]) -> xr.Dataset:
    import xarray as xr

    from .stats import Estimate

    if isinstance(result, Estimate):
        result = {"value": result.value, "error": result.error}
    if isinstance(result, numbers.Number | np.generic | str):
        result = {"value": result}
    if isinstance(result, xr.DataArray):
        result = result.to_dataset(name=result.name or "value", promote_attrs=False)
    if isinstance(result, Mapping) and not isinstance(result, xr.Dataset):
        result = xr.Dataset(dict(result))
    if not isinstance(result, xr.Dataset):
        raise ValueError(
            f"the function must give a Dataset, a DataArray, a number or a dict of numbers, got {result!r}"
        )
    for name in (*names, "failure"):
        if name in result.dims or (name == "failure" and name in result.variables):
            raise ValueError(f"the result must not have {name!r} of its own: the sweep has it")
    return result.drop_vars([*names, "seed"], errors="ignore").drop_attrs(deep=False)


def _outcomes(
    calls: Mapping[int, Callable[[], xr.Dataset | _Failure]], executor: Executor | None
) -> Iterator[tuple[int, xr.Dataset | _Failure]]:
    """Points as they are finished."""
    if executor is None:
        yield from ((index, call()) for index, call in calls.items())
        return
    futures: dict[Any, int] = {}
    try:
        for index, call in calls.items():
            try:
                futures[executor.submit(call)] = index
            except Exception as error:  # a broken pool, or one that is shut down
                yield index, _Failure.of(error)
        for future in as_completed(futures):
            index = futures.pop(future)
            failed = future.exception()
            if isinstance(failed, Exception):  # of the executor: a dead process, a function that cannot be sent
                yield index, _Failure.of(failed)
            else:
                yield index, future.result()
    except KeyboardInterrupt:  # what has been finished meanwhile is kept
        for future, index in futures.items():
            if not future.cancel() and future.done() and future.exception() is None:
                yield index, future.result()
        raise
    finally:
        for future in futures:
            future.cancel()


def _joined(results: Sequence[xr.Dataset | None], axes: Mapping[str, list[Any]]) -> xr.Dataset:
    """Results side by side, in the order of the grid; what one of them lacks is filled in."""
    import xarray as xr

    found = [one for one in results if one is not None]
    sizes: dict[Any, set[int]] = {}
    for one in found:
        for name, size in one.sizes.items():
            if name not in one.coords:
                sizes.setdefault(name, set()).add(size)
    counted = [name for name, different in sizes.items() if len(different) > 1]
    kinds = {name: one[name].dtype.kind for one in found for name in one.variables}
    empty: dict[str, Any] = {"b": False, "U": "", "O": "", "S": b"", "T": ""}
    filled = {name: empty.get(kind, np.nan) for name, kind in kinds.items()}
    parts = []
    for one in (xr.Dataset() if result is None else result for result in results):
        part = one.reset_coords([c for c in one.coords if c not in one.dims])
        numbered = {name: np.arange(part.sizes[name]) for name in counted if name in part.sizes}
        parts.append(part.assign_coords(numbered).assign(__any__=0))
    flat = xr.concat(
        parts, "__point__", data_vars="all", coords="minimal", compat="override", join="outer", fill_value=filled,
        combine_attrs="drop",
    ).drop_vars(["__any__", *counted])  # fmt: skip
    shape = tuple(map(len, axes.values()))
    variables = {}
    for name, variable in flat.data_vars.items():
        values = variable.transpose("__point__", ...)
        data = values.values.astype(str) if kinds.get(name) in ("U", "O", "T") else values.values
        variables[name] = ((*axes, *values.dims[1:]), data.reshape(shape + data.shape[1:]), variable.attrs)
    own = {name: coordinate for name, coordinate in flat.coords.items() if name in flat.dims}
    return xr.Dataset(variables, own | dict(axes))


# ---- Arguments


def _axes(grid: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    if not isinstance(grid, Mapping) or not grid:
        raise ValueError(f"grid must be a dict of names and values, got {grid!r}")
    axes = {}
    for name, values in grid.items():
        if not isinstance(name, str) or not name.isidentifier() or name in _RESERVED:
            raise ValueError(f"names of the grid must be those of arguments, not one of {_RESERVED}, got {name!r}")
        line = np.asarray(values) if not isinstance(values, str) else np.asarray(None)
        texts = line.ndim == 1 and sum(isinstance(value, str) for value in values)
        fine = line.ndim == 1 and line.size > 0 and line.dtype.kind in "biufU" and texts in (0, line.size)
        if not fine or len(set(line.tolist())) != line.size or (line.dtype.kind == "f" and np.isnan(line).any()):
            raise ValueError(f"grid[{name!r}] must be distinct numbers or distinct texts, got {values!r}")
        axes[name] = line.tolist()
    return axes


def _description(function: Callable[..., Any]) -> Any:
    if isinstance(function, functools.partial):
        return {
            "function": _description(function.func),
            "arguments": list(function.args),
            "keywords": function.keywords,
        }
    return function


# ---- Points on disk


class _Store:
    """A folder: ``sweep.json`` says whose it is, ``<index>.nc`` is a point, ``<index>.txt`` why there is none."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._label = folder, folder / "sweep.json"
        self._parameters = json.loads(io.provenance("sweep", parameters)["parameters"])

    def entropy(self, seed: SeedLike) -> int:
        """The seed of the store, which is written there the first time; an error where it is another sweep's."""
        if not self._label.exists():
            label = {"seed": seed_entropy(seed), **self._parameters}
            io.replace_file(self._label, json.dumps(label, indent=1).encode())
            return int(label["seed"])
        label = json.loads(self._label.read_text("utf-8"))
        wanted = {"seed": label["seed"] if seed is None else seed_entropy(seed), **self._parameters}
        for name, value in wanted.items():
            if label.get(name) != value:
                raise ValueError(
                    f"store must be empty or of this sweep, but {self._folder} has {name} {label.get(name)!r}, "
                    f"not {value!r}"
                )
        return int(label["seed"])

    def read(self, index: int) -> xr.Dataset | None:
        path = self._path(index, "nc")
        return io.load(path) if path.exists() else None

    def write(self, index: int, result: xr.Dataset) -> None:
        io.save(result, self._path(index, "nc"))
        self._path(index, "txt").unlink(missing_ok=True)

    def fail(self, index: int, failure: _Failure) -> None:
        io.replace_file(self._path(index, "txt"), failure.details.encode("utf-8", "replace"))

    def _path(self, index: int, suffix: str) -> Path:
        return self._folder / f"{index:06d}.{suffix}"
