"""How Sphinx builds these pages: ``sphinx-build -W -n docs build/docs``."""

from __future__ import annotations

import importlib
import re
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import deepglass

project = "deepglass"
author = "the deepglass developers"
copyright = author
try:
    release = metadata.version("deepglass")
except metadata.PackageNotFoundError:  # a tree that is on the path, not installed
    release = ""

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
html_theme = "furo"
html_title = "deepglass"
html_static_path: list[str] = []
templates_path = ["_templates"]
exclude_patterns = ["gallery/*.ipynb", "gallery/*.py", "gallery/*.md5", "gallery/*.zip"]
default_role = "code"  # `name` is a name, as in Markdown
nitpicky = True
smartquotes = False

autodoc_typehints = "none"  # types stand in the docstrings
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 1e6,
    "write_computation_times": False,
    "abort_on_example_error": True,
}

SECTION = re.compile(r"^-{3,}\s*$")
CODE = re.compile(r"(``.*?``|`[^`]*`)")


def escape(line: str) -> str:
    """Plain symbols, such as x* or |y - f|, are no markup."""
    parts = CODE.split(line)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<!\\)([*|])", r"\\\1", parts[i])
        parts[i] = re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", parts[i])
    return "".join(parts)


def plain_equations(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Make reStructuredText of our docstrings: what is indented in the text is an equation, literally."""
    out: list[str] = []
    section, literal, example = "", False, False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if SECTION.match(following) and line.strip():
            section, literal = line.strip(), False
        if line.lstrip().startswith(">>>"):
            example = True
        if not line.strip():
            example = False
            out.append(line)
            continue
        indented = line.startswith("  ")
        text = section in ("", "Notes", "References")
        if text and indented and not example:
            if not literal and out and not out[-1].strip():
                out += ["::", ""]
                literal = True
            out.append(line if literal else escape(line))
            continue
        literal = False
        head = section in ("Parameters", "Attributes", "Returns", "Yields", "Raises") and not indented
        if head:  # name : type
            name, colon, kind = line.partition(" : ")
            line = name + colon + escape(kind)
        out.append(line if example or head or SECTION.match(line) or SECTION.match(following) else escape(line))
    lines[:] = out


def list_modules(app: Any, config: object) -> None:
    """Write a page for each public module, with all that it offers."""
    folder = Path(app.srcdir) / "reference" / "modules"
    folder.mkdir(exist_ok=True)
    families = [name for name in deepglass.__all__ if isinstance(getattr(deepglass, name), ModuleType)]
    for name in (*families, "bench", "random", "reproduce"):
        title = f"deepglass.{name}"
        names = "".join(f"   {entry}\n" for entry in importlib.import_module(title).__all__)
        text = (
            f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n\n.. currentmodule:: {title}\n\n"
            f".. autosummary::\n   :toctree: ../generated\n\n{names}"
        )
        page = folder / f"{name}.rst"
        if not page.is_file() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def setup(app: Any) -> None:
    """The pages are there before autosummary reads them; equations are made before numpydoc takes the sections."""
    app.connect("config-inited", list_modules)
    app.connect("autodoc-process-docstring", plain_equations, priority=100)
