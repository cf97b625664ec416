"""Contours z(t) on which the oscillations of exp(-S) are weaker than on the real axis."""

from __future__ import annotations

import cmath
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import number
from .actions import Action, ComplexPhi4, Gaussian, Quartic

__all__ = ["LinearContour", "RealPlane", "Shift"]

Complex: TypeAlias = NDArray[np.complex128]

KAPPA_PROVEN = math.tan(math.pi / 8)  # with quartic terms the integral converges for kappa below


class RealPlane:
    """The undeformed domain of integration, z = t.

    Examples
    --------
    >>> RealPlane().map([0.5, 1.0])
    array([0.5+0.j, 1. +0.j])
    """

    slope: complex = 1.0
    offset: float = 0.0

    def map(self, t: ArrayLike) -> Complex:
        """Give z at real t."""
        return np.asarray(self.slope * np.asarray(t, float) + 1j * self.offset, complex)

    def log_jacobian(self, t: ArrayLike) -> Complex:
        """Give ln det dz/dt of configurations, shape (n, *field_shape)."""
        t = np.asarray(t, float)
        return np.full(len(t), math.prod(t.shape[1:]) * cmath.log(self.slope))

    def force(self, t: ArrayLike, gradient: ArrayLike) -> NDArray[np.float64]:
        """Give d Re L / dt of the log weight L = ln det dz/dt - S, from dS/dz at z(t)."""
        return np.asarray(-(self.slope * np.asarray(gradient)).real)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Shift(RealPlane):
    """A constant shift, z = t + i y.

    Parameters
    ----------
    y : float
        The same for all variables.

    Examples
    --------
    The conditionally convergent Airy integral becomes absolutely convergent.

    >>> float(Shift(0.5).map(1.0).imag)
    0.5
    """

    def __init__(self, y: float) -> None:
        self.offset = number("y", y, "a finite number", lambda value: True)

    def __repr__(self) -> str:
        return f"Shift({self.offset!r})"


class LinearContour(RealPlane):
    r"""The thimble of the Gaussian theory that is closest to an action.

    ComplexPhi4: z_{a,x} = t_{a,x} + i sum_{b,y} eps_ab c(y-x) t_{b,y} with

        c(x) = (1/V) sum_p e^{ipx} i tan(arg D(p) / 2),   D(p) = 4 + M^2 - 2 cos p_1 - 2 cos(p_0 + i mu).

    The Jacobian is constant, real and positive.  Where M^2 is so small that D(0) < 0, the momenta p = -p are
    left out, at which the tangent may diverge.  Gaussian and Quartic, with Re sigma > 0: the line of steepest
    descent of the quadratic part through its saddle -h/sigma, z = (1 + i b) t + const, b = -tan(arg(sigma) / 2).

    Parameters
    ----------
    action : ComplexPhi4, Gaussian or Quartic
    mass_squared : float, optional
        M^2, ComplexPhi4 only.  By default the Hartree mass M^2 = m^2 + 2 lambda <phi^2>, made self-consistent
        with <phi^2> = (2/V) sum_p 1/D(p) of the Gaussian theory itself; no simulation is needed for it.  In the
        dense phase `hartree_contour` finds a better one.
    max_kappa : float > 0, optional
        Largest kappa: a larger b is cut, and of c the nearest kernel that has it is taken, in the sum of squares:
        all abs(c(x)) become smaller by the same amount, down to zero.  By default there is no limit, but 0.4 for
        Quartic, whose integral diverges from tan(pi/8) on.

    Attributes
    ----------
    kernel : array, shape (n_space, n_time)
        c(x), of ComplexPhi4.
    mass_squared : float
        M^2, of ComplexPhi4.
    kappa : float
        sum_x abs(c(x)), or abs(b) for one variable.
    proven : bool
        Whether the integral is proven to converge: kappa < tan(pi/8) = 0.4142, or any kappa for a Gaussian.  For
        ComplexPhi4 the condition is sufficient; no instability was seen above it.

    Examples
    --------
    >>> contour = LinearContour(ComplexPhi4((4, 4), chemical_potential=1.0))
    >>> f"{contour.mass_squared:.3f} {contour.kappa:.3f} {contour.proven}"
    '1.933 0.276 True'
    """

    def __init__(self, action: Action, mass_squared: float | None = None, max_kappa: float | None = None) -> None:
        self.action = action
        self.max_kappa = max_kappa
        if max_kappa is not None:
            max_kappa = number("max_kappa", max_kappa, "> 0", lambda value: value > 0)
        if isinstance(action, ComplexPhi4):
            if mass_squared is None:
                mass_squared = _hartree_mass_squared(action)
            self.mass_squared = number("mass_squared", mass_squared, "> -4", lambda value: value > -4)
            self.kernel = _phi4_kernel(action, self.mass_squared)
            self.kappa = float(np.abs(self.kernel).sum())
            if max_kappa is not None and self.kappa > max_kappa:
                # Close to the best: sum_p ln cos(arg D + 2 atan s), that is ln of the average phase of the Gaussian
                # theory, is -0.0407 for this and for its maximum under the same limit (8 x 8, mu = 1, 0.414).
                self.kernel = _shrunk(self.kernel, max_kappa)
                self.kappa = max_kappa
        elif isinstance(action, (Gaussian, Quartic)):
            if mass_squared is not None:
                raise ValueError("mass_squared must be None unless action is a ComplexPhi4")
            sigma, h = action.sigma, action.h
            if not sigma.real > 0:
                raise ValueError(f"action must have Re sigma > 0, got sigma = {sigma}")
            tangent = -math.tan(cmath.phase(sigma) / 2)
            most = math.inf if isinstance(action, Gaussian) else 0.4
            if max_kappa is not None:
                most = max_kappa
                if isinstance(action, Quartic) and max_kappa >= KAPPA_PROVEN:
                    raise ValueError(f"max_kappa must be < tan(pi/8) for a Quartic, got {max_kappa}")
            tangent = min(max(tangent, -most), most)
            self.kappa = abs(tangent)
            self.slope = complex(1, tangent)
            center = -h / sigma
            self.offset = center.imag - tangent * center.real
        else:
            raise ValueError(f"action must be a ComplexPhi4, Gaussian or Quartic, got {action!r}")

    @property
    def proven(self) -> bool:
        """Whether the integral is proven to converge."""
        return isinstance(self.action, Gaussian) or self.kappa < KAPPA_PROVEN

    def map(self, t: ArrayLike) -> Complex:
        """Give z at real t; of ComplexPhi4, t has shape (..., 2, n_space, n_time)."""
        if not isinstance(self.action, ComplexPhi4):
            return super().map(t)
        t = np.asarray(t, float)
        if t.shape[-3:] != self.action.field_shape:
            raise ValueError(f"t must have shape (..., {', '.join(map(str, self.action.field_shape))}), got {t.shape}")
        return np.asarray(t + 1j * self._tilt(t))

    def log_jacobian(self, t: ArrayLike) -> Complex:
        """Give ln det dz/dt of configurations; of ComplexPhi4 it is sum_p ln(1 + tan^2)."""
        if not isinstance(self.action, ComplexPhi4):
            return super().log_jacobian(t)
        return np.full(len(np.asarray(t)), np.log1p(kernel_transform(self.kernel) ** 2).sum(), complex)

    def force(self, t: ArrayLike, gradient: ArrayLike) -> NDArray[np.float64]:
        """Give d Re L / dt of the log weight L = ln det dz/dt - S, from dS/dz at z(t)."""
        if not isinstance(self.action, ComplexPhi4):
            return super().force(t, gradient)
        gradient = np.asarray(gradient, complex)
        return np.asarray(self._tilt(gradient.imag) - gradient.real)  # the tilt is symmetric

    def _tilt(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """sum_{b,y} eps_ab c(y-x) t_{b,y}."""
        shifted = np.fft.ifft2(1j * kernel_transform(self.kernel) * np.fft.fft2(t)).real
        return np.stack([shifted[..., 1, :, :], -shifted[..., 0, :, :]], axis=-3)

    def __repr__(self) -> str:
        mass = f", mass_squared={self.mass_squared!r}" if isinstance(self.action, ComplexPhi4) else ""
        return f"LinearContour({self.action!r}{mass}, max_kappa={self.max_kappa!r})"


def kernel_transform(kernel: ArrayLike) -> NDArray[np.float64]:
    """s(p) = sum_x c(x) sin(p x): the convolution with c is i s(p) in Fourier space."""
    return np.asarray(-np.fft.fft2(np.asarray(kernel, float)).imag)


def _phi4_kernel(action: ComplexPhi4, mass_squared: float) -> NDArray[np.float64]:
    determinant = action.free_determinant(mass_squared)
    tangent = np.tan(np.angle(determinant) / 2)
    n_space, n_time = action.shape
    own_mirror_1 = 2 * np.arange(n_space) % n_space == 0
    own_mirror_0 = 2 * np.arange(n_time) % n_time == 0
    # There D is real: the tangent is 0, or infinite where D < 0.
    tangent[np.ix_(own_mirror_1, own_mirror_0)] = 0.0
    return np.ascontiguousarray(np.fft.ifft2(1j * tangent).real)


def _shrunk(kernel: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """Nearest kernel with sum_x abs(c(x)) = total, which is less than its own."""
    sizes = np.sort(np.abs(kernel), axis=None)[::-1]
    cuts = (np.cumsum(sizes) - total) / np.arange(1, sizes.size + 1)  # if so many entries are left
    cut = cuts[np.flatnonzero(sizes > cuts)[-1]]
    return np.asarray(np.sign(kernel) * np.maximum(np.abs(kernel) - cut, 0.0))


def _hartree_mass_squared(action: ComplexPhi4) -> float:
    """Root of M^2 = m^2 + 4 (lambda/V) sum_p 1/D(p); the sum grows without bound where D(0) -> 0."""
    from scipy.optimize import brentq

    if action.coupling == 0:
        return action.mass**2
    lowest = 2 * (math.cosh(action.chemical_potential) - 1)

    def excess(distance: float) -> float:
        propagator = (1 / action.free_determinant(lowest + distance)).mean().real
        return float(action.mass**2 + 4 * action.coupling * propagator - lowest - distance)

    upper = 1.0
    while excess(upper) > 0:
        upper *= 2
    lower = upper
    while excess(lower) <= 0:
        lower /= 2
    return float(lowest + brentq(excess, lower, 2 * lower, xtol=1e-14))
