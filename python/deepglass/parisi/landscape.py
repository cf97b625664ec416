r"""Stationary points of spherical spin glasses: how many, and how many directions lead downwards from them.

At a stationary point on the sphere sum s^2 = N the Hessian is a matrix of the Gaussian orthogonal ensemble, shifted by
the force along the radius,

    sqrt(xi''(1)) GOE + mu,    mu = -s.grad H / N,

its spectrum a semicircle of radius 2 sqrt(xi''(1)) around the stiffness mu.  In a pure p-spin model mu = -p e follows
from the energy e of a spin: all stationary points of one energy have the same fraction of negative eigenvalues, as a
semicircle out of its place costs exp(-N^2) and there are only exp(N) of them.

References
----------
A. J. Bray and D. S. Dean, Phys. Rev. Lett. 98, 150201 (2007).  Y. V. Fyodorov, Phys. Rev. Lett. 92, 240601 (2004).
A. Auffinger and G. Ben Arous, Ann. Probab. 41, 4214 (2013): mixed models.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._progress import Progress, reporting
from .._stationary import search
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from .mixed import MixedSpherical

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["stationary_points", "stationary_points_simulation"]

Array = npt.NDArray[np.float64]

_MOST_COUPLINGS = 2**26  # 0.5 GiB
_LONGEST = 0.3  # step, in units of the radius
_MAX_STEPS = 2000  # of the descent to a start
_AT_REST = 1e-4


def stationary_points(model: MixedSpherical, energy: npt.ArrayLike) -> xr.Dataset:
    r"""Number and index of the stationary points of a spherical spin glass at given energies (formula of Kac and Rice).

    exp(N Sigma(e)) is the mean number of points of energy e for each spin,

        Sigma = max_mu  (1/2) ln(xi''/xi') + 1/2 + Phi(mu / sqrt(xi'')) - e^2 / (2 xi) - (mu + e xi'/xi)^2 / (2 v),

    xi and its derivatives at 1, v = xi' + xi'' - xi'^2/xi (0 in pure models: mu = -e xi'/xi), Phi(x) the mean of
    ln |x - y| over the semicircle of radius 2.  The index is that of the mu of most of them.

    Parameters
    ----------
    model : MixedSpherical
        The spin glass, covariance N xi(q) of the energy; its temperature plays no part.
    energy : array
        e, energies divided by N.

    Returns
    -------
    Dataset
        Along ``energy``: ``complexity`` Sigma, of the mean number (negative: there are none); ``index``, the fraction
        of negative eigenvalues of the Hessian; ``stiffness`` mu.  ``threshold_energy``, below which minima are most
        frequent,  -(xi/xi') (xi'' - xi' + xi'^2/xi) / sqrt(xi''),  -2 sqrt(xi (p-1)/p) for pure models.

    Raises
    ------
    ValueError
        If an energy is not finite.

    Examples
    --------
    >>> import deepglass as dg
    >>> points = dg.parisi.stationary_points(dg.parisi.MixedSpherical({3: 0.5}, temperature=0.0), [-1.1, -0.5, 0.0])
    >>> points["index"].values.round(4), round(float(points.threshold_energy), 4)  # -2/sqrt(3)
    (array([0.0061, 0.2332, 0.5   ]), -1.1547)
    """
    import xarray as xr

    e = np.atleast_1d(np.asarray(energy, dtype=float))
    if e.ndim != 1 or not np.isfinite(e).all():
        raise ValueError(f"energy must be finite numbers, got {energy!r}")
    xi, xi1, xi2 = (float(model.xi(1.0, order)) for order in range(3))
    spread = max(0.0, xi1 + xi2 - xi1**2 / xi) / xi2  # v / xi'', from 0 to 1
    # d/dmu = 0:  x - x_0 = spread Phi'(x),  x = mu / sqrt(xi''),  Phi' = x/2 within the semicircle
    start = -e * xi1 / xi / math.sqrt(xi2)
    c = 1.0 - spread / 2
    within = start / c
    beyond = np.sqrt(np.maximum(start**2 - 4.0 * (2.0 * c - 1.0), 0.0))
    x = np.where(
        np.abs(within) <= 2.0, within, np.sign(start) * (c * np.abs(start) - (1.0 - c) * beyond) / (2.0 * c - 1.0)
    )
    quadratic = (x - start) ** 2 / (2.0 * spread) if spread > 0.0 else 0.0
    return xr.Dataset(
        {
            "complexity": ("energy", 0.5 * math.log(xi2 / xi1) + 0.5 + _log_potential(x) - e**2 / (2 * xi) - quadratic),
            "index": ("energy", below_zero(x)),
            "stiffness": ("energy", x * math.sqrt(xi2)),
            "threshold_energy": -(xi / xi1) * math.sqrt(xi2) * (2.0 - spread),
        },
        coords={"energy": e},
        attrs=provenance("deepglass.parisi.stationary_points", {"coefficients": _texts(model)}),
    )


def below_zero(x: Array) -> Array:
    """Part of the semicircle of radius 2 around x that is negative."""
    y = np.clip(-x / 2.0, -1.0, 1.0)
    return np.asarray(0.5 + (y * np.sqrt(1.0 - y * y) + np.arcsin(y)) / math.pi)


def _log_potential(x: Array) -> Array:
    """Mean of ln |x - y| over the semicircle of radius 2."""
    x = np.abs(x)
    root = np.sqrt(np.maximum(x * x - 4.0, 0.0))
    return np.asarray(x * x / 4 - 0.5 - x * root / 4 + np.log((np.maximum(x, 2.0) + root) / 2))


def _texts(model: MixedSpherical) -> dict[str, float]:
    return {str(p): c for p, c in model.coefficients.items()}


def stationary_points_simulation(
    model: MixedSpherical,
    n_spins: int,
    *,
    n_instances: int = 10,
    n_starts: int = 10,
    tolerance: float = 1e-9,
    max_iter: int = 100,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    """Find stationary points of drawn spherical spin glasses, high saddles to minima.

    Couplings are full tensors of independent Gaussian numbers.  Start k of n_starts is a random point, relaxed by
    descent to the energy  threshold (k + 1/2) / (n_starts - 1/2);  from there Newton's steps, of limited length.  Some
    points are found more easily than others, but their index is that of all points of their energy (pure models), or
    of their stiffness.

    Parameters
    ----------
    model : MixedSpherical
        The spin glass; its temperature plays no part.
    n_spins : int >= 4
        N; N^p couplings are stored, at most 2^26.
    n_instances, n_starts : int >= 1
        Draws of the couplings, and searches in each.
    tolerance : float > 0
        Of the root mean square of the gradient.
    max_iter : int >= 1
        Steps of a search.
    seed : int, SeedSequence, Generator or None
        Of couplings and starts.
    progress : bool or callable(done, total)
        Of searches.

    Returns
    -------
    Dataset
        ``energy`` and ``stiffness`` as for `stationary_points`, ``index`` of the N - 1 eigenvalues,
        ``smallest_eigenvalue``, ``residual`` and ``converged`` (instance, start).  NaN where no point was found.

    Warns
    -----
    ConvergenceWarning
        If more than half of the searches found none.

    Notes
    -----
    A step costs N^p, and N^3 of an eigenvalue problem.

    Examples
    --------
    >>> import deepglass as dg
    >>> model = dg.parisi.MixedSpherical({3: 0.5}, temperature=0.0)
    >>> points = dg.parisi.stationary_points_simulation(model, 20, n_instances=2, n_starts=4, seed=1)
    >>> bool(abs(points.stiffness + 3 * points.energy).max() < 1e-8)  # Euler
    True
    """
    import xarray as xr

    n = integer("n_spins", n_spins, 4, 2**20)
    most = max(p for p, c in model.coefficients.items() if c > 0.0)
    if n**most > _MOST_COUPLINGS:
        raise ValueError(f"n_spins must have N^p <= 2^26 couplings, got {n}^{most}")
    n_instances, n_starts = integer("n_instances", n_instances, 1, 2**20), integer("n_starts", n_starts, 1, 2**20)
    tolerance = number("tolerance", tolerance, "> 0", lambda value: value > 0.0)
    max_iter = integer("max_iter", max_iter, 1, 2**20)
    entropy = seed_entropy(seed)
    targets = float(stationary_points(model, 0.0).threshold_energy) * (np.arange(n_starts) + 0.5) / (n_starts - 0.5)
    names = ("energy", "stiffness", "index", "smallest_eigenvalue", "residual")
    table = {name: np.full((n_instances, n_starts), np.nan) for name in names}
    converged = np.zeros((n_instances, n_starts), dtype=bool)
    with reporting(progress, "stationary points") as report:
        for i in range(n_instances):
            rng = np.random.default_rng(child_seed(entropy, i))
            glass = _Glass(model, n, rng)
            for k, target in enumerate(targets):
                start = glass.descend(rng.standard_normal(n), float(target))
                point = search(
                    start,
                    glass.derivatives,
                    move=_on_sphere,
                    longest=_LONGEST * math.sqrt(n),
                    tolerance=tolerance,
                    max_iter=max_iter,
                )
                table["residual"][i, k], converged[i, k] = point.residual, point.converged
                if point.converged:
                    energy, stiffness, _, hessian = glass.at(point.x)
                    h = np.linalg.eigvalsh(hessian + (abs(stiffness) + 1.0) * 1e3 * np.outer(point.x, point.x) / n)[:-1]
                    found = energy, stiffness, np.mean(h < 0.0), h[0]
                    for name, value in zip(names, found, strict=False):
                        table[name][i, k] = value
                report(i * n_starts + k + 1, n_instances * n_starts)
    if 2 * converged.sum() < converged.size:
        warn(
            f"{converged.size - converged.sum()} of {converged.size} searches found no stationary point",
            ConvergenceWarning,
        )
    dims = ("instance", "start")
    return xr.Dataset(
        {name: (dims, values) for name, values in table.items()} | {"converged": (dims, converged)},
        attrs=provenance(
            "deepglass.parisi.stationary_points_simulation",
            {"coefficients": _texts(model), "n_spins": n, "tolerance": tolerance, "max_iter": max_iter},
            entropy,
        ),
    )


def _on_sphere(s: Array, step: Array) -> Array:
    s = s + step
    return np.asarray(s * math.sqrt(len(s) / (s @ s)))


class _Glass:
    """A draw of the couplings:  H = sum_p sqrt(c_p) N^(-(p-1)/2) sum J_{i1..ip} s_i1 .. s_ip."""

    def __init__(self, model: MixedSpherical, n: int, rng: np.random.Generator) -> None:
        self.n = n
        self.step = 0.2 / math.sqrt(float(model.xi(1.0, 2)))
        self.tensors = []
        for p, c in model.coefficients.items():
            if c > 0.0:
                drawn = rng.standard_normal((n,) * p)
                symmetric = np.zeros_like(drawn)
                for order in permutations(range(p)):
                    symmetric += drawn.transpose(order)
                self.tensors.append((p, symmetric * math.sqrt(c / float(n) ** (p - 1)) / math.factorial(p)))

    def at(self, s: Array) -> tuple[float, float, Array, Array]:
        """Energy of a spin, stiffness, gradient and Hessian on the sphere (null vector: s)."""
        energy, gradient, hessian = 0.0, np.zeros(self.n), np.zeros((self.n, self.n))
        for p, tensor in self.tensors:
            for _ in range(p - 2):
                tensor = tensor @ s
            field = tensor @ s
            energy += float(s @ field) / self.n
            gradient += p * field
            hessian += p * (p - 1) * tensor
        stiffness = -float(s @ gradient) / self.n
        unit = s / math.sqrt(self.n)
        gradient = gradient + stiffness * s
        hessian = hessian + stiffness * np.eye(self.n)
        radial = hessian @ unit
        hessian -= np.outer(unit, radial) + np.outer(radial, unit) - float(unit @ radial) * np.outer(unit, unit)
        return energy, stiffness, gradient, hessian

    def derivatives(self, s: Array) -> tuple[Array, Array]:
        """Gradient and Hessian."""
        return self.at(s)[2:]

    def descend(self, s: Array, target: float) -> Array:
        """Relax until the energy is not above the target, or hardly falls."""
        s = _on_sphere(s, np.zeros(self.n))
        for _ in range(_MAX_STEPS):
            energy, _, gradient, _ = self.at(s)
            if energy <= target or gradient @ gradient < _AT_REST * self.n:
                break
            s = _on_sphere(s, -self.step * gradient)
        return s
