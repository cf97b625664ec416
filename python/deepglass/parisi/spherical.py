"""Mixed spherical spin glasses, in closed form: sum s^2 = N, covariance of the energy N xi(q).

With D(q) = int_q^1 x dq', S = (1/2) int_0^1 dq/D(q) (less a divergence that is a constant of the sphere),

    -beta f = (beta^2/2) int_0^1 x xi' dq + (1/2) [ln(1 - q_EA) + int_0^{q_EA} dq/D].

A. Crisanti and L. Leuzzi, Phys. Rev. Lett. 93, 217203 (2004).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import NumericalError
from ..io import provenance
from .mixed import MixedSpherical

if TYPE_CHECKING:
    import xarray as xr

__all__: list[str] = []

# Error of quadratures and roots, relative to numbers of order one.
_ERROR = 1e-13


def spherical_full_rsb(model: MixedSpherical) -> xr.Dataset:
    """Give the equilibrium of the model: paramagnet, one step, or continuous; refuse what is neither."""
    import xarray as xr

    numbers, x, overlap = equilibrium(model)
    numbers["entropy"] = (
        (numbers["energy"] - numbers["free_energy"]) / model.temperature if model.temperature > 0.0 else -math.inf
    )
    rises, jumps = len(x) > 2, len(x) == 2
    numbers |= {
        "magnetisation": 0.0,
        "overlap_min": 0.0,
        "overlap_jump": float(overlap[1]) if jumps else math.nan,
        "breakpoint_jump": float(x[1]) if jumps else math.nan,
        "breakpoint_0": float(x[0]) if rises else numbers["breakpoint_c"],
    }
    parameters: dict[str, Any] = {
        "coefficients": {str(p): c for p, c in model.coefficients.items()},
        "temperature": model.temperature,
    }
    errors = {
        f"{name}_error": _ERROR * max(1.0, abs(value)) / (model.temperature if name == "entropy" else 1.0)
        if math.isfinite(value)
        else math.nan
        for name, value in numbers.items()
    }
    return xr.Dataset(
        numbers | errors | {"overlap": ("x", overlap), "converged": True},
        coords={"x": x},
        attrs=provenance("deepglass.parisi.full_rsb", parameters),
    )


Found = tuple[dict[str, float], Any, Any]


def equilibrium(model: MixedSpherical) -> Found:
    """Give the numbers, x and q(x)."""
    T = model.temperature
    if float(model.xi(0.0, 2)) > T * T and _continuous_is_valid(model):
        return _continuous(model)
    if T > 0.0 and float(model.xi(0.0, 2)) <= T * T:
        q = np.linspace(0.0, 1.0, 4001)[1:-1]
        # the free entropy beside a typical configuration, see annealed_potential of Ising spins
        if (model.xi(q) / T**2 + np.log1p(-q) + q).max() <= 1e-12:
            f = -float(model.xi(1.0)) / (2 * T)
            numbers = {"free_energy": f, "energy": 2 * f, "overlap_ea": 0.0, "breakpoint_c": 0.0}
            return numbers, np.zeros(1), np.zeros(1)
    return _one_step(model)


def _innermost(model: MixedSpherical) -> float:
    """q_EA of (1 - q)^2 xi''(q) = T^2, the largest."""
    from scipy.optimize import brentq

    T = model.temperature
    if T == 0.0:
        return 1.0

    def gap(q: float) -> float:
        return (1.0 - q) * math.sqrt(float(model.xi(q, 2))) - T

    grid = np.linspace(0.0, 1.0, 4001)
    above = np.flatnonzero((1.0 - grid) * np.sqrt(model.xi(grid, 2)) > T)
    return float(brentq(gap, grid[above[-1]], grid[above[-1] + 1], xtol=1e-16, rtol=1e-15))


def _continuous_is_valid(model: MixedSpherical) -> bool:
    """Whether x(q) = T xi'''/(2 xi''^(3/2)) does not decrease, up to q_EA."""
    q = np.linspace(0.0, _innermost(model), 2001)
    x = model.xi(q, 3) / model.xi(q, 2) ** 1.5
    return bool((np.diff(x) >= -1e-12 * x.max()).all())


def _continuous(model: MixedSpherical) -> Found:
    T, q_end = model.temperature, _innermost(model)

    # 1/D = sqrt(xi'')/T;  int_0^1 x xi' dq by parts
    nodes, weights = np.polynomial.legendre.leggauss(200)
    area = float(weights @ np.sqrt(model.xi(q_end * (1.0 + nodes) / 2, 2))) * q_end / 2
    beyond = float(model.xi(1.0) - model.xi(q_end) - (1.0 - q_end) * model.xi(q_end, 1))
    energy = -area - (beyond / T if T > 0.0 else 0.0)
    free_energy = energy / 2 - (T / 2 * math.log1p(-q_end) if T > 0.0 else 0.0) - area / 2
    x_c = T * float(model.xi(q_end, 3)) / (2 * float(model.xi(q_end, 2)) ** 1.5)
    q = np.linspace(0.0, q_end, 201)
    x = T * model.xi(q, 3) / (2 * model.xi(q, 2) ** 1.5)
    return {"free_energy": free_energy, "energy": energy, "overlap_ea": q_end, "breakpoint_c": x_c}, x, q


def _one_step(model: MixedSpherical) -> Found:
    """One step from q_0 = 0: both stationary conditions in terms of r = m q/(1 - q), which stays finite at T = 0.

    d/dq:  beta^2 xi'(q) = q / [(1 - q)^2 (1 + r)],
    d/dm:  xi(q) beta^2 = [ln(1 + r) - r/(1 + r)] / m^2.
    """
    from scipy.optimize import brentq

    T = model.temperature

    def ratio(q: float) -> float:
        """Q xi'(q)/xi(q)."""
        return q * float(model.xi(q, 1)) / float(model.xi(q))

    def spread(q: float) -> float:
        """r, from the quotient of the two conditions: r^2 / [(1 + r) ln(1 + r) - r] = q xi'/xi."""
        wanted = ratio(q)

        def miss(log_r: float) -> float:
            r = math.exp(log_r)
            # the series where the denominator cancels
            loss = r * r * (0.5 - r / 6 + r * r / 12) if r < 1e-4 else (1 + r) * math.log1p(r) - r
            return r * r / loss - wanted

        return math.exp(brentq(miss, math.log(1e-9), math.log(1e9), xtol=1e-15, rtol=1e-15))

    def miss(q: float) -> float:
        return float(model.xi(q, 1)) * (1.0 - q) ** 2 * (1.0 + spread(q)) - q * T * T

    if T == 0.0:
        q, r = 1.0, spread(1.0)
        # beta (1 - q) -> c,  m/T -> mu = r c
        c = 1.0 / math.sqrt(float(model.xi(1.0, 1)) * (1.0 + r))
        mu = r * c
        energy = -(c * float(model.xi(1.0, 1)) + mu * float(model.xi(1.0)) + math.log1p(r) / mu) / 2
        _require_stable(c * c * float(model.xi(1.0, 2)))
        numbers = {"free_energy": energy, "energy": energy, "overlap_ea": 1.0, "breakpoint_c": 0.0}
        return numbers, np.array([0.0, 1.0]), np.array([0.0, 1.0])
    grid = np.linspace(0.0, 1.0, 2001)[20:-1]
    signs = np.array([miss(float(q)) > 0.0 for q in grid])
    crossings = np.flatnonzero(signs[:-1] & ~signs[1:])
    last = 1.0 - 1e-9 if signs[-1] else float(grid[crossings[-1] + 1]) if len(crossings) else math.nan
    if math.isnan(last):
        raise NumericalError(f"no spin-glass solution of one step at temperature {T!r}")
    first = float(grid[-1] if signs[-1] else grid[crossings[-1]])
    q = float(brentq(miss, first, last, xtol=1e-16, rtol=1e-15))
    r = spread(q)
    m = r * (1.0 - q) / q
    _require_stable((1.0 - q) ** 2 * float(model.xi(q, 2)) / T**2)
    if not m < 1.0:
        raise NumericalError(f"the solution of one step has m = {m:.6g} >= 1: no equilibrium state was found")
    pairs = float(model.xi(1.0) - (1.0 - m) * model.xi(q))
    entropy = (math.log1p(-q) + math.log1p(r) / m) / 2
    numbers = {
        "free_energy": -pairs / (2 * T) - T * entropy,
        "energy": -pairs / T,
        "overlap_ea": q,
        "breakpoint_c": m,
    }
    return numbers, np.array([0.0, m]), np.array([0.0, q])


def _require_stable(replicon: float) -> None:
    if not replicon <= 1.0 + 1e-9:
        raise NumericalError(
            f"the solution of one step is unstable (beta^2 (1 - q)^2 xi'' = {replicon:.6g} > 1) and no continuous one "
            "is valid: q(x) has both a jump and a continuous part, which is not covered"
        )
