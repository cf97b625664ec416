"""Integrals over a measure that is given by its density, its support and its atoms.

On each interval [a, b] of the support

    x = a + (b - a) / (1 + exp(-pi sinh s)),

the double exponential map: any algebraic edge, (x - a)^(1/2) or x^(-L/(L+1)), becomes smooth in s and decays.  The
integrand in s is kept as Chebyshev series on panels that are halved until their last coefficients vanish.

Next to an edge e that is not 0, x - e is lost in the rounding of x.  Where the density is like 1/sqrt(|x - e|) this
matters; it is then a power series in the root, and is continued from points further inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

_N = 16  # terms of a series
_NODES = np.cos(np.pi * (np.arange(_N) + 0.5) / _N)
_TO_COEFFICIENTS = np.array([(1 if j == 0 else 2) / _N * np.cos(j * np.arccos(_NODES)) for j in range(_N)])
_INTEGRAL = np.array([chebyshev.chebint(row, lbnd=-1) for row in np.eye(_N)]).T  # (_N + 1, _N)
_RESOLVED = 1e-14  # of the mass: what the last coefficients of a panel may amount to
_KNOWN_EDGE = 76.0  # e-foldings after which the mass left at an inverse square root is rounding
_DEEPEST = 2.0**-30  # shortest panel, in s
_MOST_PANELS = 4000  # of an interval; only noise takes more


class Distribution:
    """Distribution function, quantiles and averages of a measure."""

    def __init__(
        self,
        density: Callable[[Array], Array],
        support: Sequence[tuple[float, float]],
        atoms: Sequence[tuple[float, float]],
        finest: float,
    ) -> None:
        """Points come as close to an edge as exp(-finest), if they can be told from it."""
        self._density, self._finest = density, finest
        self._ends = np.array(support, float).reshape(-1, 2)
        self._atoms = np.array(atoms, float).reshape(-1, 2)
        self._edges = [(self._edge(a, b - a), self._edge(b, a - b)) for a, b in self._ends]
        self.unsolved = 0  # points at which the density was not found
        panels = [self._panels(i) for i in range(len(self._ends))]
        counts = [len(breaks) for breaks, _ in panels]
        self._interval = np.repeat(np.arange(len(panels)), counts)
        self._breaks = np.concatenate([breaks for breaks, _ in panels] or [np.empty((0, 2))])
        coefficients = np.concatenate([c for _, c in panels] or [np.empty((0, _N))])
        half = 0.5 * (self._breaks[:, 1] - self._breaks[:, 0])
        self._integral = (coefficients * half[:, None]) @ _INTEGRAL.T  # of the series, from the left end of its panel
        mass = self._integral.sum(axis=1)

        # Panels and atoms in the order of x, with the mass before each.
        left = self._position(self._interval, self._breaks[:, 0]) if len(mass) else np.empty(0)
        places = np.concatenate([left, self._atoms[:, 0]])
        kind = np.concatenate([np.arange(len(mass)), np.full(len(self._atoms), -1)])  # the panel, or -1
        masses = np.concatenate([mass, self._atoms[:, 1]])
        order = np.lexsort((kind, places))  # at the same place the atom comes first
        self._places, self._kind = places[order], kind[order]
        self._after = np.cumsum(masses[order])
        self._before = self._after - masses[order]
        self.mass = float(self._after[-1]) if len(order) else 0.0

        # Nodes and masses that integrate smooth functions.
        s = self._breaks.mean(axis=1)[:, None] + half[:, None] * _NODES
        self.nodes = self._position(self._interval[:, None], s).ravel() if len(mass) else np.empty(0)
        weights = _TO_COEFFICIENTS.T @ _INTEGRAL.sum(axis=0)
        values = coefficients @ chebyshev.chebvander(_NODES, _N - 1).T
        self.masses = (values * weights * half[:, None]).ravel()

    def _edge(self, edge: float, length: float) -> tuple[float, Array]:
        """Give up to which distance the density is c(t)/t, t = sqrt(distance), and the polynomial c; 0 if it is not."""
        rounding = np.spacing(abs(edge)) / abs(length)
        if edge == 0 or not 0 < rounding < 1e-9:
            return 0.0, np.zeros(1)
        near = float(rounding ** (1 / 3)) * length  # rounding and the next terms of the series do equal harm
        t = np.array([1, 1.3, 1.7, 2, 2.4, 3])
        x = edge + near * t**2
        t = np.sqrt((x - edge) / near)
        c = self._density(x) * t
        series = np.linalg.solve(np.vander(t[[0, 2, 3, 5]], increasing=True), c[[0, 2, 3, 5]])
        error = np.abs(np.polynomial.polynomial.polyval(t, series) - c).max()
        hard = abs(series[0]) > 0.1 * np.abs(c).max()  # else the mass there is nothing
        return (abs(near), series) if hard and error <= 1e-7 * np.abs(c).max() else (0.0, np.zeros(1))

    def _position(self, interval: NDArray[np.int_], s: Array) -> Array:
        a, b = self._ends[interval, 0], self._ends[interval, 1]
        small = np.exp(-np.pi * np.sinh(np.abs(s)))
        part = (b - a) * small / (1 + small)
        return np.asarray(np.where(s < 0, a + part, b - part))

    def _integrand(self, i: int, s: Array) -> Array:
        a, b = self._ends[i]
        small = np.exp(-np.pi * np.sinh(np.abs(s)))
        density = self._density(self._position(np.full(s.shape, i), s))
        for sign, (near, series) in zip((-1, 1), self._edges[i], strict=True):
            inside = (sign * s > 0) & ((b - a) * small / (1 + small) < near)
            t = np.sqrt(((b - a) * small / (1 + small))[inside] / near)
            density[inside] = np.polynomial.polynomial.polyval(t, series) / t
        self.unsolved += int(np.isnan(density).sum())
        with np.errstate(invalid="ignore"):
            value = density * (b - a) * np.pi * np.cosh(s) * small / (1 + small) ** 2
        return np.where(np.isfinite(value), value, 0.0)

    def _panels(self, i: int) -> tuple[Array, Array]:
        a, b = self._ends[i]
        # How many e-foldings of its length the points next to an edge come near to it.
        reach = [
            self._finest if end == 0 else _KNOWN_EDGE if near else min(self._finest, 37 + np.log1p((b - a) / abs(end)))
            for end, (near, _) in zip((a, b), self._edges[i], strict=True)
        ]
        first, last = -np.arcsinh(reach[0] / np.pi), np.arcsinh(reach[1] / np.pi)
        inner = [x for x, _ in self._atoms if a < x < b]
        cuts = np.concatenate(
            [np.linspace(first, last, 14), np.arcsinh([np.log((x - a) / (b - x)) / np.pi for x in inner])]
        )
        edges = np.unique(cuts)
        todo = np.stack([edges[:-1], edges[1:]], axis=1)
        done: list[tuple[Array, Array]] = []
        while len(todo):
            middle, half = todo.mean(axis=1), 0.5 * (todo[:, 1] - todo[:, 0])
            s = middle[:, None] + half[:, None] * _NODES
            c = self._integrand(i, s.ravel()).reshape(s.shape) @ _TO_COEFFICIENTS.T
            rough = (np.abs(c[:, -3:]).max(axis=1) * half > _RESOLVED) & (half > _DEEPEST)
            rough &= sum(len(p) for p, _ in done) + len(todo) < _MOST_PANELS
            done.append((todo[~rough], c[~rough]))
            ends, centre = todo[rough], middle[rough]
            todo = np.concatenate([np.stack([ends[:, 0], centre], 1), np.stack([centre, ends[:, 1]], 1)])
        breaks = np.concatenate([p for p, _ in done])
        order = np.argsort(breaks[:, 0])
        return breaks[order], np.concatenate([c for _, c in done])[order]

    def _within(self, panel: NDArray[np.int_], t: Array) -> Array:
        return np.asarray(chebyshev.chebval(t, self._integral[panel].T, tensor=False))

    def cdf(self, x: Array) -> Array:
        element = np.searchsorted(self._places, x, side="right") - 1
        out = np.where(element < 0, 0.0, self._after[element])
        panel = np.where(element < 0, -1, self._kind[element])
        inside = panel >= 0
        a, b = self._ends[self._interval[panel[inside]]].T
        with np.errstate(divide="ignore", invalid="ignore"):
            s = np.arcsinh(np.log((x[inside] - a) / (b - x[inside])) / np.pi)
        left, right = self._breaks[panel[inside]].T
        t = np.clip(2 * (np.where(x[inside] >= b, np.inf, s) - left) / (right - left) - 1, -1, 1)
        out[inside] = self._before[element[inside]] + self._within(panel[inside], t)
        return np.clip(out, 0.0, 1.0)

    def ppf(self, p: Array) -> Array:
        element = np.minimum(np.searchsorted(self._after, p, side="left"), len(self._after) - 1)
        out = self._places[element].copy()
        panel = self._kind[element]
        inside = panel >= 0
        panel, goal = panel[inside], p[inside] - self._before[element[inside]]
        low, high = np.full(goal.shape, -1.0), np.full(goal.shape, 1.0)
        t = np.zeros(goal.shape)
        for _ in range(100):  # Newton's method within a bracket
            excess = self._within(panel, t) - goal
            low, high = np.where(excess < 0, t, low), np.where(excess < 0, high, t)
            slope = chebyshev.chebval(t, chebyshev.chebder(self._integral[panel].T), tensor=False)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = t - excess / slope
            following = np.where((step > low) & (step < high), step, 0.5 * (low + high))
            if np.all(np.abs(following - t) <= 4e-16):
                break
            t = following
        left, right = self._breaks[panel].T
        out[inside] = self._position(self._interval[panel], 0.5 * (left + right) + 0.5 * (right - left) * t)
        return out

    def expect(self, function: Callable[[Array], Array]) -> float:
        total = float(np.sum(self.masses * function(self.nodes))) if len(self.nodes) else 0.0
        return total + (float(np.sum(self._atoms[:, 1] * function(self._atoms[:, 0]))) if len(self._atoms) else 0.0)
