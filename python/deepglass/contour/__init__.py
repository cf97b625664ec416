"""Contour deformation for the sign problem: averages with complex weights exp(-S).

    Z = int d^N t J(t) exp(-S(z(t))),   J = det dz/dt,

does not depend on the contour z(t), but its average phase <e^{i theta}>, taken with the modulus of the weight,
does.  Symbols: L = ln J - S is the log weight, theta = Im L, ``average_phase`` = Z / Z_pq.

References
----------
Y. Mori, K. Kashiwa, A. Ohnishi, arXiv:1705.05605 and arXiv:1709.03208.
A. Alexandru, P. Bedaque, H. Lamm, S. Lawrence, N. Warrington, arXiv:1808.09799.
"""

from __future__ import annotations

from .actions import Action, Airy, ComplexPhi4, CustomAction, Gaussian, PowerModel, Quartic
from .contours import LinearContour, RealPlane, Shift
from .sampling import measure

__all__ = [
    "Action",
    "Airy",
    "ComplexPhi4",
    "CustomAction",
    "Gaussian",
    "LinearContour",
    "PowerModel",
    "Quartic",
    "RealPlane",
    "Shift",
    "measure",
]
