"""An ablation's table as people read it: on screen, Markdown, CSV, LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from spsam.config.places import shipped
from spsam.reporting.ablation_table import FAILED, PARTIAL
from spsam.results.rows import write_text

if TYPE_CHECKING:
    from rich.table import Table

_NOTHING = "—"
_CLASS = "dice: "

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "—": "---",
    "–": "--",
    "…": r"\dots{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class Cell:
    """One cell, as text.

    Attributes:
        text: What it says.
        rank: 1 for the best of its column, 2 for the second best, else 0.
    """

    text: str
    rank: int = 0


@dataclass(frozen=True)
class Column:
    """One column, as text.

    Attributes:
        head: Its title.
        number: Whether it is aligned as a number.
        cells: One a row.
        of_class: Whether it is the Dice of a single class.
    """

    head: str
    number: bool
    cells: Sequence[Cell]
    of_class: bool = False


def columns(table: pd.DataFrame) -> list[Column]:
    """The table's cells as text, best and second best marked."""
    states = [str(state) for state in table["state"]]
    shown = [
        Column("arm", False, _texts(table, "arm", str)),
        Column("title", False, _texts(table, "title", str)),
        Column("Dice", True, _dice_cells(table, states)),
    ]
    for name in table.columns:
        if str(name).startswith(_CLASS):
            cells = ranked([float(value) for value in table[name]])
            shown.append(Column(str(name).removeprefix(_CLASS), True, cells, of_class=True))
    change = [
        Cell(f"{_signed(float(value))} ({parent})" if not math.isnan(float(value)) else "")
        for value, parent in zip(table["change"], table["parent"], strict=True)
    ]
    shown += [
        Column("trained (M)", True, _texts(table, "trained_parameters", _millions)),
        Column("change", True, change),
    ]
    if table["published"].notna().any():
        cells = _texts(table, "published", lambda v: _NOTHING if math.isnan(v) else f"{v:.2f}")
        shown.append(Column("published (ACDC)", True, cells))
    return shown


def to_rich(table: pd.DataFrame, caption: str, width: int) -> Table:
    """The table for a terminal; what does not fit is left out, and said.

    Args:
        table: Of `ablation_table`.
        caption: Printed below.
        width: Of the terminal, characters. First the titles go, then the single classes.
    """
    shown, left_out = _fitting(columns(table), width)
    if left_out:
        caption += f" Not shown here, for lack of width: {left_out}."
    return screen(shown, caption)


def screen(shown: Sequence[Column], caption: str) -> Table:
    """Columns for a terminal, the caption below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Text, not markup: a title may hold square brackets.
    lines = Table(box=box.SIMPLE_HEAD, caption=Text(caption), caption_justify="left")
    for column in shown:
        lines.add_column(
            Text(_broken(column.head)), justify="right" if column.number else "left", no_wrap=True
        )
    style = {0: "", 1: "bold", 2: "underline"}
    for cells in _rows(shown):
        lines.add_row(*[Text(cell.text, style=style[cell.rank]) for cell in cells])
    return lines


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """The table in GitHub's Markdown, the caption below."""
    return markdown(columns(table), caption)


def markdown(shown: Sequence[Column], caption: str) -> str:
    """Columns in GitHub's Markdown, the caption below."""
    lines = [
        _markdown_line([_markdown(column.head) for column in shown]),
        _markdown_line(["---:" if column.number else ":---" for column in shown]),
    ]
    around = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}
    for cells in _rows(shown):
        lines.append(_markdown_line([around[c.rank].format(_markdown(c.text)) for c in cells]))
    return "\n".join([*lines, "", _markdown(caption), ""])


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """The table for a paper; needs the packages booktabs and graphicx."""
    return latex(columns(table), caption)


def latex(shown: Sequence[Column], caption: str) -> str:
    """Columns for a paper; needs the packages booktabs and graphicx."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(shipped("reports") / "templates"),
        undefined=StrictUndefined,
        # TeX's own braces and per cent signs stay as they are.
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["tex"] = tex
    template = environment.get_template("ablation_table.tex.j2")
    return template.render(columns=shown, rows=_rows(shown), caption=caption)


def tex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_TEX.get(sign, sign) for sign in text)


def write_files(table: pd.DataFrame, caption: str, folder: Path) -> list[Path]:
    """Writes table.md, table.csv and table.tex; returns their paths."""
    return write_columns("table", table, columns(table), caption, folder)


def write_columns(
    stem: str, table: pd.DataFrame, shown: Sequence[Column], caption: str, folder: Path
) -> list[Path]:
    """Writes a table as Markdown, CSV and LaTeX; returns their paths.

    Args:
        stem: The files' name without its ending.
        table: All values, for the CSV.
        shown: The same as text.
        caption: Below the text.
        folder: Where.
    """
    texts = {
        f"{stem}.md": markdown(shown, caption),
        f"{stem}.csv": table.to_csv(index=False, float_format="%.4f", lineterminator="\n"),
        f"{stem}.tex": latex(shown, caption),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _dice_cells(table: pd.DataFrame, states: Sequence[str]) -> list[Cell]:
    cells = []
    marks = ranked([float(value) for value in table["dice"]])
    for mark, std, state, seeds in zip(marks, table["std"], states, table["seeds"], strict=True):
        text = mark.text
        if not math.isnan(float(std)):
            text += f" ± {float(std):.2f}"
        if state == PARTIAL:
            text += f" (n={seeds})"
        if state == FAILED:
            text = FAILED
        cells.append(Cell(text, mark.rank))
    return cells


def ranked(values: Sequence[float]) -> list[Cell]:
    """Numbers as text; equal as printed is equal in rank. One number alone has no rank."""
    texts = [_NOTHING if math.isnan(value) else f"{value:.2f}" for value in values]
    distinct = sorted({float(text) for text in texts if text != _NOTHING}, reverse=True)
    if len(distinct) < 2:
        return [Cell(text) for text in texts]
    rank = {f"{value:.2f}": number for number, value in enumerate(distinct[:2], start=1)}
    return [Cell(text, rank.get(text, 0)) for text in texts]


def _fitting(shown: list[Column], width: int) -> tuple[list[Column], str]:
    left_out = ""
    if _width(shown) > width:
        shown = [column for column in shown if column.head != "title"]
        left_out = "titles"
    if _width(shown) > width and any(column.of_class for column in shown):
        shown = [column for column in shown if not column.of_class]
        left_out = "titles and single classes"
    return shown, left_out


def _width(shown: Sequence[Column]) -> int:
    """Characters that the columns need, with the two between each pair and at both ends."""
    widest = (
        max(map(len, [*_broken(column.head).split("\n"), *[cell.text for cell in column.cells]]))
        for column in shown
    )
    return sum(length + 2 for length in widest) + 2


def _broken(head: str) -> str:
    return head.replace(" (", "\n(")


def _texts(table: pd.DataFrame, name: str, show: Callable[[Any], str]) -> list[Cell]:
    return [Cell(show(value)) for value in table[name]]


def _rows(shown: Sequence[Column]) -> list[list[Cell]]:
    return [list(cells) for cells in zip(*[column.cells for column in shown], strict=True)]


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f}"


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return text.replace("-", "−") if text not in ("-0.00", "+0.00") else "0.00"


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", text)


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
