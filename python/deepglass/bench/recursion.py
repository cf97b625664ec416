"""Times of the k-step Parisi recursion: NumPy twin, dense NumPy, kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy.special import log_ndtr

from .. import _core
from ..reference.parisi_recursion import recursion
from . import Bench, Row

Term = tuple[Literal["wall", "spin"], np.ndarray, np.ndarray, float]  # terminal, variance, breakpoints, deficit


def dense(terminal: str, variance: np.ndarray, breakpoints: np.ndarray, deficit: float) -> float:
    """F and g_i as one would write them in NumPy: trapezoidal sums as matrix products on a uniform grid.

    Its spacing must resolve sqrt(deficit) and every increment (sigma >= 1.3 dh), and the range of exp(m f)
    must not overflow: the levels of this bench allow it.
    """
    if terminal == "wall":
        h = np.linspace(-8, 8, 2 * int(8 / min(0.25 * np.sqrt(deficit), np.sqrt(variance.min()) / 1.3)) + 1)
        u = h / np.sqrt(deficit)
        f = log_ndtr(u)
        slope = np.exp(-0.5 * u**2 - f) / np.sqrt(2 * np.pi * deficit)
    else:
        half = 8 * np.sqrt(variance.sum()) + variance.sum()
        h = np.linspace(-half, half, 2 * int(half / min(0.25, np.sqrt(variance.min()) / 1.3)) + 1)
        f, slope = np.logaddexp(h, -h), np.tanh(h)
    dh = h[1] - h[0]
    m = np.r_[0.0, breakpoints]
    slopes, kernels = [slope], []
    for i in range(len(variance) - 1, -1, -1):
        v = variance[i]
        gauss = np.exp(-((h[:, None] - h) ** 2) / (2 * v)) * (dh / np.sqrt(2 * np.pi * v))
        if m[i] > 0:
            e = np.exp(m[i] * (f - f.max()))
            norm = np.maximum(gauss @ e, 1e-300)
            kernels.append(gauss * e / norm[:, None])
            f = np.log(norm) / m[i] + f.max()
        else:
            kernels.append(gauss)
            f = gauss @ f
        slopes.append(kernels[-1] @ slopes[-1])
    p = np.zeros(len(h))
    p[len(h) // 2] = 1.0
    for kernel, slope in zip(reversed(kernels), reversed(slopes[:-1]), strict=True):
        p = p @ kernel
        _ = p @ slope**2
    return float(f[len(h) // 2])


def compare(bench: Bench, name: str, terms: list[Term], inner: int = 20) -> Row:
    worst = 0.0
    for terminal, v, m, d in terms:
        found, wanted = (
            _core.parisi_recursion(terminal, v, m, deficit=d),
            recursion(terminal, v, m, deficit=d),
        )
        worst = max(worst, abs(found["value"] / wanted.value - 1))
        worst = max(worst, np.abs(found["slope_square"] / wanted.slope_square - 1).max())
        if abs(dense(terminal, v, m, d) - wanted.value) > 1e-7:
            raise AssertionError(f"{name}: the dense route disagrees")
    if not worst < 1e-11:
        raise AssertionError(f"{name}: kernel and twin differ by {worst}")

    def kernel() -> None:
        for terminal, v, m, d in terms:
            _core.parisi_recursion(terminal, v, m, deficit=d, repeats=inner)

    def twin() -> None:
        for terminal, v, m, d in terms:
            recursion(terminal, v, m, deficit=d)

    def matrices() -> None:
        for terminal, v, m, d in terms:
            dense(terminal, v, m, d)

    t = bench.alternate({"twin": twin, "dense": matrices, "kernel": kernel}, 7)
    return Row(name, t["kernel"] / inner, numpy=t["dense"], others={"twin": t["twin"]}, more={"difference": worst})


def rows(bench: Bench) -> Iterator[Row]:
    """Of one term; of the twenty of a symmetric network of depth 20."""
    terms: dict[tuple[int, str, float], Term] = {}
    for k in (4, 9, 19):
        m, shares = (
            np.arange(1, k + 1) / (k + 1),
            (np.arange(k + 1) % 5 + 1.0) / np.sum(np.arange(k + 1) % 5 + 1.0),
        )
        for total in (0.5, 0.9, 0.97):
            terms[k, "wall", total] = ("wall", total * shares, m, 1 - total)
        for total in (0.5, 2.0, 8.0):
            terms[k, "spin", total] = ("spin", total * shares, m, 1.0)
    for (k, terminal, total), term in bench.some(terms.items()):
        yield compare(bench, f"{terminal}, k = {k}, total variance {total}", [term])
    # Depth 20 by symmetry: 10 wall and 10 spin terms, no two of them alike.
    network: list[Term] = [
        ("wall", t * terms[19, "wall", 0.5][1] * 2, terms[19, "wall", 0.5][2], 1 - t)
        for t in np.linspace(0.97, 0.1, 10)
    ]
    network += [
        ("spin", t * terms[19, "spin", 2.0][1] / 2, terms[19, "spin", 2.0][2], 1.0) for t in np.geomspace(8, 0.1, 10)
    ]
    if not bench.quick:
        yield compare(bench, "sweep, depth 20, symmetric, k = 19", network)
