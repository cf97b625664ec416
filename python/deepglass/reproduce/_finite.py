"""Networks of finite width, simulated, and what the two figures of spectra share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..spectra import Measure, singular_value_pdf
from ._report import Row

__all__ = ["Estimate", "Generator", "compare", "extrapolated", "fine_curve", "fine_grid", "haar", "weight_matrix"]

Array = npt.NDArray[np.float64]
Generator = np.random.Generator


class Estimate(NamedTuple):
    """Means over independent draws and their standard errors."""

    mean: Array
    error: Array

    @classmethod
    def of(cls, samples: Array) -> Estimate:
        """Draws along the first axis."""
        return cls(samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples)))


def haar(n: int, rng: Generator) -> Array:
    """Orthogonal matrix of the invariant law: QR of Gaussians with the signs of the diagonal of R taken out."""
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return np.asarray(q * np.sign(np.diag(r)))


def weight_matrix(kind: str, n: int, variance: float, rng: Generator) -> Array:
    """Square weights: W W^T = variance ("orthogonal"), or entries of variance variance/n ("gaussian")."""
    scale = np.sqrt(variance)
    return scale * haar(n, rng) if kind == "orthogonal" else rng.normal(scale=scale / np.sqrt(n), size=(n, n))


def extrapolated(estimates: Iterable[Estimate], power: float = 1.0) -> Estimate:
    """Limit of infinite width from widths n/2 and n, the deviation being proportional to n^-power."""
    small, large = estimates
    factor = 2.0**power
    mean = (factor * large.mean - small.mean) / (factor - 1.0)
    return Estimate(mean, np.hypot(factor * large.error, small.error) / (factor - 1.0))


def fine_grid(measure: Measure, points: int, low: float = 0.0, *, root: bool = False) -> Array:
    """Points in the support (in its square root), denser at each edge; between two parts lies one outside."""
    intervals = np.maximum(measure.support(), low)
    if root:
        intervals = np.sqrt(intervals)
    intervals = intervals[intervals[:, 1] > intervals[:, 0]]
    if not len(intervals):  # atoms only
        return np.linspace(low, measure.atoms[-1].position, points)
    lengths = intervals[:, 1] - intervals[:, 0]
    pieces = []
    for (left, right), share in zip(intervals, lengths / lengths.sum(), strict=True):
        angle = np.linspace(0.0, np.pi / 2, max(24, round(points * share)))
        pieces += [left + (right - left) * np.sin(angle) ** 2, [right * (1.0 + 1e-9)]]
    return np.concatenate(pieces)


def fine_curve(measure: Measure, points: int, low: float = 0.0, *, root: bool = False) -> tuple[Array, Array]:
    """Grid and density of the measure (of the square root), of exactly this many points."""
    x = fine_grid(measure, points, low, root=root)
    x = np.interp(np.linspace(0.0, 1.0, points), np.linspace(0.0, 1.0, x.size), x)
    return x, np.asarray(singular_value_pdf(measure, x) if root else measure.pdf(x))


def compare(statement: str, theory: float, simulated: float, error: float, why: str) -> Row:
    """A number of the theory, the simulated one with its error, the difference in standard errors."""
    digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 6
    pull = f"{(simulated - theory) / error:+.1f} s.e." if error > 0 else f"{simulated - theory:+.1e}"
    return Row(statement, f"{theory:.{digits}f}", f"{simulated:.{digits}f} +- {error:.{digits}f}", pull, why)
