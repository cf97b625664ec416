"""Mean field of wide random networks: propagation of signals, order and chaos, gradients.

    u^l = W^l x^{l-1} + b^l,   x^l = phi(u^l),   W_ij ~ N(0, weight_variance / fan-in),  b_i ~ N(0, bias_variance)

Symbols: ``q`` is the mean square of the PRE-activations u (over the units of a layer), ``second_moment`` (qhat in
some papers) that of the POST-activations x, so that q^l = weight_variance qhat^{l-1} + bias_variance; ``c`` is the
correlation of the pre-activations of two inputs.  chi_q, chi_1 and chi_c are the slopes of the map of q at its
fixed point and of the map of c at c = 1 and at its stable fixed point; xi = -1 / ln chi is the number of layers
over which a deviation falls to 1/e.

Averages over Gaussian variables are exact to rounding (composite Gauss-Legendre, panels cut at kinks).

References
----------
B. Poole et al., "Exponential expressivity in deep neural networks through transient chaos" (2016).
S. S. Schoenholz, J. Gilmer, S. Ganguli, J. Sohl-Dickstein, "Deep information propagation" (2017).
L. Xiao et al., "Dynamical isometry and a mean field theory of CNNs" (2018).
H. Sompolinsky, A. Crisanti, H. J. Sommers, "Chaos in random neural networks" (1988).
"""

from __future__ import annotations

from .activations import Activation, activation
from .convolution import convolution_modes, propagate_convolution
from .phases import critical_weight_variance, depth_scale, fixed_point, phase_diagram
from .propagation import correlation_map, covariance, gaussian_moments, gradient_norms, propagate
from .recurrent import recurrent_network

__all__ = [
    "Activation",
    "activation",
    "convolution_modes",
    "correlation_map",
    "covariance",
    "critical_weight_variance",
    "depth_scale",
    "fixed_point",
    "gaussian_moments",
    "gradient_norms",
    "phase_diagram",
    "propagate",
    "propagate_convolution",
    "recurrent_network",
]
