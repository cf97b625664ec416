"""The rules of the house: who may depend on whom, what is where, and what is documented.

Most tests read the source tree this file lies in; they are skipped where there is none.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import deepglass

ROOT = Path(__file__).resolve().parents[1]
HEADERS = ROOT / "cpp" / "include" / "deepglass"
PYTHON = ROOT / "python" / "deepglass"

LEAVES = {"core", "vmath", "quadrature", "rng", "parallel"}
LATTICE = {"lattice"}  # a kernel of the data sets of learning, which is no family
FAMILIES = {"parisi", "mc", "meanfield", "spectra", "kernels", "fisher", "contour"}
ON_MEANFIELD = {"spectra", "kernels", "fisher"}  # the one exception: they stand on Gaussian averages
ABOVE_FAMILIES = {"learning", "reproduce", "bench", "sweep", "plot", "cli", "reference"}
WITHOUT_TORCH = {"data", "labels", "gaussian_chain", "lattice", "dimension", "softmax", "soft_spheres"}  # of learning
LATE_IMPORTS = {"xarray", "scipy", "matplotlib", "tqdm", "pandas", "h5py", "h5netcdf", "torch"}

from_source = pytest.mark.skipif(not HEADERS.is_dir(), reason="reads the source tree, which is not here")
# Starts processes or looks at the clock.
no_sanitizer = pytest.mark.no_sanitizer


def forbidden_families(family: str) -> set[str]:
    return FAMILIES - {family} - ({"meanfield"} if family in ON_MEANFIELD else set())


def places(folder: Path, suffix: str) -> list[Path]:
    return sorted(path for path in folder.rglob(f"*{suffix}") if "__pycache__" not in path.parts)


def part(path: Path, base: Path) -> str:
    """The module a file belongs to: parisi for parisi.hpp and for parisi/step.hpp."""
    return path.relative_to(base).parts[0].partition(".")[0]


# What sources include and import.


def includes(path: Path) -> set[str]:
    return set(re.findall(r'^\s*#\s*include\s*["<]([^">]+)[">]', path.read_text("utf-8"), re.M))


def own_includes(path: Path) -> set[str]:
    return {match[1] for name in includes(path) if (match := re.match(r"(?:deepglass/)?(\w+)(?:/.*)?\.hpp$", name))}


def imports(path: Path) -> set[str]:
    """Everything `path` imports, anywhere in it, by full name: deepglass.parisi, matplotlib.pyplot."""
    package = ("deepglass", *path.relative_to(PYTHON).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("deepglass.")}


def foreign_imports(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)} - {"deepglass", "__future__"}


@from_source
def test_kernels_do_not_know_python() -> None:
    for path in places(HEADERS, ".hpp"):
        bad = [name for name in includes(path) if re.search(r"python|pybind11|numpy|bindings", name, re.I)]
        assert not bad, path


@from_source
def test_only_parallel_knows_openmp() -> None:
    known = re.compile(r"omp\.h|_OPENMP|\bomp_\w+\(|#\s*pragma\s+omp\s+(?!simd\b)\w+")
    for path in [*places(ROOT / "cpp", ".hpp"), *places(ROOT / "cpp", ".cpp")]:
        if path != HEADERS / "parallel.hpp":
            assert not known.findall(path.read_text("utf-8")), path


@from_source
def test_families_of_kernels_do_not_include_one_another() -> None:
    for path in places(HEADERS, ".hpp"):
        family = part(path, HEADERS)
        assert family in FAMILIES | LEAVES | LATTICE, f"{path}: name the new family or leaf in this test"
        allowed = LEAVES if family in LEAVES | LATTICE else LEAVES | FAMILIES - forbidden_families(family)
        inside = {p.stem for p in path.parent.glob("*.hpp")} if path.parent != HEADERS else set()
        assert own_includes(path) <= allowed | inside, path


@from_source
def test_families_of_wrappers_do_not_import_one_another() -> None:
    for path in places(PYTHON, ".py"):
        family = part(path, PYTHON)
        if family in FAMILIES:
            assert not own_imports(path) & (forbidden_families(family) | ABOVE_FAMILIES), path


@from_source
def test_references_stand_alone() -> None:
    for path in places(PYTHON / "reference", ".py"):
        assert foreign_imports(path) <= {"numpy", "scipy"} | sys.stdlib_module_names, path
        assert own_imports(path) <= {"reference"}, path


@from_source
def test_only_plot_imports_matplotlib() -> None:
    for path in places(PYTHON, ".py"):
        if part(path, PYTHON) != "plot":
            assert "matplotlib" not in foreign_imports(path), path


@from_source
def test_only_the_helper_imports_tqdm() -> None:
    for path in places(PYTHON, ".py"):
        if path.name != "_progress.py":
            assert "tqdm" not in foreign_imports(path), path


# What is where.


@from_source
def test_sources_are_in_the_build() -> None:
    build = (ROOT / "CMakeLists.txt").read_text("utf-8")
    listed = set(re.findall(r"cpp/bindings/[\w/]+\.cpp", build))
    assert listed == {path.relative_to(ROOT).as_posix() for path in places(ROOT / "cpp" / "bindings", ".cpp")}


@from_source
def test_families_are_complete() -> None:
    headers = {part(path, HEADERS) for path in places(HEADERS, ".hpp")} & FAMILIES
    wrappers = {part(path, PYTHON) for path in places(PYTHON, ".py")} & FAMILIES
    for family in headers | wrappers:
        everywhere = [
            f"python/deepglass/{family}.py",
            f"python/deepglass/reference/{family}.py",
            f"tests/test_{family}.py",
            f"python/deepglass/bench/{family}.py",
        ]
        if family in headers or family != "fisher":  # fisher has no kernels of its own yet
            everywhere += [f"cpp/include/deepglass/{family}.hpp", f"cpp/bindings/{family}.cpp"]
        missing = [
            name for name in everywhere if not ((ROOT / name).is_file() or (ROOT / name).with_suffix("").is_dir())
        ]
        assert not missing, family


@from_source
def test_no_path_of_some_machine() -> None:
    of_somebody = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|work|opt|mnt|media)/\w|[A-Z]:\\Users")
    suffixes = {
        ".py",
        ".pyi",
        ".hpp",
        ".cpp",
        ".cu",
        ".md",
        ".txt",
        ".toml",
        ".rst",
        ".ipynb",
        ".csv",
        ".json",
        "",
    }
    folders = ["python", "cpp", "tests", "bench", "docs", "examples", ".ci"]
    candidates = [*ROOT.iterdir(), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    for path in candidates:
        if path.is_file() and path.suffix in suffixes and path.name != ".git" and "__pycache__" not in path.parts:
            assert not of_somebody.findall(path.read_text("utf-8")), path


# What an import costs.


def python_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@no_sanitizer
def test_import_is_lean() -> None:
    loaded = set(json.loads(python_process("import deepglass, json, sys; print(json.dumps(list(sys.modules)))")))
    assert not loaded & LATE_IMPORTS


@no_sanitizer
def test_import_is_fast() -> None:
    # Time of this process, so that other work on the machine does not count; the least of some, as that slows it too.
    code = "import time; start = time.process_time(); import deepglass; print(time.process_time() - start)"
    # An editable installation looks for changed sources at each import.
    rebuilds = any(getattr(finder, "rebuild_flag", False) for finder in sys.meta_path)
    limit = 0.3 + 0.3 * rebuilds
    assert min(float(python_process(code)) for _ in range(5)) < limit


# What is documented.


def public_modules() -> list[str]:
    """All modules without a leading underscore whose requirements are installed."""
    names = ["deepglass"]
    for module in pkgutil.walk_packages(deepglass.__path__, "deepglass."):
        trained = module.name.startswith("deepglass.learning.") and module.name.split(".")[2] not in WITHOUT_TORCH
        if "._" not in module.name and not trained:
            names.append(module.name)
    return names


def public_things(kind: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    for name in public_modules():
        module = importlib.import_module(name)
        if not name.startswith(("deepglass.reference", "deepglass.reproduce", "deepglass.cli")):
            for thing in getattr(module, "__all__", ()):
                if kind(getattr(module, thing)):
                    yield f"{name}.{thing}", getattr(module, thing)


def is_own_class(thing: object) -> bool:
    return inspect.isclass(thing) and not issubclass(thing, BaseException)


def check_annotations(name: str, function: Callable[..., object]) -> None:
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
    assert not bare, f"{name}: parameters without annotation"
    assert signature.return_annotation is not signature.empty, f"{name}: no annotation of the result"


def check_sections(name: str, doc: str, signature: inspect.Signature | None) -> None:
    for parameter in signature.parameters if signature else ():
        assert re.search(rf"^\s*(?:\*?\*?\w+, )*\*?\*?{parameter}(?:, \*?\*?\w+)* :", doc, re.M), (
            f"{name}: {parameter} is not in the docstring's Parameters"
        )
    assert ">>> " in doc, f"{name}: no example"


def test_public_functions_are_documented() -> None:
    for name, function in public_things(inspect.isfunction):
        doc = inspect.getdoc(function) or ""
        signature = inspect.signature(function)
        check_annotations(name, function)
        check_sections(name, doc, signature)
        if signature.return_annotation not in (None, "None"):
            assert re.search(r"^(Returns|Yields)\n-+$", doc, re.M), f"{name}: no section Returns"


def test_public_classes_are_documented() -> None:
    for name, thing in public_things(is_own_class):
        check_sections(name, inspect.getdoc(thing) or "", None)
        for method, function in vars(thing).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                check_annotations(f"{name}.{method}", function)
                assert inspect.getdoc(function), f"{name}.{method}: no docstring"


@pytest.mark.parametrize("name", [*public_modules(), "deepglass._progress"])
def test_doctests(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0
