"""Runs of `sign_problem`: complex phi^4 on the contours that are compared, and paths of one variable.

Each is kept in a file of its own, and a trained contour beside it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import contour, io
from ..contour._compiled import kernel_of
from ..contour._trajectory import default_step
from ..random import child_seed
from . import _experiment, _one_variable

__all__ = ["PROVEN", "Lattice", "Method", "OneVariable", "estimated_hours"]

Floats: TypeAlias = npt.NDArray[np.float64]
Check: TypeAlias = Callable[[int, int], None]
Method: TypeAlias = Literal[
    "transfer matrix",
    "flux",
    "flow",
    "undeformed",
    "linear",
    "network",
    "linear + network",
    "invariant network",
    "linear + invariant network",
]

PROVEN = 0.414  # kappa below tan(pi/8): the integral on the linear part is proven to converge

_MEANS = ("density", "phi2", "average_phase", "average_phase_imag")
_NUMBERS = (
    *(f"{name}{error}" for name in _MEANS for error in ("", "_error")),
    *("log_average_phase", "log_average_phase_error"),
    *("n_eff", "acceptance", "kappa", "mass_squared", "seconds"),
    *("gain_from_linear", "gain_from_linear_error", "gain_from_trained", "gain_from_trained_error"),
)  # fmt: skip
_THERMAL = 50
_FLUX_NODES = 10
_HARTREE = 3200  # draws of each run that finds the mass of a linear contour
_STEP_SECONDS = 4e-7  # a leapfrog step on a linear contour of 4 x 4 sites, where the costs below were found


@dataclasses.dataclass(frozen=True)
class Lattice(_experiment.Experiment):
    """Complex phi^4 with mass and coupling 1 by one method.

    Parameters
    ----------
    shape : (n_space, n_time)
    mu : float
        Chemical potential.
    method : str
        "transfer matrix" and "flux" have no sign problem, and give the average phase of the undeformed fields, by
        integration over mu for "flux".  The others sample on a contour.
    n_samples : int
        Draws, of all chains together; for "flux" sweeps of each of four chains.
    n_updates, n_chains : int
        Of the training.
    rate : float
        Of Adam.
    hidden : int
        Hidden units of a network, for an invariant one those for each site.
    max_kappa : float
        Of the linear contour; 0: no limit.
    n_compared : int
        Draws with which ln Z_pq of linear and trained contour are compared, on each of them.
    flow_time : float
        Of the holomorphic flow.
    seed : int
    """

    shape: tuple[int, int]
    mu: float
    method: Method
    n_samples: int = 20_000
    n_updates: int = 300
    n_chains: int = 64
    rate: float = 3e-3
    hidden: int = 64
    max_kappa: float = 0.0
    n_compared: int = 0
    flow_time: float = 0.1
    seed: int = 1
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        limited = f"_kappa{self.max_kappa:g}" if self.max_kappa else ""
        method = self.method.replace(" + ", "+").replace(" ", "_")
        return f"{self.shape[0]}x{self.shape[1]}_mu{self.mu:g}_{method}{limited}"

    @property
    def action(self) -> contour.ComplexPhi4:
        """What is sampled."""
        return contour.ComplexPhi4(self.shape, chemical_potential=self.mu)

    @property
    def trained(self) -> bool:
        """Whether there is a network."""
        return "network" in self.method

    @property
    def cost(self) -> float:
        """Seconds on one thread, roughly."""
        volume = math.prod(self.shape)
        if self.method == "transfer matrix":
            return 1.0
        if self.method == "flux":
            return 1e-7 * volume * (4 * (self.n_samples + 1000) + 8 * _FLUX_NODES * (self.n_samples / 4 + 500))
        if self.method == "flow":
            return 1.5e-6 * (self.n_samples + _THERMAL * 64) * (2 * volume) ** 2 * 10
        steps = math.ceil(1 / default_step(self.action))
        linear = 25e-9 * volume * steps
        hartree = 3 * (_HARTREE + 6400) * linear if "linear" in self.method else 0.0
        if not self.trained:
            return hartree + (self.n_samples + 64 * _THERMAL) * linear
        hidden = self.hidden * (volume if "invariant" in self.method else 1)
        size = min(hidden, 2 * volume)
        step = 3e-10 * (size**3 + size**2 * max(hidden, 2 * volume))
        held_out = 5 * self.n_chains * (30 + self._held_out // self.n_chains)
        trajectories = self.n_updates * self.n_chains * 1.5 + held_out + self.n_samples + 64 * _THERMAL
        return hartree + (trajectories + self.n_compared / 4 * (_THERMAL + 16)) * step * steps

    @property
    def _held_out(self) -> int:
        return max(4 * self.n_chains, self.n_samples // 4)

    def run(self, instance: int, path: Path, check: Check) -> None:
        """Run and write the file."""
        start = time.monotonic()
        found = self._numbers(path, check)
        found["seconds"] = time.monotonic() - start
        numbers = {name: found.get(name, math.nan) for name in _NUMBERS}
        attributes = io.provenance("deepglass.reproduce.sign_problem", dataclasses.asdict(self))
        io.save(xr.Dataset(numbers, attrs=attributes), path)

    def _numbers(self, path: Path, check: Check) -> dict[str, float]:
        seed = self._own(self.method)
        if self.method == "transfer matrix":
            exact = contour.transfer_matrix(self.action)
            names = ("density", "phi2", "average_phase")
            numbers = {name: float(exact[name]) for name in names} | {f"{name}_error": 0.0 for name in names}
            return numbers | {
                "log_average_phase": math.log(numbers["average_phase"]),
                "log_average_phase_error": 0.0,
            }
        if self.method == "flux":
            return self._flux(seed, check)
        linear = self.linear(check) if "linear" in self.method else None
        base = contour.RealPlane() if linear is None else linear
        numbers = {}
        if linear is not None:
            numbers |= {"kappa": linear.kappa, "mass_squared": linear.mass_squared}
        chosen: contour.RealPlane = base
        settings: dict[str, Any] = {"n_samples": self.n_samples, "n_thermal": _THERMAL}
        if self.trained:
            chosen = self._network(linear, path.with_suffix(".contour.nc"), check)
            if self.n_compared:
                numbers |= self._gains(base, chosen, check)
        elif self.method == "flow":
            chosen = contour.HolomorphicFlow(self.action, self.flow_time)
        check(0, 1)
        result = contour.measure(self.action, chosen, seed=child_seed(seed, 1), threads=1, **settings)
        numbers |= {name: float(result[name]) for name in _NUMBERS if name in result}
        if bool(result["resolved"]):
            value, error = numbers["average_phase"], numbers["average_phase_error"]
            numbers |= {"log_average_phase": math.log(abs(value)), "log_average_phase_error": error / abs(value)}
        return numbers

    def _flux(self, seed: int, check: Check) -> dict[str, float]:
        run = contour.flux_simulation(self.action, n_sweeps=self.n_samples, seed=child_seed(seed, 0), threads=1)
        names = ("density", "density_error", "phi2", "phi2_error")
        numbers = {name: float(run[name]) for name in names}
        if self.mu == 0:
            return numbers | {"average_phase": 1.0, "average_phase_error": 0.0, "log_average_phase": 0.0,
                              "log_average_phase_error": 0.0}  # fmt: skip
        phase = contour.undeformed_average_phase(
            self.action, n_nodes=_FLUX_NODES, n_sweeps=self.n_samples // 4, n_thermalise=500, seed=child_seed(seed, 1),
            threads=1, progress=check,
        )  # fmt: skip
        return numbers | {str(name): float(phase[name]) for name in phase if "average_phase" in str(name)}

    def linear(self, check: Check) -> contour.LinearContour:
        """Give the linear contour: the same for all methods that start from it."""
        check(0, 1)
        limit = self.max_kappa or None
        return contour.hartree_contour(
            self.action, n_samples=_HARTREE, seed=self._own("linear"), max_kappa=limit, threads=1
        )

    def _network(self, linear: contour.LinearContour | None, path: Path, check: Check) -> contour.RealPlane:
        if path.exists():
            return contour.load(path)
        seed = self._own(self.method)
        start: contour.NetworkContour
        if "invariant" in self.method:
            start = contour.TranslationInvariantNetwork(self.action, self.hidden, linear=linear, seed=seed)
        elif linear is not None:
            start = contour.LinearPlusNetwork(self.action, self.hidden, linear=linear, seed=seed)
        else:
            start = contour.NetworkContour(self.action, self.hidden, seed=seed)
        found = contour.optimize(
            self.action, start, n_updates=self.n_updates, n_chains=self.n_chains, rate=self.rate,
            n_held_out=self._held_out, seed=child_seed(seed, 2), threads=1, progress=check,
        ).contour  # fmt: skip
        contour.save(found, path)
        return found

    def _gains(self, base: contour.RealPlane, trained: contour.RealPlane, check: Check) -> dict[str, float]:
        """Logarithm of Z_pq(base) / Z_pq(trained), the ratio of average phases, by reweighting either way."""
        numbers = {}
        for sign, here, there, name in ((-1.0, base, trained, "linear"), (1.0, trained, base, "trained")):
            means = np.exp(self._differences(here, there, self._own(name), check)).mean(axis=0)  # (n_chains,)
            mean, error = means.mean(), means.std(ddof=1) / math.sqrt(means.size)
            numbers[f"gain_from_{name}"] = sign * math.log(mean)
            numbers[f"gain_from_{name}_error"] = float(error / mean)
        return numbers

    def _differences(self, here: contour.RealPlane, there: contour.RealPlane, seed: int, check: Check) -> Floats:
        """Re L on the one contour minus that on the other at the same t, drawn on the latter: (4, n_chains)."""
        step = default_step(self.action)
        kernel, made = kernel_of(self.action, here), _THERMAL
        plan = {"n_chains": max(8, self.n_compared // 4), "n_draws": 1, "every": 1, "step": step, "seed": seed,
                "n_steps": math.ceil(1 / step), "threads": 1}  # fmt: skip
        field = kernel.sample(n_thermal=_THERMAL - 1, **plan)["field"]
        rows = []
        for _ in range(4):
            check(0, 1)
            rows.append(log_modulus(self.action, there, field) - log_modulus(self.action, here, field))
            field = kernel.sample(n_thermal=3, field=field, trajectory=made, **plan)["field"]
            made += 4
        return np.array(rows)

    def _own(self, use: str) -> int:
        """Seed for a use."""
        text = json.dumps([self.shape, self.mu, self.max_kappa, use])
        return child_seed(self.seed, zlib.crc32(text.encode()))


def log_modulus(action: contour.ComplexPhi4, chosen: contour.RealPlane, t: Floats) -> Floats:
    """Re L of configurations t."""
    constant = 0.0 if isinstance(chosen, contour.NetworkContour) else chosen.log_jacobian(t[:1]).real
    return np.asarray(constant - kernel_of(action, chosen).measure(t)["action"].real)


@dataclasses.dataclass(frozen=True)
class OneVariable(_experiment.Experiment):
    """Path of one variable, trained.

    Parameters
    ----------
    model : str
        A key of ``_one_variable.MODELS``.
    n_updates : int
        Of the training, if there is one.
    seed : int
    """

    model: str
    n_updates: int = 1500
    seed: int = 1
    n_instances: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return self.model

    @property
    def cost(self) -> float:
        """Seconds on one thread, roughly."""
        return 1.0 + 0.008 * self.n_updates * _one_variable.MODELS[self.model].trained

    def run(self, instance: int, path: Path, check: Check) -> None:
        """Train, and write paths and average phases."""
        found = _one_variable.compute(self.model, self.n_updates, self.seed, check)
        io.save(found.assign_attrs(io.provenance("deepglass.reproduce.sign_problem", dataclasses.asdict(self))), path)


def estimated_hours(experiments: Iterable[_experiment.Experiment]) -> float:
    """Hours on one thread: their costs, by the speed of this machine now."""
    wanted = list(experiments)
    if not wanted:
        return 0.0
    action = contour.ComplexPhi4()
    linear = contour.LinearContour(action)
    start = time.perf_counter()
    contour.measure(action, linear, n_samples=6400, n_thermal=10, seed=1, threads=1)
    speed = (time.perf_counter() - start) / (6400 * 8 * _STEP_SECONDS)
    return speed * sum(one.cost for one in wanted) / 3600.0
