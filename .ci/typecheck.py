"""``mypy --strict`` on python/ with the generated stub of the kernels, taken from the installation.

Works with an editable installation too; arguments are passed on to mypy.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deepglass import _cpu

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Lay the stub over a copy of the sources and check that."""
    stub = Path(str(_cpu.__file__)).with_name("_core.pyi")
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "python"
        shutil.copytree(ROOT / "python", sources, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(stub, sources / "deepglass")
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
        cache = {**os.environ, "MYPY_CACHE_DIR": str(Path(folder) / "cache")}
        return subprocess.run([*command, *sys.argv[1:]], cwd=folder, env=cache, check=False).returncode


sys.exit(main())
