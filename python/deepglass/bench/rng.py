"""Random numbers: the kernel against its twin and against NumPy's own generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .. import _core
from ..reference import rng as reference
from . import Bench, Row

Make = Callable[[int], object]


def rows(bench: Bench) -> Iterator[Row]:
    """Of a number."""
    numpy_philox, numpy_default = np.random.Generator(np.random.Philox(1)), np.random.default_rng(1)
    rivals: dict[str, tuple[Make, Make]] = {
        "uniform": (numpy_philox.random, numpy_default.random),
        "normal": (numpy_philox.standard_normal, numpy_default.standard_normal),
        "sign": (
            lambda n: numpy_philox.integers(0, 2, n, dtype=np.int8),
            lambda n: numpy_default.integers(0, 2, n, dtype=np.int8),
        ),
    }
    for kind, (philox, default) in rivals.items():
        kernel, twin = getattr(_core, f"philox_{kind}"), getattr(reference, f"philox_{kind}")
        for n in bench.some((100, 4096, 1_000_000)):
            difference = np.max(np.abs(kernel(1, 2, n) - twin(1, 2, n)))
            assert difference < 1e-14, (kind, n, difference)
            yield Row(
                f"{kind}, {n} numbers",
                bench.best(lambda n=n, kernel=kernel: kernel(1, 2, n), 50) / n,
                numpy=bench.best(lambda n=n, twin=twin: twin(1, 2, n), 5) / n,
                others={
                    "NumPy Philox": bench.best(lambda n=n, make=philox: make(n), 50) / n,
                    "NumPy PCG64": bench.best(lambda n=n, make=default: make(n), 50) / n,
                },
                more={"difference": difference},
            )
