"""Mean field: the phase diagram of tanh on 200 x 200 points, and averages; kernel against vectorised NumPy.

Values are compared before times are printed.  Medians of alternating repeats, all in one run.  The limit is the time
of the exponentials alone: each node of each Newton step needs one, and no more.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.integrate import dblquad

import deepglass as dg
import meanfield_numpy as numpy_program
from deepglass import _core

SIZE, ROUNDS = 200, 5


def alternate(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def exponential_time(n: int = 1 << 16) -> float:
    """Seconds for one vectorised exponential, in cache."""
    x = np.linspace(-5.0, 0.0, n)
    return min(alternate({"exp": lambda: _core.vmath_exp(x)}, 50).values()) / n


def phase_diagram() -> None:
    weight, bias = np.linspace(0.5, 4.5, SIZE), np.linspace(0.002, 0.5, SIZE)
    sw2, sb2 = (x.reshape(-1) for x in np.meshgrid(weight, bias))
    found = dg.meanfield.phase_diagram("tanh", weight, bias)
    q, chi_1 = numpy_program.variances(sw2, sb2)
    c = numpy_program.correlations(sw2, sb2, q, chi_1)
    print(f"phase diagram of tanh, {SIZE} x {SIZE} points, level {_core.isa}")
    for name, wanted, margin in (("q", q, 1e-12), ("chi_1", chi_1, 1e-12)):
        difference = np.abs(found[name].values.reshape(-1) - wanted).max()
        print(f"  largest difference of {name:5} {difference:.1e}")
        assert difference < margin, name
    clear = np.abs(chi_1 - 1.0) > 1e-3  # nearer, the NumPy program loses digits
    difference = np.abs(found["c"].values.reshape(-1) - c)[clear].max()
    print(f"  largest difference of c     {difference:.1e}")
    assert difference < 1e-9
    calls: dict[str, Callable[[], object]] = {
        "NumPy q": lambda: numpy_program.variances(sw2, sb2),
        "NumPy c": lambda: numpy_program.correlations(sw2, sb2, q, chi_1),
    }
    for threads in (1, 2):
        for correlation in (False, True):
            calls[f"kernel {'q, c' if correlation else 'q'} {threads}"] = (
                lambda threads=threads, correlation=correlation: dg.meanfield.phase_diagram(
                    "tanh", weight, bias, correlation=correlation, threads=threads
                )
            )
    t = alternate(calls, ROUNDS)
    numpy_both = t["NumPy q"] + t["NumPy c"]
    print(f"  {'':16} {'NumPy':>8} {'kernel':>8} {'2 threads':>10} {'ratio':>6}   s")
    print(
        f"  {'q*, chi_1':16} {t['NumPy q']:8.2f} {t['kernel q 1']:8.3f} {t['kernel q 2']:10.3f}"
        f" {t['NumPy q'] / t['kernel q 1']:6.1f}"
    )
    print(
        f"  {'with c*, xi_c':16} {numpy_both:8.2f} {t['kernel q, c 1']:8.3f} {t['kernel q, c 2']:10.3f}"
        f" {numpy_both / t['kernel q, c 1']:6.1f}"
    )
    # Panels of width at most 2 over 26, two exponentials a node (weight and tanh), Newton steps as NumPy counts.
    nodes = np.mean([_core.meanfield_nodes(_core.Activation("tanh"), v)[0].size for v in (0.1, 0.5, 1.0, 2.0)])
    steps = newton_steps(sw2, sb2)
    limit = 2.0 * nodes * steps * sw2.size * exponential_time()
    print(
        f"  {nodes:.0f} nodes, {steps:.1f} Newton steps: exponentials alone {limit:.3f} s,"
        f" {limit / t['kernel q 1']:.0%} of the kernel's time"
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


def two_point() -> None:
    print("two-point averages, us each, one thread; scipy: dblquad at tolerance 1e-8")
    print(f"  {'':10} {'c':>9} {'error':>8} {'kernel':>8} {'scipy':>9} {'its error':>9}")
    for name in ("tanh", "hard_tanh", "relu"):
        phi = dg.meanfield.activation(name)
        for c in (0.5, 0.99, 0.999999):
            q1, q2 = np.array([1.3]), np.array([2.1])
            c_array = np.array([c])
            call = lambda phi=phi, q1=q1, q2=q2, c_array=c_array, **more: _core.meanfield_two_point(  # noqa: E731
                phi._core, q1, q2, c_array, threads=1, **more
            )["value"][0]
            value, exact = call(), call(quadrature=True)
            start = time.perf_counter()
            other = scipy_two_point(phi, 1.3, 2.1, c)
            seconds = time.perf_counter() - start
            mine = alternate({"kernel": call}, 7)["kernel"]
            print(
                f"  {name:10} {c:9} {abs(value - exact):8.0e} {mine * 1e6:8.0f} {seconds * 1e6:9.0f}"
                f" {abs(other - exact):9.0e}"
            )


def scipy_two_point(phi: dg.meanfield.Activation, q1: float, q2: float, c: float) -> float:
    plain = {"tanh": np.tanh, "hard_tanh": lambda u: min(max(u, -1.0), 1.0), "relu": lambda u: max(u, 0.0)}[phi.name]
    s = np.sqrt((1 - c) * (1 + c))

    def integrand(z2: float, z1: float) -> float:
        u1, u2 = np.sqrt(q1) * z1, np.sqrt(q2) * (c * z1 + s * z2)
        return float(plain(u1) * plain(u2) * np.exp(-(z1 * z1 + z2 * z2) / 2) / (2 * np.pi))

    return float(dblquad(integrand, -9, 9, -9, 9, epsabs=1e-8, epsrel=1e-8)[0])


def main() -> None:
    phase_diagram()
    two_point()


if __name__ == "__main__":
    main()
