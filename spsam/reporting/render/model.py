"""The format-independent model of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from spsam.text.escape import plain as plain_text

NOTHING = "—"

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Source:
    """The origin of a number.

    Attributes:
        how: Description of its computation.
        runs: Ids of the runs.
        cases: Ids of the cases; empty if it is not a score.
        published: File and line of a published number; empty for other numbers.
    """

    how: str
    runs: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    published: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: The displayed text.
        values: CSV column -> value; NaN is written as an empty field.
        rank: 1 for the best of its column, 2 for the second best, else 0.
        notes: Letters of its footnotes.
        source: The origin of its number; None for a cell without a number.
    """

    text: str
    values: Mapping[str, Scalar] = field(default_factory=dict)
    rank: int = 0
    notes: tuple[str, ...] = ()
    source: Source | None = None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Name for `spsam report trace`.
        head: Title.
        number: Whether it is aligned as a number.
        of_class: Whether it refers to a single class; such columns are omitted first if space is
            short.
        wide: Whether it contains sentences, which are wrapped.
        meaning: Meaning of its numbers, unless title or caption explains them; identical for all
            columns of classes.
    """

    key: str
    head: str
    number: bool = True
    of_class: bool = False
    wide: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        key: Name for `spsam report trace`.
        cells: One per column.
    """

    key: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """A group of rows.

    Attributes:
        title: Title, shown once in a separate column; empty if rows are not grouped.
        lines: The rows.
    """

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Stem of its files.
        caption: Information required to interpret it: seeds, cases, split, convention.
        columns: The columns.
        groups: The rows, in groups.
        notes: Footnotes, by letter.
        grouped_by: Title of the column of group titles.
        identity: The part of the caption that contains hashes of data and split, and its
            replacement in papers; both empty if the caption has no such part.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    grouped_by: str = ""
    identity: tuple[str, str] = ("", "")

    @property
    def lines(self) -> list[Line]:
        """All rows."""
        return [line for group in self.groups for line in group.lines]

    @property
    def is_grouped(self) -> bool:
        """Whether group titles have a column."""
        return any(group.title for group in self.groups)

    def column(self, key: str) -> int:
        """The index of a column."""
        return [column.key for column in self.columns].index(key)

    def without(self, keys: Sequence[str]) -> Table:
        """The table without the given columns."""
        keep = [i for i, column in enumerate(self.columns) if column.key not in keys]
        return replace(
            self,
            columns=tuple(self.columns[i] for i in keep),
            groups=tuple(
                replace(
                    group,
                    lines=tuple(
                        replace(line, cells=tuple(line.cells[i] for i in keep))
                        for line in group.lines
                    ),
                )
                for group in self.groups
            ),
        )

    def frame(self) -> pd.DataFrame:
        """All values, one line per row, in the order of the cells."""
        records: list[dict[str, Any]] = []
        for group in self.groups:
            first = {self.grouped_by or "group": group.title} if self.is_grouped else {}
            for line in group.lines:
                record: dict[str, Any] = dict(first)
                for cell in line.cells:
                    # pandas rejects text from file names that are not valid Unicode.
                    record |= {
                        key: plain_text(value) if isinstance(value, str) else value
                        for key, value in cell.values.items()
                    }
                records.append(record)
        return pd.DataFrame.from_records(records)


def plain(name: str, caption: str, columns: Sequence[Column], lines: Sequence[Line]) -> Table:
    """A table without groups."""
    return Table(name, caption, tuple(columns), (Group("", tuple(lines)),))


def number(value: float, digits: int = 2) -> str:
    """A number as text, with a proper minus sign; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """A difference as text, with a proper minus sign; no sign if it is rounded to zero."""
    if math.isnan(value):
        return NOTHING
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def interval_text(low: float, high: float, form: Callable[[float], str] = number) -> str:
    """The ends of an interval as text behind a number; empty if the interval is unknown (NaN)."""
    return "" if math.isnan(low) else f" [{form(low)}, {form(high)}]"


def ranks(values: Sequence[float], *, higher: bool = True, digits: int = 2) -> list[int]:
    """1 for the best, 2 for the second best; numbers that are equal as printed share a rank.

    A single number has no rank.

    Args:
        values: The numbers; NaN has no rank.
        higher: Whether higher is better.
        digits: Number of printed digits.
    """
    shown = [None if math.isnan(value) else round(float(value), digits) for value in values]
    distinct = sorted({value for value in shown if value is not None}, reverse=higher)
    if len(distinct) < 2:
        return [0] * len(shown)
    return [1 + distinct.index(v) if v in distinct[:2] else 0 for v in shown]


def ranked(values: Sequence[float], key: str) -> list[Cell]:
    """Numbers as cells, with the best and second best marked; higher is better."""
    return [
        Cell(number(value), {key: value}, rank)
        for value, rank in zip(values, ranks(values), strict=True)
    ]


def words(texts: Sequence[Scalar], key: str) -> list[Cell]:
    """Texts as cells; None and NaN are empty."""
    return [
        Cell(text if isinstance(text, str) else "", {key: text if isinstance(text, str) else None})
        for text in texts
    ]


def by_columns(columns: Sequence[tuple[Column, Sequence[Cell]]]) -> list[Line]:
    """Rows composed of columns; the key of a row is the text of its first cell."""
    rows = zip(*[cells for _, cells in columns], strict=True)
    return [Line(cells[0].text, tuple(cells)) for cells in rows]
