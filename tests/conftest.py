"""What several files of tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def at_level() -> Callable[[str, str], str]:
    """Give the function that runs a script with the kernels of one CPU level, and gives what it prints."""

    def run(script: str, level: str) -> str:
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
