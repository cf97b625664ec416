"""What several files of tests share."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(params=["v1", "v3", "v4"])
def at_level(request: pytest.FixtureRequest) -> Callable[[Callable[[], str]], str]:
    """Give what a function of a test file returns with the kernels of one CPU level, in a process of its own."""

    def run(function: Callable[[], str]) -> str:
        level, code = request.param, function.__code__
        script = f"import runpy, deepglass; print(runpy.run_path({code.co_filename!r})[{code.co_name!r}]())"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"DEEPGLASS_ISA": level},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0 and f"DEEPGLASS_ISA={level!r}" in done.stderr:
            pytest.skip(f"no kernels of level {level} here")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def killed() -> Callable[[Callable[..., object], Path], list[int]]:
    """Start a function of a test file with a checkpoint five times and kill it; give the sweep at which each began."""

    def run(function: Callable[..., object], path: Path) -> list[int]:
        code = function.__code__
        script = f"""if True:
            import runpy
            run = runpy.run_path({code.co_filename!r})[{code.co_name!r}]
            say = lambda done, total: print(done, flush=True)
            run(checkpoint={str(path)!r}, checkpoint_interval=0.0, progress=say)
            """
        moments, began = random.Random(7), []
        for _ in range(5):
            process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            began.append(int(process.stdout.readline()))
            time.sleep(moments.uniform(0.0, 0.4))
            process.kill()
            process.communicate()
        return began

    return run


@pytest.fixture
def ctrl_c_latency() -> Callable[..., float]:
    """Press Ctrl-C while a function runs, and give the seconds until its KeyboardInterrupt; below 0.1 by the house."""

    def latency(call: Callable[[], object], after: float) -> float:
        pressed = [0.0]

        def press() -> None:
            pressed[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(after, press)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        answered = time.perf_counter()
        timer.join()
        return answered - pressed[0]

    def last_of_three(call: Callable[[], object], *, after: float = 0.1) -> float:
        for _ in range(3):  # a busy machine may add its own delay
            if (found := latency(call, after)) < 0.1:
                break
        return found

    return last_of_three
