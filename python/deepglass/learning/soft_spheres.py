r"""The jamming transition of soft spheres, to which that of networks is likened.

Half of N spheres have the diameter 1, half 1.4, in a periodic box, with the energy

    E = (1/2) sum_{i<j} max(0, 1 - r_ij / sigma_ij)^2,    sigma_ij the mean of the two diameters,

which is least squares of violated constraints, as the quadratic hinge loss is.  Below the packing fraction phi_J
descent ends at E = 0 without contacts; above it E grows as (phi - phi_J)^2, and the contacts jump from 0 to the
isostatic number d N' - d + 1 of N' spheres that are held, then grow as (phi - phi_J)^(1/2).

References
----------
C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68, 011306 (2003).
C. P. Goodrich, A. J. Liu, S. R. Nagel, Phys. Rev. Lett. 109, 095704 (2012) (isostatic number of a finite box).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._check import integer, number
from .._progress import Progress, reporting
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from ..random import SeedLike, child_seed, seed_entropy
from .data import Array

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["soft_spheres", "sphere_jamming"]

_RATIO = 1.4  # of the diameters
_START = {2: 0.88, 3: 0.7}  # packing fraction that is jammed from almost any start, by dimension
_NO_ENERGY = 1e-20  # of a sphere: not jammed
_ROUGH, _CONVERGED = 1e-4, 1e-7  # largest force on a sphere in units of the contact forces; rounding leaves 1e-8
_NEWTON_STEPS = 1000
_NEAR = 1e-7  # excess packing fraction at which decompression ends
_LEAST = 1e-6  # that is asked for: overlaps beyond drown in the rounding of positions


class Packing(NamedTuple):
    """What is left after descent."""

    positions: Array
    energy: float  # of a sphere
    residual: float
    n_contacts: int
    n_rattlers: int

    @property
    def jammed(self) -> bool:
        """Whether energy is left."""
        return self.energy > _NO_ENERGY


class Spheres:
    """N spheres in the periodic unit box; positions (N, d) need not lie in it."""

    def __init__(self, n_spheres: int, dimension: int, packing_fraction: float) -> None:
        relative = np.where(np.arange(n_spheres) % 2, _RATIO, 1.0)
        volume = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1) * ((relative / 2) ** dimension).sum()
        self.diameters = relative * (packing_fraction / volume) ** (1.0 / dimension)
        if self.diameters.max() >= 0.5:
            raise ValueError(
                f"n_spheres must be larger: {n_spheres} of packing fraction {packing_fraction} touch their own images"
            )
        self.unit = float(self.diameters.mean())
        self._skin = 0.3 * float(self.diameters.min())
        self._listed: Array | None = None
        self._pairs = (np.empty(0, int), np.empty(0, int), np.empty(0))

    def _neighbours(self, x: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
        """Pairs that may touch, and their sigma; listed anew where a sphere has moved by half of the skin."""
        from scipy.spatial import cKDTree

        if self._listed is None or ((x - self._listed) ** 2).sum(axis=1).max() > self._skin**2 / 4:
            inside = x % 1.0
            inside[inside >= 1.0] = 0.0  # of tiny negative ones
            reach = self.diameters.max() + self._skin
            i, j = cKDTree(inside, boxsize=1.0).query_pairs(reach, output_type="ndarray").T
            self._listed, self._pairs = x.copy(), (i, j, 0.5 * (self.diameters[i] + self.diameters[j]))
        return self._pairs

    def contacts(self, x: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array, Array, Array]:
        """Pairs i and j that overlap, sigma_ij, r_ij, and the unit vectors from j to i."""
        i, j, sigma = self._neighbours(x)
        apart = x[i] - x[j]
        apart -= np.rint(apart)
        squares = np.einsum("pk,pk->p", apart, apart)
        touch = np.flatnonzero(squares < sigma**2)
        r = np.sqrt(squares[touch])
        return i[touch], j[touch], sigma[touch], r, apart[touch] / r[:, np.newaxis]

    def energy(self, x: Array) -> tuple[float, Array]:
        """E and its gradient."""
        i, j, sigma, r, normal = self.contacts(x)
        overlap = 1.0 - r / sigma
        force = (overlap / sigma)[:, np.newaxis] * normal  # on i
        n = len(x)
        gradient = [np.bincount(j, f, n) - np.bincount(i, f, n) for f in force.T]
        return 0.5 * float(overlap @ overlap), np.stack(gradient, axis=1)

    def hessian(self, x: Array) -> Any:
        """Second derivatives, a sparse matrix over (sphere, component).

        Of a contact: n n^T / sigma^2 - (1 - r / sigma) / (sigma r) (1 - n n^T).
        """
        from scipy.sparse import csc_matrix

        i, j, sigma, r, normal = self.contacts(x)
        n, d = x.shape
        along = normal[:, :, np.newaxis] * normal[:, np.newaxis]
        stress = (1.0 - r / sigma) / (sigma * r)
        block = along / (sigma**2)[:, np.newaxis, np.newaxis]
        block -= stress[:, np.newaxis, np.newaxis] * (np.eye(d) - along)
        rows, columns, values = [], [], []
        for a, b, sign in ((i, i, 1.0), (j, j, 1.0), (i, j, -1.0), (j, i, -1.0)):
            rows.append(np.broadcast_to((a[:, np.newaxis] * d + np.arange(d))[:, :, np.newaxis], block.shape).ravel())
            columns.append(np.broadcast_to((b[:, np.newaxis] * d + np.arange(d))[:, np.newaxis], block.shape).ravel())
            values.append(sign * block.ravel())
        where = (np.concatenate(rows), np.concatenate(columns))
        return csc_matrix((np.concatenate(values), where), shape=(n * d, n * d))

    def relaxed(self, start: Array) -> Packing:
        """Descend from a start: roughly by L-BFGS, which follows random starts, then by steps of Newton."""
        x, energy, residual = self._newton(self._descended(start))
        n_contacts, n_rattlers = 0, len(x)
        if energy > _NO_ENERGY:
            n_contacts, n_rattlers = self._held(x)
        return Packing(x, energy, residual, n_contacts, n_rattlers)

    def _state(self, x: Array) -> tuple[float, Array, float]:
        """E, its gradient for lengths in mean diameters, and the largest component of it beside those of contacts."""
        energy, gradient = self.energy(x)
        gradient = gradient * self.unit
        typical = math.sqrt(2.0 * energy / len(x))
        return energy, gradient, float(abs(gradient).max()) / typical if typical else 0.0

    def _descended(self, start: Array) -> Array:
        from scipy.optimize import minimize

        last = self._state(start)

        def function(y: Array) -> tuple[float, Array]:
            nonlocal last
            last = self._state(y.reshape(start.shape) * self.unit)
            return last[0], last[1].ravel()

        def enough(_: Array) -> None:
            if last[0] <= _NO_ENERGY * len(start) or last[2] < _ROUGH:
                raise StopIteration

        if last[0] <= _NO_ENERGY * len(start) or last[2] < _ROUGH:
            return start
        # Energies near the transition are far below 1: no limit on their decrease.
        options = {"maxcor": 20, "maxiter": 10**5, "maxfun": 10**5, "ftol": 0.0, "gtol": 0.0}
        y = (start / self.unit).ravel()
        found = minimize(function, y, jac=True, method="L-BFGS-B", callback=enough, options=options)
        return np.asarray(found.x.reshape(start.shape) * self.unit)

    def _newton(self, x: Array) -> tuple[Array, float, float]:
        """Steps -(H + damping)^-1 gradient, with more damping until the energy falls."""
        from scipy.sparse import identity
        from scipy.sparse.linalg import splu

        energy, gradient, residual = self._state(x)
        damping = 1e-6
        for _ in range(_NEWTON_STEPS):
            if energy <= _NO_ENERGY * len(x) or residual < _CONVERGED or damping > 1e6:
                break
            hessian = self.hessian(x) * self.unit**2
            while damping <= 1e6:
                solver = splu(hessian + damping * identity(x.size, format="csc"))
                step = -solver.solve(gradient.ravel()).reshape(x.shape)
                step *= min(1.0, 0.3 / float(abs(step).max()))
                found = self._state(x + self.unit * step)
                # The last steps gain less energy than rounding.
                rounding = found[0] < energy * (1.0 + 1e-10) and abs(found[1]).max() < abs(gradient).max()
                if found[0] < energy or rounding:
                    x = x + self.unit * step
                    energy, gradient, residual = found
                    damping = max(damping / 5.0, 1e-14)
                    break
                damping *= 10.0
        return x, energy / len(x), residual

    def _held(self, x: Array) -> tuple[int, int]:
        """Contacts without those of rattlers, and the number of these: d contacts or less, counted again and again."""
        i, j, *_ = self.contacts(x)
        n, d = x.shape
        held = np.ones(n, bool)
        while True:
            loose = held & (np.bincount(i, minlength=n) + np.bincount(j, minlength=n) <= d)
            if not loose.any():
                return len(i), int(n - held.sum())
            held &= ~loose
            kept = held[i] & held[j]
            i, j = i[kept], j[kept]


def soft_spheres(
    packing_fractions: Sequence[float] | Array,
    *,
    n_spheres: int = 256,
    dimension: int = 2,
    n_repeats: int = 3,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    """Energies and contacts of soft spheres after descent from random places, at given packing fractions.

    Parameters
    ----------
    packing_fractions : sequence of float in (0, 1.5]
        phi, the volume of all spheres, overlaps counted twice, in that of the box.
    n_spheres : int >= 16
        N.
    dimension : 2 or 3
        d.
    n_repeats : int >= 1
        Starts at each packing fraction.
    seed : int, SeedSequence, Generator or None
        Of the starts.
    progress : bool or callable(done, total)
        Of packings.

    Returns
    -------
    xarray.Dataset
        With dimensions (packing_fraction, repeat): ``energy`` E / N; ``contacts``, their mean number of a sphere that
        is held, 2 N_c / (N - N_r); ``n_contacts`` N_c without those of rattlers; ``n_rattlers`` N_r, spheres with d
        contacts or less, counted again without them; ``residual``, the largest force on a sphere in units of
        sqrt(2 E / N), and ``converged``, where it is below 1e-7 or E / N below 1e-20: no contacts are counted there.

    Raises
    ------
    ValueError
        Arguments out of range, and spheres so few that they touch their own images.

    Warns
    -----
    ConvergenceWarning
        If forces are left.

    Examples
    --------
    >>> from deepglass.learning import soft_spheres
    >>> found = soft_spheres([0.7, 1.0], n_spheres=32, n_repeats=2, seed=1)
    >>> found.n_contacts[0].values.tolist(), bool((found.contacts[1] > 4).all())
    ([0, 0], True)
    """
    fractions = _numbers("packing_fractions", packing_fractions, "in (0, 1.5]", lambda value: 0.0 < value <= 1.5)
    n, d, n_repeats, entropy = _checked(n_spheres, dimension, n_repeats, seed)
    packings: list[list[Packing]] = []
    with reporting(progress, "packings") as report:
        for i, fraction in enumerate(fractions):
            packings.append([])
            for repeat in range(n_repeats):
                rng = np.random.default_rng(child_seed(child_seed(entropy, i), repeat))
                packings[-1].append(Spheres(n, d, fraction).relaxed(rng.uniform(size=(n, d))))
                report(i * n_repeats + repeat + 1, len(fractions) * n_repeats)
    parameters = {"n_spheres": n, "dimension": d, "n_repeats": n_repeats}
    attributes = provenance("deepglass.learning.soft_spheres", parameters, entropy)
    return _dataset(packings, ("packing_fraction", "repeat"), {"packing_fraction": fractions}, attributes)


def sphere_jamming(
    excesses: Sequence[float] | Array,
    *,
    n_spheres: int = 256,
    dimension: int = 2,
    n_repeats: int = 3,
    seed: SeedLike = None,
    progress: Progress = False,
) -> xr.Dataset:
    """Packing fraction phi_J at which soft spheres lose their last contacts, and energies and contacts above it.

    Random starts descend at phi = 0.88 (d = 2) or 0.7 (d = 3), more where that is not jammed, and are decompressed,
    with a descent after each step, until the square root of the energy, extrapolated, vanishes; then they are
    compressed to each phi_J + excess.

    Parameters
    ----------
    excesses : sequence of float from 1e-6 to 1/2
        phi - phi_J, any order.
    n_spheres : int >= 16
        N.
    dimension : 2 or 3
        d.
    n_repeats : int >= 1
        Starts.
    seed : int, SeedSequence, Generator or None
        Of the starts.
    progress : bool or callable(done, total)
        Of starts.

    Returns
    -------
    xarray.Dataset
        ``jamming_fraction`` phi_J (repeat), each start having its own; and as for `soft_spheres`, with dimensions
        (excess, repeat).  Random starts of infinitely many spheres have phi_J = 0.842 in two dimensions and 0.648 in
        three (O'Hern et al. 2003).

    Raises
    ------
    ValueError
        Arguments out of range, and spheres so few that they touch their own images.

    Warns
    -----
    ConvergenceWarning
        If forces are left.

    Notes
    -----
    phi_J depends on where decompression starts: 0.8368(11), 0.8408(8), 0.8413(9) from phi = 0.85, 0.88, 1 for the same
    20 starts of 64 discs.  A packing of 128 discs takes two seconds, of 512 some 14.

    Examples
    --------
    >>> from deepglass.learning import sphere_jamming
    >>> found = sphere_jamming([1e-6], n_spheres=32, n_repeats=2, seed=1)
    >>> isostatic = 2 * (32 - found.n_rattlers) - 2 + 1
    >>> (found.n_contacts - isostatic).values.tolist()
    [[0, 0]]
    """
    steps = _numbers("excesses", excesses, "from 1e-6 to 0.5", lambda value: _LEAST <= value <= 0.5)
    order = np.argsort(steps, kind="stable")
    n, d, n_repeats, entropy = _checked(n_spheres, dimension, n_repeats, seed)
    packings: list[list[Packing]] = [[] for _ in steps]
    fractions = []
    with reporting(progress, "packings") as report:
        for repeat in range(n_repeats):
            start = np.random.default_rng(child_seed(entropy, repeat)).uniform(size=(n, d))
            fraction, x = _decompressed(start)
            fractions.append(fraction)
            for k in order:
                packings[k].append(Spheres(n, d, fraction + steps[k]).relaxed(x))
                x = packings[k][-1].positions
            report(repeat + 1, n_repeats)
    parameters = {"n_spheres": n, "dimension": d, "n_repeats": n_repeats}
    attributes = provenance("deepglass.learning.sphere_jamming", parameters, entropy)
    result = _dataset(packings, ("excess", "repeat"), {"excess": steps}, attributes)
    return result.assign(jamming_fraction=("repeat", fractions))


def _decompressed(start: Array) -> tuple[float, Array]:
    """phi_J, and places of spheres that have just been jammed there."""
    n, d = start.shape
    high, low = _START[d], 0.0
    packing = Spheres(n, d, high).relaxed(start)
    while not packing.jammed:
        low, high = high, high + 0.01
        packing = Spheres(n, d, high).relaxed(packing.positions)
    root = math.sqrt(packing.energy)
    guess = high - 2.0 * root  # sqrt(E / N) = 0.4 (phi - phi_J), about; this is below half of the way
    while high - max(guess, low) > _NEAR:
        tried = guess + 0.1 * (high - guess)
        if not low < tried < high:
            tried = 0.5 * (low + high)
        found = Spheres(n, d, tried).relaxed(packing.positions)
        if found.jammed:
            slope = (root - math.sqrt(found.energy)) / (high - tried)
            high, packing, root = tried, found, math.sqrt(found.energy)
            guess = high - root / slope if slope > 0.0 else 0.5 * (low + high)
        else:
            low = tried
    return max(guess, low), packing.positions


def _numbers(name: str, values: Any, allowed: str, ok: Callable[[float], bool]) -> Array:
    given = np.atleast_1d(np.asarray(values, dtype=object))
    found = [number(name, value, allowed, ok) for value in (given if given.ndim == 1 else [values])]
    if not found:
        raise ValueError(f"{name} must be some numbers {allowed}, got none")
    return np.array(found)


def _checked(n_spheres: int, dimension: int, n_repeats: int, seed: SeedLike) -> tuple[int, int, int, int]:
    n, repeats = integer("n_spheres", n_spheres, 16, 10**6), integer("n_repeats", n_repeats, 1, 2**20)
    return n, integer("dimension", dimension, 2, 3), repeats, seed_entropy(seed)


def _dataset(
    packings: list[list[Packing]], dims: tuple[str, str], coordinates: dict[str, Any], attributes: dict[str, Any]
) -> xr.Dataset:
    import xarray as xr

    table = {
        name: np.array([[getattr(packing, name) for packing in row] for row in packings])
        for name in ("energy", "n_contacts", "n_rattlers", "residual")
    }
    n = len(packings[0][0].positions)
    table["contacts"] = 2.0 * table["n_contacts"] / np.maximum(n - table["n_rattlers"], 1)
    table["converged"] = (table["residual"] < _CONVERGED) | (table["energy"] <= _NO_ENERGY)
    if not table["converged"].all():
        worst = float(table["residual"][~table["converged"]].max())
        warn(f"{attributes['function']} left forces of {worst:.1e} of those of contacts", ConvergenceWarning)
    return xr.Dataset({name: (dims, values) for name, values in table.items()}, coordinates, attributes)
