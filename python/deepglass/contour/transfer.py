"""Complex phi^4 at chemical potential on one or two rows, by transfer matrices: no sampling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .._check import integer
from .._core import NumericalError, gauss_legendre
from .._warnings import ConvergenceWarning, warn
from ..io import provenance
from .actions import ComplexPhi4, check_phi4

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["transfer_matrix"]

Floats = npt.NDArray[np.float64]

_NEGLIGIBLE = 45.0  # exp(-45) = 3e-20
_MOST_CHARGES = 10_000
_WANTED = {1: 1e-8, 2: 1e-5}  # accuracy of ln Z that is taken for converged


def transfer_matrix(
    action: ComplexPhi4,
    *,
    n_nodes: int = 80,
    max_quanta: int = 16,
) -> xr.Dataset:
    """Partition function, density and average phase of complex phi^4 on 1 x Lt and 2 x Lt lattices, without sampling.

    In polar coordinates the charge k is conserved along the time direction, and on one row

        Z = sum_k e^{-k mu Lt} tr T_k^Lt,  T_k(r, r') = 2 pi sqrt(r r') e^{-V(r)/2 - V(r')/2} I_k(c r r'),

    with V = (2 + m^2) r^2 / 2 + lambda r^4 / 4 and c = 1.  The phase-quenched theory of the undeformed fields has
    c = cosh(mu) and no e^{-k mu Lt}.  On two rows T = K^{1/2} X K^{1/2}: K is the product of two such kernels, and
    X = exp(-|phi_1 - phi_2|^2) are the two bonds between the rows; T is written in products of eigenstates
    (k1, n1; k2, n2) of the kernels with |k1| + 2 n1 + |k2| + 2 n2 quanta up to `max_quanta`.

    Parameters
    ----------
    action : ComplexPhi4
        Lx x Lt sites, Lx 1 or 2; without coupling (the free field) cosh(mu) < 1 + m^2/2.
    n_nodes : int
        Gauss-Legendre nodes for the radius.
    max_quanta : int
        Truncation for two rows.  16 leave an error of ln Z of 1e-8 on 2 x 8 at mu = 1.2 (mass and coupling 1), 1e-5 on
        2 x 2; time slices and mass help, large fields want more.

    Returns
    -------
    xarray.Dataset
        Scalars ``log_partition_function``, ``density`` (n = (1/V) d ln Z / d mu), ``phi2`` (<phi^2> = -(2/V) d ln Z /
        d m^2), the same of the phase-quenched theory with the prefix ``quenched_``, ``average_phase`` (Z / Z_pq),
        and ``residual``: the change of either ln Z from a coarser rule (three quarters of the nodes, or two quanta
        less).  ``converged`` is False where that exceeds 1e-8 (one row) or 1e-5 (two), with a ConvergenceWarning.

    Raises
    ------
    NumericalError
        Where the kernels leave the range of double precision: charges of some hundreds, for large mu.

    Notes
    -----
    One row: some 20 eigenvalue problems of size n_nodes.  Two rows: blocks of up to some 400 states at 16 quanta.

    Examples
    --------
    >>> from deepglass.contour import ComplexPhi4
    >>> exact = transfer_matrix(ComplexPhi4((1, 8), chemical_potential=1.0))
    >>> round(float(exact["density"]), 8), round(float(exact["average_phase"]), 8)
    (0.07430774, 0.41183736)
    """
    import xarray as xr

    action = check_phi4(action)
    n_space = action.shape[0]
    if n_space > 2:
        raise ValueError(f"action must have one or two rows, got {action!r}")
    n_nodes = integer("n_nodes", n_nodes, 8, 1000)
    max_quanta = integer("max_quanta", max_quanta, 4, 30)
    results: dict[str, float] = {}
    log_z, residuals = [], []
    for quenched in (False, True):
        if n_space == 1:
            traces = _one_row(action, n_nodes, quenched)
            coarse = _one_row(action, n_nodes * 3 // 4, quenched)
        else:
            traces, coarse = _two_rows(action, n_nodes, max_quanta, quenched)
        ensemble = _sum_over_charges(traces, action, quenched)
        prefix = "quenched_" if quenched else ""
        results[f"{prefix}log_partition_function"] = ensemble.log_z
        results[f"{prefix}density"] = ensemble.density
        results[f"{prefix}phi2"] = ensemble.square
        log_z.append(ensemble.log_z)
        residuals.append(abs(ensemble.log_z - _sum_over_charges(coarse, action, quenched).log_z))
    if not all(map(math.isfinite, results.values())):
        raise NumericalError(_RANGE)
    results["average_phase"] = math.exp(log_z[0] - log_z[1])
    results["residual"] = max(residuals)
    converged = results["residual"] < _WANTED[n_space]
    if not converged:
        what = "n_nodes" if n_space == 1 else "max_quanta"
        message = f"transfer_matrix: ln Z changes by {results['residual']:.1e} with {what}; take more"
        warn(message, ConvergenceWarning)
    parameters = {
        "action": repr(action),
        "n_nodes": n_nodes,
        "max_quanta": max_quanta,
    }
    names = {
        "log_partition_function": "ln Z",
        "density": "density n",
        "phi2": "<phi^2>",
        "average_phase": "average phase factor Z / Z_pq of the undeformed fields",
        "residual": "change of ln Z from a coarser rule",
    }
    dataset = xr.Dataset(
        {name: ((), value, {"long_name": names[name.removeprefix("quenched_")]}) for name, value in results.items()},
        attrs=provenance("deepglass.contour.transfer_matrix", parameters),
    )
    return dataset.assign(converged=converged)


# ---- Sums over the conserved charge

_RANGE = "transfer_matrix: the kernels leave the range of double precision"


class _Trace(NamedTuple):
    """Of the sector of one charge."""

    log_trace: float  # ln tr T^Lt
    square: float  # phi^2 of a site
    hopping: float  # derivative of ln tr T^Lt by the coefficient c of the time links, per time step
    log_coarse: float = -math.inf  # ln tr T^Lt in a smaller basis


_Traces: TypeAlias = Callable[[int], _Trace | None]  # None: the charge is not in the basis


class _Ensemble(NamedTuple):
    log_z: float
    density: float
    square: float


def _sum_over_charges(traces: _Traces, action: ComplexPhi4, quenched: bool) -> _Ensemble:
    """Sum over charges of both signs; T_q and T_{-q} have the same spectrum."""
    mu = action.chemical_potential
    rate = 0.0 if quenched else abs(mu) * action.shape[1]
    logs: list[float] = []
    charges, squares, hoppings = [], [], []
    for charge in range(_MOST_CHARGES):
        trace = traces(charge)
        if trace is None:
            break
        x = charge * rate
        logs.append(trace.log_trace + (float(np.logaddexp(x, -x)) if charge else 0.0))  # 2 cosh(x)
        charges.append(charge * math.tanh(x))
        squares.append(trace.square)
        hoppings.append(trace.hopping)
        if charge > 1 and logs[-1] < logs[-2] and logs[-1] < max(logs) - _NEGLIGIBLE:
            break
    else:
        raise NumericalError("transfer_matrix: more charges contribute than can be summed")
    log_z = float(np.logaddexp.reduce(logs))
    weights = np.exp(np.array(logs) - log_z)
    if quenched:
        density = math.sinh(mu) * float(weights @ hoppings) / action.shape[0]
    else:
        density = math.copysign(float(weights @ charges), mu) / action.shape[0]
    return _Ensemble(log_z, density, float(weights @ squares))


class _Power(NamedTuple):
    """tr T^n of a positive matrix T, by its eigenvectors."""

    log_trace: float
    weights: Floats  # of the eigenvectors in the trace
    values: Floats
    vectors: Floats

    def mean(self, inserted: Floats) -> float:
        """tr(A T^n) / tr T^n."""
        return float(self.weights @ np.einsum("ia,ia->a", self.vectors, inserted @ self.vectors))

    def mean_replacing(self, inserted: Floats) -> float:
        """tr(A T^{n-1}) / tr T^n."""
        elements = np.einsum("ia,ia->a", self.vectors, inserted @ self.vectors)
        return float(self.weights @ (elements / self.values))


def _power(matrix: Floats, n: int) -> _Power:
    if not np.isfinite(matrix).all():
        raise NumericalError(_RANGE)
    values, vectors = np.linalg.eigh(matrix)
    positive = values > 1e-300  # others are rounding
    if not positive.any():
        raise NumericalError(_RANGE)
    values, vectors = values[positive], vectors[:, positive]
    logs = n * np.log(values)
    log_trace = float(np.logaddexp.reduce(logs))
    return _Power(log_trace, np.exp(logs - log_trace), values, vectors)


# ---- One site


class _Site:
    """Radial nodes, and the kernels T_k on them, scaled by exp(-log_scale)."""

    def __init__(self, action: ComplexPhi4, n_nodes: int, quenched: bool) -> None:
        self._hopping = math.cosh(action.chemical_potential) if quenched else 1.0
        # Eigenstates decay at least as exp(-U/2).
        radius, weight = gauss_legendre(n_nodes, 0.0, math.sqrt(action.largest_square(2 * _NEGLIGIBLE)))
        self.radius: Floats = np.asarray(radius)
        potential = (2 + action.mass**2) / 2 * self.radius**2 + action.coupling * self.radius**4 / 4
        self._product = np.outer(self.radius, self.radius)
        self._known: dict[int, Floats] = {}
        exponent = self._hopping * self._product - (potential[:, None] + potential) / 2
        self.log_scale = float(exponent.max())
        measure = np.sqrt(np.asarray(weight) * self.radius)
        self._front = 2 * math.pi * np.outer(measure, measure) * np.exp(exponent - self.log_scale)

    def kernel(self, charge: int) -> tuple[Floats, Floats]:
        """T_k and its derivative by c."""
        slope = (self._bessel(abs(charge - 1)) + self._bessel(charge + 1)) / 2
        return self._front * self._bessel(charge), self._front * self._product * slope

    def _bessel(self, order: int) -> Floats:
        """I_k(c r r') exp(-c r r')."""
        from scipy.special import ive

        if order not in self._known:
            self._known.pop(order - 3, None)
            self._known[order] = ive(order, self._hopping * self._product)
        return self._known[order]


# ---- One row


def _one_row(action: ComplexPhi4, n_nodes: int, quenched: bool) -> _Traces:
    site = _Site(action, n_nodes, quenched)

    def trace(charge: int) -> _Trace:
        kernel, slope = site.kernel(charge)
        power = _power(kernel, action.shape[1])
        square = float(power.weights @ (site.radius**2 @ power.vectors**2))
        return _Trace(power.log_trace + action.shape[1] * site.log_scale, square, power.mean_replacing(slope))

    return trace


# ---- Two rows


class _TwoRows:
    """Products of the eigenstates of two sites, in sectors of equal charge q = k1 + k2."""

    def __init__(self, action: ComplexPhi4, n_nodes: int, max_quanta: int, quenched: bool) -> None:
        from scipy.special import ive

        site = _Site(action, n_nodes, quenched)
        self._n_time, self._max_quanta = action.shape[1], max_quanta
        self._log_scale = 2 * site.log_scale
        self._square = site.radius**2
        self._values: list[Floats] = []  # [|k|]: (n_states,)
        self._states: list[Floats] = []  # [|k|]: (n_nodes, n_states)
        self._slopes: list[Floats] = []  # [|k|]: K^{-1/2} (dK/dc) K^{-1/2}, (n_states, n_states)
        for k in range(max_quanta + 1):
            kernel, slope = site.kernel(k)
            values, vectors = np.linalg.eigh(kernel)
            n = (max_quanta - k) // 2 + 1
            values, vectors = values[::-1][:n], vectors[:, ::-1][:, :n]
            kept = values > 1e-14 * values[0]  # the rest is rounding
            values, vectors = values[kept], vectors[:, kept]
            self._values.append(values)
            self._states.append(vectors)
            self._slopes.append(vectors.T @ slope @ vectors / np.sqrt(np.outer(values, values)))
        # exp(-|phi_1 - phi_2|^2) takes j units of angular momentum from one site to the other.
        argument = 2 * np.outer(site.radius, site.radius)
        distance = np.exp(-(np.subtract.outer(site.radius, site.radius) ** 2))
        self._bonds = [distance * ive(j, argument) for j in range(2 * max_quanta + 1)]

    def trace(self, charge: int) -> _Trace | None:
        if charge > self._max_quanta:
            return None
        groups = self._groups(charge)
        ends = np.cumsum([len(group.n1) for group in groups])
        parts = [slice(int(end) - len(group.n1), int(end)) for end, group in zip(ends, groups, strict=True)]
        bond, square, hopping = (np.zeros((int(ends[-1]), int(ends[-1]))) for _ in range(3))
        for a, group in enumerate(groups):
            same = parts[a], parts[a]
            hopping[same] = self._slopes[group.k1][np.ix_(group.n1, group.n1)] * (group.n2[:, None] == group.n2)
            hopping[same] += self._slopes[group.k2][np.ix_(group.n2, group.n2)] * (group.n1[:, None] == group.n1)
            for b, other in enumerate(groups[: a + 1]):
                bond[parts[a], parts[b]], square[parts[a], parts[b]] = self._elements(group, other)
                bond[parts[b], parts[a]] = bond[parts[a], parts[b]].T
                square[parts[b], parts[a]] = square[parts[a], parts[b]].T
        root = np.sqrt(np.concatenate([self._values[g.k1][g.n1] * self._values[g.k2][g.n2] for g in groups]))
        scale = np.outer(root, root)
        power = _power(scale * bond, self._n_time)
        log_scale = self._n_time * self._log_scale
        quanta = np.concatenate([g.k1 + g.k2 + 2 * (g.n1 + g.n2) for g in groups])
        few = np.flatnonzero(quanta <= self._max_quanta - 2)
        coarse = _power((scale * bond)[np.ix_(few, few)], self._n_time).log_trace if few.size else -math.inf
        return _Trace(
            power.log_trace + log_scale,
            power.mean_replacing(scale * square),
            power.mean(hopping),
            coarse + log_scale,
        )

    def _groups(self, charge: int) -> list[_Group]:
        groups = []
        for charge1 in range(-self._max_quanta, self._max_quanta + 1):
            k1, k2 = abs(charge1), abs(charge - charge1)
            left = self._max_quanta - k1 - k2
            if left >= 0:
                n1, n2 = np.indices((len(self._values[k1]), len(self._values[k2]))).reshape(2, -1)
                kept = 2 * (n1 + n2) <= left
                groups.append(_Group(charge1, k1, k2, n1[kept], n2[kept]))
        return groups

    def _elements(self, a: _Group, b: _Group) -> tuple[Floats, Floats]:
        """Matrix elements of X and of X (r1^2 + r2^2) / 2."""
        radial = self._bonds[abs(a.charge1 - b.charge1)]
        first = _products(self._states[a.k1], self._states[b.k1])
        second = _products(self._states[a.k2], self._states[b.k2])
        shape = tuple(self._states[k].shape[1] for k in (a.k1, b.k1, a.k2, b.k2))
        at = (a.n1[:, None], b.n1, a.n2[:, None], b.n2)
        right = radial @ second
        bond = (first.T @ right).reshape(shape)[at]
        square = (first.T * self._square) @ right + first.T @ (radial @ (second * self._square[:, None]))
        return bond, square.reshape(shape)[at] / 2


class _Group(NamedTuple):
    """Basis states with the same charges of both sites."""

    charge1: int
    k1: int  # |charge1|
    k2: int  # |charge - charge1|
    n1: npt.NDArray[np.intp]
    n2: npt.NDArray[np.intp]


def _products(a: Floats, b: Floats) -> Floats:
    """Products of the columns of a and b, shape (n_nodes, n_a * n_b)."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def _two_rows(action: ComplexPhi4, n_nodes: int, max_quanta: int, quenched: bool) -> tuple[_Traces, _Traces]:
    """Traces in the basis, and in the one with two quanta less."""
    rows = _TwoRows(action, n_nodes, max_quanta, quenched)
    traces = functools.cache(rows.trace)

    def coarse(charge: int) -> _Trace | None:
        found = traces(charge)
        if found is None or not math.isfinite(found.log_coarse):
            return None
        return found._replace(log_trace=found.log_coarse)

    return traces, coarse
