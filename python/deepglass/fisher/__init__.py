"""Fisher information of networks: exact gradients at finite width, eigenvalues at large width, natural gradient.

F = E_t sum_k grad f_k grad f_k^T is the metric of the parameters of y ~ N(f, 1), and the Hessian of (1 / 2T) sum
|y - f|^2 where f fits; T samples, C outputs, P parameters.  Its non-zero eigenvalues are those of the tangent kernel,
J J^T / T, the dual matrix of size C T.

References
----------
R. Karakida, S. Akaho, S. Amari, "Universal statistics of Fisher information in deep neural networks" (2019).
R. Karakida, S. Akaho, S. Amari, "The normalization method for alleviating pathological sharpness" (2019).
T. Hayase, R. Karakida, "The spectrum of Fisher information of deep networks achieving dynamical isometry" (2021).
R. Karakida, K. Osawa, "Understanding approximate Fisher information for fast convergence of natural gradient descent
in wide neural networks" (2020).
"""

from __future__ import annotations

from .natural import natural_gradient
from .network import Network
from .normalisation import largest_eigenvalues, normalised_fisher
from .theory import max_learning_rate, statistics

__all__ = [
    "Network",
    "largest_eigenvalues",
    "max_learning_rate",
    "natural_gradient",
    "normalised_fisher",
    "statistics",
]
