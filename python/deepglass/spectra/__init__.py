"""Free probability: measures, their free sums, products and powers, and the spectra built on them."""

from .measures import (
    Atom,
    Atoms,
    FromDensity,
    FromEigenvalues,
    MarchenkoPastur,
    Measure,
    Semicircle,
    free_add,
    free_multiply,
    free_power,
)

__all__ = [
    "Atom",
    "Atoms",
    "FromDensity",
    "FromEigenvalues",
    "MarchenkoPastur",
    "Measure",
    "Semicircle",
    "free_add",
    "free_multiply",
    "free_power",
]
