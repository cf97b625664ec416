"""What every item writes: numbers (netCDF), pictures (PNG and PDF), a table of statements (JSON and text)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from .. import io, plot
from ..plot import Figure, pyplot

__all__ = ["Row", "write"]


class Row(NamedTuple):
    """A statement of the talk, and what was computed."""

    statement: str
    talk: str
    computed: str
    difference: str
    why: str


def write(
    output: Path,
    datasets: Mapping[str, xr.Dataset],
    figures: Mapping[str, Callable[[], Figure]],
    rows: Sequence[Row],
    *,
    tight: bool = False,
) -> list[Path]:
    """Write all of it into a folder, and give the paths; the table comes last."""
    written = []
    for name, dataset in datasets.items():
        written.append(output / f"{name}.nc")
        io.save(dataset, written[-1])
    with plot.style():
        for name, draw in figures.items():
            figure = draw()
            for suffix in ("png", "pdf"):
                written.append(output / f"{name}.{suffix}")
                figure.savefig(written[-1], bbox_inches="tight" if tight else None)
            pyplot.close(figure)
    for name, text in (("table.json", json.dumps([row._asdict() for row in rows])), ("table.txt", _format(rows))):
        written.append(output / name)
        written[-1].write_text(text, encoding="utf-8")
    return written


def _format(rows: Sequence[Row]) -> str:
    header = Row("statement", "talk", "computed", "difference", "why")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: Row) -> str:
        return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(header), rule, *map(line, rows)]) + "\n"
