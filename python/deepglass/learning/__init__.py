"""Learning experiments: data sets with exact laws, the training protocol, overparameterisation.

Training needs the extra ``learning`` (PyTorch, Optuna), imported on use.
"""

from __future__ import annotations

from .data import DataLaw, Images, read_images
from .dimension import intrinsic_dimension, nearest_distances
from .double_descent import least_squares_risk, least_squares_simulation, width_sweep
from .experiment import experiment
from .gaussian_chain import GaussianChain, chain_bayes_error
from .jamming import effective_parameters, jamming, two_time_displacement
from .labels import HiddenManifold, KGlobal, KLocal, TeacherStudent
from .landscape import network_stationary_points, random_potential_walk
from .lattice import Ising, Potts, level_counts
from .lazy import lazy_sweep, two_local_network
from .noise import noise_factor, step_variance
from .probes import linear_probes
from .soft_spheres import soft_spheres, sphere_jamming
from .softmax import softmax_regression
from .training import Trained, train, train_one_by_one

__all__ = [
    "DataLaw",
    "GaussianChain",
    "HiddenManifold",
    "Images",
    "Ising",
    "KGlobal",
    "KLocal",
    "Potts",
    "TeacherStudent",
    "Trained",
    "chain_bayes_error",
    "effective_parameters",
    "experiment",
    "intrinsic_dimension",
    "jamming",
    "lazy_sweep",
    "least_squares_risk",
    "least_squares_simulation",
    "level_counts",
    "linear_probes",
    "nearest_distances",
    "network_stationary_points",
    "noise_factor",
    "random_potential_walk",
    "read_images",
    "soft_spheres",
    "softmax_regression",
    "sphere_jamming",
    "step_variance",
    "train",
    "train_one_by_one",
    "two_local_network",
    "two_time_displacement",
    "width_sweep",
]
