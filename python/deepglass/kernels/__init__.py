"""Infinitely wide networks: their covariance (NNGP) and tangent (NTK) kernels, and what training makes of them.

    K^1 = weight_variance x.x' / d + bias_variance,   Theta^1 = K^1,
    K^{l+1} = weight_variance E phi(u) phi(u') + bias_variance,
    Theta^{l+1} = K^{l+1} + weight_variance E phi'(u) phi'(u') Theta^l,

(u, u') Gaussian with covariance K^l; one step for each hidden layer.  K is the covariance of the outputs of a wide
random network, Theta the product of their gradients, both with weights of variance weight_variance / fan-in (NTK
parametrisation: the learning rate does not depend on the width).

References
----------
J. Lee et al., "Deep neural networks as Gaussian processes" (2018).
A. Jacot, F. Gabriel, C. Hongler, "Neural tangent kernel: convergence and generalization in neural networks" (2018).
J. Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent" (2019).
"""

from __future__ import annotations

from .infinite import nngp, nngp_and_ntk, ntk, smallest_eigenvalue
from .regression import ntk_classification, ntk_regression

__all__ = ["nngp", "nngp_and_ntk", "ntk", "ntk_classification", "ntk_regression", "smallest_eigenvalue"]
