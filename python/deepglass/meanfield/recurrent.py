"""The random recurrent network in continuous time, solved self-consistently."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import _core
from ..io import provenance
from ._arguments import AnyActivation, Array, array, make, variance
from .phases import fixed_point

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["recurrent_network"]

_DEGREE = 48  # of polynomials in sqrt(1 - c)
# Of tau as a function of s: panels, and where c has become c_inf to rounding.
_PANEL, _PANEL_DEGREE, _FAR_S = 0.5, 15, 12.0


def recurrent_network(
    activation: AnyActivation,
    weight_variance: float,
    bias_variance: float,
    times: npt.ArrayLike,
    *,
    lyapunov: bool = True,
) -> xr.Dataset:
    """Stationary autocorrelation of a random recurrent network, and its largest Lyapunov exponent.

    dx_i/dt = -x_i + sum_j W_ij phi(x_j) + b_i  with fixed W_ij ~ N(0, weight_variance / n): x is a Gaussian process
    whose autocorrelation C(tau) moves like a particle (Sompolinsky, Crisanti and Sommers 1988),

        C'' = C - weight_variance E phi(x) phi(x') - bias_variance,   (x, x') of variance C(0), covariance C(tau),

    from rest at C(0) to rest at C(infinity): conservation of energy fixes C(0), where the layered recursion puts
    the fixed point of q.  Below the transition (chi_1 <= 1 there) both are the same static state.

    Parameters
    ----------
    activation : str or Activation
        See `deepglass.meanfield.activation`.
    weight_variance, bias_variance : float >= 0
        g^2, and the variance of a constant input.
    times : array of float >= 0, shape (n,)
        The times tau wanted, increasing.
    lyapunov : bool
        Whether the Lyapunov exponent is wanted (0.2 s).

    Returns
    -------
    xarray.Dataset
        Dim ``time``: ``autocorrelation`` C(tau).  No dims: ``variance`` C(0), ``plateau`` C(infinity), ``decay_rate``
        of C - C(infinity) at long times, ``lyapunov_exponent`` lambda, from (1 + lambda)^2 = the largest
        eigenvalue of d^2/dtau^2 + weight_variance E phi'(x) phi'(x'), to 1e-6 (NaN if not wanted); and ``layered_q``,
        ``layered_c``, ``chi_1`` of the layered recursion with the same variances.

    Notes
    -----
    C(0) to 1e-11 and C(tau) to 1e-9 of C(0); some 10 ms for smooth functions, some 100 ms with kinks.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> chaos = dg.meanfield.recurrent_network("tanh", 2.25, 0.0, np.linspace(0, 20, 3))
    >>> round(float(chaos.variance), 6), chaos.autocorrelation.values.round(4)
    (0.747686, array([0.7477, 0.2723, 0.0558]))
    >>> round(float(chaos.lyapunov_exponent), 4), round(float(chaos.layered_q), 4)
    (0.0467, 0.7934)
    """
    import xarray as xr

    phi = make(activation)
    sw2, sb2 = variance("weight_variance", weight_variance), variance("bias_variance", bias_variance)
    tau = np.atleast_1d(array("times", times, "a finite number >= 0", lambda x: x >= 0.0))
    if (np.diff(tau) <= 0.0).any():
        raise ValueError("times must increase")
    layered = fixed_point(phi, sw2, sb2)
    q, chi_1 = float(layered.q), float(layered.chi_1)
    if chi_1 <= 1.0:
        c0, plateau, rate = q, q, math.sqrt(1.0 - chi_1)
        values, exponent = np.full(tau.shape, q), math.sqrt(chi_1) - 1.0
    else:
        motion = _motion(phi._core, sw2, sb2, q)
        c0, plateau, rate = motion.c0, motion.c0 * motion.c_inf, motion.rate
        values = c0 * motion.correlation(tau)
        exponent = motion.lyapunov() if lyapunov else math.nan
    parameters = {"activation": phi.name, "weight_variance": sw2, "bias_variance": sb2, "times": tau}
    return xr.Dataset(
        {
            "autocorrelation": ("time", values),
            "variance": c0,
            "plateau": plateau,
            "decay_rate": rate,
            "lyapunov_exponent": exponent if lyapunov else math.nan,
            "layered_q": q,
            "layered_c": float(layered.c),
            "chi_1": chi_1,
        },
        {"time": tau},
        provenance("deepglass.meanfield.recurrent_network", parameters),
    )


@functools.cache
def _unit_rule() -> tuple[Array, Array]:
    """Gauss-Legendre on [0, 1]."""
    nodes, weights = _core.gauss_legendre(40, 0.0, 1.0)
    return nodes, weights


@dataclasses.dataclass(frozen=True)
class _Motion:
    """c(tau) = C(tau) / C(0) falling from 1 to c_inf, in the force  f(c) = (sw2 E phi phi + sb2) / C(0) - c.

    c'' = -f(c);  energy:  c'^2 / 2 = int_c^1 f = - int_{c_inf}^c f.  Functions of c are polynomials in
    x = sqrt(1 - c), in which kinks of phi are smooth.
    """

    c0: float
    c_inf: float
    force: Callable[[Array], Array]  # f, of x
    ratio: Callable[[Array], Array]  # f / (c_inf - c), of x
    slope: Callable[[Array], Array]  # sw2 E phi' phi', of x
    rate: float

    @property
    def _reach(self) -> float:
        return math.sqrt(1.0 - self.c_inf)

    def _energy(self, x: Array) -> Array:
        """c'^2 / 2, without cancellation at either end."""
        t, w = _unit_rule()
        c, above = 1.0 - x**2, self._reach**2 - x**2  # above: c - c_inf
        from_top = x**2 * (self.force(np.multiply.outer(x, np.sqrt(t))) @ w)
        below = c[:, np.newaxis] - np.multiply.outer(above, t)  # from c down to c_inf
        from_end = above**2 * (self.ratio(np.sqrt(1.0 - below)) @ (w * (1.0 - t)))
        return np.where(c - self.c_inf > 0.5 * (1.0 - self.c_inf), from_top, from_end)

    def correlation(self, tau: Array) -> Array:
        """With c - c_inf = (1 - c_inf) / cosh(s)^2, dtau/ds is smooth, and tends to 2 / decay rate."""
        from numpy.polynomial import chebyshev

        width, n_panels = _PANEL, int(_FAR_S / _PANEL)
        starts = width * np.arange(n_panels)
        t = (chebyshev.chebpts1(_PANEL_DEGREE + 1) + 1.0) / 2.0  # of dtau/ds in each panel
        pace = self._pace(np.add.outer(starts, width * t).reshape(-1)).reshape(n_panels, -1)
        paces = chebyshev.chebfit(2.0 * t - 1.0, pace.T, _PANEL_DEGREE)
        polynomials = chebyshev.chebint(paces, lbnd=-1) * width / 2.0
        ends = np.concatenate([[0.0], np.cumsum(polynomials.sum(axis=0))])  # tau at the panels' edges
        s = np.interp(tau, ends, width * np.arange(n_panels + 1))
        for _ in range(6):  # Newton's method for tau(s) = tau
            panel = np.minimum((s / width).astype(int), n_panels - 1)
            t = 2.0 * (s / width - panel) - 1.0
            found = ends[panel] + chebyshev.chebval(t, polynomials[:, panel], tensor=False)
            s = np.clip(s + (tau - found) / chebyshev.chebval(t, paces[:, panel], tensor=False), 0.0, _FAR_S)
        s = np.where(tau > ends[-1], _FAR_S + (tau - ends[-1]) * self.rate / 2.0, s)
        shape: Array = self.c_inf + self._reach**2 / np.cosh(np.minimum(s, 350.0)) ** 2
        return shape

    def _pace(self, s: Array) -> Array:
        """dtau/ds = -(dc/ds) / |c'|"""
        s = np.maximum(s, 1e-5)  # even in s
        x = self._reach * np.tanh(s)
        pace: Array = 2.0 * x * self._reach / np.cosh(s) ** 2 / np.sqrt(2.0 * self._energy(x))
        return pace

    def lyapunov(self) -> float:
        """Ground state of -d^2/dtau^2 - sw2 E phi' phi', even in tau; second differences, extrapolated."""
        from scipy.linalg import eigh_tridiagonal

        end = 40.0 / self.rate

        def eigenvalue(n: int) -> float:
            h = end / n
            tau: Array = np.linspace(0.5 * h, end - 0.5 * h, n)
            x = np.sqrt(np.clip(1.0 - self.correlation(tau), 0.0, self._reach**2))
            diagonal = 2.0 / h**2 - self.slope(x)
            diagonal[0] -= 1.0 / h**2  # even about 0
            return float(eigh_tridiagonal(diagonal, np.full(n - 1, -1.0 / h**2), select="i", select_range=(0, 0))[0][0])

        coarse, fine = eigenvalue(2000), eigenvalue(4000)
        return math.sqrt(max(-(4.0 * fine - coarse) / 3.0, 0.0)) - 1.0


def _motion(core: _core.Activation, sw2: float, sb2: float, layered_q: float) -> _Motion:
    """C(0) from conservation of energy, below the layered fixed point."""
    from scipy.optimize import brentq

    def excess(c0: float) -> float:
        motion = _at(core, sw2, sb2, c0)
        # int_{c_inf}^1 f dc, dc = 2 x dx
        x, w = (part * motion._reach for part in _unit_rule())
        return float((2.0 * x * motion.force(x)) @ w)

    low = layered_q
    while excess(low) < 0.0:
        low *= 0.8
        if low < 1e-12 * layered_q:
            raise _core.NumericalError("no chaotic solution was found")
    c0 = float(brentq(excess, low, min(low / 0.8, layered_q), xtol=1e-13 * layered_q, rtol=1e-14))
    return _at(core, sw2, sb2, c0)


def _at(core: _core.Activation, sw2: float, sb2: float, c0: float) -> _Motion:
    """The force at a trial C(0), with c_inf the lower zero of f (its minimum where there is none)."""
    from numpy.polynomial import chebyshev

    def raw(c: Array) -> tuple[Array, Array]:
        variances = np.full(c.shape, c0)
        averages = _core.meanfield_two_point(core, variances, variances, c)
        return (sw2 * averages["value"] + sb2) / c0 - c, sw2 * averages["slope"]

    # f is convex: Newton's method from 0 is monotone up to its first zero.
    c_inf = 0.0
    for _ in range(200):
        f, gain = (float(y[0]) for y in raw(np.array([c_inf])))
        if f <= 1e-15 or gain >= 1.0:
            break
        step = min(f / (1.0 - gain), 0.5 * (1.0 - c_inf))
        c_inf += step
        if step <= 1e-15:
            break
    reach = math.sqrt(1.0 - c_inf)
    nodes: Array = np.asarray(reach * (chebyshev.chebpts1(_DEGREE + 1) + 1.0) / 2.0, dtype=np.float64)
    c = 1.0 - nodes**2
    force, slope = raw(c)
    end_slope = float(raw(np.array([c_inf]))[1][0])

    def polynomial(values: Array) -> Callable[[Array], Array]:
        coefficients = chebyshev.chebfit(2.0 * nodes / reach - 1.0, values, _DEGREE)

        def at(x: Array) -> Array:
            return np.asarray(chebyshev.chebval(2.0 * x / reach - 1.0, coefficients), dtype=np.float64)

        return at

    return _Motion(
        c0=c0,
        c_inf=c_inf,
        force=polynomial(force),
        ratio=polynomial(-force / (c - c_inf)),
        slope=polynomial(slope),
        rate=math.sqrt(max(1.0 - end_slope, 0.0)),
    )
