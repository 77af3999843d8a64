"""Where a trained run loses: in its prompts, or in the decoder that answers them."""

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
    """One row a class, and their mean.

    What is missing to a Dice of 100 is split in two: `prompt_error` is what perfect prompts would
    add, `decoder_error` what is missing with them.

    Args:
        quality: Metrics `auxiliary`, `box_iou`, `inside`, `distance` of a run's own prompts.
        own: Metric `labels` of the network given its own prompts.
        oracle: The same given prompts of the ground truth.
        class_names: All classes, background first.

    Returns:
        The columns of `HEADS`; all but `distance` (pixels) in percent.
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
    """The same as people read it."""
    columns = [(Column("class", "class", False), words(table["class"].tolist(), "class"))]
    for name in list(HEADS)[1:]:
        cells = [Cell(number(value), {name: value}) for value in table[name]]
        columns.append((Column(name, HEADS[name]), cells))
    return plain("attribution", caption, [head for head, _ in columns], by_columns(columns))


def attribution_caption(label: str, cases: int, unit: str) -> str:
    """The sentence below the table."""
    return (
        f"Error attribution of {label}, {cases} cases, in percent{unit}. Auxiliary Dice: of the "
        "prompt generator's label map. Box IoU: 0 where a class of the slice has no prompt. Point: "
        "share inside the reference and distance to its border, negative outside, in slices where "
        "reference and prompt have the class. Own and perfect prompts: the same network given "
        "prompts of its auxiliary masks and of the ground truth; lost by prompts is their "
        "difference, lost by the decoder what is then missing to 100."
    )
