"""Times of network contours for complex phi^4: gradient by the weights and force, kernel, NumPy and JAX, one thread.

The limit is the arithmetic of the products and inverses alone, with n = min(hidden, N), r = max(hidden, N):
2 n^2 r and 8 n^3 flops in what both share and 2 n^2 r more in the force, 4 n^2 r more in the gradient, at the speed
of the matrix product of BLAS measured in the same run.  JAX is needed for its columns only.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from deepglass import _core
from deepglass.contour import ComplexPhi4, NetworkContour

CASES = [((4, 4), 32, 256), ((4, 4), 64, 256), ((8, 8), 64, 64), ((16, 16), 16, 32)]
ROUNDS = 5
# Asked for: times JAX with the full Jacobian, times JAX with Sylvester.
WANTED = {((4, 4), 32): (3.0, None), ((8, 8), 64): (8.0, 3.0), ((16, 16), 16): (None, 3.0)}


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def blas_speed() -> float:
    """Flops a second of a product of two matrices."""
    a = np.random.default_rng(0).standard_normal((384, 384))
    return 2 * 384**3 / min(seconds(lambda: a @ a) for _ in range(20))


def main() -> None:
    """Print a row for each lattice; values are compared before a time is printed."""
    try:
        from contour_jax import programs
    except ImportError:
        programs = None
        print("without JAX: pip install jax")
    print(f"kernels: {_core.isa}; us a configuration, gradient + force; medians of {ROUNDS} alternating rounds")
    print("lattice hidden    kernel   (gradient)   (force)   of limit     NumPy       JAX   JAX Sylvester   ratios")
    for shape, hidden, n_chains in CASES:
        action = ComplexPhi4(shape, chemical_potential=1.0)
        contour = NetworkContour(action, hidden, seed=1)
        weights = contour.weights
        model = (action.mass, action.coupling, action.chemical_potential)
        kernel = _core.NetworkPhi4(np.zeros(shape), *model, **weights)
        t = 0.5 * np.random.default_rng(1).standard_normal((n_chains, *action.field_shape))
        flat = t.reshape(n_chains, -1)
        calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "kernel": (
                lambda k=kernel, t=t: k.weight_gradient(t, threads=1),
                lambda k=kernel, t=t: k.gradient(t, threads=1),
            ),
            "NumPy": (
                lambda c=contour, t=t: c.weight_gradient(t),
                lambda c=contour, t=t, a=action: c.force(t, a.gradient(c.map(t))),
            ),
        }
        if programs is not None:
            for name, sylvester in (("JAX", False), ("JAX Sylvester", True)):
                if not sylvester and flat.shape[1] > 128:
                    continue  # some 30 ms a configuration
                if sylvester and hidden >= flat.shape[1]:
                    continue
                gradient, force = programs(shape, *model, sylvester)
                calls[name] = (
                    lambda f=gradient, w=weights, t=flat: f(w, t),
                    lambda f=force, w=weights, t=flat: f(w, t),
                )
        expected = kernel.weight_gradient(t), -kernel.gradient(t).reshape(n_chains, -1)
        for name, (gradient, force) in calls.items():
            if name == "kernel":
                continue
            for key, value in gradient().items():  # the first call compiles
                assert abs(np.asarray(value) - expected[0][key]).max() < 1e-10 * abs(expected[0][key]).max(), (
                    name,
                    key,
                )
            found = np.asarray(force()).reshape(n_chains, -1)
            assert abs(found - expected[1]).max() < 1e-10 * abs(expected[1]).max(), name
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, (gradient, force) in calls.items():
                times[name].append((seconds(gradient) / n_chains, seconds(force) / n_chains))
        total = {name: median(g + f for g, f in rows) for name, rows in times.items()}
        g, f = (median(row[i] for row in times["kernel"]) for i in (0, 1))
        n, r = sorted((hidden, 2 * math.prod(shape)))
        limit = (2 * (8 * n**3 + 2 * n * n * r) + 6 * n * n * r) / blas_speed()
        columns = [
            f"{total[name] * 1e6:9.0f}" if name in total else "        -" for name in ("NumPy", "JAX", "JAX Sylvester")
        ]
        ratios = " ".join(f"{name} {total[name] / total['kernel']:.1f}" for name in calls if name != "kernel")
        print(
            f"{shape[0]:3d}x{shape[1]:<3d} {hidden:6d} {total['kernel'] * 1e6:9.1f} {g * 1e6:12.1f} {f * 1e6:9.1f}"
            f" {limit / total['kernel']:9.0%} {columns[0]} {columns[1]} {columns[2]}         {ratios}"
        )
        for name, wanted in zip(("JAX", "JAX Sylvester"), WANTED.get((shape, hidden), (None, None)), strict=True):
            if wanted is not None and name in total:
                ratio = total[name] / total["kernel"]
                print(f"        {'meets' if ratio >= wanted else 'misses'} {wanted:.0f} times {name}")


if __name__ == "__main__":
    main()
