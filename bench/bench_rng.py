"""Random numbers: the kernel against its twin and against NumPy's own generators."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from deepglass import _core
from deepglass.reference import rng as reference

Make = Callable[[int], object]


def best(make: Make, n: int, repeats: int) -> float:
    """Nanoseconds a number, the best of some repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        make(n)
        times.append(time.perf_counter() - start)
    return min(times) / n * 1e9


def main() -> None:
    numpy_philox, numpy_default = np.random.Generator(np.random.Philox(1)), np.random.default_rng(1)
    rivals: dict[str, tuple[Make, Make]] = {
        "uniform": (numpy_philox.random, numpy_default.random),
        "normal": (numpy_philox.standard_normal, numpy_default.standard_normal),
        "sign": (
            lambda n: numpy_philox.integers(0, 2, n, dtype=np.int8),
            lambda n: numpy_default.integers(0, 2, n, dtype=np.int8),
        ),
    }
    print(f"ns a number, one thread, level {_core.isa}")
    header = ("", "n", "reference", "kernel", "ratio", "NumPy Philox", "NumPy PCG64", "largest difference")
    print("{:>8} {:>8} {:>10} {:>8} {:>7} {:>13} {:>12} {:>19}".format(*header))
    for kind, (philox, default) in rivals.items():
        kernel, twin = getattr(_core, f"philox_{kind}"), getattr(reference, f"philox_{kind}")
        for n in (100, 4096, 1_000_000):
            difference = np.max(np.abs(kernel(1, 2, n) - twin(1, 2, n)))
            assert difference < 1e-14, (kind, n, difference)
            fast = best(lambda n, kernel=kernel: kernel(1, 2, n), n, 50)
            slow = best(lambda n, twin=twin: twin(1, 2, n), n, 5)
            others = best(philox, n, 50), best(default, n, 50)
            print(
                f"{kind:>8} {n:>8} {slow:>10.1f} {fast:>8.2f} {slow / fast:>7.0f}"
                f" {others[0]:>13.2f} {others[1]:>12.2f} {difference:>19.1e}"
            )


if __name__ == "__main__":
    main()
