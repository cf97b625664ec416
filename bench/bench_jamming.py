"""Times of jamming: one sweep of the recursion against NumPy, loads with k steps, full breaking, exponents."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

import deepglass as dg
from deepglass import _core
from deepglass.reference.jamming import recursion, terminal


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
    slopes, rows = [slope], []
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
        rows.insert(0, (T, index, len(h)))
    p = spacing[0] / np.sqrt(2 * np.pi * q[0]) * np.exp(-(grids[0] ** 2) / (2 * q[0]))
    F, g = float(p @ f), [p @ slopes[0] ** 2]
    for i, (T, index, size) in enumerate(rows, 1):
        p = np.bincount(index.ravel(), (p[:, None] * T).ravel(), size)[: len(grids[i])]
        g.append(p @ slopes[i] ** 2)
    return F, np.array(g)


def milliseconds(call: Callable[[], object], repeats: int = 7) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * median(times)


def main() -> None:
    print(f"{'':34s} {'twin ms':>10s} {'NumPy ms':>10s} {'kernel ms':>10s} {'ratios':>17s}")
    for k in (1, 2, 3, 6, 12):
        solution = dg.parisi.jamming_load(-0.5, k)
        q, y = solution.overlap.values[:-1], solution.breakpoint.values[1:]
        found = _core.wall_recursion(q, y, -0.5)
        F, g = banded(q, y, -0.5)
        if abs(F / found["value"] - 1) > 1e-11 or np.abs(g / found["slope_square"] - 1).max() > 1e-9:
            raise AssertionError(f"k = {k}: the NumPy program disagrees")
        # The twin has one grid for all levels: too dear beyond a few steps.
        slow = milliseconds(lambda q=q, y=y: recursion(q, y, -0.5), 3) if k <= 3 else np.nan
        plain = milliseconds(lambda q=q, y=y: banded(q, y, -0.5))
        fast = milliseconds(lambda q=q, y=y: _core.wall_recursion(q, y, -0.5))
        name = f"sweep, k={k}"
        print(f"{name:34s} {slow:10.2f} {plain:10.2f} {fast:10.3f} {slow / fast:8.0f} {plain / fast:8.1f}")
        if k > 1:
            full = milliseconds(lambda q=q, y=y: _core.wall_recursion(q, y, -0.5, hessian=True))
            print(f"{'  with all second derivatives':34s} {'':10s} {'':10s} {full:10.3f}")
    for name, call in (
        ("jamming_load(-0.5, 1)", lambda: dg.parisi.jamming_load(-0.5, 1)),
        ("jamming_load(-0.5, 3)", lambda: dg.parisi.jamming_load(-0.5, 3)),
        ("jamming_load(-0.5), full RSB", lambda: dg.parisi.jamming_load(-0.5)),
        ("satisfiable_perceptron(4.5, -0.5)", lambda: dg.parisi.satisfiable_perceptron(4.5, -0.5)),
        ("jamming_exponents()", dg.parisi.jamming_exponents),
    ):
        print(f"{name:34s} {'':10s} {'':10s} {milliseconds(call, 3):10.1f}")


if __name__ == "__main__":
    main()
