"""Loads at which the deep perceptron network changes its state.

Random data: layers order one after the other (`transition_loads`, `wetting_load`); the first layer freezes
(`critical_loads`); no network satisfies the data any more (`critical_loads`, `satisfiable_load_bound`).  Teacher:
branches of equal entropy (`coexistence_load`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, integer, number
from .._core import NumericalError
from .._progress import Progress, reporting
from ..io import provenance
from . import _steps
from .deep_perceptron import (
    _BRANCHES,
    _MOST_LAYERS,
    _MOST_STEPS,
    _MOST_THREADS,
    Branch,
    DeepPerceptron,
    Scenario,
    _check_steps,
    _numerical,
    scan,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["coexistence_load", "critical_loads", "satisfiable_load_bound", "transition_loads", "wetting_load"]


def transition_loads(
    depth: int = 20,
    scenario: Scenario = "random",
    steps: int = 0,
    n_layers: int = 6,
    *,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
    atol: float | None = None,
    max_iter: int = 200_000,
    threads: int = 0,
) -> xr.Dataset:
    """Loads at which the layers, counted from either end, leave the liquid on the wetting branch.

    A liquid layer l orders when ``load g(0)^2 [q(l-1)^2 + q(l+1)^2]`` reaches one, where g(0) is the wall's
    response at zero overlap (2/pi for the hard wall) and q the overlap at x = 1.  The root is bracketed on the branch
    where exactly the layers below l are solid; with steps, the one that is followed from small loads on uniform
    breakpoints (see `scan`).

    Parameters
    ----------
    depth : int >= 2
        Number of weight layers.
    scenario : "random" or "teacher"
        As in `DeepPerceptron`.
    steps : int from 0 to 64
        Steps of replica symmetry breaking.
    n_layers : int
        Layers 1..n_layers, at most depth // 2.
    wall_width : float
        As in `DeepPerceptron`.
    wall_shift : float
        As in `DeepPerceptron`.
    atol : float, optional
        As in `solve`.
    max_iter : int
        As in `solve`.
    threads : int
        0 for the OpenMP default; used with steps only.  The result does not depend on it.

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
    steps = _check_steps(steps, scenario)
    n_layers = integer("n_layers", n_layers, 1, model.depth // 2)
    numerical = _numerical((1e-8 if steps else 1e-13) if atol is None else atol, max_iter)
    threads = integer("threads", threads, 0, _MOST_THREADS)
    if steps > 0:
        raw = _transitions_with_steps(
            model, n_layers, _steps.uniform(steps), _steps.Options(**numerical, threads=threads)
        )
    else:
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


# Largest ratio of loads on the way up, and relative width of the last bracket.
_RATIO, _BRACKET = 1.1, 1e-6


def _transitions_with_steps(
    model: DeepPerceptron, n_layers: int, breakpoints: npt.NDArray[np.float64], options: _steps.Options
) -> dict[str, npt.NDArray[np.float64]]:
    """The same as the kernel's, with steps: followed upwards, and bisected from the last state below."""
    response = _core.wall_moments(np.zeros(1), np.ones(1), 0, model.wall_width, model.wall_shift)[0, 1]

    def growth(state: _steps.State, layer: int) -> float:
        q = state.raw["neuron_overlap"][:, -1]
        return float(state.model.load * response**2 * (q[layer - 1] ** 2 + q[layer + 1] ** 2))

    found: dict[str, list[float]] = {"load": [], "load_error": [], "jump": []}
    # The first layer's neighbours are the data, and at depth 2 there are two of them.
    first = 1.0 / (response**2 * (2.0 if model.depth == 2 else 1.0))
    state = _steps.solve(
        dataclasses.replace(model, load=first * (1.0 - 1e-9)),
        breakpoints,
        dataclasses.replace(options, solid_layers=0),
    )
    for layer in range(1, n_layers + 1):
        only = dataclasses.replace(options, solid_layers=layer - 1)

        def at(state: _steps.State, load: float, only: _steps.Options = only) -> _steps.State:
            new = _steps.moved(state, dataclasses.replace(model, load=load), breakpoints, only)
            if not new.converged:
                raise NumericalError(f"no convergence at load {load:g} with {breakpoints.size} steps")
            return new

        below, above = state, at(state, state.model.load * (1.0 + 1e-6))
        while growth(above, layer) < 1.0 and above.model.load <= 1e15:
            below, above = above, at(above, above.model.load * _RATIO)
        if above.model.load > 1e15:
            raise NumericalError(f"layer {layer} stays liquid up to load {above.model.load:g}")
        while above.model.load - below.model.load > _BRACKET * above.model.load:
            middle = at(below, 0.5 * (below.model.load + above.model.load))
            if growth(middle, layer) < 1.0:
                below = middle
            else:
                above = middle
        found["load"].append(0.5 * (below.model.load + above.model.load))
        found["load_error"].append(0.5 * (above.model.load - below.model.load))
        found["jump"].append(growth(above, layer) - growth(below, layer))
        state = above
    return {name: np.array(values) for name, values in found.items()}


def wetting_load(
    depth: int | npt.ArrayLike = 20,
    scenario: Scenario = "random",
    steps: int = 0,
    *,
    wall_width: float = 0.0,
    wall_shift: float = 0.0,
    atol: float | None = None,
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
    steps : int from 0 to 64
        Steps of replica symmetry breaking, as in `transition_loads`.
    wall_width : float
        As in `DeepPerceptron`.
    wall_shift : float
        As in `DeepPerceptron`.
    atol : float, optional
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
    steps = _check_steps(steps, scenario)
    numerical = _numerical((1e-8 if steps else 1e-13) if atol is None else atol, max_iter)
    threads = integer("threads", threads, 0, _MOST_THREADS)
    if steps > 0:
        options = _steps.Options(**numerical, threads=threads)
        centres = [
            _transitions_with_steps(model, model.depth // 2, _steps.uniform(steps), options)["load"][-1]
            for model in models
        ]
        return np.array(centres) if array.ndim == 1 else float(centres[0])
    loads = _core.deep_perceptron_wetting_loads(
        np.array([model.depth for model in models]),
        models[0].replicas,
        models[0].wall_width,
        models[0].wall_shift,
        **numerical,
        threads=threads,
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


# critical_loads: frozen breakpoints from which m -> 0 is taken.
_SMALL_BREAKPOINTS = (0.05, 0.025, 0.0125)


def critical_loads(depth: int = 20, steps: int = 12, *, threads: int = 0, progress: Progress = False) -> xr.Dataset:
    """Loads at which the first layer freezes, and at which random data become unsatisfiable (hard wall).

    Beside the continuous branch there is a solution whose outermost layers are frozen, q = 1, from a breakpoint m
    on: the solutions fall into clusters that share these neurons (a random first-order transition).  With
    Sigma(m) = -m^2 ds/dm the log number of clusters per N M:

    alpha_d
        from here on the frozen solution exists at m = 1 (clustering);
    alpha_K
        Sigma(m = 1) = 0: clusters run out, the layer freezes, and m < 1 beyond (condensation);
    alpha_J
        the stationary m, Sigma(m) = 0, reaches 0 and the free entropy minus infinity (jamming): no solutions beyond.

    Parameters
    ----------
    depth : int from 2 to 10^6
        Number of weight layers.
    steps : int from 3 to 64
        Uniform steps of replica symmetry breaking, the last of them frozen.
    threads : int
        0 for the OpenMP default.  The result does not depend on it.
    progress : bool or callable
        True for a bar, or ``f(done, total)``, called after each of the loads.

    Returns
    -------
    Dataset
        ``load`` and ``load_error`` (transition), transition = "alpha_d", "alpha_K", "alpha_J".  The error is the
        change from two thirds of the steps; for alpha_J also that between the linear and the
        quadratic extrapolation to m = 0.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If there is no frozen solution up to load 1000, if its complexity is negative from the start (depth 2), or
        the iteration does not converge.

    Notes
    -----
    Up to depth 12 the state in which all layers are frozen is looked for too, and each load is the smaller one:
    that state jams before the other (at depth 12 by 3), and condenses before it up to depth 7.  Its alpha_d is where
    the crystal of a teacher begins.  Deeper layers that break their symmetry inside the clusters of the first do not
    move alpha_J (at depth 20 by less than 0.01).

    Examples
    --------
    >>> import deepglass as dg
    >>> loads = dg.parisi.critical_loads(20)  # doctest: +SKIP
    >>> loads["load"].values.round(1).tolist()  # doctest: +SKIP
    [18.7, 37.6, 79.4]
    """
    import xarray as xr

    model = DeepPerceptron(depth=depth)
    many = integer("steps", steps, 3, _MOST_STEPS)
    options = _steps.Options(threads=integer("threads", threads, 0, _MOST_THREADS))
    layouts = _steps.freezing_layers(model.depth)
    found, reasons = [], []
    with reporting(progress, "critical loads") as report:
        for n, layers in enumerate(layouts):
            try:
                fewer, best = (_critical_loads(model, layers, k, options) for k in (2 * many // 3, many))
                found.append(np.array([best[0], best[1] + np.abs(best[0] - fewer[0])]))
            except NumericalError as error:
                reasons.append(error)
            report(n + 1, len(layouts))
    if not found:
        raise reasons[0]
    first = np.argmin([pair[0] for pair in found], axis=0)
    loads, errors = np.array([found[layout][:, n] for n, layout in enumerate(first)]).T
    dataset = xr.Dataset(
        {"load": ("transition", loads), "load_error": ("transition", errors)},
        coords={"transition": ["alpha_d", "alpha_K", "alpha_J"]},
        attrs=provenance("deepglass.parisi.critical_loads", {"depth": model.depth, "steps": many}),
    )
    dataset["load"].attrs["long_name"] = "critical load"
    return dataset


def _at(model: DeepPerceptron, load: float) -> DeepPerceptron:
    return dataclasses.replace(model, load=load)


def _followed(
    state: _steps.State, load: float, breakpoints: npt.NDArray[np.float64], options: _steps.Options
) -> _steps.State:
    """A frozen solution at another load; an error where it does not converge."""
    new = _steps.moved(state, _at(state.model, load), breakpoints, options)
    if not new.converged:
        raise NumericalError(f"no convergence of the frozen solution at load {load:g}")
    return new


def _critical_loads(
    model: DeepPerceptron, layers: int, steps: int, options: _steps.Options
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """alpha_d, alpha_K and alpha_J of the state with so many layers frozen at each end, and their errors."""
    clustering, error_d, state = _clustering_load(model, layers, steps, options)
    condensation, error_k, state = _condensation_load(state, options)
    jamming, error_j = _jamming_load(state, options)
    return np.array([clustering, condensation, jamming]), np.array([error_d, error_k, error_j])


def _clustering_load(
    model: DeepPerceptron, layers: int, steps: int, options: _steps.Options
) -> tuple[float, float, _steps.State]:
    """alpha_d, its error, and the solution next to it."""
    load = 4.0
    m = _steps.around(1.0, steps, 0)
    while (above := _steps.freeze(_steps.solve(_at(model, load), m, options), steps, layers, options)) is None:
        load *= 1.3
        if load > 1000.0:
            raise NumericalError(f"no frozen solution up to load 1000 at depth {model.depth}")
    low, high = 0.0, load
    while high - low > 1e-4 * high:
        # Downwards in small steps first: below its end the solution falls on the continuous branch.
        middle = max(0.97 * high, 0.5 * (low + high))
        state = _steps.moved(above, _at(model, middle), above.breakpoints, options)
        if state.converged and state.frozen_step is not None:
            high, above = middle, state
        else:
            low = middle
    return 0.5 * (low + high), 0.5 * (high - low), above


def _condensation_load(state: _steps.State, options: _steps.Options) -> tuple[float, float, _steps.State]:
    """alpha_K, its error, and the solution above it: bisected, since more layers may freeze by a jump."""
    if not state.complexity > 0.0:
        raise NumericalError(
            f"the complexity is negative as soon as there are clusters (load {state.model.load:g}, depth "
            f"{state.model.depth}): there is no alpha_K"
        )
    below = above = state
    while above.complexity > 0.0:
        below, above = above, _followed(above, 1.05 * above.model.load, above.breakpoints, options)
    while above.model.load - below.model.load > 1e-5 * above.model.load:
        low, high = below.model.load, above.model.load
        share = below.complexity / (below.complexity - above.complexity)
        # Regula falsi, kept off the ends.
        middle = _followed(below, low + min(0.9, max(0.1, share)) * (high - low), below.breakpoints, options)
        if middle.complexity > 0.0:
            below = middle
        else:
            above = middle
    return 0.5 * (below.model.load + above.model.load), above.model.load - below.model.load, above


def _jamming_load(state: _steps.State, options: _steps.Options) -> tuple[float, float]:
    """alpha_J and its error, from m -> 0."""
    import scipy.optimize

    steps = state.breakpoints.size
    state = _followed(state, 1.2 * state.model.load, state.breakpoints, options)
    for m in np.geomspace(0.8, 0.1, 8):
        state = _followed(state, state.model.load, _steps.around(float(m), steps, 0), options)
    loads = []
    for m in _SMALL_BREAKPOINTS:
        breakpoints = _steps.around(m, steps, 0)

        def slope(load: float, breakpoints: npt.NDArray[np.float64] = breakpoints) -> float:
            nonlocal state
            state = _followed(state, load, breakpoints, options)
            return float(state.slopes[-1])

        low = state.model.load
        high = 1.1 * low
        while slope(high) < 0.0:
            low, high = high, 1.1 * high
            if high > 1e6:
                raise NumericalError(f"no alpha_J up to load {high:g} at depth {state.model.depth}")
        while slope(low) > 0.0:
            low, high = low / 1.1, low
        loads.append(scipy.optimize.brentq(slope, low, high, xtol=1e-6 * high))
    linear = np.polyfit(_SMALL_BREAKPOINTS[1:], loads[1:], 1)[-1]
    quadratic = np.polyfit(_SMALL_BREAKPOINTS, loads, 2)[-1]
    return float(quadratic), float(abs(quadratic - linear))


def satisfiable_load_bound(depth: int = 20) -> float:
    """Load above which random data cannot be satisfied by any network of this depth, by counting alone.

    N perceptrons a layer, each of which realises at most ``exp(N (1 + ln alpha))`` dichotomies of its alpha N
    patterns (Cover 1965, alpha > 1), can produce at most ``exp(N^2 depth (1 + ln alpha))`` of the ``2^(alpha N^2)``
    outputs: alpha ln 2 <= depth (1 + ln alpha).

    Parameters
    ----------
    depth : int from 1 to 10^6
        Number of weight layers.

    Returns
    -------
    float
        The load at which both sides are equal.

    Raises
    ------
    ValueError
        If depth is out of range.

    Notes
    -----
    The storage capacity grows at most like depth ln(depth): an exponential growth with depth is a property of the
    mean-field equations, not of the network.

    Examples
    --------
    >>> import deepglass as dg
    >>> round(dg.parisi.satisfiable_load_bound(20), 1)
    178.4
    """
    from scipy.special import lambertw

    depth = integer("depth", depth, 1, _MOST_LAYERS)
    # alpha = -(depth/ln 2) W(-ln 2/(e depth)), on the branch W < -1.
    return float(-depth / math.log(2.0) * lambertw(-math.log(2.0) / (math.e * depth), k=-1).real)
