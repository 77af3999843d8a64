"""Agreement of adjacent slices, in predictions and in the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spsam.reporting.means import class_column
from spsam.reporting.render.model import Cell, Column, Table, by_columns, number, plain, words
from spsam.text.classes import class_labels


def neighbours_table(
    scores: Mapping[str, Sequence[NDArray[np.float64]]], class_names: Sequence[str]
) -> pd.DataFrame:
    """One row for the reference and one per run.

    Args:
        scores: Title -> one `(K,)` per case, 0…1, NaN if a case lacks a class.
        class_names: All classes, background first.

    Returns:
        Columns of, dice (mean over classes) and one `dice: <class>` per foreground class, percent.
    """
    records = []
    for title, cases in scores.items():
        values = np.array(cases).reshape(-1, len(class_names))
        means = [_mean(values[:, k]) for k in range(1, len(class_names))]
        record: dict[str, object] = {"of": title, "dice": 100 * _mean(np.array(means))}
        record |= {
            class_column(name): 100 * mean
            for name, mean in zip(class_labels(class_names)[1:], means, strict=True)
        }
        records.append(record)
    return pd.DataFrame.from_records(records)


def to_table(table: pd.DataFrame, caption: str) -> Table:
    """The table for reports."""
    columns = [(Column("of", "slices of", False), words(table["of"].tolist(), "of"))]
    for name in map(str, table.columns[1:]):
        head = "Dice" if name == "dice" else name.removeprefix("dice: ")
        cells = [Cell(number(value), {name: value}) for value in table[name]]
        columns.append((Column(name, head), cells))
    return plain("neighbours", caption, [head for head, _ in columns], by_columns(columns))


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
