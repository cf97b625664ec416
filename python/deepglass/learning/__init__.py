"""Learning experiments: data sets with exact laws, the training protocol, overparameterisation.

Training needs the extra ``learning`` (PyTorch, Optuna), imported on use.
"""

from __future__ import annotations

from .experiment import experiment
from .noise import noise_factor, step_variance
from .training import Trained, train, train_one_by_one

__all__ = ["Trained", "experiment", "noise_factor", "step_variance", "train", "train_one_by_one"]
