"""Threads: the bits do not depend on them, errors and Ctrl-C come through, a forked child does not hang."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from deepglass import _core

pytestmark = pytest.mark.same_bits

needs_openmp = pytest.mark.skipif(not _core.has_openmp, reason="built without OpenMP")


def run_script(script: str, **environment: str) -> str:
    """Run in a process of its own, so that a hang is a timeout."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- The sum


@pytest.mark.parametrize("n", [0, 1, 2, 1023, 1024, 1025, 100_000])
def test_sum_is_right(n: int) -> None:
    expected = np.sum(1.0 / np.arange(1, n + 1))
    # n positive terms, blocks of 1024: relative error well below 1024 roundings
    np.testing.assert_allclose(_core.parallel_self_test(n), expected, rtol=1e-13)


@pytest.mark.parametrize("n", [5, 3000, 123_457])
def test_bits_do_not_depend_on_threads(n: int) -> None:
    one = _core.parallel_self_test(n, 1)
    for threads in (0, 2, 3, 7):
        for _ in range(5):
            assert _core.parallel_self_test(n, threads) == one


# ---- How many threads


@needs_openmp
def test_thread_count() -> None:
    assert _core.thread_count(3) == 3
    assert _core.thread_count() >= 1
    with threadpool_limits(1, "openmp"):
        assert _core.thread_count() == 1
        assert _core.thread_count(2) == 2


@pytest.mark.skipif(_core.has_openmp, reason="built with OpenMP")
def test_thread_count_without_openmp() -> None:
    assert _core.thread_count(3) == 1


@needs_openmp
def test_environment_rules() -> None:
    assert run_script("from deepglass import _core; print(_core.thread_count())", OMP_NUM_THREADS="3") == "3"


def test_negative_threads() -> None:
    with pytest.raises(ValueError, match=r"threads must be >= 0 .* got -1"):
        _core.thread_count(-1)
    with pytest.raises(ValueError, match="threads"):
        _core.parallel_self_test(10, -1)


# ---- Errors


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("throw_at", [0, 1, 50_000, 99_999])
def test_smallest_index_that_throws(threads: int, throw_at: int) -> None:
    for _ in range(5):
        with pytest.raises(_core.NumericalError, match=rf"thrown at index {throw_at}$"):
            _core.parallel_self_test(100_000, threads, throw_at=throw_at)
    assert _core.parallel_self_test(1000, threads) > 0


# ---- Ctrl-C


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_is_answered_in_time(threads: int, uneven: bool, ctrl_c_latency: Callable[..., float]) -> None:
    assert ctrl_c_latency(lambda: _core.spin(20.0, threads, uneven=uneven)) < 0.1


def test_interrupt_in_a_loop_of_short_calls(ctrl_c_latency: Callable[..., float]) -> None:
    def loop() -> None:
        while True:
            _core.spin(0.002, 2)

    assert ctrl_c_latency(loop) < 0.1


def test_other_python_threads_run_meanwhile() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    done = threading.Event()
    ticker = threading.Thread(target=tick)
    ticker.start()
    _core.spin(0.1, 1)
    done.set()
    ticker.join()
    assert ticks > 5


def test_calls_from_several_python_threads() -> None:
    results: list[float] = []

    def work() -> None:
        results.append(_core.parallel_self_test(50_000, 2))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [_core.parallel_self_test(50_000, 1)] * 3


# ---- fork

FORK = """
import multiprocessing, warnings
from deepglass import _core

def child(threads):
    return _core.in_forked_child(), _core.thread_count(threads), _core.parallel_self_test(100_000, threads)

def main():
    # Python 3.12 and later warn of a fork while threads (here: idle OpenMP workers) exist.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    here = _core.parallel_self_test(100_000, 2)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for result in pool.map(child, [0, 1, 2, 5]):
            assert result == (True, 1, here), result
    assert not _core.in_forked_child()
    assert _core.parallel_self_test(100_000, 2) == here
    print("done")

main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_does_not_hang() -> None:
    assert run_script(FORK) == "done"


LEVELS = """
import importlib
from deepglass import _core, _cpu
others = []
for level in ("v1", "v3", "v4")[: ("v1", "v3", "v4").index(_cpu.level()) + 1]:
    try:
        others.append(importlib.import_module(f"deepglass._core_{level}"))
    except ModuleNotFoundError:
        pass
for core in (_core, *others):
    try:
        core.parallel_self_test(100, 1, throw_at=3)
    except core.NumericalError as error:
        print(error)
"""


def test_each_level_throws_its_own_errors() -> None:
    # With one translator for all, the level loaded last threw for the others.
    lines = run_script(LEVELS).splitlines()
    assert len(lines) >= 2
    assert set(lines) == {"thrown at index 3"}
