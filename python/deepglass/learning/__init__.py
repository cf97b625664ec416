"""Learning experiments: data sets with exact laws."""

from __future__ import annotations

from .data import DataLaw, Images, read_images
from .dimension import intrinsic_dimension, nearest_distances
from .gaussian_chain import GaussianChain, chain_bayes_error
from .labels import HiddenManifold, KGlobal, KLocal, TeacherStudent
from .lattice import Ising, Potts, level_counts
from .softmax import softmax_regression

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
    "chain_bayes_error",
    "intrinsic_dimension",
    "level_counts",
    "nearest_distances",
    "read_images",
    "softmax_regression",
]
