"""The command ``deepglass``: what is installed, the figures and tables of the papers once more, and times."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import logging
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import __version__, _core, _cpu

__all__ = ["main"]

_EXTRAS = {
    "matplotlib": "plot",
    "torch": "learning",
    "optuna": "learning",
    "mpmath": "bench",
    "numba": "bench",
    "threadpoolctl": "bench",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepglass", description="Statistical mechanics of deep neural networks, computed."
    )
    parser.add_argument("--version", action="version", version=f"deepglass {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="versions, CPU level and threads")
    reproduce = commands.add_parser("reproduce", help="recompute and redraw published figures and tables")
    reproduce.add_argument("name", nargs="*", help="what to reproduce (default: everything)")
    size = reproduce.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="coarser, within two minutes")
    size.add_argument("--full", action="store_true", help="all of it (the default)")
    reproduce.add_argument(
        "--output", type=Path, default=Path("reproduced"), metavar="DIR", help="folder (default: reproduced)"
    )
    reproduce.add_argument(
        "--images",
        type=Path,
        metavar="FILE",
        help="images (.npy, .npz) for kernel-spectra, fisher, natural-gradient, dimension, trainability",
    )
    bench = commands.add_parser("bench", help="times of the kernels beside NumPy, Numba and others")
    bench.add_argument("name", nargs="*", help="what to measure (default: everything)")
    bench.add_argument("--threads", type=int, default=0, metavar="N", help="threads beside one (default: all)")
    bench.add_argument("--quick", action="store_true", help="the first case of each, one round: does it run?")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write times and machine to FILE")
    bench.add_argument(
        "--compare", type=Path, metavar="FILE", help="a FILE of --json; exit code 1 if a case is 10 %% slower"
    )
    return parser


def _info() -> int:
    package = __package__ or "deepglass"
    built = [level for level in ("v1", "v3", "v4") if importlib.util.find_spec(f"{package}._core_{level}")]
    lines = {
        "deepglass": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        **{name: importlib.metadata.version(name) for name in ("numpy", "scipy", "xarray")},
        "CPU level": f"{_core.isa} in use, {_cpu.level()} supported, {', '.join(built)} built",
        "OpenMP": "yes" if _core.has_openmp else "no",
        "threads": str(_core.thread_count(0)),
    }
    for name, value in lines.items():
        print(f"{name:<10} {value}")
    return 0


def _reproduce(
    wanted: Sequence[str], output: Path, quick: bool, images: Path | None, parser: argparse.ArgumentParser
) -> int:
    from . import reproduce

    for name in _chosen(wanted, reproduce.names(), "reproduce", parser):
        start = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            with _log_shown():
                written = reproduce.run(name, output=output, quick=quick, **({"images": images} if images else {}))
        except ModuleNotFoundError as error:
            if wanted or _extra(error) != "learning":
                raise
            print(f"{name}: left out, {_needed('learning')}", flush=True)
            continue
        for path in written:
            if path.suffix == ".txt":
                print(path.read_text("utf-8"))
        print(f"{name}: {time.monotonic() - start:.1f} s, in {output}", flush=True)
    print(f"all that is there, on one page: {reproduce.write_page(output)}")
    return 0


def _chosen(wanted: Sequence[str], known: Sequence[str], verb: str, parser: argparse.ArgumentParser) -> Sequence[str]:
    """Those wanted, or all; ends the program where there is no such name."""
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"nothing called {', '.join(unknown)} to {verb}; there is {', '.join(known)}")
    return wanted or known


def _bench(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from . import bench

    if options.threads < 0:
        parser.error(f"--threads must be >= 0, got {options.threads}")
    chosen = _chosen(options.name, bench.names(), "measure", parser)
    try:
        old, about = bench.load(options.compare) if options.compare else ({}, {})
    except ValueError as error:
        parser.error(str(error))
    here = bench.about(options.threads, options.quick)
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    measured: dict[str, list[bench.Row]] = {}
    for name in chosen:
        try:
            title = bench.heading(name, here["threads"])
            print(f"\n{title}", flush=True)
            measured[name] = []
            for row in bench.run(name, threads=options.threads, quick=options.quick):
                measured[name].append(row)
                print(row, flush=True)
                if options.json:
                    bench.save(options.json, measured, here)
        except ModuleNotFoundError as error:
            extra = _extra(error)
            if options.name or extra is None:
                raise
            print(f"{name}: left out, {_needed(extra)}", flush=True)
    if not options.compare:
        return 0
    differ = [f"{key} {about.get(key)} -> {here.get(key)}" for key in here | about if about.get(key) != here.get(key)]
    factors = bench.compare(old, measured)
    losses = {key: factor for key, factor in factors.items() if factor > 1 + bench.LOSS}
    print(f"\n{len(factors)} cases in both, {len(losses)} more than {bench.LOSS:.0%} slower than in {options.compare}")
    if differ:
        print(f"the runs differ: {', '.join(differ)}")
    for (name, case), factor in losses.items():
        print(f"  {factor:5.2f} times as long: {name}: {case}")
    return 1 if losses else 0


@contextmanager
def _log_shown() -> Iterator[None]:
    """Print what the package logs: estimated hours, instances done."""
    log, handler = logging.getLogger(__package__ or "deepglass"), logging.StreamHandler(sys.stdout)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _extra(error: ModuleNotFoundError) -> str | None:
    """The extra that a missing module belongs to."""
    return _EXTRAS.get((error.name or "").partition(".")[0])


def _needed(extra: str) -> str:
    return f"needs the extra '{extra}': pip install 'deepglass[{extra}]'"


def _fail(message: str, code: int) -> int:
    print(f"deepglass: {message}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program; default: those of the process.

    Returns
    -------
    int
        Exit code: 0, 1 when something is missing, cannot be written or has become slower, 130 after Ctrl-C.
        (Wrong arguments end in ``SystemExit(2)``, as always with argparse.)

    Examples
    --------
    >>> from deepglass.cli import main
    >>> main(["info"])  # doctest: +ELLIPSIS
    deepglass  ...
    0
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command == "info":
            return _info()
        if options.command == "bench":
            return _bench(options, parser)
        return _reproduce(options.name, options.output, options.quick, options.images, parser)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except ModuleNotFoundError as error:
        extra = _extra(error)
        if extra is None:
            raise
        return _fail(_needed(extra), 1)
    except OSError as error:
        return _fail(str(error), 1)
