"""What the runs of `sign_problem` gave: look-up, references and pulls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..stats import Estimate
from ._contours import Lattice, Method

__all__ = ["Runs"]

_EXACT: tuple[Method, ...] = ("transfer matrix", "flux")
_PULLS = ("density", "phi2", "average_phase", "average_phase_imag")


class Runs:
    """Runs on lattices and their numbers."""

    def __init__(self, pairs: Sequence[tuple[Lattice, xr.Dataset]]) -> None:
        self.tasks = [task for task, _ in pairs]
        self._found = dict(pairs)
        numbers = xr.concat([one for _, one in pairs], "run", combine_attrs="drop")
        labels = {
            "n_space": [task.shape[0] for task in self.tasks],
            "n_time": [task.shape[1] for task in self.tasks],
            "chemical_potential": [task.mu for task in self.tasks],
            "method": [task.method for task in self.tasks],
            "max_kappa": [task.max_kappa for task in self.tasks],
            "n_samples": [task.n_samples for task in self.tasks],
            "n_updates": [task.n_updates if task.trained else 0 for task in self.tasks],
            "hidden": [task.hidden if task.trained else 0 for task in self.tasks],
        }
        pulls = {f"{name}_pull": ("run", [self.pull(task, name) for task in self.tasks]) for name in _PULLS}
        self.dataset = numbers.assign(pulls).assign_coords({name: ("run", values) for name, values in labels.items()})

    def value(self, task: Lattice, name: str) -> float:
        """A number of a run."""
        return float(self._found[task][name])

    def estimate(self, task: Lattice, name: str) -> Estimate:
        """A number with its error."""
        return Estimate(self.value(task, name), self.value(task, f"{name}_error"))

    def select(self, shape: tuple[int, int], method: Method, max_kappa: float = 0.0) -> list[Lattice]:
        """Runs of a lattice by one method, by growing mu; the longest of each mu."""
        found: dict[float, Lattice] = {}
        for task in self.tasks:
            if (task.shape, task.method, task.max_kappa) == (shape, method, max_kappa):
                before = found.get(task.mu)
                if before is None or before.n_samples < task.n_samples:
                    found[task.mu] = task
        return [found[mu] for mu in sorted(found)]

    def find(self, shape: tuple[int, int], mu: float, method: Method, max_kappa: float = 0.0) -> Lattice | None:
        """The run at one mu, if there is one."""
        return next((task for task in self.select(shape, method, max_kappa) if task.mu == mu), None)

    def squares(self, method: Method) -> list[tuple[int, int]]:
        """Square lattices of a method."""
        shapes = {task.shape for task in self.tasks if task.method == method and task.shape[0] == task.shape[1]}
        return sorted(shapes)

    def volumes(self, mu: float, max_kappa: float) -> list[Lattice]:
        """Linear contours of square lattices, by growing volume."""
        found = (self.find(shape, mu, "linear", max_kappa) for shape in self.squares("linear"))
        return [task for task in found if task is not None]

    def reference(self, task: Lattice) -> Lattice | None:
        """The run without a sign problem at the same point."""
        found = (self.find(task.shape, task.mu, method) for method in _EXACT)
        return next((one for one in found if one is not None), None)

    def base(self, task: Lattice) -> Lattice | None:
        """The run on the linear contour from which a network started."""
        return self.find(task.shape, task.mu, "linear", task.max_kappa)

    def pull(self, task: Lattice, name: str) -> float:
        """Distance from the reference in standard errors of both, NaN where there is nothing to compare."""
        mine = self.estimate(task, name)
        if task.method in _EXACT or (name == "average_phase" and task.method != "undeformed"):
            return math.nan
        if name == "average_phase_imag":
            return _ratio(mine.value, mine.error)
        reference = self.reference(task)
        if reference is None or (name == "average_phase" and not math.isfinite(self.value(task, "density"))):
            return math.nan
        theirs = self.estimate(reference, name)
        return _ratio(mine.value - theirs.value, math.hypot(mine.error, theirs.error))

    def log_ratio(self, task: Lattice) -> Estimate:
        """Logarithm of the average phase of a trained contour over that of the linear one, each from its own sample."""
        base = self.base(task)
        assert base is not None
        after, before = (self.estimate(one, "log_average_phase") for one in (task, base))
        return Estimate(after.value - before.value, float(np.hypot(after.error, before.error)))


def _ratio(difference: float, error: float) -> float:
    if error == 0.0:
        return 0.0 if abs(difference) < 1e-12 else math.inf
    return difference / error
