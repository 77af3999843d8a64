"""Error attribution of a trained run: errors of its prompts, and of its mask decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spsam.reporting.means import class_means
from spsam.reporting.render.model import Cell, Column, Table, by_columns, number, plain, words
from spsam.results.rows import Row
from spsam.text.classes import class_labels

HEADS = {
    "class": "class",
    "auxiliary": "auxiliary Dice",
    "box_iou": "box IoU",
    "inside": "point inside (%)",
    "distance": "point to border (px)",
    "own": "own prompts",
    "oracle": "perfect prompts",
    "prompt_error": "lost by prompts",
    "decoder_error": "lost by decoder",
}


def attribution_table(
    quality: Sequence[Row], own: Sequence[Row], oracle: Sequence[Row], class_names: Sequence[str]
) -> pd.DataFrame:
    """One row per class, and their mean.

    The gap to a Dice of 100 is split into two parts: `prompt_error` is the gain by perfect prompts,
    `decoder_error` is the remaining gap with perfect prompts.

    Args:
        quality: Metrics `auxiliary`, `box_iou`, `inside`, `distance` of a run's own prompts.
        own: Metric `labels` of the network with its own prompts.
        oracle: Metric `labels` of the network with prompts of the ground truth.
        class_names: All classes, background first.

    Returns:
        The columns of `HEADS`, in percent except for `distance` (pixels).
    """
    count = len(class_names)
    measured = {
        "auxiliary": 100 * class_means(quality, count, "auxiliary"),
        "box_iou": 100 * class_means(quality, count, "box_iou"),
        "inside": 100 * class_means(quality, count, "inside"),
        "distance": class_means(quality, count, "distance"),
        "own": 100 * class_means(own, count, "labels"),
        "oracle": 100 * class_means(oracle, count, "labels"),
    }
    measured["prompt_error"] = measured["oracle"] - measured["own"]
    measured["decoder_error"] = 100 - measured["oracle"]
    table = pd.DataFrame({"class": list(class_labels(class_names)[1:]), **measured})
    means = {name: np.nan if table[name].isna().all() else table[name].mean() for name in measured}
    return pd.concat([table, pd.DataFrame([{"class": "mean", **means}])], ignore_index=True)


def to_table(table: pd.DataFrame, caption: str) -> Table:
    """The table for reports."""
    columns = [(Column("class", "class", False), words(table["class"].tolist(), "class"))]
    for name in list(HEADS)[1:]:
        cells = [Cell(number(value), {name: value}) for value in table[name]]
        columns.append((Column(name, HEADS[name]), cells))
    return plain("attribution", caption, [head for head, _ in columns], by_columns(columns))


def attribution_caption(label: str, cases: int, unit: str) -> str:
    """The caption of the table."""
    return (
        f"Error attribution of {label}, {cases} cases, in percent{unit}. Auxiliary Dice: Dice of "
        "the prompt generator's label map. Box IoU: 0 if a class in the slice has no prompt. "
        "Point: share inside the reference and distance to its border, negative outside, in slices "
        "with the class in both reference and prompt. Own and perfect prompts: Dice of the network "
        "with prompts of its auxiliary masks and of the ground truth; lost by prompts: their "
        "difference; lost by the decoder: the remaining gap to 100."
    )
