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
from .networks import (
    conditional_fisher_spectrum,
    conjugate_kernel_spectrum,
    jacobian_spectrum,
    ntk_spectrum,
    residual_jacobian_limit,
    singular_value_pdf,
    squared_slope_law,
)
from .risk import ridge_risk

__all__ = [
    "Atom",
    "Atoms",
    "FromDensity",
    "FromEigenvalues",
    "MarchenkoPastur",
    "Measure",
    "Semicircle",
    "conditional_fisher_spectrum",
    "conjugate_kernel_spectrum",
    "free_add",
    "free_multiply",
    "free_power",
    "jacobian_spectrum",
    "ntk_spectrum",
    "residual_jacobian_limit",
    "ridge_risk",
    "singular_value_pdf",
    "squared_slope_law",
]
