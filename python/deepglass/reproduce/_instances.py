"""Random data learnt by independent chains: the runs of `dynamics`.

An instance has its own random data and its own chain; one that was interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from .. import io, mc
from ..random import child_seed
from . import _experiment

__all__ = ["SILENT", "Point", "estimated_hours", "liquid_energy", "run_all", "silent_instances"]

Protocol = Literal["temperature", "data", "quench"]

SILENT = 0.3  # field variance; 0.6 to 1 in the liquid, below 0.1 in nearly all others

_TIMING = 0.2  # seconds of sweeps from which the duration is estimated
_HOTTEST = 0.2


@dataclasses.dataclass(frozen=True)
class Point(_experiment.Experiment):
    """Random data, a way to low temperature, and the times at which correlations are measured.

    Parameters
    ----------
    width, load, depth : int
        N, M/N and L.
    beta : float
        Inverse temperature of the measurement.
    protocol : "temperature", "data" or "quench"
        The steps before it: colder and colder with all data, more and more data at `beta`, or all data at `beta`.
    n_instances : int
        Data sets, each with one chain.
    n_steps, step_sweeps : int
        Those steps, and sweeps of each.
    waiting_times : tuple of int
        Sweeps after the steps at which a configuration is kept.
    longest_lag : int
        Sweeps over which correlations with it are measured, at eight times in a factor of ten.
    seed : int
        Data and chain of an instance depend on it, width, load and depth: protocols share both.
    """

    width: int
    load: int = 4
    depth: int = 8
    beta: float = 20.0
    protocol: Protocol = "temperature"
    n_instances: int = 8
    n_steps: int = 60
    step_sweeps: int = 50
    waiting_times: tuple[int, ...] = (0, 1000)
    longest_lag: int = 3162
    seed: int = 1

    @property
    def name(self) -> str:
        """For files."""
        return f"N{self.width}_load{self.load}_beta{self.beta:g}_{self.protocol}"

    def network(self, seed: int = 0) -> mc.PerceptronNetwork:
        """The network of an instance, spherical bonds and soft potential; nothing of it is random here."""
        return mc.PerceptronNetwork(width=self.width, depth=self.depth)

    @property
    def n_patterns(self) -> int:
        """Number of patterns M."""
        return self.load * self.width

    @property
    def lags(self) -> tuple[int, ...]:
        """0 and eight lags in a factor of ten."""
        lags = np.round(10.0 ** (np.arange(1 + 8 * 10) / 8.0)).astype(int)
        return (0, *(int(lag) for lag in np.unique(lags) if lag <= self.longest_lag))

    @property
    def run_sweeps(self) -> int:
        """Sweeps after the steps."""
        return max(self.waiting_times) + self.longest_lag

    @property
    def sweeps(self) -> int:
        """All sweeps of an instance."""
        return self.n_steps * self.step_sweeps + self.run_sweeps

    @property
    def cost(self) -> float:
        """Elementary updates."""
        return float(self.sweeps * self.width**3 * self.load)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """One instance, from its checkpoint if there is one."""
        own = child_seed(child_seed(self.seed, (self.width << 32) + (self.load << 16) + self.depth), instance)
        network = self.network(child_seed(own, 2))
        data = mc.random_data(network, self.n_patterns, child_seed(own, 0))
        n_patterns, beta = None, np.full(self.n_steps, self.beta)
        if self.protocol == "temperature":
            beta = np.geomspace(min(_HOTTEST, self.beta), self.beta, self.n_steps)
        elif self.protocol == "data":
            n_patterns = np.ceil(self.n_patterns * np.arange(1, self.n_steps + 1) / self.n_steps).astype(int).tolist()
        checkpoint = path.with_suffix(".checkpoint")
        # The steps are done again after an interrupt (they are a small part, and the same to the last bit).
        simulation, steps = mc.anneal(
            network, data, beta=beta, sweeps=self.step_sweeps, n_patterns=n_patterns,
            n_chains=1, seed=child_seed(own, 1), threads=1, progress=check,
        )  # fmt: skip
        if "interrupted" in steps.attrs:
            raise KeyboardInterrupt
        variance = [_field_variance(simulation)]
        run = simulation.run(
            self.run_sweeps, every=max(1, self.run_sweeps // 200), observe="energy", lags=self.lags,
            waiting_times=self.waiting_times, progress=check, checkpoint=checkpoint,
        )  # fmt: skip
        if "interrupted" in run.attrs:
            raise KeyboardInterrupt
        variance.append(_field_variance(simulation))
        run = run.isel(chain=0)
        result = xr.Dataset(
            {
                "neuron_correlation": run["neuron_correlation"],
                "bond_correlation": run["bond_correlation"],
                "energy_per_gap": run["energy"] / (self.n_patterns * self.width),
                "step_energy_per_gap": steps["energy"].isel(chain=0) / (steps["n_patterns"] * self.width),
                "step_sweep": steps["sweep"],
                "field_variance": (("moment", "layer"), np.array(variance)),
            },
            {"moment": ["start", "end"]},
            io.provenance("deepglass.reproduce.dynamics", dataclasses.asdict(self)),
        ).drop_vars("chain")
        io.save(result.assign_coords(waiting_time=list(self.waiting_times)), path)
        checkpoint.unlink()


def run_all(points: Sequence[Point], folder: Path, *, workers: int = 0) -> list[xr.Dataset]:
    """Run all instances that are not in the folder yet: see `_experiment.run_all`."""
    return _experiment.run_all(points, folder, estimated_hours, workers=workers)


def estimated_hours(points: Iterable[Point]) -> float:
    """Hours on one thread, one instance for each point of the list, from a few sweeps of each size."""
    seconds: dict[tuple[mc.PerceptronNetwork, int], float] = {}
    total = 0.0
    for point in points:
        key = network, n_patterns = point.network(), point.n_patterns
        if key not in seconds:
            simulation = mc.Simulation(
                network, mc.random_data(network, n_patterns, 1), beta=point.beta, n_chains=1, seed=1, threads=1
            )
            simulation.run(1, observe=())
            first, start = simulation.sweep, time.perf_counter()
            while time.perf_counter() - start < _TIMING:
                simulation.run(10, every=10, observe=())
            seconds[key] = (time.perf_counter() - start) / (simulation.sweep - first)
        total += seconds[key] * point.sweeps
    return total / 3600.0


def _field_variance(simulation: mc.Simulation) -> npt.NDArray[np.float64]:
    """Mean of h^2 over the perceptrons and patterns of each layer: 1 where inputs and bonds are unrelated."""
    spins, bonds = simulation.spins(0), simulation.bonds(0)
    fields = [spin.astype(float) @ np.asarray(bond, float).T for spin, bond in zip(spins[:-1], bonds, strict=True)]
    n_inputs = [simulation.network.n_inputs(layer) for layer in range(1, len(fields) + 1)]
    return np.array([np.mean(field**2) / n for field, n in zip(fields, n_inputs, strict=True)])


def silent_instances(result: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Instances with a silent layer at the end of the run."""
    silent: npt.NDArray[np.bool_] = (result["field_variance"].sel(moment="end").min("layer") < SILENT).values
    return silent


def liquid_energy(beta: float) -> float:
    """Energy per gap of independent normal gaps."""
    narrowed = 1.0 / math.sqrt(1.0 + 2.0 * beta)
    return narrowed * narrowed * narrowed / (1.0 + narrowed)
