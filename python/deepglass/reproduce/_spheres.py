"""Jamming of soft spheres, the analogue of that of networks: contacts stand for margins that are not satisfied.

Yardsticks: the packing fractions of C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68, 011306 (2003)
for infinitely many spheres, their exponents 2 and 1/2, and the isostatic number d N' - d + 1 of contacts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from .. import io
from ..learning import soft_spheres, sphere_jamming
from ..plot import Axes
from ..random import child_seed
from ._experiment import Experiment
from ._finite import compare
from ._report import Row
from ._trainings import mean_of

__all__ = ["Packings", "Starts", "draw", "rows"]

_JAMMING = {2: 0.842, 3: 0.648}  # half of them 1.4 times as large, from random starts
_EXCESSES = (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)
_PRODUCTS = 2e9  # of networks in a second
_FRACTIONS = (0.78, 0.81, 0.83, 0.84, 0.85, 0.86, 0.88, 0.91, 0.94)  # of discs


@dataclasses.dataclass(frozen=True)
class Packings(Experiment):
    """Packings at given distances above their own phi_J; an instance is one of them."""

    n_spheres: int
    dimension: int
    n_instances: int
    excesses: tuple[float, ...] = _EXCESSES
    seed: int = 3

    @property
    def name(self) -> str:
        """For files."""
        return f"packings_d{self.dimension}_N{self.n_spheres}"

    @property
    def cost(self) -> float:
        """As many products of networks as could be done in the time."""
        return _PRODUCTS * 1.2e-3 * self.n_spheres * math.sqrt(self.n_spheres) * (1.0 if self.dimension == 2 else 2.6)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Compress and decompress."""
        found = sphere_jamming(
            self.excesses, n_spheres=self.n_spheres, dimension=self.dimension, n_repeats=1, progress=check,
            seed=child_seed(self.seed, instance),
        )  # fmt: skip
        io.save(found.isel(repeat=0, drop=True), path)


@dataclasses.dataclass(frozen=True)
class Starts(Experiment):
    """Discs from random starts at given packing fractions; an instance is one start at each."""

    n_spheres: int
    n_instances: int
    packing_fractions: tuple[float, ...] = _FRACTIONS
    seed: int = 4

    @property
    def name(self) -> str:
        """For files."""
        return f"starts_N{self.n_spheres}"

    @property
    def cost(self) -> float:
        """As many products of networks as could be done in the time."""
        return _PRODUCTS * 1e-4 * self.n_spheres * math.sqrt(self.n_spheres) * len(self.packing_fractions)

    def run(self, instance: int, path: Path, check: Callable[[int, int], None]) -> None:
        """Descend."""
        found = soft_spheres(
            self.packing_fractions, n_spheres=self.n_spheres, n_repeats=1, progress=check,
            seed=child_seed(self.seed, instance),
        )  # fmt: skip
        io.save(found.isel(repeat=0, drop=True), path)


def _above_isostatic(one: Packings, found: xr.Dataset) -> xr.DataArray:
    n, d = one.n_spheres - found["n_rattlers"], one.dimension
    return found["n_contacts"] - (d * n - d + 1)


def _exponent(values: xr.DataArray) -> xr.DataArray:
    """Slope of ln values against ln excess, of each packing."""
    fit = xr.DataArray(np.log(values)).polyfit("log_excess", 1)
    return fit["polyfit_coefficients"].sel(degree=1, drop=True)


def rows(one: Packings, found: xr.Dataset) -> list[Row]:
    """Statements on the transition."""
    name = f"spheres, d = {one.dimension}, N = {one.n_spheres}"
    found = found.assign_coords(log_excess=np.log(found["excess"])).swap_dims(excess="log_excess")
    jamming = mean_of(found["jamming_fraction"])
    above = _above_isostatic(one, found)
    nearest = above.isel(log_excess=0)
    near, far = found["excess"] <= 1e-3, found["excess"] >= 1e-3
    energy = mean_of(_exponent(found["energy"].where(near, drop=True)))
    contacts = mean_of(_exponent(above.where(far & (above > 0), drop=True)))
    z = float(found["contacts"].isel(log_excess=0).mean())
    infinite = "O'Hern et al., infinitely many; here from overcompressed random starts"
    return [
        compare(f"{name}: phi_J", _JAMMING[one.dimension], jamming.value, jamming.error, infinite),
        Row(
            "  contacts beyond the isostatic number", "0", f"{float(nearest.mean()):.2f}",
            f"0 in {int((nearest == 0).sum())} of {nearest.size}",
            f"at phi_J + 1e-6, where a sphere has {z:.2f} contacts",
        ),
        compare("  exponent of the energy", 2.0, energy.value, energy.error, "excess 1e-6 to 1e-3"),
        compare("  exponent of the contacts", 0.5, contacts.value, contacts.error, "excess 1e-3 to 0.1; finite N"),
    ]  # fmt: skip


def draw(ax: Axes, one: Packings, found: xr.Dataset, starts: xr.Dataset) -> None:
    """Contacts of discs against their packing fraction."""
    fraction, contacts = xr.broadcast(starts["packing_fraction"], starts["contacts"])
    label = f"random starts, $N={one.n_spheres}$"
    ax.plot(fraction.values.ravel(), contacts.values.ravel(), "o", alpha=0.5, label=label)
    jamming = float(found["jamming_fraction"].mean())
    x = np.concatenate([[starts["packing_fraction"][0], jamming], jamming + found["excess"]])
    ax.plot(
        x, np.concatenate([[0.0, 0.0], found["contacts"].mean("instance")]), color="C0", label="above own $\\phi_J$"
    )
    ax.axhline(4.0, color="0.5", linestyle=":", label="$2d$, isostatic")
    ax.axvline(_JAMMING[2], color="k", linewidth=0.8, label=f"$\\phi_J={_JAMMING[2]}$, reference")
    ax.set(xlabel=r"packing fraction $\phi$", ylabel="contacts of a disc", ylim=(-0.2, 5.6))
    ax.set_title("Soft discs: contacts", loc="left")
    ax.legend(fontsize="x-small", loc="lower right")
