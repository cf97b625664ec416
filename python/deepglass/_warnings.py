"""Warnings that deepglass issues."""

from __future__ import annotations

import sys
import warnings


class ConvergenceWarning(UserWarning):
    """A returned result is not converged, or is a solution that is not stable; its variables say which."""


class UnphysicalWarning(UserWarning):
    """A result solves its equations, but cannot be what the model does; its variables say why."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
