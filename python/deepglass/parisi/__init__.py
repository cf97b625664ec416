"""Parisi equations: replica symmetry breaking in deep perceptron networks."""

from .clusters import cluster_tree, overlap_distribution
from .deep_perceptron import DeepPerceptron, scan, solve
from .franz_parisi import franz_parisi
from .transitions import coexistence_load, critical_loads, satisfiable_load_bound, transition_loads, wetting_load

__all__ = [
    "DeepPerceptron",
    "cluster_tree",
    "coexistence_load",
    "critical_loads",
    "franz_parisi",
    "overlap_distribution",
    "satisfiable_load_bound",
    "scan",
    "solve",
    "transition_loads",
    "wetting_load",
]
