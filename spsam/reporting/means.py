"""Means over the rows of one run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from spsam.results.rows import Row


def class_means(rows: Iterable[Row], num_classes: int, metric: str = "dice") -> NDArray[np.float64]:
    """Mean score of each foreground class over the cases of a run.

    Args:
        rows: The run's rows.
        num_classes: Number of classes K, including the background.
        metric: The metric to average.

    Returns:
        `(K - 1,)` in 0…1; NaN for classes without a score.
    """
    values: list[list[float]] = [[] for _ in range(num_classes)]
    for row in rows:
        if row.metric == metric and not math.isnan(row.value):
            values[row.class_id].append(row.value)
    return np.array([_mean(of_class) for of_class in values[1:]])


def mean_dice(rows: Iterable[Row], num_classes: int, metric: str = "dice") -> float:
    """Mean Dice of a run over its foreground classes, in 0…1."""
    means = class_means(rows, num_classes, metric)
    return _mean(means[~np.isnan(means)].tolist())


def class_column(name: str) -> str:
    """Name of the column with the Dice of a class."""
    return f"dice: {name}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
