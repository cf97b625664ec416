"""Probability measures known through their Cauchy transform, and their free convolutions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._check import choice, integer, number
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from ..random import SeedLike, seed_entropy

if TYPE_CHECKING:
    import xarray as xr

    from ._distribution import Distribution

__all__ = [
    "Atom",
    "Atoms",
    "FromDensity",
    "FromEigenvalues",
    "MarchenkoPastur",
    "Measure",
    "Semicircle",
    "free_add",
    "free_multiply",
    "free_power",
]

Array: TypeAlias = NDArray[np.float64]
ComplexArray: TypeAlias = NDArray[np.complex128]

_MASS = 1e-8  # a total mass further from 1 says that a part of the support was missed


class Atom(NamedTuple):
    """A point of positive mass.

    Parameters
    ----------
    position, mass : float
        Where it is, and how much.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.spectra.MarchenkoPastur(2).atoms[0].mass
    0.5
    """

    position: float
    mass: float


class Measure:
    """A probability measure on the real line, known through its Cauchy transform G(z) = int dmu(x)/(z - x).

    Not made by itself: see `Semicircle`, `MarchenkoPastur`, `Atoms`, `FromDensity`, `FromEigenvalues`, `free_add`,
    `free_multiply`, `free_power`.  ``a + b * mu`` is the law of a + b x, x of law mu.

    The words are scipy's: `pdf`, `cdf`, `ppf`, `rvs`, `expect`; `pdf` is the density of the continuous part, and
    `atoms` the rest.

    Examples
    --------
    >>> import deepglass as dg
    >>> mu = 1 + 2 * dg.spectra.Semicircle()
    >>> mu.support()
    array([[-3.,  5.]])
    >>> print(f"{mu.mean:.12f} {mu.variance:.12f} {mu.pdf(1.0):.6f}")
    1.000000000000 4.000000000000 0.159155
    """

    _finest = 320.0  # how near to 0 the density is good: exp(-_finest)

    def __init__(self, core: _core.Measure, name: str) -> None:
        self._core = core
        self._name = name
        self._factors: tuple[Measure, Measure, bool] | None = None  # of a free sum, or product

    def __repr__(self) -> str:
        return self._name

    # What it is made of.

    def support(self) -> Array:
        """Give the intervals on which there is a density.

        Returns
        -------
        array, shape (n_intervals, 2)
            Left and right edges, increasing; atoms are not counted.

        Examples
        --------
        >>> import deepglass as dg
        >>> two = dg.spectra.Atoms([-1, 1], [0.5, 0.5])
        >>> dg.spectra.free_add(two, dg.spectra.Semicircle(0.36)).support().round(6)
        array([[-1.922677, -0.266295],
               [ 0.266295,  1.922677]])
        """
        return np.array(self._core.support(), float).reshape(-1, 2)

    @property
    def atoms(self) -> list[Atom]:
        """The points of positive mass, by increasing position."""
        return [Atom(*atom) for atom in self._core.atoms()]

    @property
    def mass_error(self) -> float:
        """Computed total mass of density and atoms, minus 1: how well support and density were found."""
        return self._distribution.mass - 1

    # scipy's words.

    def pdf(self, x: ArrayLike, *, threads: int = 0) -> Any:
        """Give the density of the continuous part, -Im G(x + i0)/pi; `density` is another name of it.

        Parameters
        ----------
        x : float or array
            Points.
        threads : int >= 0
            0 = the OpenMP default.

        Returns
        -------
        float or array
            0 off the support.  NaN, with a `ConvergenceWarning`, where no solution could be proven to be the right
            one.

        Examples
        --------
        >>> import deepglass as dg
        >>> mu = dg.spectra.free_add(dg.spectra.Semicircle(), dg.spectra.Semicircle())
        >>> f"{mu.pdf(1.0):.12f}"  # sqrt(8 - 1) / (4 pi)
        '0.210542199674'
        """
        points = _real("x", x)
        out = self._core.density(points, threads)
        _warn_unsolved(out)
        return _as(out, x)

    density = pdf

    def cdf(self, x: ArrayLike) -> Any:
        """Give the mass of (-inf, x], atoms included.

        Examples
        --------
        >>> import deepglass as dg
        >>> float(round(dg.spectra.MarchenkoPastur(2).cdf(0.0), 12))
        0.5
        """
        return _as(self._checked.cdf(_real("x", x).ravel()), x)

    def ppf(self, p: ArrayLike) -> Any:
        """Give the quantiles: the smallest x with cdf(x) >= p, 0 <= p <= 1.

        Examples
        --------
        >>> import deepglass as dg
        >>> float(round(abs(dg.spectra.Semicircle().ppf(0.5)), 12))
        0.0
        """
        values = _real("p", p)
        if not np.all((values >= 0) & (values <= 1)):
            raise ValueError(f"p must be in [0, 1], got {values[~((values >= 0) & (values <= 1))].ravel()[0]!r}")
        return _as(self._checked.ppf(values.ravel()), p)

    def rvs(self, n: int, seed: SeedLike = None) -> Array:
        """Draw n independent numbers (not eigenvalues of one matrix, which repel).

        Examples
        --------
        >>> import deepglass as dg
        >>> dg.spectra.MarchenkoPastur(0.5).rvs(3, seed=1).shape
        (3,)
        """
        generator = np.random.default_rng(seed_entropy(seed))
        return self._checked.ppf(generator.random(integer("n", n, 0, 2**40)))

    def expect(self, function: Callable[[Array], Array]) -> float:
        """Give the average of a function that is smooth inside the support, atoms included.

        Parameters
        ----------
        function : callable
            Of an array of points.

        Examples
        --------
        >>> import deepglass as dg
        >>> f"{dg.spectra.MarchenkoPastur(0.25).expect(np.log):.12f}"  # 3 ln(4/3) - 1
        '-0.136953782645'
        """
        return self._checked.expect(function)

    def moment(self, k: int) -> float:
        """Give E x^k, k >= 0.

        Examples
        --------
        >>> import deepglass as dg
        >>> [round(dg.spectra.Semicircle().moment(k), 10) for k in (2, 4, 6)]
        [1.0, 2.0, 5.0]
        """
        power = integer("k", k, 0, 10_000)
        return self.expect(lambda x: x**power)

    @property
    def mean(self) -> float:
        """The first moment."""
        return self.moment(1)

    @property
    def variance(self) -> float:
        """The second central moment."""
        mean = self.mean
        return self.expect(lambda x: (x - mean) ** 2)

    # Transforms.

    def cauchy(self, z: ArrayLike, *, threads: int = 0) -> Any:
        """Give G(z) = int dmu(x)/(z - x).

        Parameters
        ----------
        z : complex or array
            Im z >= 0; a real z stands for the limit from above.
        threads : int >= 0
            0 = the OpenMP default.

        Returns
        -------
        complex or array
            NaN, with a `ConvergenceWarning`, where no solution could be proven to be the right one.

        Raises
        ------
        ValueError
            If Im z < 0; there G(conj z) = conj G(z).

        Examples
        --------
        >>> import deepglass as dg
        >>> f"{dg.spectra.Semicircle().cauchy(2j).imag:.12f}"
        '-0.414213562373'
        """
        points = _complex("z", z)
        out = self._core.cauchy(points, threads)
        _warn_unsolved(out)
        return _as(out, z)

    def stieltjes(self, z: ArrayLike, *, threads: int = 0) -> Any:
        """Give m(z) = int dmu(x)/(x - z) = -G(z), Im z >= 0: see `cauchy`.

        Examples
        --------
        >>> import deepglass as dg
        >>> f"{dg.spectra.Semicircle().stieltjes(2j).imag:.12f}"
        '0.414213562373'
        """
        return -self.cauchy(z, threads=threads)

    def r_transform(self, g: ArrayLike) -> Any:
        """Give R(g) = G^(-1)(g) - 1/g, on the branch that is regular at g = 0; R adds under free sums.

        Parameters
        ----------
        g : float, complex or array
            Real: between G at the left and at the right end of everything.

        Returns
        -------
        float, complex or array
            NaN, with a `ConvergenceWarning`, where the branch has ended.

        Examples
        --------
        >>> import deepglass as dg
        >>> float(round(dg.spectra.Semicircle(2.0).r_transform(0.3), 12))
        0.6
        """
        return self._inverse("g", g, False)

    def s_transform(self, u: ArrayLike) -> Any:
        """Give S(u) = (1 + u)/(u M^(-1)(u)), M(z) = z G(z) - 1, regular at u = 0; S multiplies under free products.

        Parameters
        ----------
        u : float, complex or array
            Real: above -1 + the mass at 0.

        Returns
        -------
        float, complex or array
            NaN, with a `ConvergenceWarning`, where the branch has ended.

        Examples
        --------
        >>> import deepglass as dg
        >>> float(round(dg.spectra.MarchenkoPastur(0.5).s_transform(-0.4), 12)) == 1.25
        True
        """
        self._check_positive("s_transform")
        return self._inverse("u", u, True)

    def outliers(self, spikes: ArrayLike, *, factor: int = 0) -> Array:
        """Give where outliers of a factor are seen in a free sum or product.

        A few eigenvalues that lie outside the bulk of one factor do not change the law of the sum or product; they
        show as outliers of its spectrum, or drown in its bulk (Benaych-Georges and Nadakuditi 2011).

        Parameters
        ----------
        spikes : float or array
            Outliers of the factor, outside its support.
        factor : 0 or 1
            Which of the two factors has them.

        Returns
        -------
        array
            Positions; NaN where the bulk absorbs them.

        Examples
        --------
        >>> import deepglass as dg
        >>> mu = dg.spectra.free_multiply(dg.spectra.Atoms([1], [1]), dg.spectra.MarchenkoPastur(0.5))
        >>> mu.outliers([1.5, 4]).round(6)  # 4 (1 + 0.5/3); the threshold is 1 + sqrt(0.5)
        array([     nan, 4.666667])
        """
        if self._factors is None:
            raise ValueError(f"outliers needs a measure made by free_add or free_multiply, this one is {self!r}")
        mu, nu, product = self._factors
        if integer("factor", factor, 0, 1) == 1:
            mu, nu = nu, mu
        return _core.free_outliers(mu._core, nu._core, _real("spikes", spikes).ravel(), product)

    # Laws of a + b x.

    def __add__(self, shift: float) -> Measure:
        return _affine(self, number("shift", shift, "a finite number", lambda _: True), 1.0)

    def __mul__(self, scale: float) -> Measure:
        return _affine(self, 0.0, number("scale", scale, "finite and not 0", lambda b: b != 0))

    __radd__ = __add__
    __rmul__ = __mul__

    def __sub__(self, shift: float) -> Measure:
        return self + -shift

    def __neg__(self) -> Measure:
        return self * -1.0

    def __truediv__(self, scale: float) -> Measure:
        return self * (1 / number("scale", scale, "finite and not 0", lambda b: b != 0))

    def to_dataset(self, n_points: int = 400) -> xr.Dataset:
        """Tabulate density, distribution function, edges and atoms for plots and files.

        Parameters
        ----------
        n_points : int >= 2
            Points on each interval of the support; they crowd at the edges.

        Returns
        -------
        xarray.Dataset
            ``pdf``, ``cdf`` and ``converged`` over ``x``; ``edge`` (interval, side); ``atom_position`` and
            ``atom_mass`` over atom; ``mass_error``.

        Examples
        --------
        >>> import deepglass as dg
        >>> sorted(dg.spectra.MarchenkoPastur(2).to_dataset(10).sizes.items())
        [('atom', 1), ('interval', 1), ('side', 2), ('x', 10)]
        """
        import xarray as xr

        n = integer("n_points", n_points, 2, 10**7)
        edges, atoms = self.support(), self.atoms
        part = 0.5 * (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n))
        x = (edges[:, :1] + (edges[:, 1:] - edges[:, :1]) * part).ravel()
        pdf = self.pdf(x)
        return xr.Dataset(
            {
                "pdf": ("x", pdf),
                "converged": ("x", ~np.isnan(pdf)),
                "cdf": ("x", self.cdf(x)),
                "edge": (("interval", "side"), edges),
                "atom_position": ("atom", [atom.position for atom in atoms]),
                "atom_mass": ("atom", [atom.mass for atom in atoms]),
                "mass_error": self.mass_error,
            },
            {"x": x, "side": ["left", "right"]},
            provenance("deepglass.spectra.Measure.to_dataset", {"measure": repr(self), "n_points": n}),
        )

    # Inside.

    @functools.cached_property
    def _distribution(self) -> Distribution:
        from ._distribution import Distribution

        return Distribution(lambda x: self._core.density(x, 0), self._core.support(), self._core.atoms(), self._finest)

    @functools.cached_property
    def _checked(self) -> Distribution:
        distribution = self._distribution
        if not abs(distribution.mass - 1) < _MASS:
            warn(
                f"density and atoms of {self!r} have the mass {distribution.mass:.12g}, not 1: edges or points"
                f" were missed ({distribution.unsolved} unsolved)",
                ConvergenceWarning,
            )
        return distribution

    def _inverse(self, name: str, argument: ArrayLike, product: bool) -> Any:
        points = _complex(name, argument)
        out = self._core.inverse(points, product)
        _warn_unsolved(out)
        return _as(out if np.iscomplexobj(argument) else out.real, argument)

    def _check_positive(self, function: str) -> None:
        parts, atoms = self._core.support(), self._core.atoms()
        least = min([left for left, _ in parts] + [x for x, _ in atoms])
        if least < 0:
            raise ValueError(f"{function} needs a measure on [0, inf), {self!r} reaches down to {least!r}")
        if not parts and all(x == 0 for x, _ in atoms):
            raise ValueError(f"{function} needs a measure that is not all at 0, got {self!r}")


class Semicircle(Measure):
    """Semicircle law of Wigner: density sqrt(4 variance - (x - mean)^2) / (2 pi variance).

    Parameters
    ----------
    variance : float > 0
        Second central moment; the edges are mean -+ 2 sqrt(variance).
    mean : float
        Centre.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.spectra.Semicircle(0.25).support()
    array([[-1.,  1.]])
    """

    def __init__(self, variance: float = 1.0, mean: float = 0.0) -> None:
        v = number("variance", variance, "positive and finite", lambda v: v > 0)
        m = number("mean", mean, "finite", lambda _: True)
        shown = f"Semicircle({v:g}, mean={m:g})" if m else f"Semicircle({v:g})"
        super().__init__(_core.semicircle(m, v), shown)


class MarchenkoPastur(Measure):
    """Marchenko-Pastur law: spectrum of Y Y^T/p, Y of shape (n, p) with independent entries of variance 1.

    Mean 1, variance n/p, edges (1 -+ sqrt(n/p))^2, an atom of mass 1 - p/n at 0 if n > p.

    Parameters
    ----------
    ratio : float > 0
        n/p.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.spectra.MarchenkoPastur(4).atoms
    [Atom(position=0.0, mass=0.75)]
    """

    def __init__(self, ratio: float) -> None:
        g = number("ratio", ratio, "positive and finite", lambda g: g > 0)
        super().__init__(_core.marchenko_pastur(g), f"MarchenkoPastur({g:g})")


class Atoms(Measure):
    """A measure of atoms only.

    Parameters
    ----------
    positions : array, shape (n,)
        Different from each other; any order.
    masses : array, shape (n,)
        Positive, with sum 1 (to 1e-9).

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.spectra.Atoms([1, 0], [0.75, 0.25]).atoms
    [Atom(position=0.0, mass=0.25), Atom(position=1.0, mass=0.75)]
    """

    def __init__(self, positions: ArrayLike, masses: ArrayLike) -> None:
        x, w = _real("positions", positions).ravel(), _real("masses", masses).ravel()
        if len(x) != len(w) or not len(x):
            raise ValueError(f"positions and masses must have the same length >= 1, got {len(x)} and {len(w)}")
        order = np.argsort(x, kind="stable")
        if np.any(np.diff(x[order]) == 0):
            raise ValueError("positions must be different from each other, got one twice")
        shown = f"Atoms({x[order].tolist()}, {w[order].tolist()})" if len(x) <= 6 else f"Atoms({len(x)} positions)"
        super().__init__(_core.atoms(x[order], w[order]), shown)


class FromEigenvalues(Measure):
    """Empirical spectrum: an atom of mass 1/n at each of n eigenvalues.

    Parameters
    ----------
    eigenvalues : array, shape (n,)
        Finite; equal ones are counted together.

    Examples
    --------
    >>> import deepglass as dg
    >>> x = np.random.default_rng(1).normal(size=(100, 200))
    >>> data = dg.spectra.FromEigenvalues(np.linalg.eigvalsh(x @ x.T / 200))
    >>> noisy = dg.spectra.free_multiply(data, dg.spectra.MarchenkoPastur(0.1))
    >>> abs(noisy.mean - data.mean) < 1e-9
    True
    """

    def __init__(self, eigenvalues: ArrayLike) -> None:
        x, counts = np.unique(_real("eigenvalues", eigenvalues), return_counts=True)
        if not len(x):
            raise ValueError("eigenvalues must not be empty")
        super().__init__(_core.atoms(x, counts / counts.sum()), f"FromEigenvalues({counts.sum()} eigenvalues)")


class FromDensity(Measure):
    """A measure given by a function, and perhaps atoms.

    The density becomes Legendre series of 16 terms on panels, halved until each is resolved, and its Cauchy transform
    is exact for them: about 1e-12 for a piecewise smooth density.  An edge where the density is infinite should be at
    0, where floating-point numbers crowd.

    Parameters
    ----------
    density : callable
        Of an array of points; positive, finite inside the support, integral (with atoms) 1 to 1e-6.
    support : sequence of (left, right), or one pair
        Intervals, increasing and disjoint.
    atoms : sequence of (position, mass)
        Points of positive mass.

    Raises
    ------
    ValueError
        If the density is negative, not finite, not resolved by 20000 panels, or does not integrate to 1.

    Examples
    --------
    >>> import deepglass as dg
    >>> uniform = dg.spectra.FromDensity(lambda x: np.full_like(x, 0.5), (-1, 1))
    >>> f"{uniform.cauchy(2.0).real:.12f}"  # ln(3)/2
    '0.549306144334'
    """

    def __init__(
        self,
        density: Callable[[Array], ArrayLike],
        support: ArrayLike,
        atoms: Sequence[tuple[float, float]] = (),
    ) -> None:
        intervals = _real("support", support).reshape(-1, 2)
        if not len(intervals) or np.any(np.diff(intervals.ravel()) < 0) or np.any(np.diff(intervals, axis=1) <= 0):
            raise ValueError(f"support must be increasing intervals (left, right), got {support!r}")
        points = np.array(sorted(atoms), float).reshape(-1, 2)
        if not np.all(np.isfinite(points)) or np.any(points[:, 1] <= 0):
            raise ValueError(f"atoms must be (position, mass) with mass > 0, got {atoms!r}")
        panels, coefficients = _legendre_panels(density, intervals)
        lengths = panels[:, 1] - panels[:, 0]
        total = float(lengths @ coefficients[:, 0] + points[:, 1].sum())
        if not abs(total - 1) < 1e-6:
            raise ValueError(f"density and atoms must have the mass 1, got {total!r}")
        core = _core.density_measure(panels, coefficients / total, points[:, 0], points[:, 1] / total)
        super().__init__(core, f"FromDensity({len(panels)} panels)")


class _Affine(Measure):
    """Law of shift + scale x; cdf and quantiles come from the law of x, which may be sharp at an edge 0."""

    def __init__(self, mu: Measure, shift: float, scale: float) -> None:
        shown = f"{scale:g} * {mu!r}" if scale != 1 else repr(mu)
        super().__init__(_core.affine(mu._core, shift, scale), f"{shift:g} + {shown}" if shift else shown)
        self._mu, self._shift, self._scale = mu, shift, scale

    @property
    def mass_error(self) -> float:
        return self._mu.mass_error

    def cdf(self, x: ArrayLike) -> Any:
        source = (_real("x", x) - self._shift) / self._scale
        if self._scale > 0:
            return _as(np.asarray(self._mu.cdf(source)), x)
        below = 1 - np.asarray(self._mu.cdf(source))
        for atom in self._mu.atoms:  # the closed end changes sides
            below = below + np.where(source == atom.position, atom.mass, 0.0)
        return _as(below, x)

    def ppf(self, p: ArrayLike) -> Any:
        values = _real("p", p)
        source = np.asarray(self._mu.ppf(values if self._scale > 0 else 1 - values))
        return _as(self._shift + self._scale * source, p)

    def rvs(self, n: int, seed: SeedLike = None) -> Array:
        return self._shift + self._scale * self._mu.rvs(n, seed)

    def expect(self, function: Callable[[Array], Array]) -> float:
        return self._mu.expect(lambda x: function(self._shift + self._scale * x))

    def outliers(self, spikes: ArrayLike, *, factor: int = 0) -> Array:
        if self._factors is None:
            return self._shift + self._scale * self._mu.outliers(spikes, factor=factor)
        return super().outliers(spikes, factor=factor)


def _convolution(mu: Measure, nu: Measure, product: bool) -> Measure:
    for one, other in ((mu, nu), (nu, mu)):
        if not one._core.support() and len(one._core.atoms()) == 1:  # all at one point
            point = one._core.atoms()[0][0]
            out: Measure = _Affine(other, 0.0 if product else point, point if product else 1.0)
            break
    else:
        name = f"{'free_multiply' if product else 'free_add'}({mu!r}, {nu!r})"
        out = Measure(_core.free_convolution(mu._core, nu._core, product), name)
    out._factors = (mu, nu, product)
    return out


def free_add(mu: Measure, nu: Measure, *more: Measure) -> Measure:
    """Give the free additive convolution: the spectrum of A + U B U^T for large matrices A, B and Haar orthogonal U.

    Solved by subordination, G(z) = G_mu(w1) = G_nu(w2), w1 + w2 = z + 1/G(z) (Belinschi and Bercovici 2007).  A
    solution is accepted only when it is the Denjoy-Wolff point of its fixed-point map, which proves it to be the
    right branch; edges are critical points of z(w) on the real line.

    Parameters
    ----------
    mu, nu, *more : Measure
        Laws of A, B, ...

    Returns
    -------
    Measure
        About 1 us a point for laws in closed form.

    Examples
    --------
    >>> import deepglass as dg
    >>> mu = dg.spectra.free_add(dg.spectra.Semicircle(), dg.spectra.MarchenkoPastur(0.5))
    >>> float(round(mu.pdf(0.5), 12))  # known to 15 digits: 0.267625717130295
    0.26762571713
    """
    return functools.reduce(lambda a, b: _convolution(a, b, False), _measures("free_add", mu, nu, *more))


def free_multiply(mu: Measure, nu: Measure, *more: Measure) -> Measure:
    """Give the free multiplicative convolution: the spectrum of A^(1/2) U B U^T A^(1/2), for A, B >= 0.

    Solved by subordination in M(z) = z G(z) - 1: M(z) = M_mu(w1) = M_nu(w2), w1 w2 = z (1 + 1/M(z)); see `free_add`.

    Parameters
    ----------
    mu, nu, *more : Measure
        Laws on [0, inf), not all at 0.

    Returns
    -------
    Measure

    Examples
    --------
    >>> import deepglass as dg
    >>> mu = dg.spectra.free_multiply(dg.spectra.MarchenkoPastur(0.5), dg.spectra.MarchenkoPastur(0.3))
    >>> mu.support()
    array([[0.0501477 , 3.88757608]])
    """
    measures = _measures("free_multiply", mu, nu, *more)
    for measure in measures:
        measure._check_positive("free_multiply")
    return functools.reduce(lambda a, b: _convolution(a, b, True), measures)


def free_power(mu: Measure, power: float, kind: str = "additive") -> Measure:
    """Give the free convolution of mu with itself, ``power`` times; the power need not be an integer.

    Parameters
    ----------
    mu : Measure
        For a multiplicative power on [0, inf), not all at 0.
    power : float >= 1
        Number of factors.  Smaller powers do not exist for every measure.
    kind : {"additive", "multiplicative"}
        Sum or product.

    Returns
    -------
    Measure
        The additive power is also the spectrum of a corner: of power * P A P on the range of a random projection P
        of rank n/power (Nica and Speicher 1996).

    Examples
    --------
    The product of four Gaussian matrices has the Fuss-Catalan law, with the edge 5^5/4^4:

    >>> import deepglass as dg
    >>> mu = dg.spectra.free_power(dg.spectra.MarchenkoPastur(1), 4, "multiplicative")
    >>> mu.support()
    array([[ 0.        , 12.20703125]])
    """
    t = number("power", power, ">= 1 and finite", lambda t: t >= 1)
    product = choice("kind", kind, ("additive", "multiplicative")) == "multiplicative"
    _measures("free_power", mu)
    if product:
        mu._check_positive("free_power")
    return Measure(_core.free_power(mu._core, t, product), f"free_power({mu!r}, {t:g}, {kind!r})")


def _affine(mu: Measure, shift: float, scale: float) -> Measure:
    if isinstance(mu, _Affine) and mu._factors is None:  # one at most
        shift, scale, mu = shift + scale * mu._shift, scale * mu._scale, mu._mu
    return mu if (shift, scale) == (0, 1) else _Affine(mu, shift, scale)


def _measures(function: str, *measures: Any) -> list[Measure]:
    for measure in measures:
        if not isinstance(measure, Measure):
            raise TypeError(f"{function} takes measures, got {measure!r}")
    return list(measures)


def _legendre_panels(density: Callable[[Array], ArrayLike], intervals: Array) -> tuple[Array, Array]:
    n = 16
    t, w = np.polynomial.legendre.leggauss(n)
    to_coefficients = np.polynomial.legendre.legvander(t, n - 1).T * w * (np.arange(n) + 0.5)[:, None]
    done_panels, done_coefficients, count = [], [], 0
    length = float(np.diff(intervals, axis=1).sum())
    todo = np.array([np.linspace(a, b, 5)[i : i + 2] for a, b in intervals for i in range(4)])
    while len(todo):
        half = 0.5 * (todo[:, 1] - todo[:, 0])
        x = todo.mean(axis=1)[:, None] + half[:, None] * t
        values = np.asarray(density(x.ravel()), float)
        if values.shape != (x.size,):
            raise ValueError(f"density must give an array of shape ({x.size},) for {x.size} points, got {values.shape}")
        bad = ~(np.isfinite(values) & (values >= 0))
        if np.any(bad):
            raise ValueError(f"density must be >= 0 and finite, got {values[bad][0]!r} at x = {x.ravel()[bad][0]!r}")
        c = values.reshape(x.shape) @ to_coefficients.T
        middle = todo.mean(axis=1)
        # Not resolved, in the value or in the mass, and not for the rounding of x next to an edge.
        tail = np.abs(c[:, -3:]).max(axis=1)
        rough = ((tail > 1e-12 / length) & (half > 1e-7 * length)) | (tail * half > 1e-15)
        to_edge = np.abs(middle[:, None] - intervals.ravel()).min(axis=1)
        rough &= tail > 4e-15 * np.abs(middle) / to_edge * np.abs(c).max(axis=1)
        rough &= half > 200 * np.spacing(np.abs(todo).max(axis=1))
        done_panels.append(todo[~rough])
        done_coefficients.append(c[~rough])
        count += len(todo)
        if count > 20000:
            raise ValueError("density must be resolved by 20000 panels of 16 terms: it is rough or has many jumps")
        ends, centre = todo[rough], middle[rough]
        todo = np.concatenate([np.stack([ends[:, 0], centre], 1), np.stack([centre, ends[:, 1]], 1)])
    panels = np.concatenate(done_panels)
    order = np.argsort(panels[:, 0])
    return panels[order], np.concatenate(done_coefficients)[order]


def _warn_unsolved(values: NDArray[Any]) -> None:
    n = int(np.isnan(values).sum())
    if n:
        warn(f"no solution was accepted at {n} of {values.size} points: NaN there", ConvergenceWarning)


def _real(name: str, value: Any) -> Array:
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be real numbers, got {value!r}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)].ravel()[0]!r}")
    return array


def _complex(name: str, value: Any) -> ComplexArray:
    try:
        array = np.asarray(value, complex)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, got {value!r}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)].ravel()[0]!r}")
    return array


def _as(out: NDArray[Any], argument: Any) -> Any:
    """A number for a number, an array of the same shape for an array."""
    out = out.reshape(np.shape(argument))
    return out[()] if out.ndim == 0 else out
