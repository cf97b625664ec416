"""Times of the tangent kernels: NumPy program, kernel on one thread and all; growth with n and depth; streaming.

The limit: n^2 d / 2 multiply-adds for the products and OPERATIONS a pair and layer (counted in kernels/layer_maps.hpp;
half of the pairs, because the kernel is symmetric), all at the rate of a matrix product on one thread; roots and
divisions have a unit of their own, which takes less time.  OpenBLAS keeps to 256-bit vectors on some CPUs where level
v4 has 512: OPENBLAS_CORETYPE=SkylakeX lets the product show what the CPU can do.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..kernels import ntk
from . import Bench, Row
from ._programs.kernels_numpy import erf_ntk, relu_ntk, tanh_ntk

Array = NDArray[np.float64]
N, D, LAYERS = 1000, 100, 5
OPERATIONS = {"relu": 43, "erf": 45}  # a pair and layer; beside them two roots and a division, a root and two divisions
SW2, SB2 = 2.0, 0.1
REPEATS = 20


def kernel(x: Array, activation: str, layers: int = LAYERS, threads: int = 1) -> Array:
    network: dict[str, Any] = {
        "hidden_layers": layers,
        "weight_variance": SW2,
        "bias_variance": SB2,
        "threads": threads,
    }
    return np.asarray(ntk(x, activation=activation, **network))


def multiply_adds(bench: Bench) -> float:
    """A second, in a matrix product on one thread."""
    a = np.ones((192, 192))
    with threadpool_limits(1):
        return 192**3 / bench.best(lambda: a @ a, 300)


def limit(bench: Bench, activation: str, n: int, layers: int) -> float:
    return n * n / 2 * (D + layers * OPERATIONS[activation]) / multiply_adds(bench)


def rows(bench: Bench) -> Iterator[Row]:
    """Of a matrix: CPU time on one thread, as what others had does not count; all threads: gain in wall time."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, D))
    for name, program in bench.some({"relu": relu_ntk, "erf": erf_ntk, "tanh": tanh_ntk}.items()):
        small = x[:60]
        difference = np.abs(kernel(small, name) - program(small, LAYERS, SW2, SB2)).max() / kernel(small, name).max()
        assert difference < 1e-10, (name, difference)
        ours = functools.partial(kernel, x, name)
        one = bench.best(ours, REPEATS, clock=time.process_time)
        gain = bench.best(ours, REPEATS) / bench.best(functools.partial(ours, threads=bench.threads), REPEATS)
        with threadpool_limits(1):
            other = bench.best(
                functools.partial(program, x, LAYERS, SW2, SB2), 1 if name == "tanh" else 3, clock=time.process_time
            )
        yield Row(
            f"{name}, {N} inputs, dimension {D}, {LAYERS} hidden layers",
            one,
            all_threads=one / gain,
            numpy=other,
            limit=limit(bench, name, N, LAYERS) if name in OPERATIONS else None,
            more={"difference": difference},
        )
    if bench.quick:
        return
    for name, n in itertools.product(OPERATIONS, (500, 1000, 2000)):
        y = rng.normal(size=(n, D))
        for layers in (2, 5, 10):
            seconds = bench.best(functools.partial(kernel, y, name, layers), REPEATS, clock=time.process_time)
            yield Row(
                f"{name}, {n} inputs, {layers} hidden layers",
                seconds,
                more={"ns a pair and layer": seconds * 2e9 / (n * n * layers)},
            )
    if shutil.disk_usage(tempfile.gettempdir()).free > 4e9:
        yield streamed(bench)


def streamed(bench: Bench) -> Row:
    x = np.random.default_rng(1).normal(size=(20_000, D)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "kernel.h5", "w") as file:
        out = file.create_dataset("ntk", (len(x), len(x)), np.float32, chunks=(512, 512))
        network: dict[str, Any] = {
            "hidden_layers": LAYERS,
            "weight_variance": SW2,
            "bias_variance": SB2,
            "threads": bench.threads,
        }
        seconds = bench.seconds(
            lambda: ntk(x, activation="relu", out=out, dtype=np.float32, max_memory=2.0**28, **network)
        )
    return Row("relu, 20000 inputs, float32, to HDF5 within 256 MiB, all threads", seconds)
