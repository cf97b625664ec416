"""Times of the tangent kernels: NumPy program, kernel on one and two threads; growth with n and depth; streaming.

The limit: see kernels/tiles.hpp.  n^2 d / 2 fma for the products (1/8 cycle each with AVX2), 12 (relu) and 11 cycles
(erf) a pair and layer, half of the pairs, because the kernel is symmetric.
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

from deepglass import _core
from deepglass.kernels import ntk
from kernels_numpy import erf_ntk, relu_ntk, tanh_ntk

Array = NDArray[np.float64]
GHZ = 3.4
N, D, LAYERS = 1000, 100, 5
SW2, SB2 = 2.0, 0.1


def seconds(call: Callable[[], object], repeats: int) -> float:
    best = np.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best


def kernel(x: Array, activation: str, layers: int = LAYERS, threads: int = 1) -> Array:
    network = {"hidden_layers": layers, "weight_variance": SW2, "bias_variance": SB2, "threads": threads}
    return np.asarray(ntk(x, activation=activation, **network))


def main() -> None:
    """Print the tables; with the argument `stream` also n = 20000 to a file."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, D))
    print(f"CPU level {_core.isa}; NTK of {N} inputs of dimension {D}, {LAYERS} hidden layers; least of some repeats")
    print(f"{'':8}{'ms':>8}{'2 threads':>11}{'NumPy ms':>10}{'ratio':>7}{'of limit':>10}{'difference':>12}")
    programs: tuple[tuple[str, Callable[[Array, int, float, float], Array], float | None], ...] = (
        ("relu", relu_ntk, 12.0),
        ("erf", erf_ntk, 11.0),
        ("tanh", tanh_ntk, None),
    )
    for name, program, cycles in programs:
        small = x[:60]
        difference = np.abs(kernel(small, name) - program(small, LAYERS, SW2, SB2)).max() / kernel(small, name).max()
        if not difference < 1e-10:
            raise AssertionError(f"{name}: kernel and NumPy program differ by {difference}")
        one = seconds(lambda: kernel(x, name), 5)  # noqa: B023
        two = seconds(lambda: kernel(x, name, threads=2), 5)  # noqa: B023
        other = seconds(lambda: program(x, LAYERS, SW2, SB2), 1 if name == "tanh" else 3)  # noqa: B023
        limit = "" if cycles is None else f"{N * N / 2 * (D / 8 + LAYERS * cycles) / (GHZ * 1e9) / one:.0%}"
        times = f"{one * 1e3:8.1f}{two * 1e3:11.1f}{other * 1e3:10.0f}"
        print(f"{name:8}{times}{other / one:7.0f}{limit:>10}{difference:12.1e}")

    print("\nrelu, ms, and ns a pair and layer:")
    for n in (250, 500, 1000, 2000):
        y = rng.normal(size=(n, D))
        cells = [seconds(lambda layers=layers: kernel(y, "relu", layers), 3) for layers in (1, 4, 16)]  # noqa: B023
        print(
            f"  n = {n:5}: "
            + "   ".join(
                f"{layers:2} layers {cell * 1e3:8.2f} ({cell * 1e9 / (n * n / 2 * layers):.1f})"
                for layers, cell in zip((1, 4, 16), cells, strict=True)
            )
        )

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
