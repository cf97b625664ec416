"""Contour deformation for the sign problem: averages with complex weights exp(-S).

    Z = int d^N t J(t) exp(-S(z(t))),   J = det dz/dt,

does not depend on the contour z(t), but its average phase <e^{i theta}>, taken with the modulus of the weight,
does.  Its modulus is a number between 0 and 1: the error of an average is about 1 / (modulus sqrt(n)).

Symbols: L = ln J - S is the log weight, theta = Im L, ``average_phase`` = Z / Z_pq.

References
----------
Y. Mori, K. Kashiwa, A. Ohnishi, arXiv:1705.05605 and arXiv:1709.03208.
C. Gattringer, T. Kloiber, arXiv:1206.2954 (flux representation, the judge without a sign problem).
A. Alexandru, P. Bedaque, H. Lamm, S. Lawrence, N. Warrington, arXiv:1808.09799.
"""

from __future__ import annotations

from .actions import Action, Airy, ComplexPhi4, CustomAction, Gaussian, PowerModel, Quartic
from .contours import LinearContour, RealPlane, Shift
from .files import load, save
from .flow import HolomorphicFlow
from .flux import flux_simulation, undeformed_average_phase
from .network import LinearPlusNetwork, NetworkContour, TranslationInvariantNetwork
from .sampling import hartree_contour, measure
from .training import Optimized, optimize
from .transfer import transfer_matrix

__all__ = [
    "Action",
    "Airy",
    "ComplexPhi4",
    "CustomAction",
    "Gaussian",
    "HolomorphicFlow",
    "LinearContour",
    "LinearPlusNetwork",
    "NetworkContour",
    "Optimized",
    "PowerModel",
    "Quartic",
    "RealPlane",
    "Shift",
    "TranslationInvariantNetwork",
    "flux_simulation",
    "hartree_contour",
    "load",
    "measure",
    "optimize",
    "save",
    "transfer_matrix",
    "undeformed_average_phase",
]
