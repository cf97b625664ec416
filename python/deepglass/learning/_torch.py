"""PyTorch and Optuna, imported on use: the extra ``learning``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._check import integer

__all__ = ["require", "torch_threads"]

_NAMES = {"torch": "PyTorch", "optuna": "Optuna"}


def require(name: str) -> Any:
    """Import torch or optuna, or say which extra it belongs to."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name:
            raise
        message = f"this needs {_NAMES[name]}, in the extra 'learning': pip install 'deepglass[learning]'"
        raise ModuleNotFoundError(message, name=name) from error


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use so many threads within the block; 0: as many as it would."""
    torch = require("torch")
    threads = integer("threads", threads, 0, 2**16)
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads:
            torch.set_num_threads(before)
