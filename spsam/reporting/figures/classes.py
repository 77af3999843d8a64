"""Distribution of the scores over test cases, for each class and arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.figures.style import (
    Drawing,
    NothingToDrawError,
    colour,
    data_limits,
    facets,
    is_narrow,
    row_starts,
)
from spsam.reporting.tables.study import StudyResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS = 24  # Total length of labels that fit side by side below an axis.
_POINTS = 60  # With more cases, points would hide the box.


def draw(study: StudyResults) -> Drawing:
    """One axis per class with one box per arm; few cases are also drawn as points."""
    rows = study.measured.rows
    rows = rows[(rows["metric"] == "dice") & (rows["class_id"] > 0) & rows["value"].notna()]
    if rows.empty:
        raise NothingToDrawError("No run is finished yet.")
    arms = [arm.name for arm in study.measured.arms]
    labels = [arm.label for arm in study.measured.arms]
    # One value per case: several seeds are not additional cases.
    grouped = rows.groupby(["class_id", "arm", "case"], observed=True)["value"].mean()
    means: dict[Any, NDArray[np.float64]] = {
        key: 100 * values.to_numpy() for key, values in grouped.groupby(level=[0, 1], observed=True)
    }
    classes = study.measured.class_labels
    limits = data_limits(np.concatenate(list(means.values())))
    longest = max(map(len, labels))
    letters = 2 * _LETTERS if is_narrow() else _LETTERS
    upright = len(arms) > 6 or len(arms) * longest > letters
    height = 2.1 + (0.06 * longest if upright else 0)
    figure, axes = facets(len(classes) - 1, columns=3, height=height, share=True)
    for k, axis in enumerate(axes, start=1):
        for place, arm in enumerate(arms):
            # An arm without a finished run keeps its position, which stays empty.
            if (k, arm) in means:
                _box(axis, place, means[k, arm])
        axis.set_title(classes[k])
        axis.set_xticks(range(len(arms)), labels, rotation=90 if upright else 0)
        axis.set_xlim(-0.6, len(arms) - 0.4)
        axis.set_ylim(*limits)
        axis.grid(axis="y")
    for axis in row_starts(axes, 3):
        axis.set_ylabel("Dice, percent")
    return Drawing(
        figure,
        f"Dice by class over {len(study.cases)} test cases. Each value is the mean of a case over "
        "finished seeds; values that the convention excludes are omitted. Box: "
        "quartiles and median; whiskers: up to the last case within 1.5 times the interquartile "
        "range; diamond: mean. The axis covers the range of the values and is the same for all "
        "classes.",
    )


def _box(axis: Axes, place: int, values: NDArray[np.float64]) -> None:
    shade = colour(place)
    axis.boxplot(
        values,
        positions=[place],
        widths=0.55,
        showmeans=True,
        showfliers=len(values) > _POINTS,
        patch_artist=True,
        boxprops={"facecolor": shade, "alpha": 0.25, "edgecolor": shade},
        medianprops={"color": shade, "linewidth": 1.6},
        whiskerprops={"color": shade},
        capprops={"color": shade},
        flierprops={"marker": ".", "markersize": 2, "markeredgecolor": shade},
        meanprops={
            "marker": "D",
            "markersize": 3.5,
            "markerfacecolor": "white",
            "markeredgecolor": shade,
        },
        manage_ticks=False,
    )
    if len(values) <= _POINTS:
        # Fixed positions: a figure must not change when it is drawn again.
        shift = np.random.default_rng(place).uniform(-0.18, 0.18, len(values))
        axis.plot(place + shift, values, ".", ms=3, color=shade, alpha=0.7)
