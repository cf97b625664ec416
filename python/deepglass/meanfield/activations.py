"""Activation functions with their derivatives and kinks, built in or given as Python callables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, number

__all__ = ["Activation", "activation"]

Array = npt.NDArray[np.float64]
Function = Callable[[Array], npt.ArrayLike]

_ALIASES = {"identity": "linear", "silu": "swish", "hardtanh": "hard_tanh"}
_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}
# What the derivative of a callable is checked at.
_CHECKED_VARIANCES = (0.1, 1.0, 6.0)


class Activation:
    """An activation function phi(u), as `activation` makes it.

    Attributes
    ----------
    name : str
        Name of the function, with its transformation where there is one.
    kinks : tuple of float
        Where phi or one of its derivatives jumps, increasing.

    Examples
    --------
    >>> import deepglass as dg
    >>> phi = dg.meanfield.activation("hard_tanh")
    >>> phi([-2.0, 0.5]), phi.derivative(0.5), phi.kinks
    (array([-1. ,  0.5]), 1.0, (-1.0, 1.0))
    """

    def __init__(self, name: str, build: tuple[Any, ...], dress: tuple[float, float, float] = (1.0, 1.0, 0.0)) -> None:
        """Use `activation`, not this."""
        self.name = name
        self._build, self._dress = build, dress
        make = _core.Activation.from_callable if callable(build[0]) else _core.Activation
        core = make(*build)
        self._core: _core.Activation = core if dress == (1.0, 1.0, 0.0) else core.dressed(*dress)
        self.kinks: tuple[float, ...] = tuple(self._core.kinks)

    def __call__(self, u: npt.ArrayLike) -> Any:
        """phi(u), of the shape of u."""
        return self._evaluate(u, 0)

    def derivative(self, u: npt.ArrayLike) -> Any:
        """phi'(u), of the shape of u; at a kink the value of one of its sides."""
        return self._evaluate(u, 1)

    def rescaled(self, out_scale: float = 1.0, in_scale: float = 1.0, out_shift: float = 0.0) -> Activation:
        """The activation ``out_scale phi(in_scale u) + out_shift``."""
        out_scale = number("out_scale", out_scale, "a finite number", lambda x: True)
        in_scale = number("in_scale", in_scale, "a finite number other than 0", lambda x: x != 0.0)
        out_shift = number("out_shift", out_shift, "a finite number", lambda x: True)
        out, inside, shift = self._dress
        dress = (out_scale * out, in_scale * inside, out_scale * shift + out_shift)
        return Activation(_transformed(self.name, out_scale, in_scale, out_shift), self._build, dress)

    def normalised(self) -> Activation:
        """The activation ``a phi(u) + b``, a > 0, that is centred with unit second moment under N(0, 1).

        Raises ValueError where phi is constant.
        """
        _, weight, phi, _ = _core.meanfield_nodes(self._core, 1.0)
        mean = float(weight @ phi)
        variance = float(weight @ (phi - mean) ** 2)
        # What rounding leaves of a constant; a centred phi of any size is kept.
        if variance <= 1e-24 * mean**2 or variance == 0.0:
            raise ValueError(
                f"{self.name} cannot be normalised: it is constant (variance {variance:.3g} under N(0, 1))"
            )
        scale = 1.0 / math.sqrt(variance)
        normal = self.rescaled(out_scale=scale, out_shift=-scale * mean)
        normal.name = f"normalised {self.name}"
        return normal

    def _evaluate(self, u: npt.ArrayLike, which: int) -> Any:
        values = np.asarray(u, dtype=np.float64)
        result = self._core.evaluate(np.ascontiguousarray(values.reshape(-1)))[which].reshape(values.shape)
        return result if values.ndim else float(result)

    def __repr__(self) -> str:
        return f"<activation {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, self._build, self._dress)


def activation(
    phi: str | Function | Activation,
    *,
    derivative: Function | None = None,
    kinks: Sequence[float] = (),
    alpha: float | None = None,
    name: str | None = None,
) -> Activation:
    """Make an activation function: a built-in one by its name, or any callable with its derivative.

    Every function that takes an activation also takes the name of a built-in one.

    Parameters
    ----------
    phi : str, callable or Activation
        One of linear, tanh, erf, relu, hard_tanh, sin, cos, sigmoid, softplus, gelu (exact), swish, elu, selu,
        leaky_relu, softsign (identity, silu and hardtanh are other names).  Or a function of arrays,
        vectorised as NumPy's are, that gives an array of the same shape.
    derivative : callable, with a callable phi
        Its derivative phi', vectorised in the same way.  It is held to Stein's identity ``E z phi(s z) =
        s E phi'(s z)``, which fails for another function's derivative and where phi itself jumps.
    kinks : sequence of float
        Where phi' or a higher derivative jumps.  Kinks that are not named are searched for; naming them is
        faster and more accurate.
    alpha : float
        Slope of leaky_relu for u < 0 (default 0.01); limit -alpha of elu for u -> -inf (default 1).
    name : str
        What a callable is called in results (default: its ``__name__``).

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        Unknown name, no derivative, a derivative that is not phi's, values that are not finite, or a function
        too rough to be integrated to rounding.

    Notes
    -----
    Callables are called from several threads, one at a time, with arrays of some hundred elements; what they
    raise comes through.  Averages over them cost about ten times as much as over built-in functions.

    Examples
    --------
    >>> import numpy as np
    >>> import deepglass as dg
    >>> phi = dg.meanfield.activation(lambda u: np.maximum(u, 0) ** 2, derivative=lambda u: 2 * np.maximum(u, 0),
    ...                               kinks=[0.0], name="squared relu")
    >>> round(float(dg.meanfield.gaussian_moments(phi, 1.0).square), 12)
    1.5
    >>> centred = dg.meanfield.activation("relu").normalised()
    >>> moments = dg.meanfield.gaussian_moments(centred, 1.0)
    >>> abs(float(moments["mean"])) < 1e-15, round(float(moments.square), 14)
    (True, 1.0)
    """
    if isinstance(phi, Activation):
        _refuse_extras(phi.name, derivative, kinks, alpha)
        return phi
    if isinstance(phi, str):
        key = choice("activation", _ALIASES.get(phi, phi), _core.activation_names())
        if key in _ALPHA:
            _refuse_extras(key, derivative, kinks, None)
            slope = _ALPHA[key] if alpha is None else number("alpha", alpha, "a finite number", lambda x: True)
            label = key if slope == _ALPHA[key] else f"{key} (alpha = {slope:g})"
            return Activation(name or label, (key, slope))
        _refuse_extras(key, derivative, kinks, alpha)
        return Activation(name or key, (key,))
    if not callable(phi):
        raise ValueError(f"activation must be a name, a callable or an Activation, got {phi!r}")
    _refuse_extras("a callable", None, (), alpha)
    if not callable(derivative):
        raise ValueError(
            "derivative must be given with a callable activation: a function of arrays that gives phi'(u), and "
            f"kinks=... where phi' jumps; got {derivative!r}"
        )
    places = [number("kinks", kink, "finite numbers", lambda x: True) for kink in kinks]
    label = str(getattr(phi, "__name__", type(phi).__name__))
    made = Activation(name or label, (phi, derivative, places))
    _check_derivative(made)
    return made


def _restored(name: str, build: tuple[Any, ...], dress: tuple[float, float, float]) -> Activation:
    return Activation(name, build, dress)


def _transformed(name: str, out_scale: float, in_scale: float, out_shift: float) -> str:
    text = f"{name}(u)" if in_scale == 1.0 else f"{name}({in_scale:g} u)"
    text = text if out_scale == 1.0 else f"{out_scale:g} {text}"
    return text if out_shift == 0.0 else f"{text} {'+' if out_shift > 0 else '-'} {abs(out_shift):g}"


def _refuse_extras(what: str, derivative: object, kinks: Sequence[float], alpha: object) -> None:
    for extra, given in (
        ("derivative", derivative is not None),
        ("kinks", len(kinks) > 0),
        ("alpha", alpha is not None),
    ):
        if given:
            raise ValueError(f"{extra} must not be given with {what}")


def _check_derivative(made: Activation) -> None:
    """Refuse what fails Stein's identity E z phi = s E phi', u = s z."""
    for variance in _CHECKED_VARIANCES:
        z, weight, phi, slope = _core.meanfield_nodes(made._core, variance)
        left, right = float(weight @ (z * phi)), math.sqrt(variance) * float(weight @ slope)
        size = float(weight @ np.abs(z * phi)) + math.sqrt(variance) * float(weight @ np.abs(slope))
        if abs(left - right) > 1e-9 * size:
            raise ValueError(
                f"derivative must be that of the activation, which must not jump: for u of variance {variance:g}, "
                f"E z phi(u) = {left:.10g}, but sqrt(variance) E phi'(u) = {right:.10g}"
            )
