"""Noise of stochastic gradient descent, and descent with more of it at an unchanged learning rate.

    w <- w - eta [a grad L_B + (1 - a) grad L_B'],

B and B' independent minibatches, leaves the mean step as it is and multiplies its covariance by a^2 + (1 - a)^2, the
noise of minibatches smaller by this factor; plain descent has eta^2 / B.

References
----------
T. Mori, M. Ueda, "Improved generalization by noise enhancement", arXiv:2009.13094.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._check import finite_matrix, integer, number

__all__ = ["noise_factor", "step_variance"]


def noise_factor(extrapolation: float) -> float:
    """What noise enhancement multiplies the covariance of a step by, a^2 + (1 - a)^2.

    Parameters
    ----------
    extrapolation : float
        The number a; below 0 or above 1 there is more noise than in plain descent, at 1/2 half of it.

    Returns
    -------
    float

    Examples
    --------
    >>> from deepglass.learning import noise_factor
    >>> [noise_factor(a) for a in (1.0, 1.5, 2.0, 3.0, 0.5)]
    [1.0, 2.5, 5.0, 13.0, 0.5]
    """
    a = number("extrapolation", extrapolation, "a finite number", lambda value: True)
    return a * a + (1.0 - a) * (1.0 - a)


def step_variance(
    gradients: npt.ArrayLike, batch: int, *, learning_rate: float = 1.0, extrapolation: float = 1.0
) -> npt.NDArray[np.float64]:
    """Variance of a step of descent in each parameter, exactly, from the gradients of single samples.

    The mean of `batch` out of n samples drawn without replacement, as in an epoch that is reshuffled, has variance
    S^2 (1/batch - 1/n), S^2 the unbiased variance over samples; a step that of  eta^2 (a^2 + (1 - a)^2)  of them.

    Parameters
    ----------
    gradients : array_like, shape (n, n_parameters)
        Gradient of the loss of each sample.
    batch : int from 1 to n
        Size of a minibatch.
    learning_rate : float > 0
        eta.
    extrapolation : float
        The number a.

    Returns
    -------
    array, shape (n_parameters,)

    Examples
    --------
    >>> from deepglass.learning import step_variance
    >>> step_variance([[1.0], [2.0], [3.0]], 1, extrapolation=2.0)  # 5 times that of 1, 2, 3
    array([3.33333333])
    """
    g = finite_matrix("gradients", gradients)
    batch = integer("batch", batch, 1, len(g))
    eta = number("learning_rate", learning_rate, "> 0", lambda value: value > 0.0)
    if batch == len(g):
        return np.zeros(g.shape[1])
    factor = eta * eta * noise_factor(extrapolation) * (1.0 / batch - 1.0 / len(g))
    return np.asarray(factor * g.var(axis=0, ddof=1))
