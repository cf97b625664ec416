"""Parisi equations: replica symmetry breaking in deep perceptron networks, in spin glasses and in one perceptron."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from . import deep_perceptron, perceptron, spin_glass
from .clusters import cluster_tree, overlap_distribution
from .deep_perceptron import DeepPerceptron, scan
from .franz_parisi import franz_parisi
from .message_passing import message_passing, perceptron_data, state_evolution
from .mixed import MixedIsing, MixedSpherical, PSpin, SherringtonKirkpatrick
from .perceptron import Perceptron, almeida_thouless_load, capacity, gap_distribution, learning_curve
from .spin_continuum import full_rsb
from .spin_glass import almeida_thouless
from .spin_transitions import transition_temperatures
from .transitions import coexistence_load, critical_loads, satisfiable_load_bound, transition_loads, wetting_load

if TYPE_CHECKING:
    import xarray as xr


@functools.wraps(deep_perceptron.solve)
def solve(model: DeepPerceptron | MixedIsing | Perceptron, *args: Any, **options: Any) -> xr.Dataset:
    if isinstance(model, MixedIsing):
        return spin_glass.solve(model, *args, **options)
    if isinstance(model, Perceptron):
        return perceptron.solve(model, *args, **options)
    return deep_perceptron.solve(model, *args, **options)


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
    "critical_loads",
    "franz_parisi",
    "full_rsb",
    "gap_distribution",
    "learning_curve",
    "message_passing",
    "overlap_distribution",
    "perceptron_data",
    "satisfiable_load_bound",
    "scan",
    "solve",
    "state_evolution",
    "transition_loads",
    "transition_temperatures",
    "wetting_load",
]
