"""Many independent students of a teacher, several at a time, each kept in a file of its own.

An instance has its own teacher, data and start.  Finished instances are not run again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import _core, io, mc
from ..random import child_seed

__all__ = ["Student", "estimated_hours", "run_all"]

Floats: TypeAlias = npt.NDArray[np.float64]
Bonds: TypeAlias = tuple[npt.NDArray[Any], ...]

_log = logging.getLogger("deepglass")

_TIMING = 0.05  # seconds of sweeps from which the duration is estimated
_NEWS = 60.0  # seconds between two lines about what is done
_FILE = 0.15  # seconds to write one, and what else an instance takes
_UNRELATED = 8  # machines from the prior whose overlap with the teacher is the zero of that of the student


@dataclasses.dataclass(frozen=True)
class Student:
    """A student with slaved neurons and spherical bonds that learns from a noiseless teacher of its own shape.

    Parameters
    ----------
    width, depth, load : int
        N, L and M/N.
    start : "random" or "teacher"
        Bonds from the prior, or those of the teacher: an equilibrium sample of the solutions from the beginning.
    dimension : int
        D of the hidden manifold of inputs; 0: coins, which is D = infinity.
    n_sweeps : int
        A power of 2, at least 4.  Errors are measured after 1, 2, 4, ... sweeps, overlaps with the teacher at the end,
        and the correlation of the bonds in the second half.
    n_instances : int
        Teachers, each with data and one student.
    beta : float
        Inverse temperature; infinity: greedy.
    seed : int
        Teacher and data of an instance depend on it, width, depth and load: starts share both, and all dimensions
        the teacher.
    """

    width: int
    depth: int
    load: int
    start: Literal["random", "teacher"] = "random"
    dimension: int = 0
    n_sweeps: int = 1024
    n_instances: int = 16
    beta: float = math.inf
    seed: int = 1

    @property
    def name(self) -> str:
        """For files."""
        manifold = f"_D{self.dimension}" if self.dimension else ""
        return f"N{self.width}_L{self.depth}_load{self.load}{manifold}_{self.start}"

    @property
    def network(self) -> mc.PerceptronNetwork:
        """Architecture of teacher and student."""
        return mc.PerceptronNetwork(width=self.width, depth=self.depth, hidden="slaved")

    @property
    def sweeps(self) -> list[int]:
        """Sweeps after which errors are measured."""
        return [2**k for k in range(self.n_sweeps.bit_length())]

    def data(self, instance: int) -> mc.Data:
        """Teacher, patterns and test set of an instance."""
        n_patterns, seed = self.load * self.width, child_seed(self._own(instance), 0)
        if self.dimension:
            return mc.hidden_manifold_data(self.network, n_patterns, self.dimension, seed)
        return mc.teacher_data(self.network, n_patterns, seed)

    def simulation(self, instance: int) -> mc.Simulation:
        """The student at its start."""
        seed = child_seed(self._own(instance), 1)
        return mc.Simulation(
            self.network, self.data(instance), beta=self.beta, n_chains=1, seed=seed, start=self.start, threads=1
        )

    def path(self, folder: Path, instance: int) -> Path:
        """File of an instance; another one if any parameter but the number of instances is another."""
        parameters = {**dataclasses.asdict(self), "n_instances": 0, "version": _core.version}
        digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
        return folder / f"{self.name}_{instance:03d}_{digest}.nc"

    def _own(self, instance: int) -> int:
        kind = (self.width << 40) + (self.depth << 20) + self.load
        return child_seed(child_seed(self.seed, kind), instance)


def run_all(students: Sequence[Student], folder: Path, *, workers: int = 0) -> list[xr.Dataset]:
    """Run all instances that are not in the folder yet, and give the results of each kind of student.

    Parameters
    ----------
    students : sequence of Student
        What to run.
    folder : Path
        Made if needed; one netCDF file for each instance.
    workers : int
        Instances at a time, one thread each; 0: as many as the OpenMP default has threads.

    Returns
    -------
    list of Dataset
        One for each kind, with the first dimension ``instance``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers = workers or _core.thread_count(0)
    # The longest ones first, so that no thread waits for a straggler.
    by_cost = sorted(students, key=lambda one: -one.n_sweeps * one.load * one.depth * one.width**3)
    wanted = [(student, i) for student in by_cost for i in range(student.n_instances)]
    missing = [(student, i) for student, i in wanted if not student.path(folder, i).exists()]
    hours = estimated_hours(student for student, _ in missing) / workers
    _log.info(
        "%d of %d instances to run, %d at a time: about %.2f hours (%.1f minutes)",
        len(missing), len(wanted), workers, hours, 60.0 * hours,
    )  # fmt: skip
    results: dict[tuple[Student, int], xr.Dataset] = {}
    stop = threading.Event()
    start = last = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:  # the kernels release the GIL
        futures = {pool.submit(_run, student, i, student.path(folder, i), stop): (student, i) for student, i in missing}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                results[futures[future]] = future.result()
                if time.monotonic() - last > _NEWS:
                    last = time.monotonic()
                    _log.info("%d of %d instances done in %.1f minutes", done, len(missing), (last - start) / 60.0)
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    return [
        xr.concat(
            [
                results[student, i] if (student, i) in results else io.load(student.path(folder, i))
                for i in range(student.n_instances)
            ],
            xr.DataArray(np.arange(student.n_instances), dims="instance", name="instance"),
            combine_attrs="drop_conflicts",
        )
        for student in students
    ]


def estimated_hours(students: Iterable[Student]) -> float:
    """Hours on one thread, one instance for each of the list: some sweeps and one measurement of each size timed."""
    seconds: dict[tuple[int, int, int], tuple[float, float]] = {}
    total = 0.0
    for student in students:
        size = (student.width, student.depth, student.load)
        if size not in seconds:
            simulation = student.simulation(0)
            simulation.run(1, observe=())
            first, start = simulation.sweep, time.perf_counter()
            while (now := time.perf_counter()) - start < _TIMING:
                simulation.run(2 * (simulation.sweep - first) or 1, observe=(), every=2**30)
            sweep = (now - start) / (simulation.sweep - first)
            exam = _Exam(simulation.data)
            exam.overlaps(simulation.bonds(0))  # the first one also imports
            now = time.perf_counter()
            exam.overlaps(simulation.bonds(0))
            seconds[size] = sweep, time.perf_counter() - now
        sweep, overlaps = seconds[size]
        total += sweep * student.n_sweeps + overlaps * (1 + _UNRELATED) + _FILE
    return total / 3600.0


class _Exam:
    """The answers of the teacher, with which those of a student are compared."""

    def __init__(self, data: mc.Data) -> None:
        assert data.teacher is not None and data.test_inputs is not None
        self._data, self._teacher, self._fresh = data, data.teacher, data.test_inputs
        self._unseen = mc.unseen(data)
        self._truth = mc.forward(data.teacher, self._fresh)
        self._learnt = mc.forward(data.teacher, data.inputs)

    def errors(self, bonds: Bonds) -> dict[str, float]:
        """Fractions of wrong output bits: on the patterns, on fresh inputs, and on those new up to their sign."""
        wrong = mc.forward(bonds, self._fresh)[-1] != self._truth[-1]
        return {
            "training_error": mc.training_error(bonds, self._data),
            "test_error": float(wrong.mean()),
            "unseen_error": float(wrong[self._unseen].mean()) if self._unseen.any() else math.nan,
        }

    def overlaps(self, bonds: Bonds) -> dict[str, Floats]:
        """By layer: of aligned bonds, of neurons (free of gauge) on fresh and on learnt inputs."""
        answers = mc.forward(bonds, self._fresh)
        return {
            "bond_overlap": mc.align(self._truth, self._teacher, answers, bonds).aligned_bond_overlap,
            "neuron_overlap": _normalised(self._truth, answers),
            "learnt_overlap": _normalised(self._learnt, mc.forward(bonds, self._data.inputs)),
        }


def _normalised(a: Sequence[npt.NDArray[Any]], b: Sequence[npt.NDArray[Any]]) -> Floats:
    return np.array([float(mc.normalised_overlap(x, y)) for x, y in zip(a[1:], b[1:], strict=True)])


def _run(student: Student, instance: int, path: Path, stop: threading.Event) -> xr.Dataset:
    """One instance, which is also written."""

    def check(done: int, total: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt  # ends a run as Ctrl-C does

    check(0, 1)
    simulation = student.simulation(instance)
    exam = _Exam(simulation.data)
    errors: list[dict[str, float]] = []
    run = xr.Dataset()
    for sweeps in student.sweeps:
        to_do = sweeps - simulation.sweep
        lags: Literal["log"] | None = "log" if sweeps == student.n_sweeps else None
        run = simulation.run(to_do, every=to_do, observe="acceptance", lags=lags, progress=check)
        if "interrupted" in run.attrs:
            raise KeyboardInterrupt
        errors.append(exam.errors(simulation.bonds(0)))
    overlaps = exam.overlaps(simulation.bonds(0))
    unrelated = [
        exam.overlaps(mc.random_bonds(student.network, child_seed(simulation.seed, 2**31 + k)))
        for k in range(_UNRELATED)
    ]
    result = xr.Dataset(
        {
            **{name: ("sweep", [one[name] for one in errors]) for name in errors[0]},
            **{name: ("layer", overlap) for name, overlap in overlaps.items()},
            **{f"prior_{name}": ("layer", np.mean([one[name] for one in unrelated], axis=0)) for name in overlaps},
            "bond_correlation": run["bond_correlation"].isel(chain=0, waiting_time=0, drop=True),
            "acceptance": run["acceptance"].isel(chain=0, draw=-1, drop=True),
        },
        {"sweep": student.sweeps},
        io.provenance("deepglass.reproduce.teacher_student", dataclasses.asdict(student)),
    )
    io.save(result, path)
    return result
