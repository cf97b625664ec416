"""Statistical mechanics of deep neural networks, computed."""

from __future__ import annotations

from ._core import NumericalError
from ._core import version as __version__

__all__ = ["NumericalError", "__version__"]
