"""Students of a teacher: the runs of `teacher_student`.

An instance has its own teacher, data and start.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import io, mc
from ..random import child_seed
from . import _experiment

__all__ = ["Student", "estimated_hours", "run_all"]

Floats: TypeAlias = npt.NDArray[np.float64]
Bonds: TypeAlias = tuple[npt.NDArray[Any], ...]

_TIMING = 0.05  # seconds of sweeps from which the duration is estimated
_FILE = 0.15  # seconds to write one, and what else an instance takes
_UNRELATED = 8  # machines from the prior whose overlap with the teacher is the zero of that of the student


@dataclasses.dataclass(frozen=True)
class Student(_experiment.Experiment):
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

    @property
    def cost(self) -> float:
        """Elementary updates."""
        return float(self.n_sweeps * self.load * self.depth * self.width**3)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """One instance."""
        simulation = self.simulation(instance)
        exam = _Exam(simulation.data)
        errors: list[dict[str, float]] = []
        run = xr.Dataset()
        for sweeps in self.sweeps:
            to_do = sweeps - simulation.sweep
            lags: Literal["log"] | None = "log" if sweeps == self.n_sweeps else None
            run = simulation.run(to_do, every=to_do, observe="acceptance", lags=lags, progress=check)
            if "interrupted" in run.attrs:
                raise KeyboardInterrupt
            errors.append(exam.errors(simulation.bonds(0)))
        overlaps = exam.overlaps(simulation.bonds(0))
        unrelated = [
            exam.overlaps(mc.random_bonds(self.network, child_seed(simulation.seed, 2**31 + k)))
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
            {"sweep": self.sweeps},
            io.provenance("deepglass.reproduce.teacher_student", dataclasses.asdict(self)),
        )
        io.save(result, path)

    def _own(self, instance: int) -> int:
        kind = (self.width << 40) + (self.depth << 20) + self.load
        return child_seed(child_seed(self.seed, kind), instance)


def run_all(students: Sequence[Student], folder: Path, *, workers: int = 0) -> list[xr.Dataset]:
    """Run all instances that are not in the folder yet: see `_experiment.run_all`."""
    return _experiment.run_all(students, folder, estimated_hours, workers=workers)


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
