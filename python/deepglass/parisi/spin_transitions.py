"""Temperatures at which mean-field spin glasses change their state, without field."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .._core import NumericalError
from .mixed import Array, MixedIsing, MixedSpherical, covariance
from .spin_glass import solve

__all__ = ["transition_temperatures"]


def gaussian_points() -> tuple[Array, Array]:
    """Give points and weights of a fine trapezoidal rule for the standard normal."""
    z = np.linspace(-9.0, 9.0, 1201)
    w = np.exp(-z * z / 2)
    return z, w / w.sum()


def annealed_potential(coefficients: Mapping[int, float], temperature: float, q: Array) -> Array:
    """Free entropy of a spin glass at overlap q with a typical configuration, above that at overlap 0, without field.

    V(q) = E ln cosh(sqrt(e) z + e) - (e/2)(1 + q) + beta^2 xi(q)/2,  e = beta^2 xi'(q);  where the entropy of states
    vanishes, V = 0 at its maximum.
    """
    beta2 = temperature**-2
    e = beta2 * covariance(coefficients, q, 1)
    z, w = gaussian_points()
    u = np.sqrt(e)[:, None] * z + e[:, None]
    log_cosh = np.abs(u) + np.log1p(np.exp(-2 * np.abs(u))) - math.log(2.0)
    return np.asarray(log_cosh @ w - e / 2 * (1 + q) + beta2 * covariance(coefficients, q) / 2)


def transition_temperatures(model: MixedIsing | MixedSpherical) -> dict[str, float]:
    """Dynamic, static and Gardner temperature of a spin glass without field.

    Beside a typical configuration of the paramagnet, the overlap q solves q = E tanh(sqrt(e) z + e) (Ising) or
    q = e/(1 + e) (spherical), e = beta^2 xi'(q).  The dynamic temperature is the highest with a solution q > 0; at
    the static one the free entropy of that solution is that of the paramagnet; below the Gardner temperature the
    solution with one step is unstable.

    Parameters
    ----------
    model : MixedIsing or MixedSpherical
        The model; its temperature is not used, and its field must be zero.

    Returns
    -------
    dict
        ``dynamic``, ``static``, ``gardner``.  All three are sqrt(xi''(0)) where the transition is continuous;
        ``gardner`` is NaN for a spherical model.

    Raises
    ------
    ValueError
        If the model has a field.
    NumericalError
        If the solution with one step could not be followed to its instability.

    Examples
    --------
    >>> import deepglass as dg
    >>> found = dg.parisi.transition_temperatures(dg.parisi.PSpin(3, temperature=1.0))
    >>> {name: round(value, 6) for name, value in found.items()}
    {'dynamic': 0.681598, 'static': 0.651385, 'gardner': 0.24026}
    """
    from scipy.optimize import brentq, minimize_scalar

    spherical = isinstance(model, MixedSpherical)
    if isinstance(model, MixedIsing) and model.field != 0.0:
        raise ValueError(f"model must have no field, got field = {model.field!r}")
    z, w = gaussian_points()

    def overlap(e: float) -> float:
        return e / (1.0 + e) if spherical else float(w @ np.tanh(math.sqrt(e) * z + e))

    def temperature(log_e: float) -> float:
        e = math.exp(log_e)
        return math.sqrt(float(model.xi(overlap(e), 1)) / e)

    def potential(log_e: float) -> float:
        q, T = overlap(math.exp(log_e)), temperature(log_e)
        if spherical:
            return float(model.xi(q)) / T**2 + math.log1p(-q) + q
        return float(annealed_potential(model.coefficients, T, np.array([q]))[0])

    grid: Array = np.linspace(math.log(1e-4), math.log(60.0), 600)
    temperatures = np.array([temperature(x) for x in grid])
    top = int(temperatures.argmax())
    critical = math.sqrt(float(model.xi(0.0, 2)))
    if top == 0 or temperatures[top] <= critical:
        return dict.fromkeys(("dynamic", "static", "gardner"), critical)
    peak = minimize_scalar(
        lambda x: -temperature(x), bracket=(grid[top - 1], grid[top], grid[top + 1]), options={"xtol": 1e-12}
    )
    static = temperature(brentq(potential, float(peak.x), grid[-1], xtol=1e-14))
    if static <= critical:
        raise NumericalError("the continuous transition comes before the static one, which is not covered")
    if spherical:
        return {"dynamic": -float(peak.fun), "static": static, "gardner": math.nan}

    def replicon(T: float) -> float:
        return float(solve(MixedIsing(model.coefficients, T), steps=1).replicon)

    low, high = 0.9 * static, static
    while replicon(low) > 0.0:
        low, high = 0.9 * low, low
        if low < 0.02 * static:
            raise NumericalError("the solution with one step stays stable as far as it can be followed")
    return {
        "dynamic": -float(peak.fun),
        "static": static,
        "gardner": float(brentq(replicon, low, high, xtol=1e-13)),
    }
