"""Parisi equations: replica symmetry breaking in deep perceptron networks and in spin glasses."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import deep_perceptron, spin_glass
from .clusters import cluster_tree, overlap_distribution
from .deep_perceptron import DeepPerceptron, scan
from .franz_parisi import franz_parisi
from .mixed import MixedIsing, MixedSpherical, PSpin, SherringtonKirkpatrick
from .spin_continuum import full_rsb
from .spin_glass import almeida_thouless
from .spin_transitions import transition_temperatures
from .transitions import coexistence_load, critical_loads, satisfiable_load_bound, transition_loads, wetting_load

if TYPE_CHECKING:
    import xarray as xr


@functools.wraps(deep_perceptron.solve)
def solve(model: DeepPerceptron | MixedIsing, *args: Any, **options: Any) -> xr.Dataset:
    if isinstance(model, MixedIsing):
        return spin_glass.solve(model, *args, **options)
    return deep_perceptron.solve(model, *args, **options)


__all__ = [
    "DeepPerceptron",
    "MixedIsing",
    "MixedSpherical",
    "PSpin",
    "SherringtonKirkpatrick",
    "almeida_thouless",
    "cluster_tree",
    "coexistence_load",
    "critical_loads",
    "franz_parisi",
    "full_rsb",
    "overlap_distribution",
    "satisfiable_load_bound",
    "scan",
    "solve",
    "transition_loads",
    "transition_temperatures",
    "wetting_load",
]
