"""Parisi equations: replica symmetry breaking in deep perceptron networks."""

from .clusters import cluster_tree, overlap_distribution
from .deep_perceptron import DeepPerceptron, coexistence_load, scan, solve, transition_loads, wetting_load

__all__ = [
    "DeepPerceptron",
    "cluster_tree",
    "coexistence_load",
    "overlap_distribution",
    "scan",
    "solve",
    "transition_loads",
    "wetting_load",
]
