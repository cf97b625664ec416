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
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, integer, number
from .._core import NumericalError
from .._warnings import ConvergenceWarning
from ..io import provenance

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DeepPerceptron", "coexistence_load", "scan", "solve", "transition_loads", "wetting_load"]

Scenario = Literal["random", "teacher"]
Branch = Literal["wetting", "thick", "crystal"]

# Overlaps the iteration starts from: the name of a branch is its history.
_START_DEFICIT: dict[str, float] = {"wetting": 1.0, "thick": 0.05, "crystal": 1e-6}
_BRANCHES: dict[str, tuple[str, ...]] = {"random": ("wetting",), "teacher": ("wetting", "thick", "crystal")}
# All deficits 1 - q(l) of the crystal are below this (at depth 20 it ends with 1e-3).
_CRYSTAL = 0.05
# The replicon of a marginally stable solution is 1 up to the solver's tolerance.
_MARGINAL = 1.0 + 1e-7
# A continuous step is marginal, and its recursion good to some 1e-7.
_MARGINAL_RSB = 1.0 + 1e-4


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


def _check_steps(steps: int, scenario: str, most: int = 0) -> int:
    if scenario == "teacher" and steps != 0:
        raise ValueError(
            "steps must be 0 with scenario='teacher' (no replica symmetry breaking on the Nishimori line), "
            f"got {steps!r}"
        )
    return integer("steps", steps, 0, most)


def _breakpoints(steps: int, breakpoints: str | npt.ArrayLike) -> npt.NDArray[np.float64]:
    """m_1 .. m_k."""
    if isinstance(breakpoints, str):
        choice("breakpoints", breakpoints, ("uniform",))
        return np.arange(1, steps + 1) / (steps + 1)
    array = np.asarray(breakpoints, dtype=np.float64)
    if array.shape != (steps,):
        raise ValueError(f"breakpoints must have shape ({steps},), got {array.shape}")
    if not (np.diff(np.concatenate([[0.0], array, [1.0]])) > 0.0).all():
        raise ValueError(f"breakpoints must increase strictly within (0, 1), got {array.tolist()}")
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
    if not hasattr(start, "data_vars"):
        raise ValueError(f"start must be a solution, a Dataset of `solve`, got {start!r}")
    fields = []
    for name, dims, size in (
        ("neuron_deficit", ("layer", "step"), model.depth + 1),
        ("bond_deficit", ("bond_layer", "step"), model.depth),
    ):
        if name not in start or start[name].dims != dims or start[name].shape != (size, 1):
            raise ValueError(
                f"start must be a solution with {name} of dims {dims} and shape ({size}, 1); "
                "select one load of a scan first"
            )
        fields.append(np.ascontiguousarray(start[name].values[:, 0], dtype=np.float64))
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
        warnings.warn("; ".join(parts), ConvergenceWarning, stacklevel=4)


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


def _solve_hierarchical(
    model: DeepPerceptron, breakpoints: npt.NDArray[np.float64], numerical: dict[str, Any], threads: int
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.str_]]:
    """The same with steps, at the model's own load."""
    raw: dict[str, npt.NDArray[Any]] = _core.deep_perceptron_solve_hierarchical(
        model.depth, model.load, breakpoints, model.wall_width, model.wall_shift, **numerical, threads=threads
    )
    for kind in ("neuron", "bond"):
        for what in ("overlap", "deficit"):
            raw[f"{kind}_{what}"] = raw[f"{kind}_{what}"][np.newaxis]
    solid = (raw["neuron_overlap"][0, 1:-1] > 0.0).any()
    return raw, np.array(["wetting" if solid else "liquid"])


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

    stable = raw["replicon"] <= (_MARGINAL if breakpoints.size == 0 else _MARGINAL_RSB)
    _warn_once(raw, stable, breakpoints.size)
    overlap_dims = {"neuron": ("load", "layer", "step"), "bond": ("load", "bond_layer", "step")}
    variables: dict[str, Any] = {
        f"{kind}_{what}": (dims, raw[f"{kind}_{what}"])
        for kind, dims in overlap_dims.items()
        for what in ("overlap", "deficit")
    }
    left = np.concatenate([[0.0], breakpoints])
    variables["breakpoint"] = ("step", left)
    for name in ("free_entropy", "replicon", "residual", "min_gap", "iterations", "converged"):
        if name in raw:
            variables[name] = ("load", raw[name])
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


_DESCRIPTIONS = {
    "neuron_overlap": "neuron overlap q(l)",
    "bond_overlap": "bond overlap Q(l)",
    "neuron_deficit": "1 - q(l), without cancellation",
    "bond_deficit": "1 - Q(l), without cancellation",
    "breakpoint": "breakpoint m_i, the left end of the step in x",
    "free_entropy": "replica free entropy per N M",
    "replicon": "largest eigenvalue of the replicon map; > 1 is unstable",
    "min_gap": "smallest distance between neighbouring overlaps q_i(l) of a solid layer",
    "residual": "largest change of 1 - q, and relative change of 1 - Q, in one more iteration",
    "load": "load alpha = M/N",
}


def solve(
    model: DeepPerceptron,
    steps: int = 0,
    branch: Branch = "wetting",
    *,
    breakpoints: Literal["uniform"] | npt.ArrayLike = "uniform",
    start: xr.Dataset | None = None,
    atol: float | None = None,
    max_iter: int | None = None,
    threads: int = 0,
) -> xr.Dataset:
    """Overlaps of the deep perceptron network, layer by layer.

    Solves the saddle-point equations of the replica free entropy per N M: for a level of overlaps q(l), Q(l)

        lambda(l) = q(l-1) Q(l) q(l),      g(l) = E f'^2,   f(h) = ln Phi(h / sqrt(1 - lambda)),  h ~ N(0, lambda)
        Q(l) / (1 - Q(l))^2 = load q(l-1) q(l) g(l)
        q(l) = E tanh^2 h,   h ~ N(0, epsilon),   epsilon(l) = q(l-1) Q(l) g(l) + Q(l+1) q(l+1) g(l+1)

    for random data, and with every average weighted by exp(f) (one planted replica) for a teacher.  With k steps
    of replica symmetry breaking the overlap is a step function q(x) = q_i on m_i < x < m_{i+1}, i = 0..k, of fixed
    breakpoints, and the averages become the Parisi recursion.

    Parameters
    ----------
    model : DeepPerceptron
        The network and its load.
    steps : int from 0 to 64
        Steps k of replica symmetry breaking; 0 is replica symmetric, and exact with a teacher.
    branch : "wetting", "thick" or "crystal"
        "wetting": layers order one after the other from the liquid.  With a teacher also "thick", reached
        from large overlaps, all layers solid, and "crystal", all overlaps close to 1 (the teacher itself).
    breakpoints : "uniform" or array, shape (steps,)
        m_1 .. m_k, increasing in (0, 1); "uniform" is m_i = i/(k+1).  They are not optimised.
    start : Dataset, optional
        A solution for the same depth to start from instead, for example at a neighbouring load (steps=0 only).
    atol : float, optional
        Converged when one more iteration changes no 1 - q, and no 1 - Q relatively, by more (with steps: no
        overlap); 1e-13, with steps 1e-8.
    max_iter : int, optional
        Limit of iterations; 20000, with steps 100000.
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
        layer is solid; ``breakpoint`` (step), with coordinates x_left, x_right on step; with steps also ``min_gap``,
        the smallest distance between neighbouring overlaps of a layer (NaN in the liquid).  ``residual_history``
        (iteration) is there for a look at what did not converge.

    Raises
    ------
    ValueError
        If an argument is out of range, or the branch is not one of the scenario.
    NumericalError
        If the branch does not exist at this load, or the overlaps of random data run away to 1: no volume is left
        (depth 2 above load 2/(1 - sqrt(2/pi))^2 = 48.96; any depth with a large wall_shift).

    Warns
    -----
    ConvergenceWarning
        If the solution is not converged or not stable.

    Notes
    -----
    A branch is named by its history.  Branches merge: where the wetting branch has no liquid left it can be the thick
    one, and at small depth or large load the crystal.  ``free_entropy`` counts the constraints of all layers; a
    negative wall_shift can make it positive.

    Plain iteration with Newton's method on five diagonals; about a hundred sweeps of 1.5 microseconds a layer.
    The averages are exact to rounding.  Equations: Yoshino (2020); those of the teacher follow from n + 1 -> 1
    replicas.  With steps: plain iteration with Anderson's acceleration, 1e3 to 1e4 sweeps of 0.1 to 3 ms; averages
    good to 1e-8.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.DeepPerceptron(depth=20, load=250.0, scenario="teacher")
    >>> solution = dg.parisi.solve(model)
    >>> solution.neuron_overlap.values[1:6, 0].round(4).tolist()
    [0.7165, 0.4779, 0.3151, 0.1843, 0.0757]
    >>> round(float(solution.free_entropy), 9)
    -0.423270297
    """
    if not isinstance(model, DeepPerceptron):
        raise ValueError(f"model must be a DeepPerceptron, got {model!r}")
    steps = _check_steps(steps, model.scenario, _MOST_STEPS)
    branch_name = choice("branch", branch, _BRANCHES[model.scenario])
    levels = _breakpoints(steps, breakpoints)
    threads = integer("threads", threads, 0, _MOST_THREADS)
    parameters = dataclasses.asdict(model) | {"steps": steps, "branch": branch_name}
    loads = np.array([model.load])
    if steps > 0:
        if start is not None:
            raise ValueError("start must be None with steps > 0")
        numerical = _numerical(1e-8 if atol is None else atol, 100_000 if max_iter is None else max_iter)
        raw, names = _solve_hierarchical(model, levels, numerical, threads)
        parameters |= {"breakpoints": levels.tolist()}
    else:
        numerical = _numerical(1e-13 if atol is None else atol, 20_000 if max_iter is None else max_iter)
        raw, names, exists = _solve_loads(model, loads, branch_name, start, numerical, 1)
        if not exists[0]:
            raise NumericalError(
                f"the {branch} branch does not exist at load {model.load:g} and depth {model.depth}: the iteration "
                "from large overlaps ends on another; branch='wetting' exists at every load"
            )
        if raw["jammed"][0]:
            raise NumericalError(
                f"no replica-symmetric solution at load {model.load:g}, depth {model.depth}, wall_shift "
                f"{model.wall_shift:g}: the overlaps run away to 1 (jamming)"
            )
        if start is not None:
            parameters |= {"start": start.attrs.get("parameters", "given")}
    return _dataset(model, raw, names, loads, levels, "deepglass.parisi.solve", parameters | numerical).isel(load=0)


def scan(
    model: DeepPerceptron,
    loads: npt.ArrayLike,
    steps: int = 0,
    branch: Branch = "wetting",
    *,
    atol: float = 1e-13,
    max_iter: int = 20000,
    threads: int = 0,
) -> xr.Dataset:
    """Solve at many loads, in parallel; each load from the start of its branch.

    Parameters
    ----------
    model : DeepPerceptron
        Its own load is not used.
    loads : array, shape (n_loads,)
        Loads alpha, each > 0.
    steps : int
        As in `solve`.
    branch : "wetting", "thick" or "crystal"
        As in `solve`.
    atol : float
        As in `solve`.
    max_iter : int
        As in `solve`.
    threads : int
        0 for the OpenMP default.  The result does not depend on it.

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
    _check_steps(steps, model.scenario)
    branch_name = choice("branch", branch, _BRANCHES[model.scenario])
    array = np.asarray(loads)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"loads must be real numbers, got an array of {array.dtype}")
    array = array.astype(np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"loads must have shape (n_loads,) with n_loads >= 1, got {array.shape}")
    for load in array:
        _load(float(load), "loads")
    numerical = _numerical(atol, max_iter)
    threads = integer("threads", threads, 0, _MOST_THREADS)
    raw, names, exists = _solve_loads(model, array, branch_name, None, numerical, threads)
    names = np.where(exists, names, "")
    exists &= ~raw["jammed"]
    for name in ("neuron_overlap", "neuron_deficit", "bond_overlap", "bond_deficit", "free_entropy", "replicon"):
        raw[name][~exists] = np.nan
    raw["converged"] &= exists
    raw["missing"] = ~exists
    raw.pop("residual_history", None)
    parameters = dataclasses.asdict(model) | {"steps": steps, "branch": branch_name} | numerical
    del parameters["load"]
    return _dataset(model, raw, names, array, np.empty(0), "deepglass.parisi.scan", parameters)


def transition_loads(
    depth: int = 20,
    scenario: Scenario = "random",
    steps: int = 0,
    n_layers: int = 6,
    *,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
    atol: float = 1e-13,
    max_iter: int = 200_000,
) -> xr.Dataset:
    """Loads at which the layers, counted from either end, leave the liquid on the wetting branch.

    A liquid layer l orders when ``load g(0)^2 [q(l-1)^2 + q(l+1)^2]`` reaches one, where g(0) is the wall's
    response at zero overlap (2/pi for the hard wall).  The root is bracketed on the branch where exactly the
    layers below l are solid.

    Parameters
    ----------
    depth : int >= 2
        Number of weight layers.
    scenario : "random" or "teacher"
        As in `DeepPerceptron`.
    steps : int
        Steps of replica symmetry breaking; 0 is what is available.
    n_layers : int
        Layers 1..n_layers, at most depth // 2.
    wall_width : float
        As in `DeepPerceptron`.
    wall_shift : float
        As in `DeepPerceptron`.
    atol : float
        As in `solve`.
    max_iter : int
        As in `solve`.

    Returns
    -------
    Dataset
        ``load`` (layer), ``load_error`` (half of the last bracket), and ``jump``, the change of the left-hand
        side across that bracket: zero up to rounding where the transition is continuous, of order one where the
        front moves on by a jump.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If a layer stays liquid up to load 10^15, or the iteration does not converge.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.transition_loads(20, "random", n_layers=2)["load"].values.round(4).tolist()
    [2.4674, 21.0117]
    """
    import xarray as xr

    model = DeepPerceptron(depth, 1.0, scenario, wall_width, wall_shift)
    _check_steps(steps, scenario)
    n_layers = integer("n_layers", n_layers, 1, model.depth // 2)
    numerical = _numerical(atol, max_iter)
    raw = _core.deep_perceptron_transition_loads(
        model.depth, model.replicas, model.wall_width, model.wall_shift, 1, n_layers, **numerical
    )
    parameters = dataclasses.asdict(model) | {"steps": steps, "n_layers": n_layers} | numerical
    del parameters["load"]
    dataset = xr.Dataset(
        {name: ("layer", values) for name, values in raw.items()},
        coords={"layer": np.arange(1, n_layers + 1)},
        attrs=provenance("deepglass.parisi.transition_loads", parameters),
    )
    dataset["load"].attrs["long_name"] = "transition load alpha_g(l)"
    return dataset


def wetting_load(
    depth: int | npt.ArrayLike = 20,
    scenario: Scenario = "random",
    steps: int = 0,
    *,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
    atol: float = 1e-13,
    max_iter: int = 200_000,
    threads: int = 0,
) -> float | npt.NDArray[np.float64]:
    """Load above which no liquid layer remains on the wetting branch: the transition load of the central layer.

    Parameters
    ----------
    depth : int from 2 to 10^6, or array of them, shape (n_depths,)
        Number of weight layers.
    scenario : "random" or "teacher"
        As in `DeepPerceptron`.
    steps : int
        Steps of replica symmetry breaking; 0 is what is available.
    wall_width : float
        As in `DeepPerceptron`.
    wall_shift : float
        As in `DeepPerceptron`.
    atol : float
        As in `solve`.
    max_iter : int
        As in `solve`.
    threads : int
        0 for the OpenMP default; the depths are shared out.  The result does not depend on it.

    Returns
    -------
    float, or array of shape (n_depths,)

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If the centre stays liquid up to load 10^15, or the iteration does not converge.

    Examples
    --------
    >>> import deepglass as dg
    >>> round(dg.parisi.wetting_load(2), 6)  # pi^2 / 8
    1.233701
    """
    array = np.asarray(depth)
    if array.ndim > 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"depth must be an integer or an array of them, shape (n_depths,), got {depth!r}")
    models = [DeepPerceptron(int(d), 1.0, scenario, wall_width, wall_shift) for d in np.atleast_1d(array)]
    _check_steps(steps, scenario)
    loads = _core.deep_perceptron_wetting_loads(
        np.array([model.depth for model in models]),
        models[0].replicas,
        models[0].wall_width,
        models[0].wall_shift,
        **_numerical(atol, max_iter),
        threads=integer("threads", threads, 0, _MOST_THREADS),
    )
    return loads if array.ndim == 1 else float(loads[0])


def coexistence_load(
    depth: int = 20, branches: tuple[Branch, Branch] = ("wetting", "crystal"), *, rtol: float = 1e-10
) -> float:
    """Load at which two branches of the teacher-student network have equal posterior entropy.

    Parameters
    ----------
    depth : int >= 2
        Number of weight layers.
    branches : pair of "wetting", "thick", "crystal"
        The two branches to compare.
    rtol : float
        Relative accuracy of the load.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If the two branches nowhere exist apart with entropies that cross (loads 1 to 10^5 are searched).

    Examples
    --------
    >>> import deepglass as dg
    >>> round(dg.parisi.coexistence_load(20, ("wetting", "crystal")), 1)
    277.1
    """
    import scipy.optimize

    if len(branches) != 2 or branches[0] == branches[1]:
        raise ValueError(f"branches must be two different names, got {branches!r}")
    for name in branches:
        choice("branches", name, _BRANCHES["teacher"])
    number("rtol", rtol, "a number from 1e-14 to 1", lambda x: 1e-14 <= x <= 1.0)
    model = DeepPerceptron(depth=depth, scenario="teacher")

    def advantage(loads: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Entropy of the second branch minus that of the first; NaN where they are not two."""
        first, second = (scan(model, loads, branch=name) for name in branches)
        distance = np.abs(first.neuron_overlap - second.neuron_overlap).max(("layer", "step")).values
        difference = (second.free_entropy - first.free_entropy).values
        return np.where(distance > 1e-6, difference, np.nan)

    grid = np.geomspace(1.0, 1e5, 256)
    values = advantage(grid)
    crossing = np.flatnonzero(values[:-1] * values[1:] <= 0.0)
    if crossing.size == 0:
        raise NumericalError(
            f"the {branches[0]} and {branches[1]} branches have no load of equal entropy at depth {depth}"
        )
    i = int(crossing[0])
    root = scipy.optimize.brentq(
        lambda load: float(advantage(np.array([load]))[0]), grid[i], grid[i + 1], xtol=1e-300, rtol=rtol
    )
    return float(root)
