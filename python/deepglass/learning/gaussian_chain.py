"""The periodic Gaussian chain at several temperatures, and the least error with which they are told apart.

    P(x) = exp(beta S(x) - |x|^2 / 2) / Z,    S = sum_i x_i x_{i+1},  i mod D,    |beta| < 1/2,

has the eigenvalues lambda_q = 1 - 2 beta cos(2 pi q / D) of its precision.  Only S tells about beta; it is a sum of
squares of normals, S = sum_q a_q z_q^2 with a_q = cos(2 pi q / D) / lambda_q.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import finite_matrix, integer, number
from .._core import NumericalError
from .data import Array, DataLaw, normal

__all__ = ["GaussianChain", "chain_bayes_error"]

_MOST_INPUTS = 2**20
_CONVERGED = 1e-12
_TURN = 0.5  # angle at which the contour leaves the vertical


@dataclasses.dataclass(frozen=True)
class GaussianChain(DataLaw):
    """Samples of the periodic Gaussian chain at temperatures that are to be told apart.

    P(x) = exp(beta sum_i x_i x_{i+1} - |x|^2 / 2) / Z; the label is the number of beta.  The classes take turns.
    Samples are exact and independent: x = IFFT(FFT(g) / sqrt(lambda)), g standard normal.

    Parameters
    ----------
    n_inputs : int >= 3
        Sites D of the chain.
    betas : sequence of float in (-1/2, 1/2)
        Couplings, one for each class.

    Examples
    --------
    >>> law = GaussianChain(12, betas=[0.3, 0.2])
    >>> law.log_partition_function.round(6), law.covariance([0, 1])[0].round(6)
    (array([11.659427, 11.283094]), array([1.250005, 0.416675]))
    >>> GaussianChain(100, betas=[0.3, 0.2]).bayes_error
    0.24864...
    """

    n_inputs: int
    betas: Sequence[float] = (0.2, 0.0)

    def __post_init__(self) -> None:
        """Check the ranges."""
        object.__setattr__(self, "n_inputs", integer("n_inputs", self.n_inputs, 3, _MOST_INPUTS))
        object.__setattr__(self, "betas", _betas(self.betas))

    @property
    def bayes_error(self) -> float:
        """Least error of any classifier; see `chain_bayes_error`."""
        return chain_bayes_error(self.n_inputs, *self.betas) if len(self.betas) > 1 else 0.0

    @property
    def log_partition_function(self) -> Array:
        """Logarithm of Z for each beta: (D/2) ln(2 pi) - (1/2) sum_q ln lambda_q, the sum in closed form."""
        return np.array([_log_partition_function(self.n_inputs, beta) for beta in self.betas])

    @property
    def mean_energy(self) -> Array:
        """Mean of H = -sum_i x_i x_{i+1} for each beta."""
        return -self.n_inputs * self.covariance([1])[:, 0]

    def covariance(self, distance: npt.ArrayLike) -> Array:
        """Covariance of two sites for each beta and distance: (z^r + z^{D-r}) / (s (1 - z^D)).

        Here s = sqrt(1 - 4 beta^2), and z = 2 beta / (1 + s).
        """
        r = np.asarray(distance) % self.n_inputs
        rows = []
        for beta in self.betas:
            s = math.sqrt(1.0 - 4.0 * beta * beta)
            z = 2.0 * beta / (1.0 + s)
            rows.append((z**r + z ** (self.n_inputs - r)) / (s * (1.0 - z**self.n_inputs)))
        return np.array(rows, dtype=float)

    def energy(self, inputs: npt.ArrayLike) -> Array:
        """Give H = -sum_i x_i x_{i+1} for each row of inputs."""
        x = finite_matrix("inputs", inputs, self.n_inputs)
        return np.asarray(-(x * np.roll(x, -1, axis=1)).sum(axis=1))

    def _draw(self, n_samples: int, seed: int) -> dict[str, npt.NDArray[Any]]:
        labels = np.arange(n_samples) % len(self.betas)
        waves = np.cos(2.0 * np.pi * np.arange(self.n_inputs // 2 + 1) / self.n_inputs)
        x = normal(n_samples, self.n_inputs, seed)
        for label, beta in enumerate(self.betas):
            mine = labels == label
            x[mine] = np.fft.irfft(np.fft.rfft(x[mine]) / np.sqrt(1.0 - 2.0 * beta * waves), n=self.n_inputs)
        return {"inputs": x, "labels": labels}


def chain_bayes_error(n_inputs: int, *betas: float) -> float:
    """Least error with which anybody tells apart equally frequent temperatures of the Gaussian chain.

    The likelihood ratio of two temperatures depends on S = sum_i x_i x_{i+1} only, and they are equally likely at
    t = (ln Z_1 - ln Z_2) / (beta_1 - beta_2): each class has an interval of S.  The distribution function of S is an
    integral over its characteristic function (J. P. Imhof, Biometrika 48, 419 (1961)),

        P(S > t) = int ds / (2 pi i s) e^{-s t} prod_q (1 - 2 a_q s)^{-1/2},

    taken through its saddle point on a contour that bends towards decreasing e^{-s t}.

    Parameters
    ----------
    n_inputs : int >= 3
        Sites D of the chain.
    betas : two or more float in (-1/2, 1/2)
        Distinct couplings.

    Returns
    -------
    float
        To 1e-12.

    Raises
    ------
    NumericalError
        If the integral does not converge.

    Examples
    --------
    >>> chain_bayes_error(40, 0.2, 0.0)
    0.2556697979...
    """
    n_inputs = integer("n_inputs", n_inputs, 3, _MOST_INPUTS)
    ordered = sorted(_betas(betas))
    if len(ordered) < 2 or len(set(ordered)) < len(ordered):
        raise ValueError(f"betas must be two or more distinct numbers, got {betas!r}")
    log_z = [_log_partition_function(n_inputs, beta) for beta in ordered]
    error = 0.0
    for i, j in itertools.pairwise(range(len(ordered))):
        threshold = (log_z[j] - log_z[i]) / (ordered[j] - ordered[i])
        error += _tail(n_inputs, ordered[i], threshold, upper=True)
        error += _tail(n_inputs, ordered[j], threshold, upper=False)
    return error / len(ordered)


def _betas(betas: Any) -> tuple[float, ...]:
    try:
        checked = tuple(number("betas", b, "numbers in (-1/2, 1/2)", lambda x: abs(x) < 0.5) for b in betas)
    except TypeError:
        checked = ()
    if not checked:
        raise ValueError(f"betas must be numbers in (-1/2, 1/2), got {betas!r}")
    return checked


def _log_partition_function(n: int, beta: float) -> float:
    s = math.sqrt(1.0 - 4.0 * beta * beta)
    z = 2.0 * beta / (1.0 + s)
    return 0.5 * n * math.log(2.0 * math.pi) - 0.5 * n * math.log((1.0 + s) / 2.0) - math.log1p(-(z**n))


def _tail(n: int, beta: float, t: float, *, upper: bool) -> float:
    """P(S > t), or P(S < t), of the chain at beta."""
    from scipy.optimize import brentq

    cosines = np.cos(2.0 * np.pi * np.arange(n // 2 + 1) / n)
    weights = cosines / (1.0 - 2.0 * beta * cosines)
    times = np.full(weights.size, 2.0)
    times[0] = 1.0
    if n % 2 == 0:
        times[-1] = 1.0
    beyond = t > float(times @ weights)  # the smaller tail is the one of t, the other its complement
    edge = 1.0 / (2.0 * (weights.max() if beyond else weights.min()))

    def slope(c: float) -> float:
        return float(times @ (weights / (1.0 - 2.0 * weights * c))) - t - 1.0 / c

    near, far = 1e-12 * edge, (1.0 - 1e-12) * edge
    saddle = brentq(slope, near, far, xtol=1e-15 * abs(edge))
    width = 1.0 / math.sqrt(float(times @ (2.0 * (weights / (1.0 - 2.0 * weights * saddle)) ** 2)) + saddle**-2)
    sine, cosine = math.copysign(math.sin(_TURN), t), math.cos(_TURN)

    def integral(step: float) -> float:
        x = np.arange(0.0, 50.0, step)
        s = saddle + width * (sine * (np.cosh(x) - 1.0) + 1j * cosine * np.sinh(x))
        slopes = width * (sine * np.sinh(x) + 1j * cosine * np.cosh(x))
        exponent = -s * t
        for weight, count in zip(weights, times, strict=True):
            exponent -= 0.5 * count * np.log(1.0 - 2.0 * weight * s)
        values = (np.exp(exponent) * slopes / s).imag
        values[0] *= 0.5
        return float(step / math.pi * values.sum())

    step, coarse = 0.1, math.inf
    for _ in range(6):
        fine = integral(step)
        if abs(fine - coarse) <= _CONVERGED * abs(fine):
            smaller = fine if beyond else -fine
            return smaller if beyond == upper else 1.0 - smaller
        step, coarse = step / 2.0, fine
    raise NumericalError(f"the distribution of S did not converge: {coarse!r} and {fine!r} at beta = {beta}, S = {t}")
