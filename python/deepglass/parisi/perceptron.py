"""One perceptron, replica symmetric: Gardner volume, capacity, learning curves, distribution of gaps.

M = load N patterns S, N bonds J of prior "spherical" (sum J^2 = N) or "binary" (J = +-1), gaps

    r = S_out sum_i J_i S_i / sqrt(N) - margin,    weight exp(-beta sum_mu v(r_mu)),

v(r < 0) infinite ("hard"), r^2 ("soft") or 1 ("count"), v(r >= 0) = 0.  With d = 1 - q and
f(h) = ln int Dy exp(-beta v(h + sqrt(d) y)), h = sqrt(q) z - margin,

    e = load E f'^2,    q = e d^2 (spherical) or E tanh^2(sqrt(e) z) (binary),
    free entropy = (ln d + q/d)/2 + load E f  or  E ln 2cosh(sqrt(e) z) - e d/2 + load E f,

and for labels of a teacher the same with one more replica, see cpp parisi/perceptron.hpp.

References
----------
E. Gardner, J. Phys. A 21, 257 (1988).  W. Krauth and M. Mezard, J. Physique 50, 3057 (1989).  G. Gyorgyi, Phys.
Rev. A 41, 7097 (1990).  H. S. Seung, H. Sompolinsky and N. Tishby, Phys. Rev. A 45, 6056 (1992).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._check import choice, integer, number
from .._core import NumericalError
from .._warnings import ConvergenceWarning, UnphysicalWarning, warn
from ..io import provenance
from ..stats import Estimate
from .jamming import jamming_load

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Perceptron", "almeida_thouless_load", "capacity", "gap_distribution", "learning_curve", "solve"]

Bonds = Literal["spherical", "binary"]
Potential = Literal["hard", "soft", "count"]
Branch = Literal["equilibrium", "uninformed", "unstable", "informed"]
Array = npt.NDArray[np.float64]

_BRANCHES = ("uninformed", "unstable", "informed")
_LARGEST_MARGIN = 5.0
_LARGEST_BETA = {"soft": 1e6, "count": 100.0}
# Relative error of e = load E f'^2 that counts as converged; rounding leaves 1e-15 to 1e-13.
_CONVERGED = 1e-11
# Rounding of the replicon where it vanishes.
_MARGINAL = -1e-9


@dataclasses.dataclass(frozen=True)
class Perceptron:
    """One perceptron with N bonds that has learnt M = load N patterns.

    Parameters
    ----------
    load : float > 0
        Patterns per bond, alpha = M/N.
    margin : float from -5 to 5
        Gaps are measured from it: r = S_out J.S / sqrt(N) - margin.  It must be 0 with a teacher.
    bonds : "spherical" or "binary"
        Prior of the bonds: uniform on sum J^2 = N, or fair coins.
    scenario : "random" or "teacher"
        Labels by coins; or by a teacher drawn from the prior, and a student who knows that (Bayes-optimal).
    potential : "hard", "soft" or "count"
        Cost v(r) of a gap r < 0: infinite, r^2 or 1.  A teacher goes with "hard" (no noise) or with "count": labels are
        turned with probability exp(-beta)/(1 + exp(-beta)), for which the count potential is Bayes-optimal.
    beta : float > 0, optional
        Inverse temperature, for "soft" (up to 1e6) and "count" (up to 100).

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.Perceptron(load=1.0, potential="soft", beta=5.0).bonds
    'spherical'
    """

    load: float
    margin: float = 0.0
    bonds: Bonds = "spherical"
    scenario: Literal["random", "teacher"] = "random"
    potential: Potential = "hard"
    beta: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges; numbers of any kind become float."""
        checked: dict[str, Any] = {
            "load": number("load", self.load, "a finite number > 0", lambda x: x > 0.0),
            "margin": _margin(self.margin),
            "bonds": choice("bonds", self.bonds, ("spherical", "binary")),
            "scenario": choice("scenario", self.scenario, ("random", "teacher")),
            "potential": choice("potential", self.potential, ("hard", "soft", "count")),
        }
        if checked["potential"] == "hard":
            if self.beta is not None:
                raise ValueError(f"beta must be None with potential='hard', got {self.beta!r}")
        else:
            most = _LARGEST_BETA[checked["potential"]]
            allowed = f"> 0 and at most {most:g} with potential={checked['potential']!r}"
            checked["beta"] = number("beta", self.beta, allowed, lambda x: 0.0 < x <= most)
        if checked["scenario"] == "teacher":
            if checked["margin"] != 0.0:
                raise ValueError(f"margin must be 0 with scenario='teacher', got {self.margin!r}")
            if checked["potential"] == "soft":
                raise ValueError(
                    "potential must be 'hard' or 'count' with scenario='teacher', got 'soft': no noise makes the soft "
                    "potential Bayes-optimal"
                )
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def kernel(self) -> tuple[str, str, str, float, float]:
        """What the compiled functions take: bonds, scenario, potential, beta, margin."""
        return self.bonds, self.scenario, self.potential, self.beta or 0.0, self.margin


def _margin(value: Any) -> float:
    return number("margin", value, "a number from -5 to 5", lambda x: abs(x) <= _LARGEST_MARGIN)


def _point(model: Perceptron, conjugate: npt.ArrayLike, threads: int = 1) -> dict[str, Array]:
    found: dict[str, Array] = _core.perceptron_point(np.atleast_1d(conjugate), *model.kernel, threads=threads)
    return found


def _root(function: Callable[[float], float], places: Array, values: Array) -> float | None:
    """First zero of a function known on a grid, between the places where its sign changes."""
    from scipy.optimize import brentq

    changes = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if len(changes) == 0:
        return None
    return float(brentq(function, places[changes[0]], places[changes[0] + 1], xtol=1e-15, rtol=1e-15))


def _first(model: Perceptron, name: str, log_conjugate: Array) -> dict[str, float] | None:
    """Where a variable vanishes first along the solutions, as the overlap grows; None where it does not."""

    def value(x: float) -> float:
        return float(_point(model, math.exp(x))[name][0])

    place = _root(value, log_conjugate, _point(model, np.exp(log_conjugate))[name])
    return None if place is None else {key: float(found[0]) for key, found in _point(model, math.exp(place)).items()}


# ---- capacity ----


def capacity(margin: float = 0.0, bonds: Bonds = "spherical", *, rs: bool = False) -> Estimate:
    """Largest load at which random patterns can be learnt with a margin.

    Spherical bonds, where the overlap reaches 1 (Gardner 1988):  1/alpha_c = int Dt (margin + t)_+^2; with a margin
    below 0 replica symmetry breaks before, and it is the load of `jamming_load`, full breaking.  Binary bonds, where
    the replica-symmetric entropy vanishes (Krauth and Mezard 1989).

    Parameters
    ----------
    margin : float from -5 to 5
        The margin kappa; for spherical bonds at least -3, unless `rs`.
    bonds : "spherical" or "binary"
        Prior of the bonds.
    rs : bool
        The replica-symmetric load at all margins: with spherical bonds and a margin below 0 an upper bound.

    Returns
    -------
    Estimate
        ``value``, and as ``error`` a bound of rounding; of a jamming load that of its limit, asked for 1e-9.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Warns
    -----
    ConvergenceWarning
        If a jamming load does not settle.

    Examples
    --------
    >>> import deepglass as dg
    >>> dg.parisi.capacity().value
    2.0
    >>> round(dg.parisi.capacity(-0.5).value, 8)
    4.69659724
    >>> round(dg.parisi.capacity(bonds="binary").value, 10), round(dg.parisi.capacity(-0.5, rs=True).value, 10)
    (0.8330785997, 4.7700988826)
    """
    margin = _margin(margin)
    if choice("bonds", bonds, ("spherical", "binary")) == "spherical":
        if margin < 0.0 and not rs:
            jammed = jamming_load(margin)
            return Estimate(float(jammed.jamming_load), float(jammed.jamming_load_error))
        return _spherical_capacity(margin)
    found = _binary_capacity(margin)
    return Estimate(found["load"], 1e-12 * found["load"])


def _spherical_capacity(margin: float) -> Estimate:
    from scipy.special import ndtr

    # (1 + k^2) Phi(k) + k phi(k); terms of order k^2 Phi cancel where k is negative.
    volume, density = ndtr(margin), math.exp(-margin * margin / 2) / math.sqrt(2 * math.pi)
    terms = (1.0 + margin * margin) * volume, margin * density
    return Estimate(float(1.0 / sum(terms)), float(4e-16 * (terms[0] + abs(terms[1])) / sum(terms) ** 2))


@functools.lru_cache(maxsize=64)
def _binary_capacity(margin: float) -> dict[str, float]:
    found = _first(Perceptron(1.0, margin, "binary"), "free_entropy", np.linspace(-20.0, 13.0, 34))
    if found is None:
        raise NumericalError(f"the entropy of binary bonds does not vanish at any load for margin {margin!r}")
    return found


def _satisfiable(model: Perceptron) -> None:
    """Refuse loads beyond the capacity."""
    if model.potential != "hard" or model.scenario != "random":
        return
    spherical = model.bonds == "spherical"
    limit = _spherical_capacity(model.margin).value if spherical else _binary_capacity(model.margin)["load"]
    # The overlap is 1 at the capacity of spherical bonds, up to rounding.
    if model.load < limit * ((1.0 - 1e-9) if spherical else (1.0 + 1e-12)):
        return
    bound = ", an upper bound: the jamming load is below" if spherical and model.margin < 0.0 else ""
    raise NumericalError(
        f"unsatisfiable: load {model.load:.15g} is not below the capacity {limit:.12g} of {model.bonds} bonds with "
        f"margin {model.margin:g} (replica symmetric{bound})"
    )


def almeida_thouless_load(margin: float) -> float:
    """Load from which on replica symmetry is broken, for spherical bonds, hard potential and a negative margin.

    The replicon 1 - load (1 - q)^2 E f''^2 vanishes there.

    Parameters
    ----------
    margin : float from -3 to -0.01
        The margin.  From 0 on replica symmetry holds up to the capacity; below some -2.8 a discontinuous transition
        comes before, and below -3.3 the instability is beyond the upper bound of `capacity`.

    Returns
    -------
    float
        The load.

    Raises
    ------
    ValueError
        If the margin is out of range.

    Examples
    --------
    >>> import deepglass as dg
    >>> round(dg.parisi.almeida_thouless_load(-0.5), 8)
    3.95070131
    """
    allowed = "from -3 to -0.01 (from 0 on replica symmetry holds up to the capacity)"
    margin = number("margin", margin, allowed, lambda x: -3.0 <= x <= -0.01)
    found = _first(Perceptron(1.0, margin), "replicon", np.linspace(-7.0, 40.0, 48))
    if found is None:
        raise NumericalError(f"the replicon does not vanish at any load for margin {margin!r}")
    return found["load"]


# ---- solutions ----


def solve(model: Perceptron, steps: int = 0, branch: Branch = "equilibrium", *, threads: int = 0) -> xr.Dataset:
    """Solve for one perceptron without replica symmetry breaking; see `deepglass.parisi.solve`.

    Parameters
    ----------
    model : Perceptron
        The perceptron and its load.
    steps : 0
        Steps of replica symmetry breaking.
    branch : "equilibrium", "uninformed", "unstable" or "informed"
        Where a load has several solutions: with a teacher the one of largest free entropy, with random labels that of
        smallest overlap; the one of smallest overlap, which an algorithm finds without help; the teacher itself (binary
        bonds); or the one between.
    threads : int
        0 for the OpenMP default.

    Returns
    -------
    Dataset
        ``overlap`` q, also that with the teacher, and ``deficit`` 1 - q; ``conjugate_field`` e; ``free_entropy`` per
        bond, ln of the weighted volume relative to the sphere (spherical) or of the weighted number of machines
        (binary); ``entropy`` = free_entropy + beta load energy; ``energy`` per pattern; ``replicon`` (negative:
        unstable); ``residual`` of e = load E f'^2, relative, and ``converged``; ``branch``.  With a teacher also
        ``gibbs_error`` arccos(q)/pi and ``bayes_error`` arccos(sqrt q)/pi, on labels without noise.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NumericalError
        If the load is not below the capacity (unsatisfiable), or there is no such branch.

    Warns
    -----
    ConvergenceWarning
        If the solution is unstable, or not converged.
    UnphysicalWarning
        If the entropy of binary bonds is negative.

    Examples
    --------
    >>> import deepglass as dg
    >>> solution = dg.parisi.solve(dg.parisi.Perceptron(load=1.0))
    >>> round(float(solution.overlap), 12), round(float(solution.entropy), 12)
    (0.585311851791, -0.855820596715)
    >>> teacher = dg.parisi.Perceptron(load=1.3, bonds="binary", scenario="teacher")
    >>> [round(float(dg.parisi.solve(teacher, branch=b).overlap), 6) for b in ("equilibrium", "uninformed")]
    [1.0, 0.725871]
    """
    import xarray as xr

    integer("steps", steps, 0, 0)
    branch = choice("branch", branch, ("equilibrium", *_BRANCHES))  # type: ignore[assignment]
    _satisfiable(model)
    curve = _branches(model, np.array([model.load]), threads)
    values = {name: found[0] for name, found in curve.items()}
    there = np.flatnonzero(~np.isnan(values["overlap"]))
    if branch == "equilibrium":
        stable = there[there != 1]
        if len(stable) == 0:
            raise NumericalError(f"no solution at load {model.load:g}: its overlap cannot be told from 1")
        place = int(stable[np.argmax(values["free_entropy"][stable]) if model.scenario == "teacher" else 0])
    else:
        place = _BRANCHES.index(branch)
        if place not in there:
            raise NumericalError(f"no branch {branch!r} at load {model.load:g}")
    numbers = {name: float(found[place]) for name, found in values.items()}
    beta_load = (model.beta or 0.0) * model.load
    numbers["entropy"] = numbers["free_entropy"] + beta_load * numbers["energy"]
    converged = numbers["residual"] <= _CONVERGED
    if branch != "unstable":
        _warn(model, numbers, converged)
    return xr.Dataset(
        numbers | {"converged": converged, "branch": _BRANCHES[place]},
        attrs=provenance("deepglass.parisi.solve", dataclasses.asdict(model) | {"steps": 0, "branch": branch}),
    )


def _warn(model: Perceptron, numbers: dict[str, float], converged: bool) -> None:
    if not converged:
        warn(f"solve: residual {numbers['residual']:.2g}", ConvergenceWarning)
    if numbers["replicon"] < _MARGINAL:
        warn(
            "replica-symmetric solution unstable against replica symmetry breaking "
            f"(replicon {numbers['replicon']:.4g} < 0)",
            ConvergenceWarning,
        )
    # Of a teacher it is a sign that the solution is not in equilibrium.
    if model.bonds == "binary" and model.scenario == "random" and numbers["entropy"] < -1e-11:
        warn(
            f"the entropy of binary bonds is negative ({numbers['entropy']:.4g}): the true solution is frozen",
            UnphysicalWarning,
        )


def _branches(model: Perceptron, loads: Array, threads: int) -> dict[str, Array]:
    """All solutions of each load, arrays (load, branch), NaN where there are fewer."""
    threads = integer("threads", threads, 0, 2**30)
    roots, extrema = _core.perceptron_roots(loads, *model.kernel, threads=threads)
    found = _point(model, np.where(np.isnan(roots), 1.0, roots).ravel(), threads)
    points = {name: value.reshape(roots.shape) for name, value in found.items()}
    points["residual"] = np.abs(1.0 - loads[:, None] / points.pop("load"))
    points["conjugate_field"] = roots
    for value in points.values():
        value[np.isnan(roots)] = np.nan
    points = _sorted(points, extrema)
    if model.scenario == "teacher" and model.bonds == "binary":  # the teacher itself is always a solution
        noise = 0.0 if model.beta is None else 1.0 / (1.0 + math.exp(min(model.beta, 700.0)))
        teacher = {"overlap": 1.0, "conjugate_field": math.inf, "replicon": 1.0, "energy": noise}
        for name, value in points.items():
            value[:, 2] = teacher.get(name, 0.0)
        points["free_entropy"][:, 2] = -(model.beta or 0.0) * noise * loads
    if model.scenario == "teacher":
        deficit = points["deficit"]
        # arccos(q) = 2 arcsin(sqrt(d/2)), arccos(sqrt q) = arcsin(sqrt d), without cancellation
        points["gibbs_error"] = 2.0 / np.pi * np.arcsin(np.sqrt(deficit / 2.0))
        points["bayes_error"] = np.arcsin(np.sqrt(deficit)) / np.pi
    return points


def _sorted(points: dict[str, Array], extrema: Array) -> dict[str, Array]:
    """Put the solutions before, between and behind the extrema of alpha(e) into their columns."""
    if len(extrema) > 2:
        raise NumericalError(f"more than three branches of solutions ({len(extrema)} extrema of the load)")
    conjugate = points["conjugate_field"]
    row, column = np.nonzero(~np.isnan(conjugate))
    rank = np.searchsorted(np.sort(extrema), conjugate[row, column])
    found = {name: np.full_like(value, np.nan) for name, value in points.items()}
    for name, value in points.items():
        found[name][row, rank] = value[row, column]
    return found


def learning_curve(loads: npt.ArrayLike, bonds: Bonds = "spherical", *, threads: int = 0) -> xr.Dataset:
    """Overlap and errors of a Bayes-optimal student of a perceptron, against the number of examples.

    Parameters
    ----------
    loads : array, shape (n_loads,)
        Examples per bond, > 0.
    bonds : "spherical" or "binary"
        Prior of teacher and student.
    threads : int
        0 for the OpenMP default.

    Returns
    -------
    Dataset
        ``overlap``, ``gibbs_error`` arccos(q)/pi, ``bayes_error`` arccos(sqrt q)/pi, ``free_entropy`` per bond,
        ``deficit`` 1 - q and ``residual``, of (load, branch): "uninformed", reached without help, and for binary bonds
        also "unstable" and "informed" (the teacher, overlap 1), NaN where a branch is not.  ``equilibrium`` (load): the
        branch of largest free entropy.  For binary bonds ``transition``, the load from which on that is the teacher,
        and ``spinodal``, where the uninformed branch ends (NaN for spherical bonds, who have neither).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Some ten averages of 100 to 300 nodes for each load, about 0.1 ms.

    Examples
    --------
    >>> import deepglass as dg
    >>> curve = dg.parisi.learning_curve([1.0, 1.4], bonds="binary")
    >>> curve.overlap.sel(branch="uninformed").values.round(9).tolist(), curve.equilibrium.values.tolist()
    ([0.560714737, 0.78969904], ['uninformed', 'informed'])
    >>> round(float(curve.transition), 9), round(float(curve.spinodal), 9)
    (1.24468399, 1.492631818)
    """
    import xarray as xr

    array = np.asarray(loads, float)
    if array.ndim != 1 or not (np.isfinite(array) & (array > 0.0)).all():
        raise ValueError(f"loads must have shape (n,), finite and > 0, got {loads!r}")
    model = Perceptron(1.0, bonds=bonds, scenario="teacher")
    points = _branches(model, array, threads)
    binary = bonds == "binary"
    names = _BRANCHES if binary else _BRANCHES[:1]
    kept = ("overlap", "deficit", "conjugate_field", "gibbs_error", "bayes_error", "free_entropy", "residual")
    stable = points["free_entropy"][:, ::2] if binary else points["free_entropy"][:, :1]
    missing = np.isnan(stable).all(axis=1)
    if missing.any():
        raise NumericalError(f"no solution at load {array[missing][0]:g}: its overlap cannot be told from 1")
    best = np.nanargmax(stable, axis=1) if len(array) else np.zeros(0, int)
    transition, spinodal = _first_order() if binary else (math.nan, math.nan)
    return xr.Dataset(
        {name: (("load", "branch"), points[name][:, : len(names)]) for name in kept}
        | {
            "equilibrium": ("load", np.array(names[::2])[best]),
            "converged": (("load", "branch"), points["residual"][:, : len(names)] <= _CONVERGED),
            "transition": transition,
            "spinodal": spinodal,
        },
        coords={"load": array, "branch": list(names)},
        attrs=provenance("deepglass.parisi.learning_curve", {"loads": array, "bonds": bonds}),
    )


@functools.cache
def _first_order() -> tuple[float, float]:
    """Transition and spinodal of the binary teacher: the free entropy of the teacher itself is 0."""
    model = Perceptron(1.0, bonds="binary", scenario="teacher")
    _, extrema = _core.perceptron_roots(np.ones(1), *model.kernel)
    spinodal = _point(model, extrema)["load"][0]
    found = _first(model, "free_entropy", np.linspace(-7.0, math.log(extrema[0]), 40))
    if found is None:
        raise NumericalError("the free entropy does not vanish on the uninformed branch")
    return found["load"], float(spinodal)


# ---- gaps ----


def gap_distribution(solution: Perceptron | xr.Dataset, gaps: npt.ArrayLike, *, threads: int = 0) -> xr.Dataset:
    """Density of the gaps r of the patterns learnt (the stabilities less the margin), replica symmetric.

        rho(r) = N(r; -margin, 1) exp(-beta v(r)) E [1/g(h)],    h ~ N(q (r + margin) - margin, q (1 - q)),

    g(h) = int Dy exp(-beta v(h + sqrt(1 - q) y)); with a teacher  rho(r) = 2 N(r; 0, 1) exp(-beta v(r)) / (1 +
    exp(-beta)).

    Parameters
    ----------
    solution : Perceptron or Dataset
        A model, which is solved, or what `solve` gave for one.
    gaps : array, shape (n_gaps,)
        Gaps r.
    threads : int
        0 for the OpenMP default.

    Returns
    -------
    Dataset
        ``density`` (gap), normalised: int rho dr = 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import deepglass as dg
    >>> found = dg.parisi.gap_distribution(dg.parisi.Perceptron(load=1.0), [-0.5, 0.0, 0.5, 1.0])
    >>> found.density.values.round(6).tolist()
    [0.0, 1.465083, 0.74438, 0.362862]
    """
    import xarray as xr

    model, overlap, deficit = _solved(solution, threads)
    array = np.asarray(gaps, float)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"gaps must have shape (n,) and be finite, got {gaps!r}")
    density = _core.perceptron_gap_density(
        array, overlap, deficit, *model.kernel, threads=integer("threads", threads, 0, 2**30)
    )
    return xr.Dataset(
        {"density": ("gap", density)},
        coords={"gap": array},
        attrs=provenance("deepglass.parisi.gap_distribution", dataclasses.asdict(model) | {"gaps": array}),
    )


def _solved(solution: Perceptron | xr.Dataset, threads: int) -> tuple[Perceptron, float, float]:
    """Model, overlap and its complement."""
    if isinstance(solution, Perceptron):
        model, found = solution, solve(solution, threads=threads)
    else:
        parameters = json.loads(getattr(solution, "attrs", {}).get("parameters", "{}"))
        names = [field.name for field in dataclasses.fields(Perceptron)]
        if not set(names) <= set(parameters) or "deficit" not in solution:
            raise ValueError("solution must be a Perceptron, or what solve gave for one")
        model, found = Perceptron(**{name: parameters[name] for name in names}), solution
    if model.scenario == "teacher":
        return model, 0.5, 0.5  # of no effect, and the overlap may be 1
    return model, float(found.overlap), float(found.deficit)
