"""Contours given by a network of two layers, trained to weaken the sign problem."""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import integer, number
from ..random import SeedLike, seed_entropy
from ._trajectory import Weighting, advance, default_step
from .actions import Action, Airy, ComplexPhi4
from .contours import LinearContour, RealPlane

__all__ = ["NetworkContour"]

Array: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]


class NetworkContour(RealPlane):
    r"""A contour z = t + i (B t + y(t)), with y a network of tanh units.

        a = tanh(W1 t + b1),   f = tanh(W2 a + b2),   y = alpha f + beta   (entry by entry).

    Shifts are bounded, so the integral is the one on the real plane; of Airy, which needs y > 0 for large abs(t),
    it is not.

    Parameters
    ----------
    action : Action
        What the contour is for.
    hidden : int
        Number of units a.
    base : LinearContour, optional
        Gives B, for ComplexPhi4; B = 0 by default.
    seed : int, SeedSequence, Generator or None
        Of the initial weights: W1 ~ N(0, 1/N), W2 ~ N(0, 1/hidden), alpha = 0.1, all else 0, N the number of
        variables.

    Attributes
    ----------
    weights : dict of arrays
        ``W1`` (hidden, N), ``b1`` (hidden,), ``W2`` (N, hidden), ``b2``, ``alpha`` and ``beta`` (N,).

    Notes
    -----
    Jacobians of N x N numbers for each configuration, O(N^3) a step, in NumPy: for up to a hundred variables.

    Examples
    --------
    >>> from deepglass.contour import Quartic, measure
    >>> action = Quartic(1 + 4j, 1.0)
    >>> contour = NetworkContour(action, seed=1).train(300, seed=1)
    >>> for one in (None, contour):
    ...     print(f"{measure(action, one, n_samples=6400, seed=1).average_phase_modulus.item():.1f}")
    0.7
    1.0
    """

    def __init__(
        self, action: Action, hidden: int = 10, *, base: LinearContour | None = None, seed: SeedLike = None
    ) -> None:
        if not isinstance(action, Action):
            raise ValueError(f"action must be an Action, got {action!r}")
        if isinstance(action, Airy):
            raise ValueError(f"action must not be an Airy, which takes a Shift, got {action!r}")
        self.action = action
        self.hidden = integer("hidden", hidden, 1, 2**20)
        n = math.prod(action.field_shape)
        if base is not None and not (isinstance(action, ComplexPhi4) and repr(base.action) == repr(action)):
            raise ValueError(f"base must be a LinearContour of the same ComplexPhi4, got {base!r}")
        self.base = base
        rng = np.random.default_rng(seed_entropy(seed))
        self.weights: dict[str, Array] = {
            "W1": rng.standard_normal((self.hidden, n)) / math.sqrt(n),
            "b1": np.zeros(self.hidden),
            "W2": rng.standard_normal((n, self.hidden)) / math.sqrt(self.hidden),
            "b2": np.zeros(n),
            "alpha": np.full(n, 0.1),
            "beta": np.zeros(n),
        }
        units = np.eye(n).reshape(n, *action.field_shape)
        tilt = np.zeros((n, n)) if base is None else base.map(units).imag.reshape(n, n)  # B, symmetric
        self._base = np.eye(n) + 1j * tilt
        self._base_inverse = np.linalg.inv(self._base)
        sign, log = np.linalg.slogdet(self._base)
        self._base_log = complex(log, np.angle(sign))

    def map(self, t: ArrayLike) -> Complex:
        """Give z at real t, shape (n, *field_shape)."""
        t, flat = self._flat(t)
        _, f = self._units(flat)
        y = flat @ self._base.imag + self.weights["alpha"] * f + self.weights["beta"]
        return np.asarray(t + 1j * y.reshape(t.shape))

    def log_jacobian(self, t: ArrayLike) -> Complex:
        """Give ln det dz/dt of configurations, shape (n, *field_shape)."""
        flat = self._flat(t)[1]
        left, right = self._factors(*self._units(flat))
        if self.hidden < flat.shape[1]:  # det(M + i A C) = det(M) det(1 + i C M^-1 A)
            sign, log = np.linalg.slogdet(np.eye(self.hidden) + 1j * (right @ self._base_inverse @ left))
            return np.asarray(log + 1j * np.angle(sign) + self._base_log)
        sign, log = np.linalg.slogdet(self._base + 1j * (left @ right))
        return np.asarray(log + 1j * np.angle(sign))

    def force(self, t: ArrayLike, gradient: ArrayLike) -> Array:
        """Give d Re L / dt of the log weight L = ln det dz/dt - S, from dS/dz at z(t)."""
        t, flat = self._flat(t)
        slope = np.asarray(gradient, complex).reshape(flat.shape)
        back = self._back(flat, slope)
        through_base = slope.imag @ self._base.imag  # which is symmetric
        return np.asarray(through_base - slope.real + back.hidden @ self.weights["W1"]).reshape(t.shape)

    def weight_gradient(self, t: ArrayLike) -> dict[str, Array]:
        """Mean over configurations of the derivatives of Re L by the weights.

        Parameters
        ----------
        t : array, shape (n, *field_shape)
            If drawn with the weight e^{Re L}, the mean is the gradient of ln Z_pq; no phase enters.

        Returns
        -------
        dict of arrays
            As `weights`.
        """
        t, flat = self._flat(t)
        slope = self.action.gradient(self.map(t)).reshape(flat.shape)
        a, f = self._units(flat)
        left = self._factors(a, f)[0]
        back = self._back(flat, slope)
        n = len(flat)
        # ln det depends on W2 and W1 through Y = diag(alpha f') W2 diag(a') W1 too.
        through_w2 = np.einsum("nhk,nh,nk->kh", back.response, 1 - a**2, self.weights["alpha"] * (1 - f**2))
        through_w1 = ((1 - a**2)[:, np.newaxis] * (back.G @ left)).sum(axis=0).T
        return {
            "W1": (back.hidden.T @ flat + through_w1) / n,
            "b1": back.hidden.mean(axis=0),
            "W2": (back.visible.T @ a + through_w2) / n,
            "b2": back.visible.mean(axis=0),
            "alpha": (slope.imag * f + (1 - f**2) * back.diagonal).mean(axis=0),
            "beta": slope.imag.mean(axis=0),
        }

    def train(
        self,
        n_updates: int = 300,
        *,
        rate: float = 0.01,
        n_chains: int = 64,
        step: float | None = None,
        seed: SeedLike = None,
    ) -> NetworkContour:
        """Minimise ln Z_pq, that is maximise the modulus of the average phase, by Adam.

        Each update takes the mean gradient over chains that go one trajectory further with the weights of that
        moment.  The rate falls linearly to 5 % after a third of the updates, and the weights become the mean of
        the last quarter: the floor is the noise of the gradient.

        Parameters
        ----------
        n_updates : int
            Number of updates of the weights.
        rate : float > 0
            Of Adam.
        n_chains : int
            Chains of hybrid Monte Carlo.
        step : float, optional
            Leapfrog step, as for `measure`.
        seed : int, SeedSequence, Generator or None
            Of the chains.

        Returns
        -------
        NetworkContour
            This contour, trained.
        """
        n_updates = integer("n_updates", n_updates, 1, 2**31)
        rate = number("rate", rate, "> 0", lambda value: value > 0)
        n_chains = integer("n_chains", n_chains, 1, 2**20)
        step = default_step(self.action) if step is None else number("step", step, "> 0", lambda value: value > 0)
        rng = np.random.default_rng(seed_entropy(seed))
        weighting = Weighting(self.action, self)
        t = 0.5 * rng.standard_normal((n_chains, *self.action.field_shape))
        first = {name: np.zeros_like(value) for name, value in self.weights.items()}
        second, mean = ({name: np.zeros_like(value) for name, value in self.weights.items()} for _ in range(2))
        n_thermal, n_mean = 20, max(1, n_updates // 4)
        for k in range(1 - n_thermal, n_updates + 1):
            t, _, _ = advance(
                weighting,
                t,
                weighting.log_weight(t),
                rng.standard_normal(t.shape),
                step * rng.uniform(0.8, 1.2, n_chains),
                math.ceil(1 / step),
                1 - rng.random(n_chains),
            )
            if k < 1:
                continue
            now = rate * min(1.0, 1 - 0.95 * (k - n_updates / 3) / (n_updates * 2 / 3))
            for name, gradient in self.weight_gradient(t).items():
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                size = np.sqrt(second[name] / (1 - 0.999**k)) + 1e-8
                self.weights[name] = self.weights[name] - now * first[name] / (1 - 0.9**k) / size
                if k > n_updates - n_mean:
                    mean[name] += self.weights[name] / n_mean
        self.weights = mean
        return self

    def __repr__(self) -> str:
        digest = zlib.crc32(b"".join(value.tobytes() for value in self.weights.values()))
        return f"NetworkContour({self.action!r}, {self.hidden}, base={self.base!r}, weights {digest:08x})"

    def _flat(self, t: ArrayLike) -> tuple[Array, Array]:
        t = np.asarray(t, float)
        if t.shape[1:] != self.action.field_shape or t.ndim == 0:
            raise ValueError(f"t must have shape (n, *{self.action.field_shape}), got {t.shape}")
        return t, t.reshape(len(t), -1)

    def _units(self, flat: Array) -> tuple[Array, Array]:
        """Give a (n, hidden) and f (n, N)."""
        a = np.tanh(flat @ self.weights["W1"].T + self.weights["b1"])
        return a, np.tanh(a @ self.weights["W2"].T + self.weights["b2"])

    def _factors(self, a: Array, f: Array) -> tuple[Array, Array]:
        """Factors A = diag(alpha f') W2 and C = diag(a') W1 of the Jacobian Y = A C of y."""
        left = (self.weights["alpha"] * (1 - f**2))[:, :, np.newaxis] * self.weights["W2"]
        return left, (1 - a**2)[:, :, np.newaxis] * self.weights["W1"]

    def _back(self, flat: Array, slope: Complex) -> _Back:
        """Derivatives of Re L by v1 = W1 t + b1 and v2 = W2 a + b2, from d Re ln det M = tr G dY, G = Re i M^-1."""
        a, f = self._units(flat)
        left, right = self._factors(a, f)
        if self.hidden < flat.shape[1]:
            P = self._base_inverse
            inner = np.linalg.inv(np.eye(self.hidden) + 1j * (right @ P @ left))
            inverse = P - 1j * (P @ left @ inner @ right @ P)
        else:
            inverse = np.linalg.inv(self._base + 1j * (left @ right))
        G = -inverse.imag
        response = self.weights["W1"] @ G
        diagonal = np.einsum("kh,nh,nhk->nk", self.weights["W2"], 1 - a**2, response)
        scale = self.weights["alpha"] * (1 - f**2)
        visible = slope.imag * scale - 2 * f * scale * diagonal
        R = np.einsum("nhk,nkh->nh", response, left)
        hidden = (1 - a**2) * (visible @ self.weights["W2"] - 2 * a * R)
        return _Back(visible, hidden, diagonal, response, G)


class _Back(NamedTuple):
    visible: Array  # d Re L / d v2, (n, N)
    hidden: Array  # d Re L / d v1, (n, hidden)
    diagonal: Array  # [W2 diag(a') W1 G]_kk, (n, N)
    response: Array  # W1 G, (n, hidden, N)
    G: Array  # Re i M^-1, (n, N, N)
