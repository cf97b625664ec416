"""Contours made by the holomorphic flow (generalised thimbles)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import integer, number
from .actions import Action
from .contours import RealPlane

__all__ = ["HolomorphicFlow"]

Array: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]

_NEGLIGIBLE = 60.0  # weights less than e^-60 times the largest


class HolomorphicFlow(RealPlane):
    r"""The real plane moved by the holomorphic flow: a generalised thimble.

        dz/ds = conj(S'(z)),   dJ/ds = conj(S''(z) J),   z(0) = A t,   J(0) = A,

    up to s = `flow_time`, in steps of Runge and Kutta of fourth order; ln det J is the Jacobian of the steps
    themselves.  Along the flow Re S grows and Im S stays, so that what remains of the weight has nearly one phase.
    What flows far comes from a small part of the plane; the constant A gives all t the size of z, as it makes
    J the unit matrix at t = 0, but for phases: Re(J^+ J) = 1.  A. Alexandru, G. Basar, P. Bedaque, G. Ridgway,
    N. Warrington, arXiv:1512.08764.

    Parameters
    ----------
    action : Action
        What the contour is for; a CustomAction needs its `hessian_product`.
    flow_time : float >= 0
        s at the end.  The average phase need not grow with it.
    n_steps : int
        Steps of the flow.

    Attributes
    ----------
    start : array, shape (N, N)
        A.

    Notes
    -----
    Points whose weight is negligible are dropped, that is, given weight zero: those whose Re S goes 60 + N above
    the one of t = 0, N the number of variables, which comes before they overflow; and those where a step fails: Re S
    falls or Im S changes.  The latter happens at zeros of the weight only (PowerModel), and is an error that becomes
    smaller with `n_steps`.  `measure` counts the trajectories that end on dropped points.

    The force is that of -Re S alone, -Re(J^T S'(z)), by the adjoint flow, so the determinant is needed once in a
    trajectory: O(n_steps N^2 + N^3) for each, and O(n_steps N) for a force.

    Examples
    --------
    >>> from deepglass.contour import Quartic, measure
    >>> action = Quartic(1 + 4j, 1.0)
    >>> found = measure(action, HolomorphicFlow(action, 0.2), n_samples=3200, n_thermal=10, seed=1)
    >>> f"{found.average_phase_modulus.item():.1f}"  # 0.99; on the real axis 0.66
    '1.0'
    """

    def __init__(self, action: Action, flow_time: float, *, n_steps: int = 10) -> None:
        if not isinstance(action, Action):
            raise ValueError(f"action must be an Action, got {action!r}")
        self.action = action
        self.flow_time = number("flow_time", flow_time, ">= 0", lambda value: value >= 0)
        self.n_steps = integer("n_steps", n_steps, 1, 2**20)
        self._size = math.prod(action.field_shape)
        self._highest = math.inf  # Re S
        self._last: tuple[Array, Complex, NDArray[np.bool_]] | None = None
        self.start = np.eye(self._size)
        center = np.zeros((1, *action.field_shape))
        state, kept = self._flow(self._with_tangents(center))
        if kept[0]:
            self._highest = float(action.action(state[:, 0])[0].real) + _NEGLIGIBLE + self._size
            columns = state[0, 1:].reshape(self._size, self._size)
            size, axes = np.linalg.eigh((columns.conj() @ columns.T).real)
            self.start = (axes / np.sqrt(size)) @ axes.T

    def map(self, t: ArrayLike) -> Complex:
        """Give z at real t, shape (n, *field_shape); of dropped points, one where the flow was still good."""
        return self._map(self._checked(t))[0]

    def log_jacobian(self, t: ArrayLike) -> Complex:
        """Give ln det dz/dt of configurations, shape (n, *field_shape); -inf for dropped points."""
        t = self._checked(t)
        state, kept = self._flow(self._with_tangents(t))
        return np.where(kept, self._log_determinant(state), -math.inf)

    def force(self, t: ArrayLike, gradient: ArrayLike) -> Array:
        """Give -d Re S / dt from dS/dz at z(t): enough for proposals, as they are accepted with all of Re L.

        Re(p^T J) stays along the flow for dp/ds = -S''(z) conj(p): from p = S'(z) at the end back to J = A.
        """
        t = self._checked(t)
        z, kept = self._map(t)
        state = np.stack([z, np.asarray(gradient, complex).reshape(t.shape)], axis=1)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(self.n_steps):
                state = _step(self._adjoint_rates, state, -self.flow_time / self.n_steps)
        force = -(state[:, 1].real.reshape(len(t), -1) @ self.start)
        return np.where(kept[:, np.newaxis], force, 0.0).reshape(t.shape)

    def _map(self, t: Array) -> tuple[Complex, NDArray[np.bool_]]:
        """Give z and which points are kept; a leapfrog step asks for them twice."""
        last = self._last
        if last is None or not np.array_equal(last[0], t):
            state, kept = self._flow(self._with_tangents(t)[:, :1])
            self._last = last = t.copy(), np.ascontiguousarray(state[:, 0]), kept
        return last[1].copy(), last[2]

    def _with_tangents(self, t: Array) -> Complex:
        """Rows z = A t and dz/dt_j = A_j, shape (n, 1 + N, *field_shape)."""
        flat = t.reshape(len(t), 1, self._size) @ self.start
        tangents = np.broadcast_to(self.start, (len(t), *self.start.shape))
        rows = np.concatenate([flat, tangents], axis=1).reshape(len(t), -1, *self.action.field_shape)
        return np.asarray(rows, complex)

    def _rates(self, state: Complex) -> Complex:
        z, tangents = state[:, :1], state[:, 1:]
        rates = [self.action.gradient(z), self.action.hessian_product(z, tangents)]
        return np.asarray(np.conj(np.concatenate(rates, axis=1)))

    def _adjoint_rates(self, state: Complex) -> Complex:
        z, p = state[:, :1], state[:, 1:]
        rates = [np.conj(self.action.gradient(z)), -self.action.hessian_product(z, np.conj(p))]
        return np.asarray(np.concatenate(rates, axis=1))

    def _flow(self, state: Complex) -> tuple[Complex, NDArray[np.bool_]]:
        """Rows z, and J if there; and which points are kept."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            first = last = self.action.action(state[:, 0])
            kept = np.asarray(first.real <= self._highest)
            for _ in range(self.n_steps):
                new = _step(self._rates, state, self.flow_time / self.n_steps)
                now = self.action.action(new[:, 0])
                kept = kept & (now.real <= self._highest) & np.isfinite(new).reshape(len(new), -1).all(axis=1)
                # 1e-9: rounding; 0.9: a step whose phase is off by much more than its error has jumped
                kept &= (now.real >= last.real - 1e-9 * (1 + abs(last.real))) & (np.cos(now.imag - first.imag) > 0.9)
                state = np.where(kept.reshape(-1, *(1,) * (state.ndim - 1)), new, state)
                last = np.where(kept, now, last)
        return state, kept

    def _log_determinant(self, state: Complex) -> Complex:
        sign, log = np.linalg.slogdet(state[:, 1:].reshape(len(state), self._size, self._size))
        return np.asarray(log + 1j * np.angle(sign))

    def _checked(self, t: ArrayLike) -> Array:
        t = np.asarray(t, float)
        if t.ndim == 0 or t.shape[1:] != self.action.field_shape:
            raise ValueError(f"t must have shape (n, *{self.action.field_shape}), got {t.shape}")
        return t

    def __repr__(self) -> str:
        return f"HolomorphicFlow({self.action!r}, {self.flow_time!r}, n_steps={self.n_steps})"


def _step(rates: Callable[[Complex], Complex], state: Complex, h: float) -> Complex:
    """One step of Runge and Kutta, of fourth order."""
    k1 = rates(state)
    k2 = rates(state + h / 2 * k1)
    k3 = rates(state + h / 2 * k2)
    k4 = rates(state + h * k3)
    return np.asarray(state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
