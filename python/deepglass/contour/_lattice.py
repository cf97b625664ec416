"""Arguments of complex phi^4 on a periodic lattice at chemical potential, checked."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .._check import integer, number

__all__ = ["LatticeField", "lattice_field"]

_LARGEST_CHEMICAL_POTENTIAL = 20.0  # cosh(20) = 2e8


class LatticeField(NamedTuple):
    """Shape (n_space, n_time) and couplings of the action."""

    n_space: int
    n_time: int
    mass: float
    coupling: float
    chemical_potential: float

    @property
    def volume(self) -> int:
        """Sites of the lattice."""
        return self.n_space * self.n_time

    @property
    def gap(self) -> float:
        """Curvature of the action per site along real uniform fields, 1 + m^2/2 - cosh(mu)."""
        return 1.0 + self.mass**2 / 2 - math.cosh(self.chemical_potential)

    def largest_square(self, height: float) -> float:
        """Give the r^2 up to which U = gap r^2 + lambda r^4 / 4 is less than `height` above its minimum.

        The weight of a configuration is at most prod_x exp(-U(r_x)), for r r' <= (r^2 + r'^2) / 2 on all links.
        """
        gap, coupling = self.gap, self.coupling
        if gap > 0:
            return 2 * height / (gap + math.sqrt(gap**2 + coupling * height))
        return 2 * (math.sqrt(coupling * height) - gap) / coupling


def lattice_field(
    shape: Any, mass: Any, coupling: Any, chemical_potential: Any, *, most_space: int = 2**24
) -> LatticeField:
    """Check what describes the model."""
    try:
        n_space, n_time = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape must be (n_space, n_time), got {shape!r}") from None
    n_space = integer("n_space", n_space, 1, most_space)
    most = _LARGEST_CHEMICAL_POTENTIAL
    field = LatticeField(
        n_space,
        integer("n_time", n_time, 1, 2**24 // n_space),
        number("mass", mass, "from 0 to 1e3", lambda x: 0.0 <= x <= 1e3),
        number("coupling", coupling, "from 0 to 1e6", lambda x: 0.0 <= x <= 1e6),
        number("chemical_potential", chemical_potential, f"from -{most:g} to {most:g}", lambda x: abs(x) <= most),
    )
    if field.coupling == 0 and not field.gap > 0:
        raise ValueError(
            "coupling must be > 0 unless cosh(chemical_potential) < 1 + mass^2/2, where the free field exists,"
            f" got {coupling!r}"
        )
    return field
