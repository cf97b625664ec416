"""Parisi equations: replica symmetry breaking in deep perceptron networks."""

from .deep_perceptron import DeepPerceptron, coexistence_load, scan, solve, transition_loads, wetting_load
from .franz_parisi import franz_parisi

__all__ = [
    "DeepPerceptron",
    "coexistence_load",
    "franz_parisi",
    "scan",
    "solve",
    "transition_loads",
    "wetting_load",
]
