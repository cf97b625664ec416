"""Franz-Parisi potential: kernel against a vectorised NumPy program and the readable reference.

All in one run, medians of alternating repeats, values compared before times are printed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr, ndtr

import deepglass as dg

from .. import _core
from ..reference import franz_parisi as reference
from . import Bench, Row

Array = NDArray[np.float64]
DEPTH, LAYER = 20, 10
CASES = [(250.0, 0.5), (544.744723, 0.3), (625.0, 0.8)]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
T = np.arange(-64, 65) / 8.0  # h = b sinh t


def walls(lam_S: Array, lam_T: Array) -> tuple[Array, Array, Array]:
    """W, g_S, g_T of all walls at once."""
    sigma, s = np.sqrt(lam_S), np.sqrt(1 - lam_S)
    s_0 = np.sqrt(1 - lam_T**2 / lam_S)
    b = np.minimum(np.minimum(s, sigma), s_0 * lam_S / lam_T)
    x = np.clip((b / sigma)[:, None] * np.sinh(T), -13, 13)
    weight = np.cosh(T) * np.exp(-(x**2) / 2)
    weight *= 2 / weight.sum(1, keepdims=True)
    u, u_0 = x * (sigma / s)[:, None], x * (lam_T / sigma / s_0)[:, None]
    mills = np.sqrt(2 / np.pi) / erfcx(-u / np.sqrt(2))
    p, p1 = ndtr(u_0), np.exp(-(u_0**2) / 2) / np.sqrt(2 * np.pi)
    means = [(weight * f).sum(1) for f in (p * log_ndtr(u), p * mills**2, p1 * mills)]
    return means[0], means[1] / s**2, means[2] / (s * s_0)


def spins(eps: Array, mean: Array) -> tuple[Array, Array, Array]:
    """E ln 2cosh, q, r of all spins at once."""
    h = mean[..., None] + np.sqrt(eps)[..., None] * NODES
    tanh = np.tanh(h)
    return np.logaddexp(h, -h) @ WEIGHTS, tanh**2 @ WEIGHTS, tanh @ WEIGHTS


def numpy_potential(load: float, deficit: float, x: float, tolerance: float = 1e-10) -> tuple[float, float, int]:
    """The same equations by plain iteration: V, the field, sweeps."""
    q = np.full(DEPTH + 1, 1 - deficit)
    q[[0, -1]], r = 1.0, q.copy()
    r[[0, -1]] = 1.0
    q[1:-1] = r[1:-1] = 1 - deficit
    r[LAYER] = x
    Q, R = np.full(DEPTH, 1 - deficit), np.full(DEPTH, 1 - deficit)
    for sweep in range(1, 20000):
        W, g_S, g_T = walls(q[:-1] * Q * q[1:], r[:-1] * R * r[1:])
        A_S, A_T = load * q[:-1] * q[1:] * g_S, load * r[:-1] * r[1:] * g_T
        c = 2 / (1 + np.sqrt(1 + 4 * (A_S + A_T**2)))
        eps = (q[:-1] * Q * g_S)[:-1] + (Q * q[1:] * g_S)[1:]
        mean = (r[:-1] * R * g_T)[:-1] + (R * r[1:] * g_T)[1:]
        at = LAYER - 1
        total = brentq(lambda m, e=eps[at : at + 1]: float(spins(e, np.array([m]))[2][0]) - x, 0.0, 30.0, xtol=1e-13)
        field, mean[at] = total - mean[at], total
        value, new_q, new_r = spins(eps, mean)
        new = [np.r_[1, new_q, 1], np.r_[1, new_r, 1], 1 - c, A_T * c]
        old = [q, r, Q, R]
        change = max(abs(a - b).max() for a, b in zip(new, old, strict=True))
        mix = 0.5 if sweep % 7 == 0 else 1.0
        q, r, Q, R = (a + mix * (b - a) for a, b in zip(old, new, strict=True))
        if change < tolerance:
            break
    bonds = (np.log(1 - Q) + (Q - R**2) / (1 - Q)).sum() / (2 * load)
    neurons = (value - eps * (1 - q[1:-1]) / 2 - mean * r[1:-1]).sum()
    return -(W.sum() + bonds + neurons), field, sweep


def solve(load: float, deficit: float, x: float) -> Mapping[str, Array]:
    return _core.deep_perceptron_franz_parisi(DEPTH, load, 0.0, 0.0, LAYER, [x], [deficit], threads=1)


def rows(bench: Bench) -> Iterator[Row]:
    """One overlap at three loads; the averages at all walls; a curve, on all threads too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.ConvergenceWarning)
        for load, x in bench.some(CASES):
            yield one_overlap(bench, load, x)
        yield averages(bench)
        if not bench.quick:
            yield curve(bench)


def one_overlap(bench: Bench, load: float, x: float) -> Row:
    deficit = 0.05  # the NumPy program knows no liquid layers
    ours = solve(load, deficit, x)
    V, field, sweeps = numpy_potential(load, deficit, x)
    difference = max(abs(ours["potential"][0, 0] - V), abs(ours["field"][0, 0] - field))
    assert difference < 1e-7, difference  # the yardstick's Gauss-Hermite rule
    t = bench.alternate(
        {"ours": lambda: solve(load, deficit, x), "numpy": lambda: numpy_potential(load, deficit, x)}, least=0.05
    )
    return Row(
        f"load {load:g}, overlap {x:g}",
        t["ours"],
        numpy=t["numpy"],
        more={"difference": difference, "sweeps": f"{int(ours['iterations'][0, 0])}/{sweeps}"},
    )


def averages(bench: Bench) -> Row:
    lam_S, lam_T = np.linspace(0.05, 0.95, DEPTH), np.linspace(0.04, 0.9, DEPTH)
    eps = np.linspace(0.05, 8.0, DEPTH - 1)
    kernel = _core.planted_wall_moments(lam_S, 1 - lam_S, lam_T, 1 - lam_T)
    readable = np.array([reference.planted_wall_moments(*pair) for pair in zip(lam_S, lam_T, strict=True)])
    np.testing.assert_allclose(kernel, readable, rtol=1e-11)
    np.testing.assert_allclose(kernel[:, :3], np.transpose(walls(lam_S, lam_T)), rtol=1e-11)
    t = bench.alternate(
        {
            "walls": lambda: _core.planted_wall_moments(lam_S, 1 - lam_S, lam_T, 1 - lam_T),
            "spins": lambda: _core.planted_ising_moments(eps, eps),
            "numpy": lambda: walls(lam_S, lam_T),
            "reference": lambda: [reference.planted_wall_moments(*p) for p in zip(lam_S, lam_T, strict=True)],
        },
        least=0.02,
    )
    return Row(
        f"{DEPTH} walls, 7 averages (NumPy: 3)",
        t["walls"],
        numpy=t["numpy"],
        others={"reference": t["reference"]},
        more={f"us of {DEPTH - 1} spins": t["spins"] * 1e6},
    )


def curve(bench: Bench) -> Row:
    model, x = dg.parisi.DeepPerceptron(DEPTH, 544.744723, "teacher"), np.linspace(0.0, 0.6, 40)
    one, many = (dg.parisi.franz_parisi(model, x, threads=threads) for threads in (1, bench.threads))
    assert one.identical(many)
    t = bench.alternate(
        {
            "one": lambda: dg.parisi.franz_parisi(model, x, threads=1),
            "many": lambda: dg.parisi.franz_parisi(model, x, threads=bench.threads),
        },
        rounds=3,
    )
    return Row("curve of 40 overlaps, lowest of three branches", t["one"], all_threads=t["many"])
