"""Parisi equations: replica symmetry breaking in deep perceptron networks and in spin glasses."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import clusters, deep_perceptron, spin_glass, spin_overlaps
from .clusters import cluster_tree
from .deep_perceptron import DeepPerceptron, scan
from .franz_parisi import franz_parisi
from .mixed import MixedIsing, MixedSpherical, PSpin, SherringtonKirkpatrick
from .spin_continuum import full_rsb, temperature_scan
from .spin_glass import almeida_thouless
from .spin_states import complexity
from .spin_transitions import transition_temperatures
from .transitions import coexistence_load, critical_loads, satisfiable_load_bound, transition_loads, wetting_load

if TYPE_CHECKING:
    import xarray as xr


@functools.wraps(deep_perceptron.solve)
def solve(model: DeepPerceptron | MixedIsing | MixedSpherical, *args: Any, **options: Any) -> xr.Dataset:
    if isinstance(model, MixedIsing | MixedSpherical):
        return spin_glass.solve(model, *args, **options)
    return deep_perceptron.solve(model, *args, **options)


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
    "SherringtonKirkpatrick",
    "almeida_thouless",
    "cluster_tree",
    "coexistence_load",
    "complexity",
    "critical_loads",
    "franz_parisi",
    "full_rsb",
    "overlap_distribution",
    "satisfiable_load_bound",
    "scan",
    "solve",
    "temperature_scan",
    "transition_loads",
    "transition_temperatures",
    "wetting_load",
]
