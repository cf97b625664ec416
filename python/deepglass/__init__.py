"""Statistical mechanics of deep neural networks, computed."""

from __future__ import annotations

import importlib
from types import ModuleType

from . import contour, io, mc, meanfield, parisi, spectra, stats
from ._core import NumericalError
from ._core import version as __version__
from ._warnings import ConvergenceWarning, UnphysicalWarning
from .io import load, save

__all__ = [
    "ConvergenceWarning",
    "NumericalError",
    "UnphysicalWarning",
    "__version__",
    "contour",
    "io",
    "load",
    "mc",
    "meanfield",
    "parisi",
    "plot",
    "save",
    "spectra",
    "stats",
]


def __getattr__(name: str) -> ModuleType:
    if name == "plot":  # needs matplotlib, and the time to import it
        return importlib.import_module(f"{__name__}.plot")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
