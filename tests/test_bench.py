"""The benches: names, table, file of times, what counts as a loss, the command line, and whether each still runs."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepglass import bench
from deepglass.bench import Bench, Row
from deepglass.cli import main

pytestmark = pytest.mark.same_bits

HERE = Path(bench.__file__).parent
FULL = Row(
    "a case",
    2e-6,
    all_threads=1e-6,
    numpy=1e-4,
    others={"Numba": 1e-5, "JAX": None, "C": 4e-6},
    limit=5e-7,
    more={"error": 1.25e-15, "sweeps": "3/4"},
)


def stub(monkeypatch: pytest.MonkeyPatch, times: dict[str, list[Row]]) -> None:
    def run(name: str, *, threads: int = 0, quick: bool = False) -> Iterator[Row]:
        yield from times[name]

    monkeypatch.setattr(bench, "run", run)


def test_names_are_the_modules() -> None:
    assert {name.replace("-", "_") for name in bench.names()} == {path.stem for path in HERE.glob("[!_]*.py")}
    for path in HERE.glob("[!_]*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), path
        assert any(isinstance(node, ast.FunctionDef) and node.name == "rows" for node in tree.body), path
    with pytest.raises(ValueError, match=r"name must be one of 'contour', .*, got 'mcmc'"):
        next(bench.run("mcmc"))


def test_table() -> None:
    line, rest = str(FULL).split("\n")
    title, columns = bench.heading("mc", 2).split("\n")
    assert title.startswith("mc: Sweeps of the Monte Carlo kernels")
    assert columns.split() == ["time", "x2", "NumPy", "ratio", "best", "other", "time", "ratio", "limit"]
    assert line.split() == ["a", "case", "2", "us", "2.0", "100", "us", "50.0", "C", "4", "us", "2.0", "25%"]
    assert rest.strip() == "Numba 10 us, JAX not installed, error 1.25e-15, sweeps 3/4"
    # Units stand under the names of their columns, up to the longest numbers.
    assert len(line) == len(columns) == len(str(Row("c", 0.999e-3, 1e-9, 123.4, {"Numba": 9.99e-4}, 1e-3)))
    assert str(Row("alone", 12.3)).split() == ["alone", "12.3", "s"]


def test_file_of_times(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    bench.save(path, {"mc": [FULL, Row("b", 1.0)], "rng": []}, bench.about(1, quick=True))
    measured, about = bench.load(path)
    assert measured == {"mc": [FULL, Row("b", 1.0)], "rng": []}
    assert (about["threads"], about["quick"]) == (1, True)
    assert {"cpu", "cores", "level", "python", "deepglass", "numpy", "scipy"} <= set(about)
    for text in ("", "{}", '{"benches": {"mc": [{"case": 1}]}, "about": {}}', "[1]"):
        path.write_text(text)
        with pytest.raises(ValueError, match="no file of deepglass bench"):
            bench.load(path)


@pytest.mark.parametrize(
    ("old", "new", "factor"),
    [
        (Row("a", 1.0), Row("a", 1.2), 1.2),
        (Row("a", 1.0, numpy=5.0), Row("a", 1.2, numpy=6.0), 1.0),  # a busy machine
        (Row("a", 1.0, numpy=5.0), Row("a", 1.5, numpy=6.0), 1.25),
        (Row("a", 1.0, numpy=5.0), Row("a", 1.5, numpy=5.0), 1.5),
        (Row("a", 1.0, numpy=5.0), Row("a", 0.9, numpy=2.0), 1.0),  # an idle one
        (Row("a", 1.0, numpy=5.0), Row("a", 0.5, numpy=5.0), 0.5),
        (Row("a", 1.0, numpy=5.0), Row("a", 2.0), 2.0),
    ],
)
def test_compare(old: Row, new: Row, factor: float) -> None:
    found = bench.compare({"mc": [old, Row("gone", 1.0)]}, {"mc": [new, Row("new", 1.0)], "rng": [new]})
    assert found == {("mc", "a"): pytest.approx(factor, rel=1e-14)}


def test_compare_all_threads() -> None:
    found = bench.compare({"mc": [Row("a", 1.0, 0.5)]}, {"mc": [Row("a", 1.0, 0.8)]})
    assert found == {("mc", "a"): 1.0, ("mc", "a, all threads"): pytest.approx(1.6)}


def test_measures() -> None:
    clock = iter(range(1000)).__next__  # one second between looks
    thorough, quick = Bench(threads=1), Bench(threads=1, quick=True)
    assert (thorough.threads, thorough.some("abc"), thorough.rounds(7)) == (1, ["a", "b", "c"], 7)
    assert (quick.some("abc"), quick.rounds(7)) == (["a"], 1)
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    assert thorough.alternate(calls, 3, repeats={"b": 2}, clock=clock) == {"a": 1.0, "b": 0.5}
    assert "".join(order) == "abb" * 3
    assert thorough.best(lambda: None, 4, repeats=10, clock=clock) == 0.1
    assert thorough.seconds(lambda: sum(range(10**5))) > 0


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "times.json"
    stub(monkeypatch, {"mc": [Row("a", 1e-3), Row("b", 1.0)], "rng": [Row("c", 1e-9)]})
    assert main(["bench", "mc", "rng", "--quick", "--threads", "1", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "quick True" in printed.splitlines()[0]
    assert all(text in printed for text in ("mc: Sweeps", "rng: Random", "1 ms", "1 ns"))
    assert list(json.loads(path.read_text())["benches"]) == ["mc", "rng"]

    stub(monkeypatch, {"mc": [Row("a", 1.09e-3), Row("b", 1.0)]})
    assert main(["bench", "mc", "--quick", "--threads", "1", "--compare", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"2 cases in both, 0 more than 10% slower than in {path}"

    stub(monkeypatch, {"mc": [Row("a", 1.2e-3), Row("b", 1.0)]})
    assert main(["bench", "mc", "--threads", "1", "--compare", str(path)]) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"2 cases in both, 1 more than 10% slower than in {path}",
        "the runs differ: quick True -> False",
        "   1.20 times as long: mc: a",
    ]


def test_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    for arguments, message in (
        (["mcmc"], "nothing called mcmc to measure; there is contour, "),
        (["--threads", "-1"], "--threads must be >= 0, got -1"),
        (["--compare", str(other)], "no file of deepglass bench --json"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["bench", *arguments])
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
    assert main(["bench", "--compare", str(tmp_path / "absent.json")]) == 1
    assert "absent.json" in capsys.readouterr().err


def test_benches_without_their_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    message = "needs the extra 'learning': pip install 'deepglass[learning]'"

    def run(name: str, *, threads: int, quick: bool) -> Iterator[Row]:
        yield Row("a", 1.0)
        if name == "learning":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(bench, "run", run)
    assert main(["bench"]) == 0
    assert f"learning: left out, {message}" in capsys.readouterr().out.splitlines()
    assert main(["bench", "learning"]) == 1
    assert capsys.readouterr().err == f"deepglass: {message}\n"


@pytest.mark.no_sanitizer  # the first case of each, with the comparison of values before
@pytest.mark.parametrize("name", ["jamming", "recursion", "rng", "spectra", "stats"])
def test_it_runs(name: str) -> None:
    assert_rows(list(bench.run(name, threads=1, quick=True)))


def assert_rows(found: list[Row]) -> None:
    assert found
    assert all(row.seconds > 0 for row in found)
    assert len({row.case for row in found}) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", bench.names())
def test_each_runs(name: str) -> None:
    if name == "learning":
        pytest.importorskip("torch")
    found = list(bench.run(name, threads=1, quick=True))
    assert_rows(found)
    assert any(row.numpy or row.others or row.limit for row in found)  # beside something


def test_there_is_a_yardstick_everywhere() -> None:
    """The NumPy programs do without Numba and JAX (or ask for them inside a function)."""
    for path in (HERE / "_programs").glob("*_numpy.py"):
        modules = set()
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module or "")
        assert {name.partition(".")[0] for name in modules} <= {"numpy", "scipy"} | sys.stdlib_module_names, path
