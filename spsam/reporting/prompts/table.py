"""The tables of a prompt study; Dice in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from spsam.reporting.means import class_column, class_means, mean_dice
from spsam.reporting.render.model import (
    Cell,
    Column,
    Group,
    Line,
    Source,
    Table,
    number,
    ranked,
    ranks,
)
from spsam.results.rows import Row
from spsam.text.classes import class_labels

_NOTHING_KNOWN: Mapping[str, Source] = {}


@dataclass(frozen=True)
class CellResult:
    """A combination of prompts and its scores.

    Attributes:
        prompts: Kinds of prompts, joined by +.
        point: Point strategy; None without a point.
        source: `ground_truth`, `auxiliary` or `disturbed`.
        disturbance: Name of the disturbance; None if there is none.
        seeds: Rows of each seed.
        mask: Mask form; None without a mask prompt.
    """

    prompts: str
    point: str | None
    source: str
    disturbance: str | None
    seeds: Sequence[Sequence[Row]]
    mask: str | None = None

    @property
    def origin(self) -> str:
        """The source of prompts, as shown in tables."""
        return self.disturbance or self.source.replace("_", " ")


def prompt_table(
    results: Sequence[CellResult], class_names: Sequence[str], metric: str
) -> pd.DataFrame:
    """One row per cell.

    The Dice of a class is the mean over cases; that of a cell is the mean over foreground classes,
    then over seeds.

    Args:
        results: In the order of the rows.
        class_names: All classes, background first.
        metric: `mask` or `labels`.

    Returns:
        Columns prompts, point, mask, source, disturbance, seeds, dice, std (over seeds, NaN for
        one) and one `dice: <class>` per foreground class. Dice in percent; NaN if there is no
        value.
    """
    records = [_record(result, class_names, metric) for result in results]
    columns = ["prompts", "point", "mask", "source", "disturbance", "seeds", "dice", "std"]
    columns += [class_column(name) for name in class_labels(class_names)[1:]]
    return pd.DataFrame.from_records(records, columns=columns)


def cells_table(table: pd.DataFrame, caption: str, sources: Sequence[Source] = ()) -> Table:
    """The cells of a study, grouped by kinds of prompts.

    Args:
        table: The result of `prompt_table`.
        caption: The caption.
        sources: The source of each row's numbers; optional.
    """
    classes = [str(name) for name in table.columns if str(name).startswith("dice: ")]
    columns = [
        *(Column(name, name, False) for name in _how(table)),
        Column("source", "source", False),
        Column("dice", "Dice"),
        *[Column(name, name.removeprefix("dice: "), of_class=True) for name in classes],
    ]
    order = {name: ranks(table[name].tolist()) for name in ("dice", *classes)}
    lines: dict[str, list[Line]] = {}
    for index, line in enumerate(table.to_dict("records")):
        source = sources[index] if sources else None
        # pandas stores None as NaN.
        record: dict[str, Any] = {str(k): None if _is_nothing(k, v) else v for k, v in line.items()}
        origin = record["disturbance"] or str(record["source"]).replace("_", " ")
        how = [record[name] for name in _how(table)]
        about = {key: record[key] for key in ("source", "disturbance", "seeds")}
        numbers = [
            Cell(number(record[name]), {name: record[name]}, order[name][index], source=source)
            for name in classes
        ]
        cells = (
            *(Cell(record[name] or "", {name: record[name]}) for name in _how(table)),
            Cell(origin, about),
            _mean(record, order["dice"][index], source),
            *numbers,
        )
        key = cell_key(record["prompts"], *how, origin)
        lines.setdefault(record["prompts"], []).append(Line(key, cells))
    groups = tuple(Group(prompts, tuple(rows)) for prompts, rows in lines.items())
    return Table("table", caption, tuple(columns), groups, grouped_by="prompts")


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice: one row per prompts, point and mask, one column per source.

    The column `mask` is omitted if it is unknown, as in studies stored by earlier versions.
    """
    index = ["prompts", *_how(table)]
    flat = table.assign(origin=origins(table), **{name: table[name].fillna("") for name in index})
    wide = flat.pivot_table(
        index=index, columns="origin", values="dice", sort=False, dropna=False, observed=True
    )
    wide = wide.dropna(how="all").reindex(columns=list(dict.fromkeys(flat["origin"])))
    order = list(dict.fromkeys(flat[index].itertuples(index=False, name=None)))
    return wide.reindex(order).reset_index()


def labels_of(wide: pd.DataFrame) -> list[str]:
    """The columns of an overview that identify its rows."""
    return [name for name in ("prompts", "point", "mask") if name in wide.columns]


def overview_table(
    wide: pd.DataFrame, caption: str, sources: Mapping[str, Source] = _NOTHING_KNOWN
) -> Table:
    """The overview as a table.

    Args:
        wide: The result of `overview`.
        caption: The caption.
        sources: Sources of numbers, by the keys of rows of `cells_table`.
    """
    how = labels_of(wide)[1:]
    kinds = [str(name) for name in wide.columns[1 + len(how) :]]
    columns = [
        *(Column(name, name, False) for name in how),
        *(Column(name, name) for name in kinds),
    ]
    by_kind = {name: ranked(wide[name].tolist(), name) for name in kinds}
    lines: dict[str, list[Line]] = {}
    for index, record in enumerate(wide[["prompts", *how]].to_dict("records")):
        key = cell_key(*record.values())
        numbers = [
            replace(by_kind[name][index], source=sources.get(cell_key(key, name))) for name in kinds
        ]
        cells = (*(Cell(record[name], {name: record[name]}) for name in how), *numbers)
        lines.setdefault(record["prompts"], []).append(Line(key, cells))
    groups = tuple(Group(prompts, tuple(rows)) for prompts, rows in lines.items())
    return Table("overview", caption, tuple(columns), groups, grouped_by="prompts")


def cell_key(*parts: str | None) -> str:
    """The key of a row: prompts, point, mask and source, without those that are None."""
    return ", ".join(part for part in parts if part)


def origins(table: pd.DataFrame) -> list[str]:
    """The sources of prompts, as shown in tables."""
    pairs = zip(table["source"], table["disturbance"], strict=True)
    return [
        str(disturbance) if isinstance(disturbance, str) else str(source).replace("_", " ")
        for source, disturbance in pairs
    ]


def _how(table: pd.DataFrame) -> list[str]:
    """The columns that describe a prompt: the point, and the mask if it is known."""
    return ["point", *(["mask"] if table["mask"].notna().any() else [])]


def _is_nothing(column: Any, value: Any) -> bool:
    return column in ("point", "mask", "disturbance") and not isinstance(value, str)


def _mean(record: Mapping[Any, Any], rank: int, source: Source | None) -> Cell:
    """Mean Dice ± standard deviation over seeds, if there are several."""
    mean, std = float(record["dice"]), float(record["std"])
    text = number(mean) if math.isnan(std) else f"{number(mean)} ± {number(std)}"
    return Cell(text, {"dice": mean, "std": std}, rank, source=source)


def _record(result: CellResult, class_names: Sequence[str], metric: str) -> dict[str, Any]:
    count = len(class_names)
    seeds = [rows for rows in result.seeds if rows]
    totals = [mean_dice(rows, count, metric) for rows in seeds]
    means = [class_means(rows, count, metric) for rows in seeds]
    by_class = np.mean(means, axis=0) if means else np.full(count - 1, np.nan)
    return {
        "prompts": result.prompts,
        "point": result.point,
        "mask": result.mask,
        "source": result.source,
        "disturbance": result.disturbance,
        "seeds": len(seeds),
        "dice": 100 * float(np.mean(totals)) if totals else math.nan,
        "std": 100 * float(np.std(totals, ddof=1)) if len(totals) > 1 else math.nan,
        **{
            class_column(name): 100 * float(value)
            for name, value in zip(class_labels(class_names)[1:], by_class, strict=True)
        },
    }
