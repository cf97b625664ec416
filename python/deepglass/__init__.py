"""Statistical mechanics of deep neural networks, computed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from ._core import NumericalError
from ._core import version as __version__
from ._warnings import ConvergenceWarning, UnphysicalWarning
from .io import load, save
from .sweep import sweep

if TYPE_CHECKING:
    from . import contour, fisher, io, kernels, learning, mc, meanfield, parisi, plot, spectra, stats

__all__ = [
    "ConvergenceWarning",
    "NumericalError",
    "UnphysicalWarning",
    "__version__",
    "contour",
    "fisher",
    "io",
    "kernels",
    "learning",
    "load",
    "mc",
    "meanfield",
    "parisi",
    "plot",
    "save",
    "spectra",
    "stats",
    "sweep",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:  # a family is imported when it is first used
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
