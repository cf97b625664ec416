"""The pages of the documentation: their examples print what stands there, and what they refer to exists."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import deepglass as dg

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.rst")) + sorted((ROOT / "docs" / "tutorials").glob("*.rst"))
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
WITH_CODE = [page for page in PAGES if ">>>" in page.read_text("utf-8")]

pytestmark = pytest.mark.skipif(not PAGES, reason="reads the source tree, which is not here")


def stems(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("page", WITH_CODE, ids=stems(WITH_CODE))
def test_pages_print_what_they_say(page: Path) -> None:
    if "needs PyTorch" in page.read_text("utf-8").partition(">>>")[0]:
        pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = doctest.testfile(
            str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE, encoding="utf-8"
        )
    assert done.attempted > 0 and done.failed == 0


def test_tests_that_pages_name_exist() -> None:
    named = 0
    for page in PAGES:
        text, file = page.read_text("utf-8"), ""
        for found in re.finditer(r"(?:\b(test_\w+\.py)::)?\b(test_\w+)\b(?!\.py)", text):
            file = found[1] or file  # a bare name is a test of the file named last
            assert re.search(rf"^def {found[2]}\(", (ROOT / "tests" / file).read_text("utf-8"), re.M), (page, found[0])
            named += 1
    assert named > 50


def listed(page: Path) -> set[str]:
    """What the summaries of a page list, by full name."""
    module, names = "", set()
    for line in page.read_text("utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif module and (found := re.fullmatch(r" {3}(\w+)", line)):
            names.add(f"{module}.{found[1]}")
    return names


def test_reference_lists_every_public_name(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    runpy.run_path(str(ROOT / "docs" / "conf.py"))["list_modules"](SimpleNamespace(srcdir=tmp_path), None)
    own = ROOT / "docs" / "reference" / "index.rst"
    found = set().union(*map(listed, [own, *(tmp_path / "reference" / "modules").glob("*.rst")]))
    others = [name for name in dg.__all__ if not isinstance(getattr(dg, name), ModuleType) and name != "__version__"]
    public = {f"deepglass.{name}" for name in others}
    for module in pkgutil.iter_modules(dg.__path__):
        if not module.name.startswith("_") and module.name not in ("cli", "reference", *others):
            full = f"deepglass.{module.name}"
            public |= {f"{full}.{name}" for name in importlib.import_module(full).__all__}
    assert found == public and len(public) > 150


@pytest.mark.parametrize("example", EXAMPLES, ids=stems(EXAMPLES))
def test_examples_are_whole(example: Path) -> None:
    tree = ast.parse(example.read_text("utf-8"), str(example))
    text = ast.get_docstring(tree) or ""
    assert re.match(r".+\n=+\n\n\S", text), "a title and what is seen"
    assert "dg." in example.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=stems(EXAMPLES))
def test_examples_draw(example: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    from deepglass.plot import pyplot

    pyplot.close("all")
    runpy.run_path(str(example))
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    assert figures and all(figure.axes for figure in figures)
    for figure in figures:
        figure.savefig(tmp_path / f"{figure.number}.png")
    pyplot.close("all")


@pytest.mark.slow
def test_pages_build_without_warnings(tmp_path: Path) -> None:
    for package in ("sphinx_gallery", "numpydoc", "furo"):
        pytest.importorskip(package)
    for folder in ("docs", "examples"):
        ignore = shutil.ignore_patterns("generated", "modules", "gallery")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    sphinx = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", str(tmp_path / "docs"), str(tmp_path / "html")]
    done = subprocess.run(sphinx, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "gallery" / f"{EXAMPLES[0].stem}.html").is_file()
