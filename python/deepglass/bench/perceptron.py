"""One perceptron: capacity, learning curves and message passing, against vectorised NumPy programs.

One run, medians of alternating repeats, values compared before times are printed.  Message passing reads its inputs
once an iteration, one byte each: GB/s is that traffic, and the limit a plain sum over the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

import deepglass as dg

from .. import _core
from ..parisi import perceptron as family
from . import Bench, Row

Z = np.linspace(-9.0, 9.0, 801)
P = np.exp(-(Z**2) / 2)
P /= P.sum()


def mills(u: np.ndarray) -> np.ndarray:
    """phi/Phi."""
    return np.sqrt(2 / np.pi) / erfcx(-u / np.sqrt(2))


def load_of(e: np.ndarray, bonds: str) -> tuple[np.ndarray, np.ndarray]:
    """Load and overlap of the Bayes-optimal student, all conjugate fields at once."""
    q = e / (1 + e) if bonds == "spherical" else np.tanh(np.sqrt(e)[:, None] * Z + e[:, None]) @ P
    u = np.sqrt(q / (1 - q))[:, None] * Z
    return e * (1 - q) / ((2 * ndtr(u) * mills(u) ** 2) @ P), q


def numpy_curve(loads: np.ndarray, bonds: str) -> np.ndarray:
    """Overlaps by bisection in ln e, all loads at once; binary: up to the spinodal."""
    low = np.full(len(loads), -12.0)
    high = np.full(len(loads), 9.0 if bonds == "spherical" else np.log(3.25948042))
    for _ in range(50):
        middle = (low + high) / 2
        above = load_of(np.exp(middle), bonds)[0] > loads
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return load_of(np.exp((low + high) / 2), bonds)[1]


def numpy_capacity() -> float:
    """Zero entropy of binary bonds."""

    def state(log_e: float) -> tuple[float, float]:
        e = np.exp(log_e)
        x = np.sqrt(e) * Z
        q = P @ np.tanh(x) ** 2
        u = np.sqrt(q / (1 - q)) * Z
        load = e * (1 - q) / (P @ mills(u) ** 2)
        return load, -e / 2 * (1 - q) + P @ np.logaddexp(x, -x) + load * (P @ log_ndtr(u))

    return state(brentq(lambda x: state(x)[1], -3.0, 3.0, xtol=1e-14))[0]


def our_capacity() -> float:
    family._binary_capacity.cache_clear()
    return dg.parisi.capacity(bonds="binary").value


def numpy_messages(x: np.ndarray, y: np.ndarray, n_iterations: int, damping: float) -> np.ndarray:
    """The same iteration with two matrix-vector products, binary bonds and a hard wall."""
    n = x.shape[1]
    a, g, variance, root = np.zeros(n), np.zeros(len(y)), 1.0, np.sqrt(n)
    for _ in range(n_iterations):
        s = np.sqrt(variance)
        u = y * (x @ a / root - variance * g) / s
        r = mills(u)
        g = (1 - damping) * y * r / s + damping * g
        fresh = np.tanh((r * (r + u)).sum() / variance / n * a + g @ x / root)
        a = (1 - damping) * fresh + damping * a
        variance = (1 - damping) * (1 - np.mean(fresh**2)) + damping * variance
    return a


def rows(bench: Bench) -> Iterator[Row]:
    """Of a curve; of an iteration of message passing."""
    yield from curves(bench)
    yield from messages(bench)


def curves(bench: Bench) -> Iterator[Row]:
    cases: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("capacity of binary bonds", our_capacity, numpy_capacity)
    ]
    for bonds, last in (("spherical", 10.0), ("binary", 1.49)):
        loads = np.linspace(0.05, last, 200)
        cases.append(
            (
                f"learning curve, 200 loads, {bonds}",
                lambda loads=loads, bonds=bonds: dg.parisi.learning_curve(loads, bonds, threads=1).overlap.values[:, 0],
                lambda loads=loads, bonds=bonds: numpy_curve(loads, bonds),
            )
        )
    for name, ours, numpy in bench.some(cases):
        difference = np.abs(np.asarray(ours()) - numpy()).max()
        assert difference < 1e-7, difference  # near the spinodal the bisection ends at the root of rounding
        t = bench.alternate({"ours": ours, "NumPy": numpy})
        yield Row(name, t["ours"], numpy=t["NumPy"], more={"difference": difference})


def messages(bench: Bench) -> Iterator[Row]:
    n_iterations, damping = 10, 0.3
    for n_inputs, n_patterns in bench.some(((1000, 600), (4000, 2400), (10_000, 6000))):
        model = dg.parisi.Perceptron(n_patterns / n_inputs, bonds="binary")
        data = dg.parisi.perceptron_data(model, n_inputs, seed=1)
        x, y = data.inputs.values, data.labels.values.astype(float)
        wide = x.astype(float)

        def ours(threads: int, x: np.ndarray = x, y: np.ndarray = y) -> np.ndarray:
            start = np.zeros(x.shape[1])
            found = _core.perceptron_messages(
                x, y, start, "binary", "hard", 0.0, 0.0, damping, 1e-300, n_iterations, threads
            )
            mean: np.ndarray = found["mean"]
            return mean

        calls: dict[str, Callable[[], np.ndarray]] = {
            "one": functools.partial(ours, 1),
            "all": functools.partial(ours, bench.threads),
            "NumPy": functools.partial(numpy_messages, wide, y, n_iterations, damping),
        }
        difference = max(np.abs(calls[threads]() - calls["NumPy"]()).max() for threads in ("one", "all"))
        assert difference < 1e-11, difference
        t = {name: seconds / n_iterations for name, seconds in bench.alternate(calls, 3).items()}
        plain = x.nbytes / bench.best(x.view(np.int64).sum, 5)
        yield Row(
            f"message passing, N = {n_inputs}, M = {n_patterns}",
            t["one"],
            all_threads=t["all"],
            numpy=t["NumPy"],
            limit=x.nbytes / plain,
            more={"GB/s": x.nbytes / t["one"] * 1e-9, "GB/s of a sum": plain * 1e-9, "difference": difference},
        )
