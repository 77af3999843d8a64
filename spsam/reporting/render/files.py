"""Files of a table, with the provenance of its numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.files import write_text
from spsam.reporting.render.html import to_html
from spsam.reporting.render.latex import to_latex
from spsam.reporting.render.markdown import to_markdown
from spsam.reporting.render.model import Line, Table
from spsam.text.escape import csv_cell, plain

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 6


def to_csv(table: Table) -> str:
    """All values of a table as CSV; missing values are empty."""
    return frame_to_csv(table.frame(), float_format=f"%.{_DIGITS}f")


def frame_to_csv(frame: pd.DataFrame, **options: Any) -> str:
    """A data frame as CSV whose texts remain texts in spreadsheets.

    Args:
        frame: The data frame.
        options: Options of pandas' `to_csv`.
    """
    shown = frame.map(lambda value: csv_cell(value) if isinstance(value, str) else value)
    shown = shown.rename(columns=lambda name: csv_cell(str(name)))
    text: str = shown.to_csv(index=False, lineterminator="\n", **options)
    return text


FORMATS: Mapping[str, tuple[str, Callable[[Table], str]]] = {
    "markdown": ("md", to_markdown),
    "csv": ("csv", to_csv),
    "latex": ("tex", to_latex),
    "html": ("html", to_html),
}
STANDARD = ("markdown", "csv", "latex")


def write_table(table: Table, folder: Path, formats: Sequence[str] = STANDARD) -> list[Path]:
    """Writes a table's files and returns their paths.

    Args:
        table: The table.
        folder: Output folder; created if missing.
        formats: Keys of `FORMATS`.
    """
    paths = []
    for name in formats:
        ending, show = FORMATS[name]
        path = folder / f"{table.name}.{ending}"
        write_text(path, show(table))
        paths.append(path)
    return paths


def write_provenance(table: Table, runs: Mapping[str, Any], folder: Path) -> Path:
    """Writes the provenance of every number of a table.

    Args:
        table: The table.
        runs: Run id -> facts about the run, as plain values.
        folder: Folder of the table.
    """
    cases: dict[tuple[str, ...], int] = {}
    lines = {line.key: _line(table, line, cases) for line in table.lines}
    used = {run for line in table.lines for c in line.cells if c.source for run in c.source.runs}
    content = {
        "table": table.name,
        "columns": [column.key for column in table.columns],
        "rows": lines,
        "runs": {run: runs[run] for run in sorted(used) if run in runs},
        "cases": [list(names) for names in cases],
    }
    path = folder / f"{table.name}.provenance.json"
    write_text(path, plain(json.dumps(content, indent=1, ensure_ascii=False)) + "\n")
    return path


def _line(table: Table, line: Line, cases: dict[tuple[str, ...], int]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for column, cell in zip(table.columns, line.cells, strict=True):
        if cell.source is None:
            continue
        source = cell.source
        cells[column.key] = {
            "text": cell.text,
            "values": {key: _plain(value) for key, value in cell.values.items()},
            "how": source.how,
            "runs": list(source.runs),
            # Many cells share the same set of cases.
            "cases": cases.setdefault(source.cases, len(cases)),
            "published": source.published,
        }
    return cells


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
