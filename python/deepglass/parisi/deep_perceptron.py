"""Parisi equations of the deep perceptron network: how its layers order as training data are added.

The network has ``depth`` layers of perceptrons of width N, trained on M = ``load`` N patterns without error.
Two machines trained on the same data have the overlap q(l) of their neurons in layer l = 0..depth (1 at both
ends, which are data) and Q(l) of their bonds in layer l = 1..depth.  A layer is *liquid* where the overlaps
vanish and *solid* where they do not; solid layers grow from both ends as the load grows.

References
----------
H. Yoshino, "From complex to simple: hierarchical free-energy landscape renormalized in deep neural networks",
SciPost Phys. Core 2, 005 (2020).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, integer, number
from .._core import NumericalError
from .._progress import Progress, reporting
from .._warnings import ConvergenceWarning, UnphysicalWarning, warn
from ..io import provenance
from . import _steps

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DeepPerceptron", "scan", "solve"]

Scenario = Literal["random", "teacher"]
Branch = Literal["wetting", "frozen", "thick", "crystal"]

# Overlaps the iteration starts from: the name of a branch is its history.
_START_DEFICIT: dict[str, float] = {"wetting": 1.0, "thick": 0.05, "crystal": 1e-6}
_BRANCHES: dict[str, tuple[str, ...]] = {"random": ("wetting", "frozen"), "teacher": ("wetting", "thick", "crystal")}
# All deficits 1 - q(l) of the crystal are below this (at depth 20 it ends with 1e-3).
_CRYSTAL = 0.05
# The replicon of a marginally stable solution is 1 up to the solver's tolerance.
_MARGINAL = 1.0 + 1e-7
# A continuous step is marginal, and its recursion good to some 1e-7; eigenvalues by differences to 1e-3.
_MARGINAL_RSB = 1.0 + 1e-4
_STABLE_RSB = 1.0 + 1e-3
# Averages are good to some 1e-9, and (1/m) ln E exp(m f) to 1e-9/m.
_SMALLEST_BREAKPOINT = 1e-4
# A complexity is 0 at a stationary breakpoint, as far as breakpoints are found.
_NEGATIVE_COMPLEXITY = -1e-4

# The limits of the kernels' integers, and of memory.
_MOST_LAYERS = 1_000_000
_MOST_ITERATIONS = 2**62
_MOST_THREADS = 2**30


def _numerical(atol: Any, max_iter: Any) -> dict[str, Any]:
    return {
        "atol": number("atol", atol, "a finite number > 0", lambda x: x > 0.0),
        "max_iter": integer("max_iter", max_iter, 1, _MOST_ITERATIONS),
    }


def _load(value: Any, name: str = "load") -> float:
    return number(name, value, "a finite number > 0", lambda x: x > 0.0)


@dataclasses.dataclass(frozen=True)
class DeepPerceptron:
    """A deep network of perceptrons with spherical bonds and Ising neurons, and the data it has learnt.

    Each perceptron has N bonds J with sum J^2 = N; every gap ``r = S_out sum_k J_k S_k / sqrt(N)`` must be
    positive for every pattern, hidden layers included.

    Parameters
    ----------
    depth : int from 2 to 10^6
        Number L of weight layers.  Layers 0 and L of neurons are the data.
    load : float > 0
        Patterns per unit of width, alpha = M/N.
    scenario : "random" or "teacher"
        Random input and output; or input and output of a random teacher network of the same architecture,
        learnt with Bayes-optimal knowledge of its ensemble (Nishimori line: teacher-student overlaps equal
        student-student overlaps).
    wall_width : float >= 0
        Standard deviation of a Gaussian smearing of the constraint r > 0.
    wall_shift : float in [-5, 5]
        The constraint is r > wall_shift.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.DeepPerceptron(depth=20, load=50.0).scenario
    'random'
    """

    depth: int = 20
    load: float = 50.0
    scenario: Scenario = "random"
    wall_width: float = 0.0
    wall_shift: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges; numbers of any kind become int and float."""
        checked = {
            "depth": integer("depth", self.depth, 2, _MOST_LAYERS),
            "load": _load(self.load),
            "scenario": choice("scenario", self.scenario, tuple(_BRANCHES)),
            "wall_width": number("wall_width", self.wall_width, "a finite number >= 0", lambda x: x >= 0.0),
            "wall_shift": number("wall_shift", self.wall_shift, "a number from -5 to 5", lambda x: abs(x) <= 5.0),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def replicas(self) -> int:
        """Replicas kept in the replica limit: 0 for random data, 1 (the teacher) on the Nishimori line."""
        return 1 if self.scenario == "teacher" else 0


_MOST_STEPS = 64


def _check_steps(steps: int, scenario: str) -> int:
    if scenario == "teacher" and steps != 0:
        raise ValueError(
            "steps must be 0 with scenario='teacher' (no replica symmetry breaking on the Nishimori line), "
            f"got {steps!r}"
        )
    return integer("steps", steps, 0, _MOST_STEPS)


def _breakpoints(steps: int, breakpoints: str | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """m_1 .. m_k; uniform ones where they are to be optimised."""
    if isinstance(breakpoints, str):
        choice("breakpoints", breakpoints, ("uniform", "optimised"))
        return _steps.uniform(steps)
    array = np.asarray(breakpoints)
    if array.shape != (steps,):
        raise ValueError(f"breakpoints must have shape ({steps},), got {array.shape}")
    if steps > 0 and array.dtype.kind not in "iuf":
        raise ValueError(f"breakpoints must be real numbers, got an array of {array.dtype}")
    array = array.astype(np.float64)
    if not (np.diff(np.concatenate([[0.0], array, [1.0]])) > 0.0).all():
        raise ValueError(f"breakpoints must increase strictly within (0, 1), got {array.tolist()}")
    if steps > 0 and array[0] < _SMALLEST_BREAKPOINT:
        raise ValueError(f"breakpoints must be at least {_SMALLEST_BREAKPOINT:g}, got {array[0]:g}")
    return array


def _start(
    model: DeepPerceptron, branch: str, start: xr.Dataset | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Complements 1 - q (depth + 1,) and 1 - Q (depth,) of the overlaps to start from."""
    if start is None:
        deficit = _START_DEFICIT[branch]
        neuron = np.full(model.depth + 1, deficit)
        neuron[[0, -1]] = 0.0
        return neuron, np.full(model.depth, deficit)
    neuron, bond = _start_levels(model, start, np.empty(0))
    return neuron[:, 0], bond[:, 0]


def _start_levels(
    model: DeepPerceptron, start: xr.Dataset, breakpoints: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Complements (depth + 1, k + 1) and (depth, k + 1); other steps than those of `start` are interpolated."""
    fields = []
    for name, dims, size in (
        ("neuron_deficit", ("layer", "step"), model.depth + 1),
        ("bond_deficit", ("bond_layer", "step"), model.depth),
    ):
        if name not in start or start[name].dims != dims or start[name].shape[0] != size:
            raise ValueError(
                f"start must be a solution with {name} of dims {dims} and shape ({size}, steps + 1); "
                "select one load of a scan first"
            )
        values = np.ascontiguousarray(start[name].values, dtype=np.float64)
        if values.shape[1] != breakpoints.size + 1:
            if breakpoints.size == 0:
                raise ValueError(f"start must have 0 steps as the solution asked for, got {values.shape[1] - 1}")
            edges = np.concatenate([[0.0], breakpoints, [1.0]])
            old, new = (start["x_left"] + start["x_right"]).values / 2.0, (edges[1:] + edges[:-1]) / 2.0
            values = np.array([np.interp(new, old, row) for row in values])
        fields.append(values)
    return fields[0], fields[1]


def _warn_once(solution: dict[str, npt.NDArray[Any]], stable: npt.NDArray[np.bool_], steps: int) -> None:
    """Say once, where the caller of `solve` or `scan` stands, what is not converged or not stable."""
    missing = solution.get("missing", np.zeros_like(stable))
    unconverged, unstable = ~solution["converged"] & ~missing, ~stable & ~missing
    where = "" if stable.size == 1 else f" at {{}} of {stable.size} loads"
    parts = []
    if unconverged.any():
        parts.append("not converged" + where.format(unconverged.sum()) + " (see residual)")
    if unstable.any():
        worst = float(solution["replicon"][unstable].max())
        parts.append(
            ("replica-symmetric solution" if steps == 0 else f"solution with {steps} steps")
            + " unstable against replica symmetry breaking"
            + where.format(unstable.sum())
            + f" (largest replicon eigenvalue {worst:.4g} > 1)"
        )
    if parts:
        warn("; ".join(parts), ConvergenceWarning)
    lowest = solution.get("lowest_complexity", np.zeros(1))
    negative = lowest < _NEGATIVE_COMPLEXITY
    if negative.any():
        warn(
            f"the complexity of a frozen step is negative (down to {lowest[negative].min():.3g}"
            + where.format(negative.sum())
            + "): its breakpoint is not stationary, and the solution one of the equations on a fixed grid of "
            "breakpoints, not of the network (breakpoints='optimised' finds the stationary one)",
            UnphysicalWarning,
        )


def _solve_loads(
    model: DeepPerceptron,
    loads: npt.NDArray[np.float64],
    branch: str,
    start: xr.Dataset | None,
    numerical: dict[str, Any],
    threads: int,
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.str_], npt.NDArray[np.bool_]]:
    """Arrays with the loads in front, the branch each solution is on, and whether that is the one asked for."""
    raw: dict[str, npt.NDArray[Any]] = _core.deep_perceptron_solve(
        model.depth,
        loads,
        model.replicas,
        model.wall_width,
        model.wall_shift,
        *_start(model, branch, start),
        **numerical,
        threads=threads,
    )
    solid = raw["neuron_overlap"][:, 1:-1] > 0.0
    crystal = raw["neuron_deficit"][:, 1:-1].max(axis=1) < _CRYSTAL
    for kind in ("neuron", "bond"):
        for what in ("overlap", "deficit"):
            raw[f"{kind}_{what}"] = raw[f"{kind}_{what}"][..., np.newaxis]
    names = np.where(solid.any(axis=1), branch, "liquid")
    names = np.where(raw["jammed"], "jammed", names)
    # Only a converged solution can tell that the branch is not there.
    if branch == "thick":
        exists = ~raw["converged"] | (solid.all(axis=1) & ~crystal)
    elif branch == "crystal":
        exists = ~raw["converged"] | crystal
    else:
        exists = np.ones(loads.size, dtype=bool)
    return raw, names, exists


def _arrays(states: Sequence[_steps.State]) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.str_]]:
    """The arrays of solutions with steps, loads in front, and their branches."""
    raw = {}
    for name in ("neuron_overlap", "neuron_deficit", "bond_overlap", "bond_deficit"):
        raw[name] = np.stack([state.raw[name] for state in states])
    for name in ("free_entropy", "replicon", "stability", "residual", "min_gap", "iterations", "converged"):
        raw[name] = np.concatenate([state.raw[name] for state in states])
    raw["frozen"] = np.stack([state.frozen for state in states])
    raw["complexity"] = np.array([state.complexity for state in states])
    raw["lowest_complexity"] = np.array([np.nanmin(np.append(state.complexities, np.inf)) for state in states])
    raw["free_entropy_slope"] = np.stack([np.concatenate([[np.nan], state.slopes]) for state in states])
    if len(states) == 1:
        raw["residual_history"] = states[0].raw["residual_history"]
    names = [
        "frozen"
        if state.frozen_step is not None
        else "wetting"
        if (state.raw["neuron_overlap"][1:-1] > 0.0).any()
        else "liquid"
        for state in states
    ]
    return raw, np.array(names)


def _dataset(
    model: DeepPerceptron,
    raw: dict[str, npt.NDArray[Any]],
    names: npt.NDArray[np.str_],
    loads: npt.NDArray[np.float64],
    breakpoints: npt.NDArray[np.float64],
    function: str,
    parameters: dict[str, Any],
) -> xr.Dataset:
    """From arrays with the loads in front and the levels behind."""
    import xarray as xr

    if breakpoints.size == 0:
        stable = raw["replicon"] <= _MARGINAL
    else:
        stable = (raw["replicon"] <= _MARGINAL_RSB) & (raw["stability"] <= _STABLE_RSB)
    # `solve` is called by the one that knows all models.
    _warn_once(raw, stable, breakpoints.size)
    overlap_dims = {"neuron": ("load", "layer", "step"), "bond": ("load", "bond_layer", "step")}
    variables: dict[str, Any] = {
        f"{kind}_{what}": (dims, raw[f"{kind}_{what}"])
        for kind, dims in overlap_dims.items()
        for what in ("overlap", "deficit")
    }
    left = np.concatenate([[0.0], breakpoints])
    variables["breakpoint"] = ("step", left)
    for name, dims in _MORE_DIMS.items():
        if name in raw:
            variables[name] = (("load", *dims), raw[name])
    if "residual_history" in raw:
        variables["residual_history"] = ("iteration", raw["residual_history"])
    variables["stable"] = ("load", stable)
    variables["branch"] = ("load", names)
    dataset = xr.Dataset(
        variables,
        coords={
            "load": ("load", loads),
            "layer": np.arange(model.depth + 1),
            "bond_layer": np.arange(1, model.depth + 1),
            "step": np.arange(left.size),
            "x_left": ("step", left),
            "x_right": ("step", np.concatenate([breakpoints, [1.0]])),
        },
        attrs=provenance(function, parameters),
    )
    for name, text in _DESCRIPTIONS.items():
        if name in dataset:
            dataset[name].attrs["long_name"] = text
    return dataset


_MORE_DIMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("free_entropy", "replicon", "stability", "residual", "min_gap"), ()),
    **dict.fromkeys(("iterations", "converged", "complexity"), ()),
    "free_entropy_slope": ("step",),
    "frozen": ("layer", "step"),
}
_DESCRIPTIONS = {
    "neuron_overlap": "neuron overlap q(l)",
    "bond_overlap": "bond overlap Q(l)",
    "neuron_deficit": "1 - q(l), without cancellation",
    "bond_deficit": "1 - Q(l), without cancellation",
    "breakpoint": "breakpoint m_i, the left end of the step in x",
    "free_entropy": "replica free entropy per N M",
    "replicon": "largest eigenvalue of the replicon map; > 1 is unstable",
    "stability": "largest eigenvalue of the iteration at fixed breakpoints; > 1 is unstable",
    "free_entropy_slope": "ds/dm_i at fixed overlaps, 0 where the breakpoint is stationary",
    "complexity": "Sigma = -m^2 ds/dm of the first frozen step, per N M, both ends together",
    "frozen": "1 - q < 0.01: the solutions of one cluster have the same neurons",
    "min_gap": "smallest distance between neighbouring overlaps q_i(l) of a solid layer",
    "residual": "largest change of 1 - q, and relative change of 1 - Q, in one more iteration",
    "load": "load alpha = M/N",
}


def _jamming(model: DeepPerceptron, what: str) -> str:
    return (
        f"no {what} at load {model.load:g}, depth {model.depth}, wall_shift {model.wall_shift:g}: the overlaps run "
        "away to 1 (jamming)"
    )


def solve(
    model: DeepPerceptron,
    steps: int = 0,
    branch: Branch = "wetting",
    *,
    breakpoints: Literal["uniform", "optimised"] | npt.ArrayLike = "uniform",
    frozen_step: int | None = None,
    start: xr.Dataset | None = None,
    atol: float | None = None,
    max_iter: int | None = None,
    threads: int = 0,
) -> xr.Dataset:
    """Overlaps of the deep perceptron network, layer by layer; or of a spin glass or one perceptron.

    Those are described in `parisi.spin_glass.solve` and `parisi.perceptron.solve`.

    Solves the saddle-point equations of the replica free entropy per N M: for a level of overlaps q(l), Q(l)

        lambda(l) = q(l-1) Q(l) q(l),      g(l) = E f'^2,   f(h) = ln Phi(h / sqrt(1 - lambda)),  h ~ N(0, lambda)
        Q(l) / (1 - Q(l))^2 = load q(l-1) q(l) g(l)
        q(l) = E tanh^2 h,   h ~ N(0, epsilon),   epsilon(l) = q(l-1) Q(l) g(l) + Q(l+1) q(l+1) g(l+1)

    for random data, and with every average weighted by exp(f) (one planted replica) for a teacher.  With k steps
    of replica symmetry breaking the overlap is a step function q(x) = q_i on m_i < x < m_{i+1}, i = 0..k, of given or
    optimised breakpoints, and the averages become the Parisi recursion.

    Parameters
    ----------
    model : DeepPerceptron
        The network and its load.
    steps : int from 0 to 64
        Steps k of replica symmetry breaking; 0 is replica symmetric, and exact with a teacher.
    branch : "wetting", "frozen", "thick" or "crystal"
        "wetting": layers order one after the other from the liquid.  Random data with steps: also "frozen", whose
        outermost layers have overlap 1 from `frozen_step` on (a random first-order transition).  With a teacher also
        "thick", reached from large overlaps, all layers solid, and "crystal", all overlaps close to 1 (the teacher
        itself).
    breakpoints : "uniform", "optimised" or array, shape (steps,)
        m_1 .. m_k, increasing in (0, 1), from 1e-4 on; "uniform" is m_i = i/(k+1).  "optimised" makes all of them
        stationary, ds/dm_i = 0 (converged means to 1e-4), and gives the lowest free entropy among those found: with
        nothing frozen, the first layer, deeper ones inside its clusters, all layers of a shallow net.  It is frozen
        above the load alpha_K of `critical_loads` (at depth 20 the second layer too from a load of 60 to 65 on).
    frozen_step : int from 1 to steps, optional
        First frozen step of branch="frozen"; the last one by default.
    start : Dataset, optional
        A solution for the same depth to start from instead, for example at a neighbouring load; with steps it may
        have another number of steps, and is interpolated.  With breakpoints="optimised" the search goes downhill from
        its breakpoints, or from uniform ones where it has another number of steps, and stays on its branch.
    atol : float, optional
        Converged when one more iteration changes no 1 - q, and no 1 - Q relatively, by more; 1e-13, with steps 1e-8
        (and there the change of 1 - q is absolute).
    max_iter : int, optional
        Limit of sweeps; 20000.
    threads : int
        0 for the OpenMP default; used with steps only.  The result does not depend on it.

    Returns
    -------
    Dataset
        ``neuron_overlap`` (layer, step), layer = 0..depth; ``bond_overlap`` (bond_layer, step), bond_layer =
        1..depth; ``neuron_deficit`` and ``bond_deficit``, one minus these to full relative accuracy;
        ``free_entropy`` per N M (ln of the volume of solutions; with a teacher the posterior entropy);
        ``replicon``, the largest eigenvalue of the replicon map (> 1: unstable against replica symmetry
        breaking); ``residual``, ``iterations``, ``converged``, ``stable``; ``branch``, which is "liquid" where no
        layer is solid; ``breakpoint`` (step), with coordinates x_left, x_right on step.  With steps also ``min_gap``,
        the smallest distance between neighbouring overlaps of a layer (NaN in the liquid); ``stability``, the
        largest eigenvalue of the iteration itself; ``free_entropy_slope`` (step), ds/dm_i; ``frozen``
        (layer, step), where 1 - q < 0.01; ``complexity``, Sigma = -m^2 ds/dm at the first frozen step (the log
        number of clusters per N M, both ends together; NaN where nothing is frozen).  ``residual_history``
        (iteration) is there for a look at what did not converge.

    Raises
    ------
    ValueError
        If an argument is out of range, or the branch is not one of the scenario.
    NumericalError
        If the branch does not exist at this load, or the overlaps of random data run away to 1: no volume is left
        (depth 2 above load 2/(1 - sqrt(2/pi))^2 = 48.96; any depth with a large wall_shift).  With optimised
        breakpoints also above the load alpha_J of `critical_loads`: random data are unsatisfiable there.

    Warns
    -----
    ConvergenceWarning
        If the solution is not converged or not stable.
    UnphysicalWarning
        If the complexity of the frozen step is negative.

    Notes
    -----
    A branch is named by its history.  Branches merge: where the wetting branch has no liquid left it can be the thick
    one, and at small depth or large load the crystal.  ``free_entropy`` counts the constraints of all layers; a
    negative wall_shift can make it positive.

    On fixed breakpoints the equations have many solutions at large loads: a jump of q(x) may sit at any of several
    breakpoints, and steps freeze one after the other (from load 80 on at depth 20).  All of them are solutions; which
    one is found depends on the start, and free entropies differ by 1e-3 to 0.1 (`scan` follows one as the load
    grows).

    Replica symmetric: plain iteration with Newton's method on five diagonals; about a hundred sweeps of 1.5
    microseconds a layer.  The averages are exact to rounding.  Equations: Yoshino (2020); those of the teacher follow
    from n + 1 -> 1 replicas.  With steps: implicit steps of the flow du/dt = T(u) - u, u = -ln(1 - q), with a
    Jacobian by differences; 100 to 2000 sweeps of 0.1 to 3 ms; averages good to 1e-8.  Optimised breakpoints: some 50
    solutions (quasi-Newton, L-BFGS).

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=20, load=250.0, scenario="teacher")
    >>> solution = dg.parisi.solve(model)
    >>> solution.neuron_overlap.values[1:6, 0].round(4).tolist()
    [0.7165, 0.4779, 0.3151, 0.1843, 0.0757]
    >>> round(float(solution.free_entropy), 9)
    -0.423270297

    Random data, with nine steps; and the frozen solution that exists beside it:

    >>> model = dg.parisi.DeepPerceptron(depth=20, load=50.0)
    >>> dg.parisi.solve(model, 9).neuron_overlap.values[1:4, -1].round(3).tolist()
    [0.668, 0.298, 0.067]
    >>> frozen = dg.parisi.solve(model, 4, "frozen", breakpoints=[0.2, 0.4, 0.6, 0.7])
    >>> frozen.neuron_overlap.values[1:4, -1].round(2).tolist()
    [1.0, 0.62, 0.26]
    """
    if not isinstance(model, DeepPerceptron):
        raise ValueError(f"model must be a DeepPerceptron, got {model!r}")
    steps = _check_steps(steps, model.scenario)
    branch_name = choice("branch", branch, _BRANCHES[model.scenario])
    levels = _breakpoints(steps, breakpoints)
    threads = integer("threads", threads, 0, _MOST_THREADS)
    numerical = _numerical(
        (1e-8 if steps else 1e-13) if atol is None else atol, 20000 if max_iter is None else max_iter
    )
    parameters = dataclasses.asdict(model) | {"steps": steps, "branch": branch_name} | numerical
    if start is not None:
        if not hasattr(start, "data_vars"):
            raise ValueError(f"start must be a solution, a Dataset of `solve`, got {start!r}")
        parameters |= {"start": start.attrs.get("parameters", "given")}
    if steps == 0 and branch_name == "frozen":
        raise ValueError("branch must be one of 'wetting' with steps=0, got 'frozen'")
    if branch_name == "frozen" and start is not None:
        raise ValueError("start must be None with branch='frozen' (a frozen start stays on its branch)")
    if frozen_step is not None:
        if branch_name != "frozen":
            raise ValueError(f"frozen_step must be None with branch={branch_name!r}, got {frozen_step!r}")
        frozen_step = integer("frozen_step", frozen_step, 1, steps)
    if steps > 0:
        options = _steps.Options(**numerical, threads=threads)
        optimised = isinstance(breakpoints, str) and breakpoints == "optimised"
        if start is not None:
            if optimised and start.sizes.get("step") == steps + 1:
                levels = np.asarray(start["x_left"].values[1:], dtype=np.float64)
            state = _steps.solve(model, levels, options, _start_levels(model, start, levels))
            state = _steps.stationary(state, options) if optimised else state
        elif optimised:
            state = _steps.optimise(model, steps, options)
        elif branch_name == "frozen":
            state = _steps.frozen_branch(model, levels, frozen_step or steps, options)
        else:
            state = _steps.solve(model, levels, options)
        if state.jammed:
            raise NumericalError(_jamming(model, f"solution with {steps} steps"))
        raw, names = _arrays([state])
        if branch_name == "frozen" and names[0] != "frozen":
            raise NumericalError(
                f"the frozen branch does not exist at load {model.load:g} and depth {model.depth} (it is stationary "
                "between alpha_K and alpha_J; see critical_loads)"
            )
        if optimised:
            raw["converged"] &= bool(np.abs(state.slopes).max() <= _steps.STATIONARY)
        levels = state.breakpoints
        parameters |= {"breakpoints": "optimised" if optimised else levels.tolist()}
    else:
        raw, names, exists = _solve_loads(model, np.array([model.load]), branch_name, start, numerical, 1)
        if not exists[0]:
            raise NumericalError(
                f"the {branch} branch does not exist at load {model.load:g} and depth {model.depth}: the iteration "
                "from large overlaps ends on another; branch='wetting' exists at every load"
            )
        if raw["jammed"][0]:
            raise NumericalError(_jamming(model, "replica-symmetric solution"))
    loads = np.array([model.load])
    return _dataset(model, raw, names, loads, levels, "deepglass.parisi.solve", parameters).isel(load=0)


def scan(
    model: DeepPerceptron,
    loads: npt.ArrayLike,
    steps: int = 0,
    branch: Branch = "wetting",
    *,
    breakpoints: Literal["uniform"] | npt.ArrayLike = "uniform",
    load_ratio: float = 1.1,
    atol: float | None = None,
    max_iter: int | None = None,
    threads: int = 0,
    progress: Progress = False,
) -> xr.Dataset:
    """Solve at many loads: in parallel, each from the start of its branch; with steps, one from the other.

    Parameters
    ----------
    model : DeepPerceptron
        Its own load is not used.
    loads : array, shape (n_loads,)
        Loads alpha, each > 0; with steps in increasing order.
    steps : int from 0 to 64
        As in `solve`.
    branch : "wetting", "thick" or "crystal"
        As in `solve`.
    breakpoints : "uniform" or array, shape (steps,)
        As in `solve`, the same at all loads.
    load_ratio : float > 1
        With steps: a solution is followed from one load to the next in steps of at most this ratio.  Where there are
        several solutions, small steps lead to the one that is continuous with small loads (1.1 is small enough at
        depth 20 up to load 4000).
    atol : float, optional
        As in `solve`.
    max_iter : int, optional
        As in `solve`, for each load.
    threads : int
        0 for the OpenMP default.  The result does not depend on it.
    progress : bool or callable
        With steps: True for a bar, or ``f(done, total)``, called after each load.

    Returns
    -------
    Dataset
        The variables of `solve` with a leading dimension ``load``.  Where the branch does not exist ``branch`` is
        "" (or "jammed", where the overlaps of random data run away to 1), the numbers are NaN and ``converged``
        and ``stable`` are false.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        Once, if any solution is not converged or not stable.
    UnphysicalWarning
        Once, if the complexity of a frozen step is negative.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=20, scenario="teacher")
    >>> curve = dg.parisi.scan(model, [2.0, 25.0, 250.0])
    >>> curve.branch.values.tolist()
    ['liquid', 'wetting', 'wetting']
    """
    if not isinstance(model, DeepPerceptron):
        raise ValueError(f"model must be a DeepPerceptron, got {model!r}")
    steps = _check_steps(steps, model.scenario)
    branch_name = choice("branch", branch, [name for name in _BRANCHES[model.scenario] if name != "frozen"])
    if isinstance(breakpoints, str):
        choice("breakpoints", breakpoints, ("uniform",))
    levels = _breakpoints(steps, breakpoints)
    ratio = number("load_ratio", load_ratio, "a finite number > 1", lambda x: x > 1.0)
    array = np.asarray(loads)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"loads must be real numbers, got an array of {array.dtype}")
    array = array.astype(np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"loads must have shape (n_loads,) with n_loads >= 1, got {array.shape}")
    for load in array:
        _load(float(load), "loads")
    threads = integer("threads", threads, 0, _MOST_THREADS)
    numerical = _numerical(
        (1e-8 if steps else 1e-13) if atol is None else atol, 20000 if max_iter is None else max_iter
    )
    parameters = dataclasses.asdict(model) | {"steps": steps, "branch": branch_name} | numerical
    del parameters["load"]
    if steps > 0:
        if not (np.diff(array) > 0.0).all():
            raise ValueError(f"loads must increase with steps > 0, got {array.tolist()}")
        options = _steps.Options(**numerical, threads=threads)
        states: list[_steps.State] = []
        with reporting(progress, "load") as report:
            for load in array.tolist():
                if not states:
                    states.append(_steps.solve(dataclasses.replace(model, load=load), levels, options))
                elif states[-1].jammed:  # and so it is beyond
                    states.append(states[-1])
                else:
                    states.append(_steps.continued(states[-1], load, ratio, options))
                report(len(states), array.size)
        raw, names = _arrays(states)
        exists = np.array([not state.jammed for state in states])
        names = np.where(exists, names, "jammed")
        parameters |= {"breakpoints": levels.tolist(), "load_ratio": ratio}
    else:
        raw, names, exists = _solve_loads(model, array, branch_name, None, numerical, threads)
        names = np.where(exists, names, "")
        exists &= ~raw["jammed"]
    raw.pop("residual_history", None)
    for values in raw.values():
        if values.dtype.kind == "f" and values.shape[0] == array.size:
            values[~exists] = np.nan
    raw["converged"] &= exists
    raw["missing"] = ~exists
    return _dataset(model, raw, names, array, levels, "deepglass.parisi.scan", parameters)
