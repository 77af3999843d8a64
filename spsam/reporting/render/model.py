"""A table before it has a format."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from spsam.text.escape import plain as plain_text

NOTHING = "—"

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Source:
    """Where a number comes from.

    Attributes:
        how: How it was made, in words.
        runs: Ids of the runs.
        cases: Ids of the cases; empty for what is no score.
        published: The file and line of a published number; empty for one of ours.
    """

    how: str
    runs: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    published: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says.
        values: What it stands for, by the name of a column of the CSV; NaN is an empty place.
        rank: 1 for the best of its column, 2 for the second best, else 0.
        notes: Letters of the footnotes that belong to it.
        source: Where its number comes from; None for a cell without one.
    """

    text: str
    values: Mapping[str, Scalar] = field(default_factory=dict)
    rank: int = 0
    notes: tuple[str, ...] = ()
    source: Source | None = None


@dataclass(frozen=True)
class Column:
    """One column's head.

    Attributes:
        key: Its name for `spsam report trace`.
        head: Its title.
        number: Whether it is aligned as a number.
        of_class: Whether it is of a single class: left out first where space is short.
        wide: Whether it holds sentences, which are broken into lines.
        meaning: What its numbers are, where neither title nor caption tells it; of columns of
            classes the same for all.
    """

    key: str
    head: str
    number: bool = True
    of_class: bool = False
    wide: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        key: Its name for `spsam report trace`.
        cells: One a column.
    """

    key: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows that belong together.

    Attributes:
        title: Stands once, in a column of its own; empty where rows are not grouped.
        lines: Its rows.
    """

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: The stem of its files.
        caption: What a reader must know: seeds, cases, split, convention.
        columns: Its heads.
        groups: Its rows.
        notes: Footnotes, by letter.
        grouped_by: Head of the column of group titles.
        identity: What in the caption identifies data and split to a program, and what a paper's
            reader needs of it; both empty where the caption has no such thing.
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
        """Whether group titles take a column."""
        return any(group.title for group in self.groups)

    def column(self, key: str) -> int:
        """The index of a column."""
        return [column.key for column in self.columns].index(key)

    def without(self, keys: Sequence[str]) -> Table:
        """The table without some columns."""
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
        """All values, one line a row, in the order in which cells have them."""
        records: list[dict[str, Any]] = []
        for group in self.groups:
            first = {self.grouped_by or "group": group.title} if self.is_grouped else {}
            for line in group.lines:
                record: dict[str, Any] = dict(first)
                for cell in line.cells:
                    # pandas takes no text that is not Unicode, from file names that are not.
                    record |= {
                        key: plain_text(value) if isinstance(value, str) else value
                        for key, value in cell.values.items()
                    }
                records.append(record)
        return pd.DataFrame.from_records(records)


def plain(name: str, caption: str, columns: Sequence[Column], lines: Sequence[Line]) -> Table:
    """A table whose rows are not grouped."""
    return Table(name, caption, tuple(columns), (Group("", tuple(lines)),))


def number(value: float, digits: int = 2) -> str:
    """A number as text, with a real minus sign; a dash where there is none."""
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """A difference as text, with a real minus sign; what is printed as zero has no sign."""
    if math.isnan(value):
        return NOTHING
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def ranks(values: Sequence[float], *, higher: bool = True, digits: int = 2) -> list[int]:
    """1 for the best, 2 for the second best; equal as printed is equal in rank.

    One number alone has no rank.

    Args:
        values: NaN is no number.
        higher: Whether more is better.
        digits: How many are printed.
    """
    shown = [None if math.isnan(value) else round(float(value), digits) for value in values]
    distinct = sorted({value for value in shown if value is not None}, reverse=higher)
    if len(distinct) < 2:
        return [0] * len(shown)
    return [1 + distinct.index(v) if v in distinct[:2] else 0 for v in shown]


def ranked(values: Sequence[float], key: str) -> list[Cell]:
    """Numbers as cells, best and second best marked; more is better."""
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
    """Rows made from columns; a row's key is the text of its first cell."""
    rows = zip(*[cells for _, cells in columns], strict=True)
    return [Line(cells[0].text, tuple(cells)) for cells in rows]
