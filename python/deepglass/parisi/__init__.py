"""Parisi equations: replica symmetry breaking in deep perceptron networks, in spin glasses and in one perceptron."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import clusters, deep_perceptron, perceptron_steps, spin_continuum, spin_glass, spin_overlaps
from .clusters import cluster_tree
from .deep_perceptron import DeepPerceptron, scan
from .franz_parisi import franz_parisi
from .jamming import jamming_distributions, jamming_load
from .jamming_exponents import jamming_exponents
from .landscape import stationary_points, stationary_points_simulation
from .message_passing import message_passing, perceptron_data, state_evolution
from .mixed import MixedIsing, MixedSpherical, PSpin, SherringtonKirkpatrick
from .perceptron import Perceptron, almeida_thouless_load, capacity, gap_distribution, learning_curve
from .perceptron_steps import satisfiable_perceptron
from .spin_continuum import temperature_scan
from .spin_glass import almeida_thouless
from .spin_states import complexity
from .spin_transitions import transition_temperatures
from .transitions import coexistence_load, critical_loads, satisfiable_load_bound, transition_loads, wetting_load

if TYPE_CHECKING:
    import xarray as xr


@functools.wraps(deep_perceptron.solve)
def solve(model: DeepPerceptron | MixedIsing | MixedSpherical | Perceptron, *args: Any, **options: Any) -> xr.Dataset:
    if isinstance(model, MixedIsing | MixedSpherical):
        return spin_glass.solve(model, *args, **options)
    if isinstance(model, Perceptron):
        return perceptron_steps.solve(model, *args, **options)
    return deep_perceptron.solve(model, *args, **options)


@functools.wraps(spin_continuum.full_rsb)
def full_rsb(model: MixedIsing | MixedSpherical | Perceptron, *args: Any, **options: Any) -> xr.Dataset:
    if isinstance(model, Perceptron):
        return perceptron_steps.full_rsb(model, *args, **options)
    return spin_continuum.full_rsb(model, *args, **options)


@functools.wraps(clusters.overlap_distribution)
def overlap_distribution(solution: xr.Dataset, *args: Any, **options: Any) -> xr.Dataset:
    if (
        hasattr(solution, "data_vars")
        and "overlap" in solution.data_vars
        and solution.overlap.dims in (("step",), ("x",), ("a",))
    ):
        return spin_overlaps.overlap_distribution(solution, *args, **options)
    return clusters.overlap_distribution(solution, *args, **options)


__all__ = [
    "DeepPerceptron",
    "MixedIsing",
    "MixedSpherical",
    "PSpin",
    "Perceptron",
    "SherringtonKirkpatrick",
    "almeida_thouless",
    "almeida_thouless_load",
    "capacity",
    "cluster_tree",
    "coexistence_load",
    "complexity",
    "critical_loads",
    "franz_parisi",
    "full_rsb",
    "gap_distribution",
    "jamming_distributions",
    "jamming_exponents",
    "jamming_load",
    "learning_curve",
    "message_passing",
    "overlap_distribution",
    "perceptron_data",
    "satisfiable_load_bound",
    "satisfiable_perceptron",
    "scan",
    "solve",
    "state_evolution",
    "stationary_points",
    "stationary_points_simulation",
    "temperature_scan",
    "transition_loads",
    "transition_temperatures",
    "wetting_load",
]
