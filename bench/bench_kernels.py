"""Times of the tangent kernels: NumPy program, kernel on one and two threads; growth with n and depth; streaming.

The limit: n^2 d / 2 multiply-adds for the products and OPERATIONS a pair and layer (counted in kernels/layer_maps.hpp;
half of the pairs, because the kernel is symmetric), all at the rate of a matrix product on one thread; roots and
divisions have a unit of their own, which takes less time.  OpenBLAS keeps to 256-bit vectors on some CPUs where level
v4 has 512: OPENBLAS_CORETYPE=SkylakeX lets the product show what the CPU can do.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from deepglass import _core
from deepglass.kernels import ntk
from kernels_numpy import erf_ntk, relu_ntk, tanh_ntk

Array = NDArray[np.float64]
N, D, LAYERS = 1000, 100, 5
OPERATIONS = {"relu": 43, "erf": 45}  # a pair and layer; beside them two roots and a division, a root and two divisions
SW2, SB2 = 2.0, 0.1
REPEATS = 20


def seconds(call: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    best = np.inf
    for _ in range(repeats):
        begin = clock()
        call()
        best = min(best, clock() - begin)
    return best


def one_thread(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds of this process: those that others had do not count."""
    return seconds(call, repeats, time.process_time)


def kernel(x: Array, activation: str, layers: int = LAYERS, threads: int = 1) -> Array:
    network = {"hidden_layers": layers, "weight_variance": SW2, "bias_variance": SB2, "threads": threads}
    return np.asarray(ntk(x, activation=activation, **network))


def multiply_adds() -> float:
    """A second, in a matrix product on one thread."""
    a = np.ones((192, 192))
    with threadpool_limits(1):
        return 192**3 / seconds(lambda: a @ a, 300)


def limit(activation: str, n: int, layers: int) -> float:
    return n * n / 2 * (D + layers * OPERATIONS[activation]) / multiply_adds()


def main() -> None:
    """Print the tables; with the argument `stream` also n = 20000 to a file."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, D))
    print(f"CPU level {_core.isa}; NTK of {N} inputs of dimension {D}, {LAYERS} hidden layers; least of some repeats")
    heads = f"{'ms':>8}{'limit':>13}{'two: times':>11}{'NumPy ms':>10}{'ratio':>7}{'difference':>12}"
    print(f"{'':8}{heads}")
    for name, program in (("relu", relu_ntk), ("erf", erf_ntk), ("tanh", tanh_ntk)):
        small = x[:60]
        difference = np.abs(kernel(small, name) - program(small, LAYERS, SW2, SB2)).max() / kernel(small, name).max()
        if not difference < 1e-10:
            raise AssertionError(f"{name}: kernel and NumPy program differ by {difference}")
        one = one_thread(lambda: kernel(x, name))  # noqa: B023
        alone = seconds(lambda: kernel(x, name), REPEATS)  # noqa: B023
        two = seconds(lambda: kernel(x, name, threads=2), REPEATS)  # noqa: B023
        with threadpool_limits(1):
            other = one_thread(lambda: program(x, LAYERS, SW2, SB2), 1 if name == "tanh" else 3)  # noqa: B023
        bound = limit(name, N, LAYERS) if name in OPERATIONS else None
        of_limit = "" if bound is None else f"{bound * 1e3:.2f} ({bound / one:.0%})"
        times = f"{one * 1e3:8.2f}{of_limit:>13}{alone / two:11.2f}"
        print(f"{name:8}{times}{other * 1e3:10.0f}{other / one:7.0f}{difference:12.1e}")

    depths = 2, 5, 10
    for name in OPERATIONS:
        print(f"\n{name}, ms, and ns a pair and layer:")
        for n in (500, 1000, 2000):
            y = rng.normal(size=(n, D))
            cells = []
            for layers in depths:
                time_of_one = one_thread(lambda layers=layers: kernel(y, name, layers))  # type: ignore[misc]  # noqa: B023
                cells.append(f"{layers:2} layers {time_of_one * 1e3:7.2f} ({time_of_one * 2e9 / (n * n * layers):.2f})")
            print(f"  n = {n:5}: " + "   ".join(cells))

    if "stream" in sys.argv:
        y = rng.normal(size=(20_000, D)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "kernel.h5", "w") as file:
            out = file.create_dataset("ntk", (len(y), len(y)), np.float32, chunks=(512, 512))
            begin = time.perf_counter()
            ntk(
                y,
                activation="relu",
                hidden_layers=LAYERS,
                weight_variance=SW2,
                bias_variance=SB2,
                out=out,
                dtype=np.float32,
                max_memory=2.0**28,
                progress=True,
            )
            print(f"\nn = 20000, float32, to HDF5 within 256 MiB: {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
