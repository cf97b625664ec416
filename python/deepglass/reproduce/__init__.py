"""Figures and tables of the talks, computed again: ``deepglass reproduce``.

Each name stands for a module of this package with a function ``run(output, *, quick)`` that writes its pictures
(PNG and PDF), its numbers (netCDF) and a table "talk / computed / difference / why" (text) into a folder.  `write_page`
makes one page of what a folder holds.
"""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path

from .. import __version__, _core
from .page import write_page

__all__ = ["names", "run", "write_page"]

_NAMES = (
    "wetting",
    "dynamics",
    "teacher-student",
    "phase-diagram",
    "isometry",
    "kernel-spectra",
    "sign-problem",
    "parisi",
    "perceptron",
    "fisher",
    "natural-gradient",
    "ntk",
    "temperature",
    "dimension",
    "depth-locality",
    "lazy-feature",
    "double-descent",
    "jamming",
    "landscape",
    "trainability",
)
_WITH_IMAGES = ("kernel-spectra", "fisher", "natural-gradient", "dimension", "trainability")


def names() -> list[str]:
    """What can be reproduced.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import deepglass.reproduce
    >>> deepglass.reproduce.names()[:4]
    ['wetting', 'dynamics', 'teacher-student', 'phase-diagram']
    """
    return list(_NAMES)


def run(name: str, *, output: Path, quick: bool = False, images: Path | None = None) -> list[Path]:
    """Reproduce one item.

    Parameters
    ----------
    name : str
        One of `names`.
    output : Path
        Folder for the results; a folder of the item's name is made in it.
    quick : bool
        Coarser, within two minutes on two cores.
    images : Path, optional
        For "kernel-spectra", "fisher", "natural-gradient", "dimension" and "trainability", ignored by the others: a
        file .npy or .npz of images, shape (images, pixels, ...), in .npz with their classes as array "labels".
        Default: the digits of scikit-learn, or Gaussian data without it.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        If the name is unknown.
    ModuleNotFoundError
        Without the extra ``learning``, for the items that train networks: "depth-locality", "lazy-feature",
        "double-descent", "jamming", "landscape", "trainability".

    Examples
    --------
    >>> import deepglass.reproduce
    >>> deepglass.reproduce.run("drying", output=Path("."))
    Traceback (most recent call last):
        ...
    ValueError: name must be one of 'wetting', 'dynamics', 'teacher-student', 'phase-diagram', ..., got 'drying'
    """
    if name not in _NAMES:
        raise ValueError(f"name must be one of {', '.join(map(repr, _NAMES))}, got {name!r}")
    folder = Path(output) / name
    folder.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    given = {"images": images} if name in _WITH_IMAGES else {}
    start = time.monotonic()
    written: list[Path] = module.run(folder, quick=quick, **given)
    about = {
        "name": name,
        "size": "quick" if quick else "full",
        "seconds": round(time.monotonic() - start, 1),
        "threads": _core.thread_count(0),
        "level": _core.isa,
        "version": __version__,
    }
    (folder / "run.json").write_text(json.dumps(about), encoding="utf-8")
    return written
