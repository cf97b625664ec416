"""The command line and the progress reports."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

import deepglass
from deepglass import _core
from deepglass._progress import reporting
from deepglass.cli import main

pytestmark = pytest.mark.same_bits

NAMES = ["overlaps", "spectra"]


class Reproduce(types.ModuleType):
    """Stands for deepglass.reproduce: notes its calls, raises on demand."""

    error: BaseException | None = None

    def __init__(self) -> None:
        super().__init__("deepglass.reproduce")
        self.calls: list[tuple[str, Path, bool]] = []

    def names(self) -> list[str]:
        return NAMES

    def run(self, name: str, *, output: Path, quick: bool) -> list[Path]:
        if self.error:
            raise self.error
        self.calls.append((name, output, quick))
        output.mkdir(parents=True, exist_ok=True)
        (output / f"{name}.txt").write_text(f"table of {name}")
        return [output / f"{name}.png", output / f"{name}.txt"]

    def write_page(self, folder: Path) -> Path:
        return folder / "index.html"


@pytest.fixture
def reproduce(monkeypatch: pytest.MonkeyPatch) -> Reproduce:
    stub = Reproduce()
    monkeypatch.setitem(sys.modules, "deepglass.reproduce", stub)
    monkeypatch.setattr(deepglass, "reproduce", stub, raising=False)
    return stub


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"deepglass {deepglass.__version__}\n"


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == ["deepglass", "python", "numpy", "scipy", "xarray", "CPU", "OpenMP", "threads"]
    assert lines["deepglass"] == deepglass.__version__
    assert lines["CPU"].split()[:3] == ["level", _core.isa, "in"]
    assert int(lines["threads"]) == _core.thread_count(0)
    assert lines["OpenMP"] == ("yes" if _core.has_openmp else "no")


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("code", ["-m deepglass info", "-m deepglass"])
def test_module(code: str) -> None:
    done = subprocess.run([sys.executable, *code.split()], capture_output=True, text=True, check=False)
    if code.endswith("info"):
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert "usage: deepglass" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ("", [(name, Path("reproduced"), False) for name in NAMES]),
        ("--full", [(name, Path("reproduced"), False) for name in NAMES]),
        ("spectra --quick", [("spectra", Path("reproduced"), True)]),
        ("spectra overlaps --output a/b", [(name, Path("a/b"), False) for name in reversed(NAMES)]),
    ],
)
def test_reproduce(
    arguments: str,
    calls: list[tuple[str, Path, bool]],
    reproduce: Reproduce,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments.split()]) == 0
    assert reproduce.calls == calls
    printed = capsys.readouterr().out
    assert all(f"table of {name}\n" in printed for name, _, _ in calls)


def test_reproduce_unknown_name(reproduce: Reproduce, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("reproduce", "spectra", "entropy") == 2
    assert "nothing called entropy to reproduce; there is overlaps, spectra" in capsys.readouterr().err
    assert not reproduce.calls
    assert exit_code("reproduce", "--quick", "--full") == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "deepglass: interrupted"),
        (
            ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib.pyplot"),
            1,
            "deepglass: needs the extra 'plot': pip install 'deepglass[plot]'",
        ),
        (OSError(28, "No space left on device"), 1, "deepglass: [Errno 28] No space left on device"),
    ],
)
def test_reproduce_ends_with_one_line(
    error: BaseException, code: int, message: str, reproduce: Reproduce, capsys: pytest.CaptureFixture[str]
) -> None:
    reproduce.error = error
    assert main(["reproduce"]) == code
    assert capsys.readouterr().err == message + "\n"


def test_items_without_their_extra(reproduce: Reproduce, capsys: pytest.CaptureFixture[str]) -> None:
    message = "needs the extra 'learning': pip install 'deepglass[learning]'"
    reproduce.error = ModuleNotFoundError("No module named 'torch'", name="torch")
    assert main(["reproduce"]) == 0  # of all, what can be done
    assert [line for line in capsys.readouterr().out.splitlines() if "left out" in line] == [
        f"{name}: left out, {message}" for name in NAMES
    ]
    assert main(["reproduce", "spectra"]) == 1  # asked for by name
    assert capsys.readouterr().err == f"deepglass: {message}\n"


def test_other_errors_are_not_hidden(reproduce: Reproduce) -> None:
    for error in (ModuleNotFoundError("No module named 'absent'", name="absent"), ValueError("bad")):
        reproduce.error = error
        with pytest.raises(type(error)):
            main(["reproduce"])


def test_progress_callable() -> None:
    calls: list[tuple[int, int]] = []
    with reporting(lambda done, total: calls.append((done, total))) as report:
        report(1, 2)
        report(2, 2)
    assert calls == [(1, 2), (2, 2)]


def test_progress_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(False) as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    with reporting(True, "sweeps") as report:
        report(1, 2)
        report(2, 2)
    assert "sweeps: 100%" in capsys.readouterr().err.splitlines()[-1].split("\r")[-1]


def test_progress_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs tqdm, in the extra 'plot'"), reporting(True):
        pass


@pytest.mark.parametrize("value", [3, None, "yes"])
def test_progress_refuses(value: object) -> None:
    with pytest.raises(TypeError, match="progress must be False, True or a callable"), reporting(value):
        pass
