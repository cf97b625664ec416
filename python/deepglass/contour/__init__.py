"""Contour deformation for the sign problem, and exact references for it."""

from .flux import flux_simulation, undeformed_average_phase
from .transfer_matrix import transfer_matrix

__all__ = [
    "flux_simulation",
    "transfer_matrix",
    "undeformed_average_phase",
]
