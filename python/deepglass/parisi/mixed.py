"""Mean-field spin glasses with random couplings of several orders: the models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .._check import integer, number

__all__ = ["MixedIsing", "MixedSpherical", "PSpin", "SherringtonKirkpatrick"]

Array = npt.NDArray[np.float64]


def check_coefficients(value: Any) -> dict[int, float]:
    """Give {p: c_p}, sorted."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"coefficients must be a mapping {{p: c_p}} that is not empty, got {value!r}")
    found = {
        integer("power p of coefficients", p, 2, 1000): number(
            f"coefficient of power {p}", c, "a finite number >= 0", lambda x: x >= 0.0
        )
        for p, c in value.items()
    }
    if not any(found.values()):
        raise ValueError(f"coefficients must have one that is > 0, got {value!r}")
    return dict(sorted(found.items()))


def covariance(coefficients: Mapping[int, float], q: npt.ArrayLike, order: int = 0) -> Array:
    """Give xi(q), or its derivative of the given order."""
    q = np.asarray(q)
    total = 0.0 * q
    for p, c in coefficients.items():
        if p >= order:
            total = total + c * math.perm(p, order) * q ** (p - order)
    return np.asarray(total)


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A covariance N xi(q) of the energy, xi(q) = sum_p c_p q^p, and a temperature."""

    coefficients: Mapping[int, float]
    temperature: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", check_coefficients(self.coefficients))
        checked = number("temperature", self.temperature, "a finite number >= 0", lambda x: x >= 0.0)
        object.__setattr__(self, "temperature", checked)

    def xi(self, q: npt.ArrayLike, order: int = 0) -> Array:
        """Covariance of the energy, or its derivative.

        Parameters
        ----------
        q : array
            Overlaps.
        order : int
            Of the derivative.

        Returns
        -------
        array
            Of the shape of q.

        Examples
        --------
        >>> import deepglass as dg
        >>> float(dg.parisi.SherringtonKirkpatrick(0.5).xi(0.5, order=1))
        0.5
        """
        return covariance(self.coefficients, q, order)


@dataclasses.dataclass(frozen=True)
class MixedIsing(Mixed):
    """Ising spins with random couplings of several orders.

    Parameters
    ----------
    coefficients : mapping of int >= 2 to float >= 0
        xi(q) = sum_p c_p q^p; the energies of two configurations with overlap q have the covariance N xi(q).
    temperature : float >= 0
        In units where the couplings have this xi (SK, {2: 0.5}, freezes at 1); 0 gives ground states.
    field : float
        Uniform field h.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.MixedIsing({2: 0.5, 3: 0.1}, temperature=0.5).field
    0.0
    """

    field: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges; numbers of any kind become float."""
        super().__post_init__()
        object.__setattr__(self, "field", number("field", self.field, "a finite number", lambda _: True))


class SherringtonKirkpatrick(MixedIsing):
    """The Sherrington-Kirkpatrick model: pair couplings of variance 1/N, xi = q^2/2, critical temperature 1.

    Parameters
    ----------
    temperature : float >= 0
        Temperature.
    field : float
        Uniform field h.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.SherringtonKirkpatrick(temperature=0.5).coefficients
    {2: 0.5}
    """

    def __init__(self, temperature: float, field: float = 0.0) -> None:
        super().__init__({2: 0.5}, temperature, field)


class PSpin(MixedIsing):
    """The p-spin model: xi = q^p/2.

    Parameters
    ----------
    p : int >= 2
        Spins in a coupling.
    temperature : float >= 0
        Temperature.
    field : float
        Uniform field h.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.PSpin(3, temperature=0.5).coefficients
    {3: 0.5}
    """

    def __init__(self, p: int, temperature: float, field: float = 0.0) -> None:
        super().__init__({integer("p", p, 2, 1000): 0.5}, temperature, field)


@dataclasses.dataclass(frozen=True)
class MixedSpherical(Mixed):
    """Spins on a sphere, sum s^2 = N, with random couplings of several orders.

    Parameters
    ----------
    coefficients : mapping of int >= 2 to float >= 0
        xi(q) = sum_p c_p q^p, as in `MixedIsing`.
    temperature : float >= 0
        Temperature.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.MixedSpherical({2: 0.5, 4: 0.05}, temperature=0.2).temperature
    0.2
    """
