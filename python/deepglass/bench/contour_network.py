"""Times of network contours for complex phi^4: gradient by the weights and force, kernel, NumPy and JAX, one thread.

The limit is the arithmetic of the products and inverses alone, with n = min(hidden, N), r = max(hidden, N):
2 n^2 r and 8 n^3 flops in what both share and 2 n^2 r more in the force, 4 n^2 r more in the gradient, at the speed
of the matrix product of BLAS measured in the same run.  JAX is needed for its times only.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .. import _core
from ..contour import ComplexPhi4, NetworkContour
from . import Bench, Row

CASES = [((4, 4), 32, 256), ((4, 4), 64, 256), ((8, 8), 64, 64), ((16, 16), 16, 32)]
ROUNDS = 5
# Asked for: times JAX with the full Jacobian, times JAX with Sylvester.
WANTED = {((4, 4), 32): (3.0, None), ((8, 8), 64): (8.0, 3.0), ((16, 16), 16): (None, 3.0)}


def blas_speed(bench: Bench) -> float:
    """Flops a second of a product of two matrices."""
    a = np.random.default_rng(0).standard_normal((384, 384))
    return 2 * 384**3 / bench.best(lambda: a @ a, 20)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a configuration, gradient and force; values are compared before."""
    with threadpool_limits(1, user_api="blas"):
        yield from on_one_thread(bench)


def on_one_thread(bench: Bench) -> Iterator[Row]:
    contour_jax: Any = None
    if importlib.util.find_spec("jax"):
        from ._programs import contour_jax
    for shape, hidden, n_chains in bench.some(CASES):
        action = ComplexPhi4(shape, chemical_potential=1.0)
        contour = NetworkContour(action, hidden, seed=1)
        weights = contour.weights
        model = (action.mass, action.coupling, action.chemical_potential)
        kernel = _core.NetworkPhi4(np.zeros(shape), *model, **weights)
        t = 0.5 * np.random.default_rng(1).standard_normal((n_chains, *action.field_shape))
        flat = t.reshape(n_chains, -1)
        calls: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "kernel": (
                lambda k=kernel, t=t: k.weight_gradient(t, threads=1),
                lambda k=kernel, t=t: k.gradient(t, threads=1),
            ),
            "NumPy": (
                lambda c=contour, t=t: c.weight_gradient(t),
                lambda c=contour, t=t, a=action: c.force(t, a.gradient(c.map(t))),
            ),
        }
        if contour_jax is not None:
            for name, sylvester in (("JAX", False), ("JAX Sylvester", True)):
                if not sylvester and flat.shape[1] > 128:
                    continue  # some 30 ms a configuration
                if sylvester and hidden >= flat.shape[1]:
                    continue
                gradient, force = contour_jax.programs(shape, *model, sylvester)
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
        for _ in range(bench.rounds(ROUNDS)):
            for name, (gradient, force) in calls.items():
                times[name].append((bench.seconds(gradient) / n_chains, bench.seconds(force) / n_chains))
        total = {name: median(g + f for g, f in pairs) for name, pairs in times.items()}
        g, f = (median(pair[i] for pair in times["kernel"]) for i in (0, 1))
        n, r = sorted((hidden, 2 * math.prod(shape)))
        more: dict[str, float | str] = {"us of the gradient": g * 1e6, "us of the force": f * 1e6}
        for name, wanted in zip(("JAX", "JAX Sylvester"), WANTED.get((shape, hidden), (None, None)), strict=True):
            if wanted is not None and name in total:
                more[f"{wanted:.0f} times {name}"] = "met" if total[name] / total["kernel"] >= wanted else "missed"
        yield Row(
            f"{shape[0]} x {shape[1]}, {hidden} hidden neurons",
            total["kernel"],
            numpy=total["NumPy"],
            others={name: total[name] for name in ("JAX", "JAX Sylvester") if name in total} or {"JAX": None},
            limit=(2 * (8 * n**3 + 2 * n * n * r) + 6 * n * n * r) / blas_speed(bench),
            more=more,
        )
