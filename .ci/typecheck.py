"""``mypy --strict`` on python/ with the generated stub of the kernels, taken from the installation.

Works with an editable installation too; arguments are passed on to mypy.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Lay the stub over a copy of the sources and check that."""
    files = importlib.metadata.files("deepglass") or []
    stub = next((Path(str(file.locate())) for file in files if file.name == "_core.pyi"), None)
    if stub is None:
        sys.exit("deepglass is not installed here with its stub (_core.pyi); install it first")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(
            ROOT / "python", Path(folder) / "python", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(stub, Path(folder) / "python" / "deepglass" / "_core.pyi")
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
        cache = {**os.environ, "MYPY_CACHE_DIR": str(Path(folder) / "cache")}
        return subprocess.run([*command, *sys.argv[1:]], cwd=folder, env=cache, check=False).returncode


sys.exit(main())
