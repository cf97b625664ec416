"""Warnings that deepglass issues."""

from __future__ import annotations


class ConvergenceWarning(UserWarning):
    """A returned result is not converged, or is a solution that is not stable; its variables say which."""


class UnphysicalWarning(UserWarning):
    """A result solves its equations, but cannot be what the model does; its variables say why."""
