"""Mean field of wide random networks, to be read next to the papers.

Symbols: sw2, sb2 weight and bias variance; q mean square of the pre-activations, qhat of the post-activations; c
correlation of the pre-activations of two inputs.  Averages over one Gaussian variable are composite Gauss-Legendre
sums, 40 nodes in panels of width 1 on [-13, 13] cut at kink / sqrt(q); those over two are such sums inside such sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import erf, expit, ndtr

from .quadrature import gauss_legendre

Array = npt.NDArray[np.float64]
Function = Callable[[Array], Array]

_X, _W = gauss_legendre(40)
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


class Phi(NamedTuple):
    """An activation, its derivative, and where that jumps."""

    value: Function
    slope: Function
    kinks: tuple[float, ...] = ()


def _gauss(u: Array) -> Array:
    result: Array = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    return result


def elu(alpha: float, scale: float = 1.0) -> Phi:
    """Give alpha (e^u - 1) for u < 0, u otherwise, times scale."""
    return Phi(
        lambda u: scale * np.where(u > 0, u, alpha * np.expm1(np.minimum(u, 0))),
        lambda u: scale * np.where(u > 0, 1.0, alpha * np.exp(np.minimum(u, 0))),
        (0.0,),
    )


def leaky_relu(alpha: float) -> Phi:
    """Give alpha u for u < 0, u otherwise."""
    return Phi(lambda u: np.where(u > 0, u, alpha * u), lambda u: np.where(u > 0, 1.0, alpha), (0.0,))


ACTIVATIONS: dict[str, Phi] = {
    "linear": Phi(lambda u: u, np.ones_like),
    "tanh": Phi(np.tanh, lambda u: np.cosh(np.minimum(np.abs(u), 300.0)) ** -2.0),
    "erf": Phi(erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-(u**2))),
    "relu": Phi(lambda u: np.maximum(u, 0), lambda u: np.where(u > 0, 1.0, 0.0), (0.0,)),
    "hard_tanh": Phi(lambda u: np.clip(u, -1, 1), lambda u: np.where(np.abs(u) < 1, 1.0, 0.0), (-1.0, 1.0)),
    "sin": Phi(np.sin, np.cos),
    "cos": Phi(np.cos, lambda u: -np.sin(u)),
    "sigmoid": Phi(expit, lambda u: expit(u) * expit(-u)),
    "softplus": Phi(lambda u: np.logaddexp(0, u), expit),
    "gelu": Phi(lambda u: u * ndtr(u), lambda u: ndtr(u) + u * _gauss(u)),
    "swish": Phi(lambda u: u * expit(u), lambda u: expit(u) + u * expit(u) * expit(-u)),
    "elu": elu(1.0),
    "selu": elu(_SELU_ALPHA, _SELU_SCALE),
    "leaky_relu": leaky_relu(0.01),
    "softsign": Phi(lambda u: u / (1 + np.abs(u)), lambda u: (1 + np.abs(u)) ** -2, (0.0,)),
}


def rule(breaks: Sequence[float] = (), width: float = 1.0) -> tuple[Array, Array]:
    """Nodes z and weights of E f(z), z standard normal, in panels cut at the breaks."""
    edges = np.unique([*np.arange(-13.0, 13.0 + width / 2, width), *(b for b in breaks if abs(b) < 13)])
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    z = (middle[:, np.newaxis] + np.outer(half, _X)).reshape(-1)
    return z, np.outer(half, _W).reshape(-1) * _gauss(z)


def average(f: Function, sd: float, kinks: Sequence[float] = ()) -> float:
    """E f(sd z); panels narrower than 1 / sd, so that f is smooth in each."""
    z, w = rule([k / sd for k in kinks] if sd > 0 else [], width=min(1.0, 1.0 / max(1.0, math.ceil(sd / 2))))
    return float(w @ f(sd * z))


def moments(phi: Phi, q: float) -> dict[str, float]:
    """E phi, E phi^2, E phi', E phi'^2, E phi'^4, E z phi phi' at u = sqrt(q) z."""
    sd = math.sqrt(q)
    functions: dict[str, Function] = {
        "mean": phi.value,
        "square": lambda u: phi.value(u) ** 2,
        "slope": phi.slope,
        "slope_square": lambda u: phi.slope(u) ** 2,
        "slope_fourth": lambda u: phi.slope(u) ** 4,
        "cross": lambda u: u / sd * phi.value(u) * phi.slope(u),
    }
    return {name: average(f, sd, phi.kinks) for name, f in functions.items()}


def two_point(phi: Phi, q1: float, q2: float, c: float) -> tuple[float, float]:
    """E phi(u1) phi(u2) and E phi'(u1) phi'(u2),  u1 = sqrt(q1) z1, u2 = sqrt(q2) (c z1 + sqrt(1 - c^2) z2).

    The mean over z2 rounds the kinks of phi(u2) over s / |c| in z1, s = sqrt(1 - c^2): the outer panels shrink towards
    them geometrically.
    """
    sd1, sd2, s = math.sqrt(q1), math.sqrt(q2), math.sqrt((1 - c) * (1 + c))
    breaks = [k / sd1 for k in phi.kinks]
    for k in phi.kinks:
        if c != 0:
            centre, reach = k / (c * sd2), max(s / abs(c), 1e-12) * 2.0 ** np.arange(45)
            breaks += [centre, *(centre - reach), *(centre + reach)]
    z1, w1 = rule(breaks)
    value = slope = 0.0
    for z, w in zip(z1, w1, strict=True):
        if s == 0:
            u2, w2 = np.array([c * sd2 * z]), np.ones(1)
        else:
            z2, w2 = rule([(k / sd2 - c * z) / s for k in phi.kinks])
            u2 = sd2 * (c * z + s * z2)
        u1 = np.array([sd1 * z])
        value += w * float(phi.value(u1)[0]) * float(w2 @ phi.value(u2))
        slope += w * float(phi.slope(u1)[0]) * float(w2 @ phi.slope(u2))
    return value, slope


class FixedPoint(NamedTuple):
    """The fixed point of q and c, and the slopes of their maps."""

    q: float
    chi_q: float
    chi_1: float
    c: float
    chi_c: float


def fixed_point(phi: Phi, sw2: float, sb2: float, low: float = 1e-8, high: float = 1e3) -> FixedPoint:
    """Solve q = sw2 E phi^2 + sb2 between low and high, and c = (sw2 E phi phi + sb2) / q in [0, 1] with slope < 1."""
    q = brentq(lambda q: sw2 * moments(phi, q)["square"] + sb2 - q, low, high, xtol=1e-15, rtol=1e-14)
    at = moments(phi, q)
    chi_1 = sw2 * at["slope_square"]
    c, chi_c = 1.0, chi_1
    if chi_1 > 1:

        def below_1(c: float) -> float:  # (map(c) - c) / (1 - c), which has no zero at 1
            return float(1 - sw2 * (at["square"] - two_point(phi, q, q, c)[0]) / (q * (1 - c)))

        c = brentq(below_1, 0.0, 1 - 1e-6, xtol=1e-13, rtol=1e-13) if below_1(0.0) > 0 else 0.0
        chi_c = sw2 * two_point(phi, q, q, c)[1]
    return FixedPoint(q, sw2 * at["cross"] / math.sqrt(q), chi_1, c, chi_c)


def critical_weight_variance(phi: Phi, sb2: float, low: float, high: float) -> float:
    """Solve chi_1 = 1 at the fixed point of q, for sw2 between low and high."""

    def excess(sw2: float) -> float:
        q = brentq(lambda q: sw2 * moments(phi, q)["square"] + sb2 - q, 1e-8, 1e3, xtol=1e-15, rtol=1e-14)
        return sw2 * moments(phi, q)["slope_square"] - 1

    return float(brentq(excess, low, high, xtol=1e-13))


def propagate(
    phi: Phi, sw2: float, sb2: float, depth: int, q0: tuple[float, float], c0: float, skip: float | None = None
) -> list[dict[str, float]]:
    """q_a, q_b, q_ab of u^l, l = 1 .. depth, and qhat_a, qhat_b, qhat_ab of x^l, for centred inputs and odd phi."""
    xa, xb = q0
    xab = c0 * math.sqrt(xa * xb)
    layers = []
    for _ in range(depth):
        qa, qb, qab = sw2 * xa + sb2, sw2 * xb + sb2, sw2 * xab + sb2
        c = qab / math.sqrt(qa * qb)
        images = moments(phi, qa)["square"], moments(phi, qb)["square"], two_point(phi, qa, qb, c)[0]
        if skip is None:
            xa, xb, xab = images
        else:
            xa, xb, xab = (x + skip**2 * image for x, image in zip((xa, xb, xab), images, strict=True))
        layers.append({"q_a": qa, "q_b": qb, "q_ab": qab, "qhat_a": xa, "qhat_b": xb, "qhat_ab": xab})
    return layers


def convolution(phi: Phi, sw2: float, sb2: float, depth: int, image: Array, kernel: Array) -> Array:
    """Covariance between positions of the last pre-activations; circular, kernel variances centred, sum 1."""
    n, half = len(image), len(kernel) // 2
    x = image.copy()
    for layer in range(depth):
        if layer > 0:
            s = x
            for p in range(n):
                for r in range(n):
                    correlation = min(1.0, s[p, r] / math.sqrt(s[p, p] * s[r, r])) if p != r else 1.0
                    image = image.copy()
                    image[p, r] = two_point(phi, s[p, p], s[r, r], correlation)[0]
        x = np.zeros_like(image)
        for b, v in zip(range(-half, half + 1), kernel, strict=True):
            x += v * np.roll(image, (-b, -b), axis=(0, 1))
        x = sb2 + sw2 * x
    return x


def recurrent_variance(primitive: Function, sw2: float, layered_q: float) -> float:
    """C(0) of the chaotic solution of the recurrent network without bias, for odd phi with the given primitive.

    The potential V(C) = -C^2/2 + sw2 E Phi(x) Phi(x'), with Phi' = phi, is the same at C = 0 and at C = C(0).
    """

    def excess(c0: float) -> float:
        sd = math.sqrt(c0)
        return -(c0**2) / 2 + sw2 * (average(lambda u: primitive(u) ** 2, sd) - average(primitive, sd) ** 2)

    return float(brentq(excess, 0.5 * layered_q, layered_q, xtol=1e-13))
