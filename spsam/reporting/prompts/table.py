"""The tables of a study of prompts, in percent of Dice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spsam.reporting.ablation_table import class_column, class_means, mean_dice
from spsam.reporting.render import Cell, Column, ranked
from spsam.results.rows import Row

NOTHING = "—"


@dataclass(frozen=True)
class CellResult:
    """One way of prompting, and its scores.

    Attributes:
        prompts: Kinds of prompts, joined by +.
        point: How the point is chosen; None without one.
        source: `ground_truth`, `auxiliary` or `disturbed`.
        disturbance: Which; None where there is none.
        seeds: Rows of each seed.
    """

    prompts: str
    point: str | None
    source: str
    disturbance: str | None
    seeds: Sequence[Sequence[Row]]

    @property
    def origin(self) -> str:
        """Where prompts come from, as people read it."""
        return self.disturbance or self.source.replace("_", " ")


def prompt_table(
    results: Sequence[CellResult], class_names: Sequence[str], metric: str
) -> pd.DataFrame:
    """One row a cell.

    A class's Dice is the mean over cases, a cell's the mean over foreground classes, then over
    seeds.

    Args:
        results: In the order of the rows.
        class_names: All classes, background first.
        metric: `mask` or `labels`.

    Returns:
        Columns prompts, point, source, disturbance, seeds, dice, std (over seeds, NaN for one) and
        one `dice: <class>` a foreground class. Dice in percent; NaN where there is no number.
    """
    records = [_record(result, class_names, metric) for result in results]
    columns = ["prompts", "point", "source", "disturbance", "seeds", "dice", "std"]
    columns += [class_column(name) for name in class_names[1:]]
    return pd.DataFrame.from_records(records, columns=columns)


def table_columns(table: pd.DataFrame) -> list[Column]:
    """The table as text."""
    shown = [
        Column("prompts", False, _texts(table["prompts"])),
        Column("point", False, _texts(table["point"])),
        Column("source", False, [Cell(text) for text in origins(table)]),
        Column("Dice", True, with_spread(table)),
    ]
    for name in [name for name in table.columns if str(name).startswith("dice: ")]:
        cells = ranked([float(value) for value in table[name]])
        shown.append(Column(str(name).removeprefix("dice: "), True, cells, of_class=True))
    return shown


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice: a row for prompts and point, a column for each source."""
    flat = table.assign(origin=origins(table), point=table["point"].fillna(""))
    wide = flat.pivot_table(
        index=["prompts", "point"], columns="origin", values="dice", sort=False, dropna=False
    )
    wide = wide.dropna(how="all").reindex(columns=list(dict.fromkeys(flat["origin"])))
    order = list(dict.fromkeys(zip(flat["prompts"], flat["point"], strict=True)))
    return wide.reindex(order).reset_index()


def overview_columns(table: pd.DataFrame) -> list[Column]:
    """The overview as text."""
    shown = [Column(name, False, _texts(table[name])) for name in ("prompts", "point")]
    for name in table.columns[2:]:
        shown.append(Column(str(name), True, ranked([float(value) for value in table[name]])))
    return shown


def origins(table: pd.DataFrame) -> list[str]:
    """Where prompts come from, as people read it."""
    pairs = zip(table["source"], table["disturbance"], strict=True)
    return [
        str(disturbance) if isinstance(disturbance, str) else str(source).replace("_", " ")
        for source, disturbance in pairs
    ]


def with_spread(table: pd.DataFrame) -> list[Cell]:
    """Mean Dice ± standard deviation over seeds, where there are several."""
    marks = ranked([float(value) for value in table["dice"]])
    return [
        mark if math.isnan(float(std)) else Cell(f"{mark.text} ± {float(std):.2f}", mark.rank)
        for mark, std in zip(marks, table["std"], strict=True)
    ]


def _record(result: CellResult, class_names: Sequence[str], metric: str) -> dict[str, Any]:
    count = len(class_names)
    seeds = [rows for rows in result.seeds if rows]
    totals = [mean_dice(rows, count, metric) for rows in seeds]
    means = [class_means(rows, count, metric) for rows in seeds]
    by_class = np.mean(means, axis=0) if means else np.full(count - 1, np.nan)
    return {
        "prompts": result.prompts,
        "point": result.point,
        "source": result.source,
        "disturbance": result.disturbance,
        "seeds": len(seeds),
        "dice": 100 * float(np.mean(totals)) if totals else math.nan,
        "std": 100 * float(np.std(totals, ddof=1)) if len(totals) > 1 else math.nan,
        **{
            class_column(name): 100 * float(value)
            for name, value in zip(class_names[1:], by_class, strict=True)
        },
    }


def _texts(values: pd.Series[Any]) -> list[Cell]:
    return [Cell(value if isinstance(value, str) else "") for value in values]
