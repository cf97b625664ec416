"""Check what is in the wheel: ``wheel.py FILE``."""

import fnmatch
import sys
import zipfile

WANTED = (
    "deepglass/py.typed",
    "deepglass/_core.pyi",
    "deepglass/_cpu.*.so",
    "deepglass/_core_v1.*.so",
    "deepglass/_core_v3.*.so",
    "deepglass/_core_v4.*.so",
    "deepglass/cli.py",
    "deepglass-*.dist-info/licenses/LICENSE",
    "deepglass-*.dist-info/entry_points.txt",
)
ALLOWED = ("deepglass/*", "deepglass-*.dist-info/*")


def main(path: str) -> None:
    """Exit with a message when something is missing or does not belong."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
    print("\n".join(names))
    missing = [pattern for pattern in WANTED if not fnmatch.filter(names, pattern)]
    stray = [
        name
        for name in names
        if "__pycache__" in name or not any(fnmatch.fnmatch(name, pattern) for pattern in ALLOWED)
    ]
    if missing or stray:
        sys.exit(f"{path}: missing {missing}, stray {stray}")


main(*sys.argv[1:])
