"""Times of jamming: one sweep of the recursion against NumPy, loads with k steps, full breaking, exponents."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

import deepglass as dg

from .. import _core
from ..reference.jamming import recursion, terminal
from . import Bench, Row


def banded(q: np.ndarray, y: np.ndarray, margin: float) -> tuple[float, np.ndarray]:
    """F and g_i as a careful NumPy program has them: the same grids, rows of T_i by broadcasting, all at once."""
    k = len(q)
    variance, rest = np.diff(q, prepend=0.0), 1.0 - q
    D = 1.0 + np.cumsum((y * np.diff(np.r_[q, 1.0]))[::-1])[::-1]
    force = np.cumsum(np.r_[q[0] / D[0] ** 2, variance[1:] / (D[1:] * D[:-1])])
    spacing = np.sqrt(variance * rest / (variance + rest)) / 2.1
    left = margin - max(margin, 0.0) * D / D[0] - 8.7 * D * np.sqrt(force)
    right = margin + 8.7 * np.sqrt(rest)
    grids = [np.arange(a, b + d, d) for a, b, d in zip(left, right, spacing, strict=True)]
    f, slope = (x for x in terminal(margin - grids[-1], rest[-1], y[-1])[:2])
    slopes: list[np.ndarray] = [slope]
    transitions: list[tuple[np.ndarray, np.ndarray, int]] = []
    for i in range(k - 1, 0, -1):
        half = int(8.7 * np.sqrt(variance[i]) / spacing[i]) + 2
        pad = 2 * half + 2 + int(max(0.0, right[i - 1] - right[i]) / spacing[i])
        h = np.r_[grids[i], grids[i][-1] + spacing[i] * np.arange(1, pad + 1)]
        value = y[i - 1] * np.r_[f, np.zeros(pad)]
        # y f is concave: the largest entry of a row is where its slope is that of the Gaussian
        pull = h - np.gradient(value, h) * variance[i]
        peak = np.searchsorted(np.maximum.accumulate(pull), grids[i - 1])
        start = np.clip(peak - half, 0, len(h) - 2 * half - 1)
        index = start[:, None] + np.arange(2 * half + 1)
        exponent = value[index] - (h[index] - grids[i - 1][:, None]) ** 2 / (2 * variance[i])
        top = exponent.max(axis=1)
        T = np.exp(exponent - top[:, None])
        norm = T.sum(axis=1)
        T /= norm[:, None]
        f = (top + np.log(norm * spacing[i] / np.sqrt(2 * np.pi * variance[i]))) / y[i - 1]
        slopes.insert(0, (T * np.r_[slopes[0], np.zeros(pad)][index]).sum(axis=1))
        transitions.insert(0, (T, index, len(h)))
    p = spacing[0] / np.sqrt(2 * np.pi * q[0]) * np.exp(-(grids[0] ** 2) / (2 * q[0]))
    F, g = float(p @ f), [p @ slopes[0] ** 2]
    for i, (T, index, size) in enumerate(transitions, 1):
        p = np.bincount(index.ravel(), (p[:, None] * T).ravel(), size)[: len(grids[i])]
        g.append(p @ slopes[i] ** 2)
    return F, np.array(g)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a sweep of the recursion; of whole calculations."""

    def median(call: Callable[[], object], rounds: int = 7) -> float:
        return bench.alternate({"": call}, rounds)[""]

    for k in bench.some((1, 2, 3, 6, 12)):
        solution = dg.parisi.jamming_load(-0.5, k)
        q, y = solution.overlap.values[:-1], solution.breakpoint.values[1:]
        found = _core.wall_recursion(q, y, -0.5)
        F, g = banded(q, y, -0.5)
        if abs(F / found["value"] - 1) > 1e-11 or np.abs(g / found["slope_square"] - 1).max() > 1e-9:
            raise AssertionError(f"k = {k}: the NumPy program disagrees")
        # The twin has one grid for all levels: too dear beyond a few steps.
        slow = {"twin": median(functools.partial(recursion, q, y, -0.5), 3)} if k <= 3 else {}
        plain = median(functools.partial(banded, q, y, -0.5))
        fast = median(functools.partial(_core.wall_recursion, q, y, -0.5))
        yield Row(f"sweep, k = {k}", fast, numpy=plain, others=slow)
        if k > 1:
            full = median(functools.partial(_core.wall_recursion, q, y, -0.5, hessian=True))
            yield Row(f"sweep with all second derivatives, k = {k}", full)
    whole: dict[str, Callable[[], object]] = {
        "jamming_load(-0.5, 1)": functools.partial(dg.parisi.jamming_load, -0.5, 1),
        "jamming_load(-0.5, 3)": functools.partial(dg.parisi.jamming_load, -0.5, 3),
        "jamming_load(-0.5), full RSB": functools.partial(dg.parisi.jamming_load, -0.5),
        "satisfiable_perceptron(4.5, -0.5)": functools.partial(dg.parisi.satisfiable_perceptron, 4.5, -0.5),
        "jamming_exponents()": dg.parisi.jamming_exponents,
    }
    for name, call in bench.some(whole.items()):
        yield Row(name, median(call, 3))
