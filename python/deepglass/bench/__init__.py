"""Times of the kernels next to what users would write themselves: ``deepglass bench``.

Each name stands for a module of this package with a generator ``rows(bench)``, which checks the values before it
yields a `Row` of times.  The programs compared with are in `_programs`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import pkgutil
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__, _core

__all__ = ["LOSS", "Bench", "Row", "about", "compare", "heading", "load", "names", "run", "save", "stated_peak"]

T = TypeVar("T")
Clock = Callable[[], float]
LOSS = 0.1  # slower by more than this is a loss

_PACKAGES = ("numpy", "scipy", "numba", "jax", "torch", "rmtool", "pyerrors")
_WIDTH = 50  # of the column of cases
_FLOPS_A_CYCLE = {"v1": 4, "v3": 16, "v4": 32}  # two multiply-adds of vectors; at v1 a product and a sum


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured in one case; all times in seconds of one unit of work, on one thread unless said.

    Parameters
    ----------
    case : str
        What is calculated, at which size; no other row of the bench has this name.
    seconds : float
        Of deepglass.
    all_threads : float, optional
        Of deepglass on all threads of the bench.
    numpy : float, optional
        Of the vectorised NumPy (or SciPy) program.
    others : mapping of str to float or None
        Of other programs by name; None where one is not installed.
    limit : float, optional
        Least time, as derived in the text of the bench.
    more : mapping of str to float or str
        Anything else worth a look, by name.

    Examples
    --------
    >>> from deepglass.bench import Row
    >>> row = Row("one sweep", 2e-6, numpy=1e-4, others={"Numba": 1e-5, "JAX": None}, limit=1e-6, more={"error": 1e-15})
    >>> print(row)
    one sweep                                             2 us            100 us   50.0        Numba   10 us   5.0   50%
      JAX not installed, error 1e-15
    """

    case: str
    seconds: float
    all_threads: float | None = None
    numpy: float | None = None
    others: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    limit: float | None = None
    more: Mapping[str, float | str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """A line of the table under `heading`, and one of its own for what does not fit."""
        found = {name: seconds for name, seconds in self.others.items() if seconds is not None}
        best = min(found, key=lambda name: found[name], default=None)
        cells = [
            f"{self.case:{_WIDTH}}{_time(self.seconds)}",
            _ratio(self.all_threads and self.seconds / self.all_threads),
            _time(self.numpy),
            _ratio(self.numpy and self.numpy / self.seconds),
            f"{best or '':>12}{_time(found[best] if best else None)}",
            _ratio(found[best] / self.seconds if best else None),
            f"{self.limit / self.seconds:6.0%}" if self.limit else "",
        ]
        rest = [f"{name} {_time(found[name]).strip()}" for name in found if name != best]
        rest += [f"{name} not installed" for name in self.others if name not in found]
        rest += [f"{name} {value if isinstance(value, str) else f'{value:.3g}'}" for name, value in self.more.items()]
        return "".join(cells).rstrip() + (f"\n  {', '.join(rest)}" if rest else "")


def _time(seconds: float | None) -> str:
    """Three digits in 8 columns."""
    if seconds is None:
        return " " * 8
    unit, scale = next(((u, s) for u, s in (("s ", 1.0), ("ms", 1e-3), ("us", 1e-6)) if seconds >= s), ("ns", 1e-9))
    return f"{seconds / scale:5.3g} {unit}"


def _ratio(value: float | None) -> str:
    return " " * 7 if value is None else f"{value:7.1f}" if value < 1000 else f"{value:7.0f}"


def heading(name: str, threads: int) -> str:
    """Title of a bench and names of the columns.

    Parameters
    ----------
    name : str
        One of `names`.
    threads : int
        All threads of the bench.

    Returns
    -------
    str

    Examples
    --------
    >>> from deepglass.bench import heading
    >>> print(heading("rng", 2))
    rng: Random numbers: the kernel against its twin and against NumPy's own generators.
                                                           time     x2   NumPy  ratio best other    time  ratio limit
    """
    title = (_module(name).__doc__ or "").partition("\n")[0]
    columns = (
        f"{'':{_WIDTH}}{'time':>8}{f'x{threads}':>7}{'NumPy':>8}{'ratio':>7}{'best other':>12}{'time':>8}{'ratio':>7}"
    )
    return f"{name}: {title}\n{columns}{'limit':>6}"


class Bench:
    """How to measure: how many threads, how thoroughly, by which clock.

    Parameters
    ----------
    threads : int
        All threads; 0 is the OpenMP default.
    quick : bool
        The first case only and one round: shows that a bench runs.

    Examples
    --------
    >>> from deepglass.bench import Bench
    >>> times = Bench(quick=True).alternate({"sum": lambda: sum(range(100)), "max": lambda: max(range(100))})
    >>> sorted(times)
    ['max', 'sum']
    """

    def __init__(self, threads: int = 0, quick: bool = False) -> None:
        self.threads = _core.thread_count(threads)
        self.quick = quick

    def some(self, cases: Iterable[T]) -> list[T]:
        """All cases, or the first."""
        return list(cases)[: 1 if self.quick else None]

    def rounds(self, n: int) -> int:
        """So many, or one."""
        return 1 if self.quick else n

    @staticmethod
    def seconds(call: Callable[[], object], repeats: int = 1, clock: Clock = time.perf_counter) -> float:
        """Of one call, the mean of `repeats`."""
        start = clock()
        for _ in range(repeats):
            call()
        return (clock() - start) / repeats

    def best(
        self, call: Callable[[], object], rounds: int, repeats: int = 1, clock: Clock = time.perf_counter
    ) -> float:
        """Least seconds of some rounds: short calls, which are not always disturbed."""
        return min(self.seconds(call, repeats, clock) for _ in range(self.rounds(rounds)))

    def alternate(
        self,
        calls: Mapping[str, Callable[[], object]],
        rounds: int = 5,
        *,
        repeats: Mapping[str, int] | None = None,
        least: float = 0.0,
        clock: Clock = time.perf_counter,
    ) -> dict[str, float]:
        """Median seconds of each call; they take turns, so that a busy machine slows all alike.

        What takes less than `least` seconds is repeated for as long, or as often as `repeats` says.
        """
        times: dict[str, list[float]] = {name: [] for name in calls}
        often = dict(repeats or {})
        if least > 0.0 and not self.quick:
            often = {name: max(1, int(least / max(self.seconds(call), 1e-9))) for name, call in calls.items()}
        for _ in range(self.rounds(rounds)):
            for name, call in calls.items():
                times[name].append(self.seconds(call, often.get(name, 1), clock))
        return {name: statistics.median(values) for name, values in times.items()}


def _module(name: str) -> Any:
    if name not in names():
        raise ValueError(f"name must be one of {', '.join(map(repr, names()))}, got {name!r}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def names() -> list[str]:
    """What can be measured.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import deepglass.bench
    >>> deepglass.bench.names()[:3]
    ['contour', 'contour-network', 'fisher']
    """
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def run(name: str, *, threads: int = 0, quick: bool = False) -> Iterator[Row]:
    """Measure: one bench, row by row.

    Parameters
    ----------
    name : str
        One of `names`.
    threads : int
        All threads; 0 is the OpenMP default.
    quick : bool
        The first case only and one round: shows that the bench runs.

    Yields
    ------
    Row

    Raises
    ------
    ValueError
        If the name is unknown.
    ModuleNotFoundError
        Without the extra ``bench``; for "learning" without the extra ``learning``.
    AssertionError
        If kernel and yardstick disagree.

    Examples
    --------
    >>> import deepglass.bench
    >>> row = next(deepglass.bench.run("rng", quick=True))
    >>> row.case, row.seconds < row.numpy
    ('uniform, 100 numbers', True)
    """
    yield from _module(name).rows(Bench(threads, quick))


def about(threads: int = 0, quick: bool = False) -> dict[str, Any]:
    """Where and how times are measured: CPU, cores, level of the kernels, versions, arguments of `run`.

    Parameters
    ----------
    threads, quick : int, bool
        As for `run`.

    Returns
    -------
    dict of str to str, int or bool

    Examples
    --------
    >>> from deepglass.bench import about
    >>> list(about())[:4]
    ['cpu', 'cores', 'threads', 'level']
    """
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES if importlib.util.find_spec(name)}
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": _core.thread_count(threads),
        "level": _core.isa,
        "quick": quick,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "deepglass": __version__,
        **versions,
    }


def stated_peak() -> float | None:
    """Flops a second of one core at this CPU level and at the clock the system states, which may be its lowest.

    Returns
    -------
    float or None
        None where the system states no clock.

    Examples
    --------
    >>> import deepglass.bench
    >>> deepglass.bench.stated_peak()  # doctest: +SKIP
    8.3e10
    """
    try:
        with open("/proc/cpuinfo", encoding="ascii") as lines:
            clock = float(next(line for line in lines if line.startswith("cpu MHz")).split(":")[1]) * 1e6
    except (OSError, StopIteration):
        return None
    return _FLOPS_A_CYCLE[_core.isa] * clock


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def save(path: Path, measured: Mapping[str, Sequence[Row]], about: Mapping[str, Any]) -> None:
    """Write rows to a JSON file, with where and how they were measured.

    Parameters
    ----------
    path : Path
        The file.
    measured : mapping of str to sequence of Row
        By name of the bench.
    about : mapping
        That of `about`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from deepglass.bench import Row, about, load, save
    >>> path = Path(tempfile.mkdtemp()) / "times.json"
    >>> save(path, {"mc": [Row("sweep", 1e-3)]}, about(quick=True))
    >>> measured, origin = load(path)
    >>> measured["mc"][0].seconds, origin["quick"]
    (0.001, True)
    """
    benches = {name: [dataclasses.asdict(row) for row in rows] for name, rows in measured.items()}
    Path(path).write_text(json.dumps({"about": dict(about), "benches": benches}, indent=1, default=float), "utf-8")


def load(path: Path) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """Read what `save` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    measured : dict of str to list of Row
        By name of the bench.
    about : dict
        Where and how they were measured.

    Raises
    ------
    ValueError
        If the file is none of `save`.

    Examples
    --------
    >>> from deepglass.bench import load
    >>> load("pyproject.toml")  # doctest: +SKIP
    Traceback (most recent call last):
        ...
    ValueError: pyproject.toml is no file of deepglass bench --json: ...
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        measured = {name: [Row(**row) for row in rows] for name, rows in content["benches"].items()}
        return measured, dict(content["about"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no file of deepglass bench --json: {error!r}") from error


def compare(old: Mapping[str, Sequence[Row]], new: Mapping[str, Sequence[Row]]) -> dict[tuple[str, str], float]:
    """Time against that of an earlier run, for all cases in both; above 1 + `LOSS` is a loss.

    Where a bench has the NumPy program, measured in turns with the kernel, its time divides out how busy the machine
    was: of the factors with and without it the one nearer to 1 counts, and 1 if they disagree about the sign.

    Parameters
    ----------
    old, new : mapping of str to sequence of Row
        By name of the bench.

    Returns
    -------
    dict of (str, str) to float
        Factor by bench and case.

    Examples
    --------
    >>> from deepglass.bench import Row, compare
    >>> old, new = ({"mc": [Row("sweep", t, numpy=s)]} for t, s in ((1.0, 10.0), (2.0, 15.0)))
    >>> {key: round(factor, 3) for key, factor in compare(old, new).items()}
    {('mc', 'sweep'): 1.333}
    """
    before, after = _cases(old), _cases(new)
    return {key: _factor(before[key], after[key]) for key in after if key in before}


def _cases(measured: Mapping[str, Sequence[Row]]) -> dict[tuple[str, str], Row]:
    found = {}
    for name, rows in measured.items():
        for row in rows:
            found[name, row.case] = row
            if row.all_threads is not None:
                case = f"{row.case}, all threads"
                found[name, case] = dataclasses.replace(row, case=case, seconds=row.all_threads)
    return found


def _factor(old: Row, new: Row) -> float:
    plain = new.seconds / old.seconds
    if not (old.numpy and new.numpy):
        return plain
    relative = plain * old.numpy / new.numpy
    if (plain - 1) * (relative - 1) <= 0:
        return 1.0
    return min(plain, relative, key=lambda factor: abs(math.log(factor)))
