"""One perceptron: capacity, learning curves and message passing, against vectorised NumPy programs.

One run, medians of alternating repeats, values compared before times are printed.  Message passing reads its inputs
once an iteration, one byte each: the column GB/s is that traffic, next to the speed of a plain sum over the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

import deepglass as dg
from deepglass import _core
from deepglass.parisi import perceptron as family

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


def alternate(functions: list[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of each function, called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, into in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            into.append(time.perf_counter() - begin)
    return [median(values) for values in times]


def curves() -> None:
    print(f"{'':<34} {'ours ms':>8} {'NumPy ms':>9} {'ratio':>6} {'difference':>10}")
    cases = [("capacity of binary bonds", our_capacity, numpy_capacity)]
    for bonds, last in (("spherical", 10.0), ("binary", 1.49)):
        loads = np.linspace(0.05, last, 200)
        cases.append(
            (
                f"learning curve, 200 loads, {bonds}",
                lambda loads=loads, bonds=bonds: dg.parisi.learning_curve(loads, bonds, threads=1).overlap.values[:, 0],
                lambda loads=loads, bonds=bonds: numpy_curve(loads, bonds),
            )
        )
    for name, ours, numpy in cases:
        difference = np.abs(np.asarray(ours()) - numpy()).max()
        assert difference < 1e-7, difference  # near the spinodal the bisection ends at the root of rounding
        a, b = alternate([ours, numpy], 5)
        print(f"{name:<34} {a * 1e3:8.2f} {b * 1e3:9.1f} {b / a:6.1f} {difference:10.1e}")


def messages() -> None:
    n_iterations, damping = 10, 0.3
    print(
        f"\n{'message passing, per iteration':<34} {'ours ms':>8} {'NumPy ms':>9} {'ratio':>6} {'GB/s':>6} {'sum':>6}"
    )
    for n_inputs, n_patterns in ((1000, 600), (4000, 2400), (10_000, 6000)):
        model = dg.parisi.Perceptron(n_patterns / n_inputs, bonds="binary")
        data = dg.parisi.perceptron_data(model, n_inputs, seed=1)
        x, y = data.inputs.values, data.labels.values.astype(float)
        wide = x.astype(float)
        for threads in (1, 0):

            def ours(x: np.ndarray = x, y: np.ndarray = y, threads: int = threads) -> np.ndarray:
                start = np.zeros(x.shape[1])
                found = _core.perceptron_messages(
                    x, y, start, "binary", "hard", 0.0, 0.0, damping, 1e-300, n_iterations, threads
                )
                mean: np.ndarray = found["mean"]
                return mean

            def numpy(wide: np.ndarray = wide, y: np.ndarray = y) -> np.ndarray:
                return numpy_messages(wide, y, n_iterations, damping)

            difference = np.abs(ours() - numpy()).max()
            assert difference < 1e-11, difference
            a, b = alternate([ours, numpy], 3)
            begin = time.perf_counter()
            x.view(np.int64).sum()
            plain = x.nbytes / (time.perf_counter() - begin) / 1e9
            name = f"N = {n_inputs}, M = {n_patterns}, threads = {threads or 'all'}"
            a, b = a / n_iterations, b / n_iterations
            speed = x.nbytes / a / 1e9
            print(f"{name:<34} {a * 1e3:8.2f} {b * 1e3:9.2f} {b / a:6.1f} {speed:6.2f} {plain:6.1f}")


def main() -> None:
    print(f"deepglass {dg.__version__}, level {_core.isa}, {_core.thread_count(0)} threads")
    curves()
    messages()


if __name__ == "__main__":
    main()
