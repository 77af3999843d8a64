"""The scores of a study's runs as one table, with the data types of `StudyData.rows`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spsam.reporting.study_data import ArmData

Scores = Mapping[str, Sequence[Any]]
"""The columns of a run's scores."""

WORDS = ("case", "patient", "class_name", "metric", "convention")
_ROW_COLUMNS = (
    *("run_id", "arm", "seed", "fold", "case", "patient"),
    *("class_id", "class_name", "metric", "convention", "value"),
)


def as_rows(table: pd.DataFrame, arms: Sequence[ArmData]) -> pd.DataFrame:
    """Converts a table of scores to the data types of `StudyData.rows`."""
    names = [arm.name for arm in arms]
    columns = {
        "run_id": _category(table["run_id"]),
        "arm": _category(table["arm"], names),
        "seed": table["seed"].to_numpy(np.int64),
        **{name: _category(table[name]) for name in WORDS},
        **{name: table[name].to_numpy(np.int16) for name in ("fold", "class_id")},
        "value": table["value"].to_numpy(np.float64),
    }
    return pd.DataFrame({name: columns[name] for name in _ROW_COLUMNS})


def gather_rows(
    parts: Sequence[tuple[str, int, str, Scores]], arms: Sequence[ArmData]
) -> pd.DataFrame:
    """Combines the scores of all runs into one table.

    Args:
        parts: Arm, seed, run id and columns of each finished run.
        arms: Arms in the order of the categories of `arm`.
    """
    lengths = [len(scores["value"]) for *_, scores in parts]

    def joined(name: str) -> Iterator[Any]:
        return (value for *_, scores in parts for value in scores[name])

    def repeated(index: int) -> list[Any]:
        return [p[index] for p, length in zip(parts, lengths, strict=True) for _ in range(length)]

    count = sum(lengths)
    columns: dict[str, Any] = {
        "run_id": _category(repeated(2)),
        "arm": _category(repeated(0), [arm.name for arm in arms]),
        "seed": np.fromiter(repeated(1), np.int64, count),
        **{name: _category(joined(name)) for name in WORDS},
        **{name: np.fromiter(joined(name), np.int16, count) for name in ("fold", "class_id")},
        "value": np.fromiter(joined("value"), np.float64, count),
    }
    return pd.DataFrame({name: columns[name] for name in _ROW_COLUMNS})


def _category(words: Iterable[str], first: Sequence[str] = ()) -> pd.Categorical[Any]:
    """Categories in the order of their first occurrence, which preserves the split's order."""
    number = {word: index for index, word in enumerate(first)}
    codes: NDArray[np.int32] = np.array(
        [number.setdefault(word, len(number)) for word in words], np.int32
    )
    found: pd.Categorical[Any] = pd.Categorical.from_codes(
        codes, categories=pd.Index(list(number), dtype=object)
    )
    return found
