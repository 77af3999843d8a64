"""A table in GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spsam.reporting.render.model import Cell, Table
from spsam.text.escape import one_line

_AROUND = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}


def to_markdown(table: Table) -> str:
    """The table with its footnotes and caption."""
    heads = [_escape(column.head) for column in table.columns]
    rule = ["---:" if column.number else ":---" for column in table.columns]
    if table.is_grouped:
        heads, rule = [_escape(table.grouped_by), *heads], [":---", *rule]
    lines = [_line(heads), _line(rule)]
    for group in table.groups:
        for number, line in enumerate(group.lines):
            # Markdown has no cells that span rows: the title is in the first row.
            first = [_escape(group.title if number == 0 else "")] if table.is_grouped else []
            lines.append(_line([*first, *map(_cell, line.cells)]))
    for letter, text in table.notes.items():
        lines += ["", f"<sup>{letter}</sup> {_escape(text)}"]
    return "\n".join([*lines, "", _escape(table.caption), ""])


def _cell(cell: Cell) -> str:
    text = _AROUND[cell.rank].format(_escape(cell.text))
    return text + (f"<sup>{', '.join(cell.notes)}</sup>" if cell.notes else "")


def _escape(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", one_line(text))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
