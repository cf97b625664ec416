"""Many independent instances of an experiment, several at a time, each kept in a file of its own.

Finished instances are not run again, and one that was interrupted goes on from what it left.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr

from .. import _core, io
from ..sweep import sweep

__all__ = ["Experiment", "run_all"]

_log = logging.getLogger("deepglass")

_NEWS = 60.0  # seconds between two lines about what is done


class Experiment(ABC):
    """All parameters of a run (a frozen dataclass); an instance has its own disorder, drawn by its number."""

    n_instances: int

    @property
    @abstractmethod
    def name(self) -> str:
        """For files."""

    @property
    @abstractmethod
    def cost(self) -> float:
        """Work of an instance, in any units."""

    @abstractmethod
    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Run one instance and write its file; ``check(done, total)`` raises KeyboardInterrupt where it must end."""

    def path(self, folder: Path, instance: int) -> Path:
        """File of an instance; another one if any parameter but the number of instances is another."""
        parameters = {**vars(self), "n_instances": 0, "version": _core.version}
        digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
        return folder / f"{self.name}_{instance:03d}_{digest}.nc"


AnyExperiment = TypeVar("AnyExperiment", bound=Experiment)


def run_all(
    experiments: Sequence[AnyExperiment],
    folder: Path,
    estimated_hours: Callable[[Iterable[AnyExperiment]], float],
    *,
    workers: int = 0,
) -> list[xr.Dataset]:
    """Run all instances that are not in the folder yet, and give the results of each experiment.

    Parameters
    ----------
    experiments : sequence of Experiment
        What to run.
    folder : Path
        Made if needed; one netCDF file for each instance.
    estimated_hours : callable
        Hours on one thread of a list with one entry for each instance.
    workers : int
        Instances at a time, one thread each; 0: as many as the OpenMP default has threads.

    Returns
    -------
    list of Dataset
        One for each experiment, with the first dimension ``instance``.

    Raises
    ------
    RuntimeError
        After all others have run, if instances failed; finished ones are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers = workers or _core.thread_count(0)
    # The longest ones first, so that no thread waits for a straggler.
    by_cost = sorted(experiments, key=lambda one: -one.cost)
    wanted = [(one, i) for one in by_cost for i in range(one.n_instances)]
    missing = [(one, i) for one, i in wanted if not one.path(folder, i).exists()]
    hours = estimated_hours(one for one, _ in missing) / workers
    _log.info(
        "%d of %d instances to run, %d at a time: about %.2f hours (%.1f minutes)",
        len(missing), len(wanted), workers, hours, 60.0 * hours,
    )  # fmt: skip
    if missing:
        _run(missing, folder, workers)
    return [
        xr.concat(
            [io.load(one.path(folder, i)) for i in range(one.n_instances)],
            xr.DataArray(np.arange(one.n_instances), dims="instance", name="instance"),
            combine_attrs="drop_conflicts",
        )
        for one in experiments
    ]


def _run(missing: Sequence[tuple[AnyExperiment, int]], folder: Path, workers: int) -> None:
    stop = threading.Event()

    def check(done: int, total: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt  # ends a run as Ctrl-C does: with a checkpoint where it keeps one

    def run(number: int) -> float:
        check(0, 1)
        begin = time.monotonic()
        one, instance = missing[number]
        one.run(instance, one.path(folder, instance), check)
        return time.monotonic() - begin

    start = last = time.monotonic()

    def news(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _NEWS:
            last = time.monotonic()
            _log.info("%d of %d instances done in %.1f minutes", done, total, (last - start) / 60.0)

    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():  # the kernels release the GIL
        warnings.filterwarnings("ignore", r"\d+ of \d+ points failed", RuntimeWarning)  # it is an error below
        try:
            done = sweep(run, {"number": range(len(missing))}, executor=pool, seed=0, progress=news)
        except BaseException:
            stop.set()
            raise
    failed = [text for text in done["failure"].values.tolist() if text]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(missing)} instances failed, the others are kept: {failed[0]}")
