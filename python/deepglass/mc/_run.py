"""A run of a simulation: what it measures and when, the series on their way, the checkpoint."""

from __future__ import annotations

import bisect
import hashlib
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .. import io
from .._check import choice, integer, number
from .._progress import Progress, reporting
from ..random import child_seed
from . import observables
from ._engine import Record, acceptance
from .data import Data, forward
from .network import PerceptronNetwork

if TYPE_CHECKING:
    import xarray as xr

    from .simulation import Simulation

__all__ = ["CHEAP", "Checkpoint", "Going", "Lags", "Machine", "Plan", "Run", "go_on", "refuse_too_large"]

Floats = npt.NDArray[np.float64]
Spins = tuple[npt.NDArray[np.int8], ...]
Bonds = tuple[npt.NDArray[Any], ...]
Machine = tuple[Spins, Bonds]
Lags = Literal["log"] | Sequence[int] | None

_log = logging.getLogger("deepglass")

_BINS = 80  # of the histogram
_PRIOR_SEED = 2**31  # child of the seed of the simulation; those below are its chains


# ---- What can be measured


class _Observable(NamedTuple):
    names: tuple[str, ...]  # of the variables it gives
    measure: Callable[..., tuple[Any, ...]]


def _by_layer(overlap: Callable[..., Any], a: Sequence[Any], b: Sequence[Any]) -> Floats:
    return np.array([overlap(x, y) for x, y in zip(a, b, strict=True)])


def _neuron_overlap(a: Machine, b: Machine) -> Floats:
    return _by_layer(observables.matched_overlap, a[0][1:], b[0][1:])


def _bond_overlap(a: Machine, b: Machine) -> Floats:
    return _by_layer(observables.bond_overlap, a[1], b[1])


def _aligned(a: Machine, b: Machine, network: PerceptronNetwork) -> tuple[Floats, Floats]:
    found = observables.align(*a, *b, permute=network.connectivity is None)
    return found.aligned_overlap[1:], found.aligned_bond_overlap


# At each draw, by the kernel; of two machines, by layer 1..L; of one machine.
CHEAP = ("energy", "acceptance")
_OF_TWO = {
    "neuron_overlap": _Observable(("neuron_overlap",), lambda a, b, _: (_neuron_overlap(a, b),)),
    "bond_overlap": _Observable(("bond_overlap",), lambda a, b, _: (_bond_overlap(a, b),)),
    "normalised_overlap": _Observable(
        ("normalised_overlap",), lambda a, b, _: (_by_layer(observables.normalised_overlap, a[0][1:], b[0][1:]),)
    ),
    "aligned_overlap": _Observable(("aligned_overlap", "aligned_bond_overlap"), _aligned),
}
_OF_ONE = {
    "training_error": _Observable(("training_error",), lambda bonds, data: (observables.training_error(bonds, data),)),
    "generalisation_error": _Observable(
        ("generalisation_error", "unseen_error"),
        lambda bonds, data: tuple(
            observables.generalisation_error(bonds, data, only_unseen=unseen) for unseen in (False, True)
        ),
    ),
}
_OBSERVABLES = (*CHEAP, *_OF_TWO, *_OF_ONE, "histogram")


# ---- A run


class Plan:
    """The arguments of a run, checked: what is measured, and the sweeps at which something is done."""

    def __init__(
        self,
        simulation: Simulation,
        n_sweeps: int,
        every: int,
        observe: str | Iterable[str],
        lags: Lags,
        waiting_times: Sequence[int],
    ) -> None:
        self.first_sweep = simulation.sweep
        self.n_sweeps = integer("n_sweeps", n_sweeps, 0, 2**32 - 1 - self.first_sweep)
        self.every = integer("every", every, 1, 2**32 - 1)
        self.n_draws = self.n_sweeps // self.every
        names = (observe,) if isinstance(observe, str) else observe
        self.observe = tuple(choice("observe", name, _OBSERVABLES) for name in names)
        self.lags = _checked_lags(lags, self.n_sweeps)
        times = tuple(integer("waiting_times", t, 0, self.n_sweeps) for t in waiting_times)
        if len(set(times)) != len(times):
            raise ValueError(f"waiting_times must differ, got {list(waiting_times)!r}")
        self.waiting_times = times if self.lags else ()
        self.number_of_lag = {lag: number for number, lag in enumerate(self.lags)}
        self.groups = self._groups(simulation)
        self.variables = self._variables()
        self.costly = any(name not in CHEAP for name in self.observe)
        n_chains, depth = simulation.n_chains, simulation.network.depth
        self.sizes = {
            "chain": n_chains,
            "draw": self.n_draws,
            "layer": depth,
            "pair": n_chains * (n_chains - 1) // 2,
            "waiting_time": len(self.waiting_times),
            "lag": len(self.lags),
            "bin": _BINS,
        }
        machine = simulation.network.n_hidden_spins(simulation.data.n_patterns) + 8 * simulation.network.n_bonds
        refuse_too_large(
            "the measurements",
            sum(8 * math.prod(self.shape(name)) for name in self.variables)
            + len(self.waiting_times) * n_chains * machine,
        )
        self._stops = sorted(
            {self.n_sweeps, *self.waiting_times}
            | {t + lag for t in self.waiting_times for lag in self.lags if t + lag <= self.n_sweeps}
        )

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a variable."""
        return tuple(self.sizes[dimension] for dimension in self.variables[name])

    def next_stop(self, done: int) -> int:
        """First sweep after `done` at which the configurations are needed."""
        stop = self._stops[bisect.bisect_right(self._stops, done)]
        return min(stop, (done // self.every + 1) * self.every) if self.costly else stop

    def arguments(self) -> dict[str, Any]:
        """Give the arguments as JSON takes them."""
        return {
            "n_sweeps": self.n_sweeps,
            "every": self.every,
            "observe": list(self.observe),
            "lags": list(self.lags),
            "waiting_times": list(self.waiting_times),
        }

    def _groups(self, simulation: Simulation) -> dict[str, str]:
        """Dimension of the overlaps of replicas, and of those with the teacher, by the prefix of their names."""
        groups = {} if simulation.n_chains < 2 else {"": "pair"}
        if _teacher(simulation.network, simulation.data) is not None:
            groups["teacher_"] = "chain"
        for name in self.observe:
            if name == "generalisation_error" and simulation.data.test_inputs is None:
                raise ValueError(f"observe must not have {name!r}: the data have no test set")
            if name in _OF_TWO and not groups:
                raise ValueError(f"observe must not have {name!r} with one chain and no teacher")
            if name == "normalised_overlap" and simulation.data.n_patterns < 2:
                raise ValueError(f"observe must not have {name!r} with a single pattern")
        return groups

    def _variables(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name in self.observe:
            if name == "energy":
                found["energy"] = ("chain", "draw", "layer")
            elif name == "acceptance":
                found["acceptance"] = found["neuron_acceptance"] = ("chain", "draw", "layer")
            elif name == "histogram":
                found["overlap_density"] = ("chain", "layer", "bin")
            elif name in _OF_ONE:
                found |= dict.fromkeys(_OF_ONE[name].names, ("chain", "draw"))
            else:
                for prefix, first in self.groups.items():
                    found |= {prefix + variable: (first, "draw", "layer") for variable in _OF_TWO[name].names}
        if self.waiting_times:
            found["neuron_correlation"] = found["bond_correlation"] = ("chain", "waiting_time", "lag", "layer")
        return found


class Run:
    """A run under way: the sweeps done, the series measured, the configurations kept."""

    def __init__(self, simulation: Simulation, plan: Plan) -> None:
        self.simulation, self.plan = simulation, plan
        self.done = 0
        self.series = {name: np.full(plan.shape(name), np.nan) for name in plan.variables}
        if "overlap_density" in self.series:
            self.series["overlap_density"][:] = 0.0  # counts, until the end
        self.kept: dict[int, list[Machine]] = {}  # by the number of the waiting time
        # Accepted and attempted moves of bonds and of neurons since the last draw.  They are whole numbers: where
        # the run is cut into parts, which depends on the clock, does not show in the acceptances.
        self.moves = np.zeros((2, 2, simulation.n_chains, simulation.network.depth))
        self._teacher = _teacher(simulation.network, simulation.data)
        self._whole = True  # not in the middle of a part

    @property
    def n_sweeps(self) -> int:
        """Sweeps of the whole run."""
        return self.plan.n_sweeps

    @property
    def first_sweep(self) -> int:
        """Sweeps of the simulation before the run."""
        return self.plan.first_sweep

    @property
    def stands(self) -> bool:
        """Whether the run can go on: the simulation is where it left it."""
        return self._whole and self.simulation.sweep == self.plan.first_sweep + self.done

    def begin(self) -> None:
        """Look at the first configuration."""
        self._correlate()

    def advance(self) -> None:
        """Go on to where the configurations are needed, or for a part of a second."""
        plan = self.plan
        self._whole = False
        room = min(plan.next_stop(self.done) - self.done, self.simulation._part)
        to_draw = plan.every - self.done % plan.every
        if to_draw == plan.every <= room:
            self._note(self.simulation._advance(room // plan.every, plan.every), plan.every)
        else:
            n_sweeps = min(room, to_draw)
            self._note(self.simulation._advance(1, n_sweeps), n_sweeps)
        if plan.costly and self.done % plan.every == 0:
            self._observe(self.done // plan.every - 1)
        self._correlate()
        self._whole = True

    def kept_numbers(self) -> list[int]:
        """Give the numbers of the waiting times whose configurations are kept."""
        return list(self.kept)

    def keep_numbers(self, numbers: Sequence[int]) -> None:
        """Keep configurations, whichever, for these waiting times."""
        self.kept = {k: self._machines() for k in numbers}

    def memory(self) -> list[npt.NDArray[Any]]:
        """Give the arrays that make the run, besides the chains."""
        machines = [machine for kept in self.kept.values() for machine in kept]
        return [
            self.moves,
            *self.series.values(),
            *(array for machine in machines for part in machine for array in part),
        ]

    def dataset(self, interrupted: bool) -> xr.Dataset:
        """Give what was measured so far."""
        import xarray as xr

        plan, simulation = self.plan, self.simulation
        n_draws = self.done // plan.every
        variables: dict[str, Any] = {}
        for name, dims in plan.variables.items():
            values = self.series[name]
            variables[name] = (dims, values[:, :n_draws] if dims[1] == "draw" else values.copy())
        if "overlap_density" in variables:
            counts = self.series["overlap_density"]
            total = np.maximum(counts.sum(axis=-1, keepdims=True), 1.0)
            variables["overlap_density"] = (plan.variables["overlap_density"], counts / total * (_BINS / 2.0))
        if "normalised_overlap" in plan.observe:
            seed = child_seed(simulation.seed, _PRIOR_SEED)
            value, error = observables.prior_normalised_overlap(simulation.network, simulation.data.inputs, seed)
            variables |= {"prior_overlap": ("layer", value), "prior_overlap_error": ("layer", error)}
        variables |= {"beta": ("chain", simulation.beta.copy()), "step": ("layer", simulation.step.copy())}
        every_coordinate = {
            "chain": np.arange(simulation.n_chains),
            "draw": plan.first_sweep + plan.every * np.arange(1, n_draws + 1),
            "layer": np.arange(1, simulation.network.depth + 1),
            "pair": [f"{a}-{b}" for a, b in _pairs(simulation.n_chains)],
            "waiting_time": plan.first_sweep + np.array(plan.waiting_times, int),
            "lag": np.array(plan.lags, int),
            "bin": -1.0 + (np.arange(_BINS) + 0.5) * 2.0 / _BINS,
        }
        used = {"chain", "draw", "layer"}.union(*plan.variables.values())
        attributes: dict[str, Any] = io.provenance(
            "mc.Simulation.run", {**simulation._parameters(), **plan.arguments()}, simulation.seed
        )
        attributes["n_sweeps"] = self.done
        if interrupted:
            attributes["interrupted"] = 1
        return xr.Dataset(variables, {name: x for name, x in every_coordinate.items() if name in used}, attributes)

    def _note(self, record: Record, n_sweeps: int) -> None:
        """Take over what the kernel measured at each `n_sweeps` sweeps, `every` or a part of it."""
        every, n_parts = self.plan.every, record.energy.shape[1]
        first = self.done // every
        self.done += n_parts * n_sweeps
        moves = np.stack([record.accepted, record.attempted])
        moves[:, :, :, 0] += self.moves
        complete = self.done % every == 0
        self.moves = np.zeros_like(self.moves) if complete else moves[:, :, :, 0]
        if complete:
            draws = slice(first, self.done // every)
            if "energy" in self.series:
                self.series["energy"][:, draws] = record.energy
            if "acceptance" in self.series:
                both = acceptance(*moves)
                self.series["acceptance"][:, draws], self.series["neuron_acceptance"][:, draws] = both

    def _machines(self) -> list[Machine]:
        return [(self.simulation.spins(c), self.simulation.bonds(c)) for c in range(self.simulation.n_chains)]

    def _observe(self, draw: int) -> None:
        network, data, machines = self.simulation.network, self.simulation.data, self._machines()
        for name in self.plan.observe:
            if name in _OF_TWO:
                for prefix, first in self.plan.groups.items():
                    pairs = _pairs(len(machines))
                    group = [(machines[a], machines[b]) for a, b in pairs]
                    if first == "chain" and self._teacher is not None:
                        group = [(self._teacher, machine) for machine in machines]
                    for k, (a, b) in enumerate(group):
                        for variable, value in zip(
                            _OF_TWO[name].names, _OF_TWO[name].measure(a, b, network), strict=True
                        ):
                            self.series[prefix + variable][k, draw] = value
            elif name in _OF_ONE:
                for k, (_, bonds) in enumerate(machines):
                    for variable, value in zip(_OF_ONE[name].names, _OF_ONE[name].measure(bonds, data), strict=True):
                        self.series[variable][k, draw] = value
            elif name == "histogram":
                self._count_overlaps(machines)

    def _count_overlaps(self, machines: Sequence[Machine]) -> None:
        edges = np.linspace(-1.0, 1.0, _BINS + 1)
        for chain, (spins, _) in enumerate(machines):
            for k, layer in enumerate(spins[1:]):
                values = observables.pattern_pairs(observables.neuron_kernel(layer))
                # Not exactly at an edge: the values are multiples of 2/N.
                counts = np.histogram(np.minimum(values + 1e-9, 1.0), edges)[0]
                self.series["overlap_density"][chain, k] += counts

    def _correlate(self) -> None:
        """Keep the configurations at waiting times, compare with those kept at their lags."""
        plan = self.plan
        ages = {k: self.done - t for k, t in enumerate(plan.waiting_times) if self.done >= t}
        if not any(age == 0 or age in plan.number_of_lag for age in ages.values()):
            return
        now = self._machines()
        for k, age in ages.items():
            if age == 0:
                self.kept[k] = now
            if age in plan.number_of_lag:
                at = k, plan.number_of_lag[age]
                for chain, (new, old) in enumerate(zip(now, self.kept[k], strict=True)):
                    self.series["neuron_correlation"][(chain, *at)] = _neuron_overlap(new, old)
                    self.series["bond_correlation"][(chain, *at)] = _bond_overlap(new, old)
            if age >= plan.lags[-1]:
                self.kept.pop(k, None)


def _pairs(n: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(n) for b in range(a + 1, n)]


def _teacher(network: PerceptronNetwork, data: Data) -> Machine | None:
    """The machine that made the data, if it has the widths of the network."""
    if data.teacher is None or tuple(b.shape for b in data.teacher) != network_shapes(network):
        return None
    spins = data.planted_spins if data.planted_spins is not None else forward(data.teacher, data.inputs)
    return spins, data.teacher


def network_shapes(network: PerceptronNetwork) -> tuple[tuple[int, int], ...]:
    """Shapes of the bonds of layers 1..L."""
    return tuple(zip(network.widths[1:], network.widths[:-1], strict=True))


def _checked_lags(lags: Lags, n_sweeps: int) -> tuple[int, ...]:
    if lags is None:
        return ()
    if isinstance(lags, str):
        choice("lags", lags, ("log",))
        powers = 10.0 ** (np.arange(0, 8 * 10 + 1) / 8.0)
        return (0, *sorted({int(t) for t in np.round(powers) if t <= n_sweeps}))
    checked = tuple(integer("lags", t, 0, n_sweeps) for t in lags)
    if list(checked) != sorted(set(checked)):
        raise ValueError(f"lags must increase, got {list(lags)!r}")
    return checked


def refuse_too_large(what: str, needed: int) -> None:
    """Raise a MemoryError, with the number, if the machine has not so many bytes."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    if needed > 0.9 * available:
        raise MemoryError(f"{what} need about {needed / 2**30:.1f} GiB, the machine has {available / 2**30:.1f} GiB")


# ---- Ctrl-C


@contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C instead of raising KeyboardInterrupt anywhere; gives the question whether it was pressed.

    A handler that is not Python's own stays, and signals belong to the main thread.
    """
    pressed = False

    def note(signal_number: int, frame: object) -> None:
        nonlocal pressed
        pressed = True

    own = signal.getsignal(signal.SIGINT)
    if own is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, own)


# ---- Going on


class Going(Protocol):
    """A run under way, of whatever kind."""

    simulation: Simulation
    done: int  # sweeps

    @property
    def n_sweeps(self) -> int:
        """Sweeps of the whole run."""

    @property
    def first_sweep(self) -> int:
        """Sweeps of the simulation before the run."""

    @property
    def stands(self) -> bool:
        """Whether the run can go on: the simulation is where it left it."""

    def advance(self) -> None:
        """Go on for a part of a second."""

    def kept_numbers(self) -> list[int]:
        """Give what the shapes of `memory` depend on, besides the arguments."""

    def keep_numbers(self, numbers: Sequence[int]) -> None:
        """Give `memory` the shapes that belong to what `kept_numbers` gave."""

    def memory(self) -> list[npt.NDArray[Any]]:
        """Give the arrays that make the run, besides the chains; who writes into them changes the run."""


def go_on(run: Going, keeper: Checkpoint | None, progress: Progress) -> bool:
    """Bring a run to its end, or to Ctrl-C; give whether it was pressed."""
    interrupted = False
    with reporting(progress, "sweeps") as report, ctrl_c() as pressed:
        try:
            report(run.done, run.n_sweeps)
            while run.done < run.n_sweeps and not pressed():
                run.advance()
                report(run.done, run.n_sweeps)
                if keeper:
                    keeper.write_if_due(run)
        except KeyboardInterrupt:
            if not run.stands:
                raise
            interrupted = True
        if keeper:
            keeper.write(run)
        return interrupted or pressed()


# ---- The checkpoint


class Checkpoint:
    """A file that holds a run: the configurations to the last bit, the series, and whose they are."""

    def __init__(
        self,
        simulation: Simulation,
        function: str,
        arguments: Mapping[str, Any],
        path: str | os.PathLike[str],
        interval: float,
    ) -> None:
        self._simulation, self._function, self.path = simulation, function, os.path.realpath(path)
        self._interval = number("checkpoint_interval", interval, ">= 0", lambda x: x >= 0.0)
        self._last = time.monotonic()
        self.identity = {
            "network": json.loads(simulation.network.to_json()),
            "data": {"sha256": _digest(simulation.data)},
            "run": {"function": function, **arguments},
            "simulation": {
                "n_chains": simulation.n_chains,
                "seed": simulation.seed,
                "beta": simulation.beta.tolist(),
                "step": simulation.step.tolist(),
                **{name: x for name, x in simulation._parameters().items() if name not in ("network", "data")},
            },
        }

    def restore(self, run: Going) -> bool:
        """Bring a new run and its simulation to where the file has them, if there is a file."""
        if not os.path.exists(self.path):
            return False
        try:
            stored = io.load(self.path)
            identity = json.loads(stored.attrs["identity"])
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"checkpoint must be a file that a run wrote; {self.path} is not: {error}") from error
        for part, parameters in json.loads(json.dumps(self._identity_of(run))).items():
            for name, value in parameters.items():
                found = identity.get(part, {}).get(name)
                if found != value:
                    raise ValueError(f"checkpoint {self.path} is of another {part}: {name} is {found}, not {value}")
        engine = self._simulation._engine
        engine.sweep, run.done = int(stored.attrs["sweep"]), int(stored.attrs["done"])
        run.keep_numbers(json.loads(stored.attrs["kept"]))
        parts = iter(_unpacked(stored["content"].values, self._content(run)))
        for chain in range(self._simulation.n_chains):
            engine.set_memory(chain, [next(parts) for _ in engine.memory(chain)])
        for array, part in zip(run.memory(), parts, strict=True):
            array[...] = part
        _log.info("run goes on from %s at sweep %d", self.path, engine.sweep)
        return True

    def write_if_due(self, run: Going) -> None:
        """Write if the interval has passed."""
        if time.monotonic() - self._last >= self._interval:
            self.write(run)

    def write(self, run: Going) -> None:
        """Write the whole file, or leave the older one as it is."""
        import xarray as xr

        attributes = {
            **io.provenance(self._function, {"file": "checkpoint"}),
            "identity": json.dumps(self._identity_of(run)),
            "sweep": self._simulation.sweep,
            "done": run.done,
            "kept": json.dumps(run.kept_numbers()),
        }
        io.save(xr.Dataset({"content": ("byte", _packed(self._content(run)))}, attrs=attributes), self.path)
        self._last = time.monotonic()

    def _identity_of(self, run: Going) -> dict[str, Any]:
        return {**self.identity, "run": {**self.identity["run"], "first_sweep": run.first_sweep}}

    def _content(self, run: Going) -> list[npt.NDArray[Any]]:
        """All arrays.  They are written as one: a variable of its own costs milliseconds."""
        chains = range(self._simulation.n_chains)
        return [part for chain in chains for part in self._simulation._engine.memory(chain)] + run.memory()


def _digest(data: Data) -> str:
    digest = hashlib.sha256()
    for layers in (data.inputs, data.outputs, data.test_inputs, data.test_outputs, data.teacher, data.planted_spins):
        for array in layers if isinstance(layers, tuple) else () if layers is None else (layers,):
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _packed(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    return np.concatenate([np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays])


def _unpacked(packed: npt.NDArray[np.uint8], like: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    if packed.size != sum(array.nbytes for array in like):
        raise ValueError(f"checkpoint must hold {sum(array.nbytes for array in like)} bytes, got {packed.size}")
    ends = np.cumsum([array.nbytes for array in like])
    parts = np.split(np.ascontiguousarray(packed), ends[:-1])
    return [part.copy().view(array.dtype).reshape(array.shape) for part, array in zip(parts, like, strict=True)]
