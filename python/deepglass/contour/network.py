"""Contours given by a network of two layers, to be trained by `optimize`."""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import integer
from ..random import SeedLike, seed_entropy
from .actions import Action, Airy, ComplexPhi4
from .contours import LinearContour, RealPlane

__all__ = ["LinearPlusNetwork", "NetworkContour", "TranslationInvariantNetwork"]

Array: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]
_Network = TypeVar("_Network", bound="NetworkContour")


class NetworkContour(RealPlane):
    r"""A contour z = t + i y(t), with y a network of tanh units.

        a = tanh(W1 t + b1),   f = tanh(W2 a + b2),   y = alpha f + beta   (entry by entry).

    Shifts are bounded, so the integral is the one on the real plane; of Airy, which needs y > 0 for large abs(t),
    it is not.

    Parameters
    ----------
    action : Action
        What the contour is for.
    hidden : int
        Number of units a.
    seed : int, SeedSequence, Generator or None
        Of the initial weights: W1 ~ N(0, 1/N), W2 ~ N(0, 1/hidden), alpha = 0.1, all else 0, N the number of
        variables.

    Attributes
    ----------
    parameters : dict of arrays
        What `optimize` trains; here the weights.
    weights : dict of arrays
        ``W1`` (hidden, N), ``b1`` (hidden,), ``W2`` (N, hidden), ``b2``, ``alpha`` and ``beta`` (N,).
    linear : RealPlane
        To which i y is added, here z = t.
    linear_inverse : array, shape (N, N)
        Inverse of its Jacobian.

    Notes
    -----
    Jacobians of N x N numbers for each configuration, O(N^3) a step, in NumPy: for up to a hundred variables.

    Examples
    --------
    >>> from deepglass.contour import Quartic, measure, optimize
    >>> action = Quartic(1 + 4j, 1.0)
    >>> contour = optimize(action, NetworkContour(action, seed=1), n_updates=200, n_candidates=1, seed=1).contour
    >>> for one in (None, contour):
    ...     print(f"{measure(action, one, n_samples=6400, seed=1).average_phase_modulus.item():.1f}")
    0.7
    1.0
    """

    def __init__(self, action: Action, hidden: int = 10, *, seed: SeedLike = None) -> None:
        if not isinstance(action, Action):
            raise ValueError(f"action must be an Action, got {action!r}")
        if isinstance(action, Airy):
            raise ValueError(f"action must not be an Airy, which takes a Shift, got {action!r}")
        self.action = action
        self.hidden = integer("hidden", hidden, 1, 2**20)
        n = math.prod(action.field_shape)
        rng = np.random.default_rng(seed_entropy(seed))
        self.parameters: dict[str, Array] = {
            "W1": rng.standard_normal((self.hidden, n)) / math.sqrt(n),
            "b1": np.zeros(self.hidden),
            "W2": rng.standard_normal((n, self.hidden)) / math.sqrt(self.hidden),
            "b2": np.zeros(n),
            "alpha": np.full(n, 0.1),
            "beta": np.zeros(n),
        }
        self._set_linear(RealPlane())

    def _set_linear(self, linear: RealPlane) -> None:
        self.linear = linear
        shape = self.action.field_shape
        n = math.prod(shape)
        zero = np.zeros((1, *shape))
        self._origin = linear.map(zero).reshape(n)
        self._base = linear.map(np.eye(n).reshape(n, *shape)).reshape(n, n) - self._origin  # dz/dt, symmetric
        self.linear_inverse = np.asarray(np.linalg.inv(self._base), complex)
        self._base_log = complex(linear.log_jacobian(zero)[0])

    @property
    def weights(self) -> dict[str, Array]:
        """Weights of the network."""
        return self.parameters

    def with_parameters(self: _Network, parameters: Mapping[str, ArrayLike]) -> _Network:
        """Give the same contour with other parameters; this one stays as it is.

        Parameters
        ----------
        parameters : mapping of str to array
            All of them, with the shapes of `parameters`.

        Returns
        -------
        NetworkContour
            Of the class of this one.
        """
        if set(parameters) != set(self.parameters):
            raise ValueError(f"parameters must be {', '.join(self.parameters)}, got {', '.join(parameters)}")
        new = copy.copy(self)
        new.parameters = {name: np.array(parameters[name], float) for name in self.parameters}
        for name, value in self.parameters.items():
            if new.parameters[name].shape != value.shape:
                given = new.parameters[name].shape
                raise ValueError(f"parameters[{name!r}] must have shape {value.shape}, got {given}")
        return new

    def map(self, t: ArrayLike) -> Complex:
        """Give z at real t, shape (n, *field_shape)."""
        t, flat = self._flat(t)
        weights = self.weights
        y = weights["alpha"] * self._units(weights, flat)[1] + weights["beta"]
        return np.asarray(flat @ self._base + self._origin + 1j * y).reshape(t.shape)

    def log_jacobian(self, t: ArrayLike) -> Complex:
        """Give ln det dz/dt of configurations, shape (n, *field_shape)."""
        flat = self._flat(t)[1]
        weights = self.weights
        left, right = self._factors(weights, *self._units(weights, flat))
        if self.hidden < flat.shape[1]:  # det(M + i A C) = det(M) det(1 + i C M^-1 A)
            sign, log = np.linalg.slogdet(np.eye(self.hidden) + 1j * (right @ self.linear_inverse @ left))
            return np.asarray(log + 1j * np.angle(sign) + self._base_log)
        sign, log = np.linalg.slogdet(self._base + 1j * (left @ right))
        return np.asarray(log + 1j * np.angle(sign))

    def force(self, t: ArrayLike, gradient: ArrayLike) -> Array:
        """Give d Re L / dt of the log weight L = ln det dz/dt - S, from dS/dz at z(t)."""
        t, flat = self._flat(t)
        weights = self.weights
        slope = np.asarray(gradient, complex).reshape(flat.shape)
        back = self._back(weights, flat, slope)
        through_base = -(slope @ self._base).real
        return np.asarray(through_base + back.hidden @ weights["W1"]).reshape(t.shape)

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
        weights = self.weights
        slope = self.action.gradient(self.map(t)).reshape(flat.shape)
        a, f = self._units(weights, flat)
        left = self._factors(weights, a, f)[0]
        back = self._back(weights, flat, slope)
        n = len(flat)
        # ln det depends on W2 and W1 through Y = diag(alpha f') W2 diag(a') W1 too.
        through_w2 = np.einsum("nhk,nh,nk->kh", back.response, 1 - a**2, weights["alpha"] * (1 - f**2))
        through_w1 = ((1 - a**2)[:, np.newaxis] * (back.G @ left)).sum(axis=0).T
        return {
            "W1": (back.hidden.T @ flat + through_w1) / n,
            "b1": back.hidden.mean(axis=0),
            "W2": (back.visible.T @ a + through_w2) / n,
            "b2": back.visible.mean(axis=0),
            "alpha": (slope.imag * f + (1 - f**2) * back.diagonal).mean(axis=0),
            "beta": slope.imag.mean(axis=0),
        }

    def parameter_gradient(self, by_weights: Mapping[str, Array]) -> dict[str, Array]:
        """Give derivatives by the parameters from those by the weights."""
        return dict(by_weights)

    def __repr__(self) -> str:
        return f"NetworkContour({self.action!r}, {self.hidden}, {self._digest()})"

    def _digest(self) -> str:
        return f"parameters {zlib.crc32(b''.join(value.tobytes() for value in self.parameters.values())):08x}"

    def _flat(self, t: ArrayLike) -> tuple[Array, Array]:
        t = np.asarray(t, float)
        if t.shape[1:] != self.action.field_shape or t.ndim == 0:
            raise ValueError(f"t must have shape (n, *{self.action.field_shape}), got {t.shape}")
        return t, t.reshape(len(t), -1)

    def _units(self, weights: dict[str, Array], flat: Array) -> tuple[Array, Array]:
        """Give a (n, hidden) and f (n, N)."""
        a = np.tanh(flat @ weights["W1"].T + weights["b1"])
        return a, np.tanh(a @ weights["W2"].T + weights["b2"])

    def _factors(self, weights: dict[str, Array], a: Array, f: Array) -> tuple[Array, Array]:
        """Factors A = diag(alpha f') W2 and C = diag(a') W1 of the Jacobian Y = A C of y."""
        left = (weights["alpha"] * (1 - f**2))[:, :, np.newaxis] * weights["W2"]
        return left, (1 - a**2)[:, :, np.newaxis] * weights["W1"]

    def _back(self, weights: dict[str, Array], flat: Array, slope: Complex) -> _Back:
        """Derivatives of Re L by v1 = W1 t + b1 and v2 = W2 a + b2, from d Re ln det M = tr G dY, G = Re i M^-1."""
        a, f = self._units(weights, flat)
        left, right = self._factors(weights, a, f)
        if self.hidden < flat.shape[1]:
            P = self.linear_inverse
            inner = np.linalg.inv(np.eye(self.hidden) + 1j * (right @ P @ left))
            inverse = np.asarray(P - 1j * (P @ left @ inner @ right @ P))
        else:
            inverse = np.asarray(np.linalg.inv(self._base + 1j * (left @ right)))
        G = -inverse.imag
        response = weights["W1"] @ G
        diagonal = np.einsum("kh,nh,nhk->nk", weights["W2"], 1 - a**2, response)
        scale = weights["alpha"] * (1 - f**2)
        visible = slope.imag * scale - 2 * f * scale * diagonal
        R = np.einsum("nhk,nkh->nh", response, left)
        hidden = (1 - a**2) * (visible @ weights["W2"] - 2 * a * R)
        return _Back(visible, hidden, diagonal, response, G)


class LinearPlusNetwork(NetworkContour):
    """A network on top of a linear contour, z = linear(t) + i y(t), that starts with y = 0.

    Parameters
    ----------
    action : ComplexPhi4, Gaussian or Quartic
        What the contour is for.
    hidden : int
        Number of hidden units, as of `NetworkContour`.
    linear : LinearContour, optional
        One for `action`; by default LinearContour(action).
    seed : int, SeedSequence, Generator or None
        Of the initial weights, which are those of `NetworkContour`, but W2 = 0.

    Examples
    --------
    >>> import numpy as np
    >>> action = ComplexPhi4((1, 4))
    >>> contour = LinearPlusNetwork(action, 8, seed=1)
    >>> t = np.ones((1, 2, 1, 4))
    >>> bool(np.allclose(contour.map(t), LinearContour(action).map(t)))
    True
    """

    def __init__(
        self, action: Action, hidden: int = 10, *, linear: LinearContour | None = None, seed: SeedLike = None
    ) -> None:
        super().__init__(action, hidden, seed=seed)
        self._set_linear(LinearContour(action) if linear is None else _checked_linear(action, linear))
        self.parameters["W2"] = np.zeros_like(self.parameters["W2"])

    def __repr__(self) -> str:
        return f"LinearPlusNetwork({self.action!r}, {self.hidden}, linear={self.linear!r}, {self._digest()})"


class TranslationInvariantNetwork(NetworkContour):
    r"""A network contour for ComplexPhi4 that commutes with translations of the lattice.

        a_{c,x} = tanh(sum_{b,y} w1_{c,b}(y-x) t_{b,y} + b1_c),
        y_{a,x} = alpha_a tanh(sum_{c,y} w2_{a,c}(y-x) a_{c,y} + b2_a) + beta_a,

    that is, a NetworkContour with hidden = channels V, whose weights are tied: 4 channels V + channels + 6 parameters.

    Parameters
    ----------
    action : ComplexPhi4
        What the contour is for.
    channels : int
        Number of hidden units for each site.
    linear : LinearContour, optional
        If given, z = linear(t) + i y(t), starting with w2 = 0, that is y = 0; else z = t + i y(t).
    seed : int, SeedSequence, Generator or None
        Of the initial parameters: w1 ~ N(0, 1/N), w2 ~ N(0, 1/hidden), alpha = 0.1, all else 0.

    Attributes
    ----------
    parameters : dict of arrays
        ``w1`` (channels, 2, n_space, n_time), ``b1`` (channels,), ``w2`` (2, channels, n_space, n_time), ``b2``,
        ``alpha`` and ``beta`` (2,).
    weights : dict of arrays
        As of `NetworkContour`, made of the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> contour = TranslationInvariantNetwork(ComplexPhi4((4, 4)), channels=2, seed=1)
    >>> sum(value.size for value in contour.parameters.values())
    136
    >>> t = np.random.default_rng(1).standard_normal((1, 2, 4, 4))
    >>> moved = np.roll(contour.map(t), (1, 2), axis=(2, 3))
    >>> bool(np.allclose(contour.map(np.roll(t, (1, 2), axis=(2, 3))), moved))
    True
    """

    action: ComplexPhi4

    def __init__(
        self, action: ComplexPhi4, channels: int = 1, *, linear: LinearContour | None = None, seed: SeedLike = None
    ) -> None:
        if not isinstance(action, ComplexPhi4):
            raise ValueError(f"action must be a ComplexPhi4, got {action!r}")
        self.channels = integer("channels", channels, 1, 2**10)
        volume = action.volume
        super().__init__(action, self.channels * volume, seed=0)
        rng = np.random.default_rng(seed_entropy(seed))
        shape = action.shape
        self.parameters = {
            "w1": rng.standard_normal((self.channels, 2, *shape)) / math.sqrt(2 * volume),
            "b1": np.zeros(self.channels),
            "w2": rng.standard_normal((2, self.channels, *shape)) / math.sqrt(self.hidden),
            "b2": np.zeros(2),
            "alpha": np.full(2, 0.1),
            "beta": np.zeros(2),
        }
        if linear is not None:
            self._set_linear(_checked_linear(action, linear))
            self.parameters["w2"] = np.zeros_like(self.parameters["w2"])
        site = np.indices(shape).reshape(2, volume)
        lengths = np.array(shape)[:, np.newaxis, np.newaxis]
        self._difference = self._number((site[:, np.newaxis] - site[:, :, np.newaxis]) % lengths)  # [x, y]: y - x
        self._sum = self._number((site[:, np.newaxis] + site[:, :, np.newaxis]) % lengths)  # [r, x]: x + r

    @property
    def weights(self) -> dict[str, Array]:
        """Weights of the network, as of `NetworkContour`."""
        volume = self.action.volume
        tied = self.parameters
        single = {name: np.repeat(tied[name], volume) for name in ("b1", "b2", "alpha", "beta")}
        return {"W1": self._spread(tied["w1"]), "W2": self._spread(tied["w2"])} | single

    def parameter_gradient(self, by_weights: Mapping[str, Array]) -> dict[str, Array]:
        """Give derivatives by the parameters from those by the weights."""
        single = {
            name: by_weights[name].reshape(-1, self.action.volume).sum(axis=1) for name in ("b1", "b2", "alpha", "beta")
        }
        gathered = {"w1": self._gathered(by_weights["W1"]), "w2": self._gathered(by_weights["W2"])} | single
        return {name: gathered[name] for name in self.parameters}

    def _number(self, site: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.asarray(site[0] * self.action.shape[1] + site[1])

    def _spread(self, w: Array) -> Array:
        """Matrix of entries w_{c,b}(y - x) at (c, x), (b, y)."""
        volume = self.action.volume
        entries = w.reshape(*w.shape[:2], volume)[:, :, self._difference]
        return entries.transpose(0, 2, 1, 3).reshape(w.shape[0] * volume, w.shape[1] * volume)

    def _gathered(self, matrix: Array) -> Array:
        """Sums over x of the entries at (c, x), (b, x + r), which is what w_{c,b}(r) has made."""
        volume = self.action.volume
        blocks = matrix.reshape(-1, volume, matrix.shape[1] // volume, volume).transpose(0, 2, 1, 3)
        sums = blocks[:, :, np.arange(volume), self._sum].sum(axis=-1)
        return np.asarray(sums.reshape(*sums.shape[:2], *self.action.shape))

    def __repr__(self) -> str:
        linear = self.linear if isinstance(self.linear, LinearContour) else None
        return f"TranslationInvariantNetwork({self.action!r}, {self.channels}, linear={linear!r}, {self._digest()})"


def _checked_linear(action: Action, linear: LinearContour) -> LinearContour:
    if not isinstance(linear, LinearContour) or repr(linear.action) != repr(action):
        raise ValueError(f"linear must be a LinearContour for {action!r}, got {linear!r}")
    return linear


class _Back(NamedTuple):
    visible: Array  # d Re L / d v2, (n, N)
    hidden: Array  # d Re L / d v1, (n, hidden)
    diagonal: Array  # [W2 diag(a') W1 G]_kk, (n, N)
    response: Array  # W1 G, (n, hidden, N)
    G: Array  # Re i M^-1, (n, N, N)
