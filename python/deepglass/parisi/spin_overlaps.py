"""Overlap distributions of spin glasses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..io import provenance
from .mixed import Array

if TYPE_CHECKING:
    import xarray as xr

__all__: list[str] = []


def overlap_distribution(solution: xr.Dataset) -> xr.Dataset:
    """Give P(q) = dx/dq of a spin glass: peaks where q(x) is constant, a density where it rises."""
    import xarray as xr

    if "a" in solution.dims or ("step" in solution.dims and not np.isfinite(solution.x_right).all()):
        raise ValueError("solution must be one at a temperature > 0; at T = 0 all weight is at the largest overlap")
    levels = np.asarray(solution.overlap.values, float)
    rise, x = _rise(solution)
    if "step" in solution.dims:
        peaks, weights = levels, solution.x_right.values - solution.x_left.values
    elif not len(rise):
        peaks, weights = levels, np.diff(np.r_[solution.x.values, 1.0])
    else:
        before = levels[: len(levels) - len(rise)]  # a jump
        peaks = np.r_[before, rise[0], rise[-1]]
        jump = float(solution.breakpoint_jump) if len(before) else 0.0
        weights = np.r_[[jump] * len(before), x[0] - jump, 1.0 - x[-1]]
    there = weights > 0.0
    peaks, weights = peaks[there], weights[there]
    stretch = np.diff(x)
    powers = np.array([[1.0], [2.0]])
    smooth = ((rise[1:] ** (powers + 1) - rise[:-1] ** (powers + 1)) / np.diff(rise) / (powers + 1)) @ stretch
    return xr.Dataset(
        {
            "weight": ("peak", weights),
            "density": ("stretch", stretch / np.diff(rise)),
            "stretch_weight": ("stretch", stretch),
            "moment": ("order", peaks**powers @ weights + smooth),
        },
        coords={
            "overlap": ("peak", peaks),
            "overlap_left": ("stretch", rise[:-1]),
            "overlap_right": ("stretch", rise[1:]),
            "order": [1, 2],
        },
        attrs=provenance("deepglass.parisi.overlap_distribution", {}),
    )


def _rise(solution: xr.Dataset) -> tuple[Array, Array]:
    """Overlaps and x of the continuous part, between its extrapolated ends."""
    if "step" in solution.dims or not solution.breakpoint_0 < solution.breakpoint_c:
        return np.zeros(0), np.zeros(0)
    first = int(np.isfinite(solution.breakpoint_jump))
    x = np.asarray(solution.x.values[first:], float)
    low, high = float(solution.breakpoint_0), float(solution.breakpoint_c)
    return np.asarray(solution.overlap.values[first:], float), low + (x - x[0]) / (x[-1] - x[0]) * (high - low)
