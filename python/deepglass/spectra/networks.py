"""Spectra of wide random networks: Jacobian, conjugate kernel, neural tangent kernel, conditional Fisher information.

All of them are `Measure` objects.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._check import choice, integer, number, per_item
from ..meanfield import Activation
from ..meanfield import activation as make_activation
from .measures import Atoms, Measure, _real

__all__ = [
    "conditional_fisher_spectrum",
    "conjugate_kernel_spectrum",
    "jacobian_spectrum",
    "ntk_spectrum",
    "residual_jacobian_limit",
    "singular_value_pdf",
    "squared_slope_law",
]

Array = NDArray[np.float64]

_MOST_LAYERS = 1000
_MOST_KERNEL_LAYERS = 30
_NORMALISED = 1e-9


def jacobian_spectrum(
    activation: str | Activation,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    weights: str = "orthogonal",
    residual: float | None = None,
    *,
    variance: float | None = None,
) -> Measure:
    """Give the spectrum of J J^T, J the input-output Jacobian of a wide random network.

    J = prod_l D_l W_l over l = 1..depth, D_l = diag phi'(u^l).  With u = E d^2/(w - d^2), d = phi'(sqrt(q) h), h
    standard normal (Pennington, Schoenholz and Ganguli 2017, 2018; one equation in w for any depth L):

        lambda = weight_variance^L w^L (u/(1 + u))^(L-1)               orthogonal, W^T W = weight_variance
        lambda = weight_variance^L w^L (u/(1 + u))^(L-1) (1 + u)^L     Gaussian, W_ij of variance weight_variance/width

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        sigma_w^2 > 0 and sigma_b^2.
    depth : int >= 1
        Number of weight layers.
    weights : {"orthogonal", "gaussian"}
        Law of the weights.
    residual : float, optional
        J = prod_l (1 + residual D_l W_l) instead, exact at any depth: D_l W_l is R-diagonal, and the singular values of
        the sum with 1, random signs given to all, add freely.  Needs ``variance``: the signals of a residual network
        have no fixed point.  `residual_jacobian_limit` is its limit of many weak layers.
    variance : float >= 0, optional
        Mean square q of the pre-activations, the same in all layers.  Default: the fixed point of q.

    Returns
    -------
    Measure
        With its atoms: for hard_tanh and relu at 0 and, for orthogonal weights of few layers, at the largest point.

    Raises
    ------
    ValueError
        Arguments out of range; no fixed point (relu with weight_variance >= 2 and bias).

    Notes
    -----
    Density to 1e-12, edges to 1e-13 relative; about 30 us a point, 300 us with ``residual``.

    Examples
    --------
    >>> import deepglass as dg
    >>> mu = dg.spectra.jacobian_spectrum("tanh", 1.3, 0.005, 4)
    >>> round(float(mu.support()[-1, 1]), 12), round(float(mu.pdf(1.0)), 12)
    (2.18233809031..., 0.47...)
    >>> dg.spectra.jacobian_spectrum("hard_tanh", 1.05, 0.01, 4).atoms[-1]
    Atom(position=1.2155062..., mass=0.805...)
    """
    phi = make_activation(activation)
    sw2 = _positive("weight_variance", weight_variance)
    sb2 = number("bias_variance", bias_variance, "a finite number >= 0", lambda x: x >= 0)
    layers = integer("depth", depth, 1, _MOST_LAYERS)
    gaussian = choice("weights", weights, ("orthogonal", "gaussian")) == "gaussian"
    name = f"{phi.name!r}, {sw2:g}, {sb2:g}, {layers}, {weights!r}"
    if residual is None:
        q = _fixed_variance(phi, sw2, sb2) if variance is None else _variance("variance", variance)
        core = _not_zero(_core.jacobian_spectrum(phi._core, q, sw2, layers, gaussian), "jacobian_spectrum", phi)
        if layers == 1 and not gaussian:
            return _renamed(sw2 * _SquaredSlope(phi, q), f"jacobian_spectrum({name})")
        return _Network(core, f"jacobian_spectrum({name})")
    scale = number("residual", residual, "None or a finite number other than 0", lambda x: x != 0)
    if variance is None:
        raise ValueError("variance must be given with residual: the signals of a residual network have no fixed point")
    branch = _core.jacobian_spectrum(phi._core, _variance("variance", variance), scale**2 * sw2, 1, gaussian)
    branch = _not_zero(branch, "jacobian_spectrum", phi)
    one = _core.atoms(np.array([-1.0, 1.0]), np.array([0.5, 0.5]))
    layer = _core.square(_core.free_convolution(one, _core.signed_root(branch), False))
    core = layer if layers == 1 else _core.free_power(layer, float(layers), True)
    return Measure(core, f"jacobian_spectrum({name}, residual={scale:g})")


def residual_jacobian_limit(strength: float) -> Measure:
    """Give the spectrum of J J^T, J = prod_l (1 + a D_l W_l), for infinitely many weak layers.

    lambda = (1 + u)/u exp(c (1 + 2 u)), u = lambda G - 1: the same law for all activations and weights.

    Parameters
    ----------
    strength : float > 0
        c = sum_l a^2 weight_variance E phi'^2.

    Returns
    -------
    Measure
        Mean e^c, variance 2 c e^(2 c).

    Examples
    --------
    >>> import deepglass as dg
    >>> mu = dg.spectra.residual_jacobian_limit(0.5)
    >>> f"{mu.mean:.12f}"  # e^(1/2)
    '1.648721270700'
    """
    c = _positive("strength", strength)
    if c > 100:
        raise ValueError(f"strength must be at most 100, got {strength!r}")
    return Measure(_core.residual_limit(c), f"residual_jacobian_limit({c:g})")


def squared_slope_law(activation: str | Activation, variance: float) -> Measure:
    """Give the law of phi'(u)^2, u normal of the given variance, atoms included.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    variance : float >= 0
        0 stands for the limit.

    Returns
    -------
    Measure
        Its Cauchy transform is good to 1e-13 up to the real axis.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.spectra.squared_slope_law("relu", 1.0).atoms
    [Atom(position=0.0, mass=0.5), Atom(position=1.0, mass=0.5)]
    """
    phi = make_activation(activation)
    q = _variance("variance", variance)
    return _SquaredSlope(phi, q)


def conjugate_kernel_spectrum(
    activation: str | Activation, ratios: float | Sequence[float], input_spectrum: Measure
) -> Measure:
    """Give the spectrum of the conjugate kernel X_L^T X_L of a network as wide as there are samples.

    X_l = phi(W_l X_{l-1})/sqrt(d_l), W_l with independent N(0, 1) entries, n columns, n/d_l -> ratio_l (Fan and Wang,
    arXiv:2005.11879):

        mu_l = MP_(ratio_l) [x] (1 - b^2 + b^2 mu_{l-1}),  b = E phi'(h).

    Parameters
    ----------
    activation : str or Activation
        Centred, E phi(h) = 0, with E phi(h)^2 = 1, h standard normal: see ``Activation.normalised``.
    ratios : sequence of float > 0
        n/d_1, ..., n/d_L.
    input_spectrum : Measure
        Spectrum of X_0^T X_0, the inputs nearly orthonormal unit vectors (mean 1): `MarchenkoPastur`, or
        `FromEigenvalues` of data.

    Returns
    -------
    Measure

    Raises
    ------
    ValueError
        Activation not centred or not normalised; ratios <= 0; input spectrum below 0.

    Notes
    -----
    One unknown at any depth; density to 1e-13, edges to 1e-14; about 3 us a point with 4 layers.

    Examples
    --------
    >>> import deepglass as dg
    >>> tanh = dg.meanfield.activation("tanh").normalised()
    >>> mu = dg.spectra.conjugate_kernel_spectrum(tanh, [0.6, 0.75], dg.spectra.MarchenkoPastur(0.5))
    >>> mu.pdf(1.0).round(12)
    np.float64(0.21285941529)
    """
    phi, b, _ = _normalised(activation)
    gamma, core = _kernel_arguments("conjugate_kernel_spectrum", ratios, input_spectrum)
    name = f"conjugate_kernel_spectrum({phi.name!r}, {gamma.tolist()}, {input_spectrum!r})"
    if b == 0:  # nothing of the input is left
        return Measure(_core.marchenko_pastur(gamma[-1]), name)
    return _Network(_core.conjugate_kernel_spectrum(core, gamma, b * b), name)


def ntk_spectrum(activation: str | Activation, ratios: float | Sequence[float], input_spectrum: Measure) -> Measure:
    """Give the spectrum of the neural tangent kernel of a network as wide as there are samples.

    K = X_L^T X_L + sum_l (S_l^T S_l) o (X_{l-1}^T X_{l-1}) of the network w^T X_L of `conjugate_kernel_spectrum`, which
    for large n has the spectrum of

        r + X_L^T X_L + sum_{l<L} b^(2 (L-l)) X_l^T X_l,  r = sum_{l<L} (a^(L-l) - b^(2 (L-l))),

    a = E phi'^2, b = E phi' (Fan and Wang, arXiv:2005.11879); their recursions, L unknowns solved together.

    Parameters
    ----------
    activation, ratios, input_spectrum : see `conjugate_kernel_spectrum`
        L = len(ratios) is the number of hidden layers.

    Returns
    -------
    Measure

    Notes
    -----
    Transforms to 1e-13; edges, by scanning, to 1e-11 of the largest.  About 8 us a point with 3 layers.  A finite
    network comes close when n b^2 a is large against a^L: slowly where a is much larger than b^2.

    Examples
    --------
    >>> import deepglass as dg
    >>> tanh = dg.meanfield.activation("tanh").normalised()
    >>> mu = dg.spectra.ntk_spectrum(tanh, [0.6, 0.75], dg.spectra.MarchenkoPastur(0.5))
    >>> complex(mu.stieltjes(3 + 0.3j).round(12))
    (-0.197535101094+0.46739546255j)
    """
    phi, b, a = _normalised(activation)
    gamma, core = _kernel_arguments("ntk_spectrum", ratios, input_spectrum)
    name = f"ntk_spectrum({phi.name!r}, {gamma.tolist()}, {input_spectrum!r})"
    if b == 0:
        shift = sum(a**k for k in range(1, len(gamma) + 1))
        return Measure(_core.affine(_core.marchenko_pastur(gamma[-1]), shift, 1.0), name)
    return Measure(_core.ntk_spectrum(core, gamma, b * b, a), name)


def conditional_fisher_spectrum(
    activation: str | Activation,
    weight_variance: float,
    bias_variance: float,
    depth: int,
    *,
    input_square: float | None = None,
) -> Measure:
    """Give the spectrum of the dual of the Fisher information of one input, orthogonal weights.

        Theta_{l+1} = qhat_l + W_{l+1} D_l Theta_l D_l W_{l+1}^T,  Theta_1 = qhat_0,  W W^T = weight_variance,
        mu_{l+1} = (qhat_l + weight_variance .)_* (nu_l [x] mu_l),  nu_l = law of phi'(u^l)^2,

    qhat_l the mean square of the activities (Hayase and Karakida, arXiv:2006.07814).  With weight_variance E phi'^2 = 1
    the mean is depth * qhat, and the spectrum concentrates there while depth * Var d^2 / (E d^2)^2 is small.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        sigma_w^2 > 0 and sigma_b^2.
    depth : int >= 1
        Number of weight layers L; the result is mu_L.
    input_square : float > 0, optional
        Mean square qhat_0 of the input.  Default: that of the fixed point, all layers alike.

    Returns
    -------
    Measure
        With its atoms.

    Examples
    --------
    >>> import deepglass as dg
    >>> mu = dg.spectra.conditional_fisher_spectrum("hard_tanh", 1.05, 0.01, 6)
    >>> round(mu.mean, 7), round(mu.variance, 7)
    (1.4084352, 0.1544783)
    """
    phi = make_activation(activation)
    sw2 = _positive("weight_variance", weight_variance)
    sb2 = number("bias_variance", bias_variance, "a finite number >= 0", lambda x: x >= 0)
    layers = integer("depth", depth, 1, _MOST_LAYERS)
    if input_square is None:
        q = _fixed_variance(phi, sw2, sb2)
        qhat = (q - sb2) / sw2
        if not qhat > 0:
            raise ValueError(
                f"input_square must be given: signals of {phi.name} die out at weight_variance {sw2:g}, "
                f"bias_variance {sb2:g}"
            )
        variances, squares = [q] * (layers - 1), [qhat] * layers
    else:
        variances, squares = [], [_positive("input_square", input_square)]
        for _ in range(layers - 1):
            variances.append(sw2 * squares[-1] + sb2)
            squares.append(float(_core.meanfield_moments(phi._core, np.array(variances[-1:]))["square"][0]))
    name = f"conditional_fisher_spectrum({phi.name!r}, {sw2:g}, {sb2:g}, {layers})"
    if layers == 1:
        return _renamed(Atoms([squares[0]], [1.0]), name)
    if layers == 2:
        return _renamed(squares[1] + sw2 * squares[0] * _SquaredSlope(phi, variances[0]), name)
    product = _core.conditional_fisher_product(phi._core, np.array(variances), np.array(squares[:-1]), sw2)
    inner = Measure(product, f"product of {name}")
    inner._finest = 90.0  # slopes are followed to 13 standard deviations
    return _renamed(squares[-1] + sw2 * inner, name)


def singular_value_pdf(measure: Measure, s: ArrayLike, *, threads: int = 0) -> Any:
    """Give the density of s = sqrt(lambda), lambda of the law given: 2 s pdf(s^2).

    Parameters
    ----------
    measure : Measure
        On [0, inf), the spectrum of J J^T.
    s : float or array
        Singular values, >= 0.
    threads : int >= 0
        0 = the OpenMP default.

    Returns
    -------
    float or array
        Without atoms.

    Examples
    --------
    >>> import deepglass as dg
    >>> quarter = dg.spectra.singular_value_pdf(dg.spectra.MarchenkoPastur(1), 1.0)  # the quarter circle law
    >>> abs(quarter - np.sqrt(3) / np.pi) < 1e-15
    np.True_
    """
    points = _real("s", s)
    if np.any(points < 0):
        raise ValueError(f"s must be >= 0, got {float(points[points < 0].flat[0])!r}")
    out = 2 * points * measure.pdf(points * points, threads=threads)
    return out[()] if np.ndim(s) == 0 else out


class _Network(Measure):
    """Solved in logarithms: good down to the smallest numbers, where power laws x^(-L/(L+1)) keep their mass."""

    _finest = 690.0


class _SquaredSlope(Measure):
    def __init__(self, phi: Activation, q: float) -> None:
        super().__init__(_core.slope_law(phi._core, q), f"squared_slope_law({phi.name!r}, {q:g})")
        self._phi, self._deviation = phi, math.sqrt(max(q, 1e-60))

    @functools.cached_property
    def _distribution(self) -> _SlopeDistribution:  # type: ignore[override]
        return _SlopeDistribution(self._phi, self._deviation)


class _SlopeDistribution:
    """Distribution of phi'(u)^2 by integrals over u: the density has inverse square roots wherever phi'' = 0."""

    unsolved = 0
    _FINE = 16  # pieces of a panel

    def __init__(self, phi: Activation, deviation: float) -> None:
        h, self._weight, _, slope = _core.meanfield_nodes(phi._core, deviation**2)
        self._phi, self._deviation, self._square = phi, deviation, slope**2
        self.mass = float(self._weight.sum())
        panels = h.reshape(-1, 20)  # of Gauss-Legendre
        kinks = np.asarray(phi.kinks) / deviation
        even = np.linspace(-13.0, 13.0, self._FINE * len(panels) + 1)
        self._grid = np.unique(np.concatenate([panels[:, 0], panels[:, -1], even, kinks[np.abs(kinks) < 13]]))

    def expect(self, function: Callable[[Array], Array]) -> float:
        return float(np.sum(self._weight * function(self._square)))

    def cdf(self, x: Array) -> Array:
        return np.array([self._below(float(each)) for each in x])

    def ppf(self, p: Array) -> Array:
        low, high = np.zeros_like(p), np.full_like(p, self._square.max() * (1 + 1e-12))
        for _ in range(60):
            middle = 0.5 * (low + high)
            reached = self.cdf(middle) >= p
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return high

    def _excess(self, h: Array, x: float) -> Array:
        return np.asarray(self._phi.derivative(self._deviation * h) ** 2 - x)

    def _below(self, x: float) -> float:
        """P(phi'^2 <= x): the pieces where it is, ended by bisection."""
        left, right = self._grid[:-1], self._grid[1:]
        gap = 1e-9 * (right - left)  # one-sided at kinks
        first, last = self._excess(left + gap, x) <= 1e-14 * x, self._excess(right - gap, x) <= 1e-14 * x
        mixed = first != last
        a, b = left[mixed].copy(), right[mixed].copy()
        for _ in range(50):
            middle = 0.5 * (a + b)
            same = (self._excess(middle, x) <= 0) == first[mixed]
            a, b = np.where(same, middle, a), np.where(same, b, middle)
        start, end = left.copy(), right.copy()
        end[mixed] = np.where(first[mixed], a, right[mixed])
        start[mixed] = np.where(first[mixed], left[mixed], a)
        chosen = first | last
        return float(np.sum(_normal_cdf(end[chosen]) - _normal_cdf(start[chosen])))


def _normal_cdf(h: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(h))


# ---- Arguments


def _positive(name: str, value: Any) -> float:
    return number(name, value, "a finite number > 0", lambda x: x > 0)


def _variance(name: str, value: Any) -> float:
    return number(name, value, "a finite number >= 0", lambda x: x >= 0)


def _fixed_variance(phi: Activation, sw2: float, sb2: float) -> float:
    found = _core.meanfield_fixed_points(phi._core, np.array([sw2]), np.array([sb2]), 1.0, correlation=False)
    if not found["exists"][0]:
        raise ValueError(
            f"weight_variance must leave a fixed point, got {sw2:g}: the variance of {phi.name} grows without bound "
            f"(bias_variance {sb2:g}); give variance"
        )
    return float(found["q"][0])


def _renamed(measure: Measure, name: str) -> Measure:
    measure._name = name
    return measure


def _not_zero(core: _core.Measure, function: str, phi: Activation) -> _core.Measure:
    if not core.support() and all(position == 0 for position, _ in core.atoms()):
        raise ValueError(f"activation must have a derivative other than 0, got {phi.name} ({function})")
    return core


def _normalised(activation: str | Activation) -> tuple[Activation, float, float]:
    """The activation, E phi' and E phi'^2."""
    phi = make_activation(activation)
    moments = {name: float(x[0]) for name, x in _core.meanfield_moments(phi._core, np.array([1.0])).items()}
    mean, square = moments["mean"], moments["square"]
    if abs(mean) > _NORMALISED or abs(square - 1) > _NORMALISED:
        raise ValueError(
            f"activation must have E phi = 0 and E phi^2 = 1 under N(0, 1), {phi.name} has {mean:.6g} and {square:.6g};"
            f" use activation({phi.name!r}).normalised()"
        )
    b, a = moments["slope"], moments["slope_square"]
    if abs(b) < 1e-12:  # of even functions
        b = 0.0
    if abs(b * b - 1) < 1e-12:
        b = math.copysign(1.0, b)
    return phi, b, a


def _kernel_arguments(function: str, ratios: float | Sequence[float], spectrum: Measure) -> tuple[Array, _core.Measure]:
    count = np.size(ratios)
    if not 1 <= count <= _MOST_KERNEL_LAYERS:
        raise ValueError(f"ratios must be 1 to {_MOST_KERNEL_LAYERS} numbers, got {ratios!r}")
    gamma = per_item("ratios", ratios, count, "finite and > 0", lambda x: 0 < x < math.inf)
    if not isinstance(spectrum, Measure):
        raise ValueError(f"input_spectrum must be a Measure, got {spectrum!r}")
    spectrum._check_positive(function)
    return gamma, spectrum._core
