"""Mean field: the phase diagram of tanh on 200 x 200 points, and averages; kernel against vectorised NumPy.

Values are compared before times are printed.  Medians of alternating repeats, all in one run.  The limit is the time
of the exponentials alone: each node of each Newton step needs one, and no more.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.integrate import dblquad

import deepglass as dg

from .. import _core
from . import Bench, Row
from ._programs import meanfield_numpy as numpy_program

SIZE, ROUNDS = 200, 5


def rows(bench: Bench) -> Iterator[Row]:
    """Of a diagram; of an average."""
    yield from phase_diagram(bench)
    yield from two_point(bench)


def exponential_time(bench: Bench, n: int = 1 << 16) -> float:
    """Seconds for one vectorised exponential, in cache."""
    x = np.linspace(-5.0, 0.0, n)
    return bench.best(lambda: _core.vmath_exp(x), 50) / n


def phase_diagram(bench: Bench) -> Iterator[Row]:
    size = 20 if bench.quick else SIZE
    weight, bias = np.linspace(0.5, 4.5, size), np.linspace(0.002, 0.5, size)
    sw2, sb2 = (x.reshape(-1) for x in np.meshgrid(weight, bias))
    found = dg.meanfield.phase_diagram("tanh", weight, bias)
    q, chi_1 = numpy_program.variances(sw2, sb2)
    c = numpy_program.correlations(sw2, sb2, q, chi_1)
    difference = {
        name: np.abs(found[name].values.reshape(-1) - wanted).max() for name, wanted in (("q", q), ("chi_1", chi_1))
    }
    assert max(difference.values()) < 1e-12, difference
    clear = np.abs(chi_1 - 1.0) > 1e-3  # nearer, the NumPy program loses digits
    difference["c"] = np.abs(found["c"].values.reshape(-1) - c)[clear].max()
    assert difference["c"] < 1e-9
    calls: dict[str, Callable[[], object]] = {
        "NumPy q": lambda: numpy_program.variances(sw2, sb2),
        "NumPy c": lambda: numpy_program.correlations(sw2, sb2, q, chi_1),
    }
    for threads in ("one", "all"):
        for correlation in (False, True):
            calls[f"{'q, c' if correlation else 'q'} {threads}"] = functools.partial(
                dg.meanfield.phase_diagram,
                "tanh",
                weight,
                bias,
                correlation=correlation,
                threads=1 if threads == "one" else bench.threads,
            )
    t = bench.alternate(calls, ROUNDS)
    # Panels of width at most 2 over 26, two exponentials a node (weight and tanh), Newton steps as NumPy counts.
    nodes = float(np.mean([_core.meanfield_nodes(_core.Activation("tanh"), v)[0].size for v in (0.1, 0.5, 1.0, 2.0)]))
    steps = newton_steps(sw2, sb2)
    yield Row(
        f"phase diagram of tanh, {size} x {size}: q*, chi_1",
        t["q one"],
        all_threads=t["q all"],
        numpy=t["NumPy q"],
        limit=2.0 * nodes * steps * sw2.size * exponential_time(bench),
        more={
            **{f"difference of {name}": difference[name] for name in ("q", "chi_1")},
            "nodes": nodes,
            "Newton steps": steps,
        },
    )
    yield Row(
        f"phase diagram of tanh, {size} x {size}: with c*, xi_c",
        t["q, c one"],
        all_threads=t["q, c all"],
        numpy=t["NumPy q"] + t["NumPy c"],
        more={"difference of c": difference["c"]},
    )


def newton_steps(sw2: np.ndarray, sb2: np.ndarray, sample: int = 400) -> float:
    """Mean number of evaluations of Newton's method from q = 1 on a sample of the grid."""
    tanh = _core.Activation("tanh")
    at = np.linspace(0, sw2.size - 1, sample).astype(int)
    q, count, active = np.ones(sample), np.zeros(sample), np.full(sample, True)
    for _ in range(100):
        m = _core.meanfield_moments(tanh, q)
        step = (sw2[at] * m["square"] + sb2[at] - q) / (sw2[at] * m["cross"] / np.sqrt(q) - 1.0)
        count += active
        active &= np.abs(step) > 1e-15 * q
        q = np.where(active, np.maximum(q - step, 0.125 * q), q)
        if not active.any():
            break
    return float(count.mean())


def two_point(bench: Bench) -> Iterator[Row]:
    """Two-point averages; "NumPy" is dblquad of SciPy at tolerance 1e-8."""
    for name in bench.some(("tanh", "hard_tanh", "relu")):
        phi = dg.meanfield.activation(name)
        for c in bench.some((0.5, 0.99, 0.999999)):
            call: Callable[..., Any] = functools.partial(
                _core.meanfield_two_point, phi._core, np.array([1.3]), np.array([2.1]), np.array([c]), threads=1
            )
            value, exact = call()["value"][0], call(quadrature=True)["value"][0]
            start = time.perf_counter()
            other = scipy_two_point(phi, 1.3, 2.1, c)
            seconds = time.perf_counter() - start
            yield Row(
                f"two-point average of {name}, c = {c}",
                bench.alternate({"kernel": call}, 7)["kernel"],
                numpy=seconds,
                more={"error": abs(value - exact), "error of SciPy": abs(other - exact)},
            )


def scipy_two_point(phi: dg.meanfield.Activation, q1: float, q2: float, c: float) -> float:
    functions: dict[str, Callable[[float], float]] = {
        "tanh": np.tanh,
        "hard_tanh": lambda u: min(max(u, -1.0), 1.0),
        "relu": lambda u: max(u, 0.0),
    }
    plain = functions[phi.name]
    s = np.sqrt((1 - c) * (1 + c))

    def integrand(z2: float, z1: float) -> float:
        u1, u2 = np.sqrt(q1) * z1, np.sqrt(q2) * (c * z1 + s * z2)
        return float(plain(u1) * plain(u2) * np.exp(-(z1 * z1 + z2 * z2) / 2) / (2 * np.pi))

    return float(dblquad(integrand, -9, 9, -9, 9, epsabs=1e-8, epsrel=1e-8)[0])
