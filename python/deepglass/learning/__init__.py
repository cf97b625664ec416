"""Learning experiments: data sets with exact laws, the training protocol, overparameterisation.

Training needs the extra ``learning`` (PyTorch, Optuna), imported on use.
"""

from __future__ import annotations

from .double_descent import least_squares_risk, least_squares_simulation, width_sweep
from .experiment import experiment
from .jamming import effective_parameters, jamming, two_time_displacement
from .lazy import lazy_sweep, two_local_network
from .noise import noise_factor, step_variance
from .training import Trained, train, train_one_by_one

__all__ = [
    "Trained",
    "effective_parameters",
    "experiment",
    "jamming",
    "lazy_sweep",
    "least_squares_risk",
    "least_squares_simulation",
    "noise_factor",
    "step_variance",
    "train",
    "train_one_by_one",
    "two_local_network",
    "two_time_displacement",
    "width_sweep",
]
