"""One HTML page of all that `deepglass reproduce` has computed: a row for each system of the talks.

The page is a function of the folder alone, and holds its pictures itself.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from .systems import SYSTEMS, TALKS, System

__all__ = ["write_page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --link: #2a6fb0; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h2 { border-top: 1px solid var(--line); padding-top: 1.5rem; line-height: 1.3; }
a { color: var(--link); } .quiet { color: var(--quiet); font-size: .9rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figure { margin: 1rem 0; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; line-height: 1.35; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
td { min-width: 5.5rem; } summary { cursor: pointer; color: var(--link); }
.done::before { content: "\\25CF  "; color: #2a9d5c; } .none::before { content: "\\25CB  "; color: var(--quiet); }
"""


def write_page(folder: Path) -> Path:
    """Write ``index.html`` from the items that a folder holds.

    Parameters
    ----------
    folder : Path
        The ``output`` of `deepglass.reproduce.run`.

    Returns
    -------
    Path
        The page.

    Examples
    --------
    >>> import tempfile
    >>> from deepglass.reproduce.page import write_page
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_page(Path(folder)).read_text("utf-8")
    >>> "Single perceptron" in page
    True
    """
    folder = Path(folder)
    items = {path.parent.name: _item(path.parent) for path in sorted(folder.glob("*/run.json"))}
    page = folder / "index.html"
    page.write_text(_page(folder, items), encoding="utf-8")
    return page


def _item(folder: Path) -> dict[str, Any]:
    run = json.loads((folder / "run.json").read_text("utf-8"))
    return {**run, "rows": json.loads((folder / "table.json").read_text("utf-8"))}


def _page(folder: Path, items: dict[str, dict[str, Any]]) -> str:
    sections, tabled = [], dict[str, int]()
    for number, system in enumerate(SYSTEMS, start=1):
        sections.append(_section(folder, items, number, system, tabled))
    talks = "".join(f"<li>{html.escape(talk)}</li>" for talk in TALKS.values())
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>deepglass: the talks, computed</title><style>{_STYLE}</style></head>
<body>
<h1>Statistical mechanics of deep networks, computed</h1>
<p>What four talks describe, computed again by deepglass {html.escape(__version__)}, beside what they say.</p>
<ul>{talks}</ul>
{_contents(folder)}
{"".join(sections)}
<h2>Runs</h2>
{_runs(items)}
</body></html>
"""


def _figures(folder: Path, shown: tuple[str, ...]) -> list[Path]:
    names = (name if "/" in name else f"{name}/*" for name in shown)
    return [path for name in names for path in sorted(folder.glob(f"{name}.png"))]


def _contents(folder: Path) -> str:
    lines = []
    for number, system in enumerate(SYSTEMS, start=1):
        state = "done" if _figures(folder, system.shown) else "none"
        link = f'<a href="#system-{number}">{html.escape(system.what)}</a>'
        lines.append(f'<tr><td>{number}</td><td class="{state}">{link}</td><td>{html.escape(system.talk)}</td></tr>')
    head = "<tr><th></th><th>system</th><th>talk</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(lines)}</table></div>'


def _section(
    folder: Path, items: dict[str, dict[str, Any]], number: int, system: System, tabled: dict[str, int]
) -> str:
    parts = [f'<h2 id="system-{number}">{number}. {html.escape(system.what)}</h2>']
    names = list(dict.fromkeys(name.partition("/")[0] for name in system.shown))
    absent = [name for name in names if name not in items]
    if system.checked:
        parts.append(f'<p class="quiet">Checked against: {html.escape(system.checked)}.</p>')
    if system.missing:
        parts.append(f"<p>Not reproduced here: {html.escape(system.missing)}.</p>")
    if absent:
        commands = ", ".join(f"<code>deepglass reproduce {html.escape(name)}</code>" for name in absent)
        parts.append(f"<p>Not in this folder; computed by {commands}.</p>")
    for path in _figures(folder, system.shown):
        picture = base64.b64encode(path.read_bytes()).decode()
        name = html.escape(path.stem.replace("_", " "))
        parts.append(f'<figure><img loading="lazy" alt="{name}" src="data:image/png;base64,{picture}"></figure>')
    for name in names:
        if name in items and name in tabled:
            parts.append(f'<p>Numbers: with <a href="#system-{tabled[name]}">system {tabled[name]}</a>.</p>')
        elif name in items:
            tabled[name] = number
            parts.append(_table(items[name]))
    return "\n".join(parts)


def _table(item: dict[str, Any]) -> str:
    return f"<details open><summary>Numbers of {html.escape(item['name'])}</summary>{_rows(item['rows'])}</details>"


def _runs(items: dict[str, dict[str, Any]]) -> str:
    return _rows([{name: value for name, value in item.items() if name != "rows"} for item in items.values()])


def _rows(rows: Sequence[dict[str, Any]]) -> str:
    """A table with a column for each key of the rows."""
    fields = list(rows[0]) if rows else []
    head = "".join(f"<th>{html.escape(field)}</th>" for field in fields)
    cells = ("".join(f"<td>{html.escape(str(row[field]))}</td>" for field in fields) for row in rows)
    lines = "".join(f"<tr>{line}</tr>" for line in cells)
    return f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>'
