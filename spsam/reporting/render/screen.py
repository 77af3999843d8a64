"""A table for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spsam.reporting.render.model import Cell, Table
from spsam.text.escape import one_line, plain

if TYPE_CHECKING:
    import rich.table

_STYLE = {0: "", 1: "bold", 2: "underline"}


def to_rich(table: Table, width: int | None = None) -> rich.table.Table:
    """The table for a terminal; columns that do not fit are omitted, with a note.

    Args:
        table: The table.
        width: Width of the terminal in characters; None omits nothing. Titles are omitted first,
            then single classes, then costs.
    """
    from rich import box
    from rich.table import Table as Lines
    from rich.text import Text

    shown, left_out = (table, "") if width is None else _fitting(table, width)
    caption = [f"{letter}: {text}" for letter, text in table.notes.items()] + [table.caption]
    if left_out:
        caption.append(f"Omitted for lack of width: {left_out}.")
    # Text instead of markup: a title may contain square brackets.
    lines = Lines(
        box=box.SIMPLE_HEAD,
        caption=Text(plain("\n".join(caption))),
        caption_justify="left",
    )
    if shown.is_grouped:
        lines.add_column(Text(one_line(shown.grouped_by)), no_wrap=True)
    for column in shown.columns:
        justify = "right" if column.number else "left"
        lines.add_column(Text(_broken(column.head)), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for group in shown.groups:
        for number, line in enumerate(group.lines):
            title = one_line(group.title) if number == 0 else ""
            first = [Text(title)] if shown.is_grouped else []
            cells = [Text(_text(cell), style=_STYLE[cell.rank]) for cell in line.cells]
            lines.add_row(*first, *cells)
    return lines


_COSTS = ("gflops", "peak_memory", "step_time", "spread")


def _fitting(table: Table, width: int) -> tuple[Table, str]:
    steps = [
        ("titles", ["title"]),
        ("single classes", [column.key for column in table.columns if column.of_class]),
        ("costs", list(_COSTS)),
    ]
    left_out: list[str] = []
    for name, keys in steps:
        if _width(table) <= width:
            break
        if any(column.key in keys for column in table.columns):
            table = table.without(keys)
            left_out.append(name)
    *first, last = left_out or [""]
    return table, f"{', '.join(first)} and {last}" if first else last


def _width(table: Table) -> int:
    """Number of characters of the columns, including two between columns and at both ends."""
    total = 2
    for index, column in enumerate(table.columns):
        texts = [_text(line.cells[index]) for line in table.lines]
        total += 2 + max(map(len, [*_broken(column.head).split("\n"), *texts]))
    if table.is_grouped:
        total += 2 + max(len(table.grouped_by), *(len(group.title) for group in table.groups))
    return total


def _text(cell: Cell) -> str:
    return one_line(cell.text) + (f" ({', '.join(cell.notes)})" if cell.notes else "")


def _broken(head: str) -> str:
    return one_line(head).replace(" (", "\n(")
