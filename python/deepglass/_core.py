"""Import the kernels compiled for this CPU.

``DEEPGLASS_ISA=v1|v3|v4`` overrides the choice; asking for more than the CPU has, or for a level that was
not built, is an ImportError.
"""

from __future__ import annotations

import importlib
import importlib.util
import os

from . import _cpu

_LEVELS = ("v1", "v3", "v4")


def _choose() -> str:
    supported = _LEVELS[: _LEVELS.index(_cpu.level()) + 1]
    built = [level for level in supported if importlib.util.find_spec(f"{__package__}._core_{level}")]
    wanted = os.environ.get("DEEPGLASS_ISA")
    if wanted:
        if wanted not in supported:
            raise ImportError(f"DEEPGLASS_ISA={wanted!r}: this CPU supports {', '.join(supported)}")
        if wanted not in built:
            raise ImportError(f"DEEPGLASS_ISA={wanted!r}: this installation has {', '.join(built)}")
        return wanted
    if not built:
        raise ImportError("deepglass has no compiled kernels for this CPU")
    return built[-1]


_module = importlib.import_module(f"{__package__}._core_{_choose()}")
globals().update({name: value for name, value in vars(_module).items() if not name.startswith("__")})
