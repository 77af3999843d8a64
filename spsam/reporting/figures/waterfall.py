"""The effect of each change on the mean Dice, from arm to arm."""

from __future__ import annotations

from textwrap import fill

import numpy as np

from spsam.reporting.figures.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    Drawing,
    NothingToDrawError,
    full_width,
    is_narrow,
    new_figure,
)
from spsam.reporting.render.model import number, signed
from spsam.reporting.study_data import ArmData
from spsam.reporting.tables.study import StudyResults
from spsam.text.escape import one_line

_LINE = 44  # Maximum number of characters per line next to the axis.


def draw(study: StudyResults) -> Drawing:
    """One row per arm: a bar from its parent's mean to its own, with the change's interval."""
    scores = study.scores("dice")
    # NaN: no finished run, or all values are excluded by the convention.
    arms = [arm for arm in study.measured.arms if not np.isnan(scores[arm.name].mean())]
    if not arms:
        raise NothingToDrawError("No run is finished yet.")
    means = {arm.name: 100 * float(scores[arm.name].mean()) for arm in arms}
    changes = study.comparisons("dice")
    # For factorial studies, the levels contain the same information as the title.
    labels = [arm.label if arm.levels else _label(arm) for arm in arms]
    lines = max(label.count("\n") + 1 for label in labels)
    figure = new_figure(full_width(), (0.42 + 0.1 * (lines - 2) * (lines > 2)) * len(arms) + 1.0)
    axis = figure.subplots()
    rows = {arm.name: row for row, arm in enumerate(arms)}
    for arm in arms:
        row, mean, change = rows[arm.name], means[arm.name], changes.get(arm.name)
        if change is None:
            low, high = (100 * end for end in study.interval("dice", arm.name))
            shade, text = BLUE, number(mean)
        else:
            above = means[change.against]
            low, high = above + 100 * change.low, above + 100 * change.high
            shade = GREEN if mean >= above else VERMILION
            axis.barh(row, mean - above, left=above, height=0.5, color=shade, alpha=0.35)
            # A connector from the parent's row to the start of the bar.
            axis.plot([above, above], [rows[change.against], row], color=GREY, lw=0.8, zorder=1)
            text = f"{number(mean)}  ({signed(100 * change.change)}{change.mark})"
        axis.plot(mean, row, "o", color=shade, ms=5, zorder=3)
        if not np.isnan(low):
            axis.plot([low, high], [row, row], color=shade, lw=1.6, zorder=2)
        side = np.nanmax([mean, high, mean if change is None else above])
        axis.annotate(
            text, (side, row), (6, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set_yticks(range(len(arms)), labels)
    axis.set_ylim(len(arms) - 0.4, -0.6)
    axis.set_xlabel("mean Dice, percent")
    axis.margins(x=0.12)
    axis.grid(axis="x")
    left, right = axis.get_xlim()
    axis.set_xlim(left, right + 0.12 * (right - left))
    return Drawing(
        figure,
        f"Mean Dice over {len(study.cases)} test cases of {study.patients} patients, then over "
        "classes and finished seeds. Each bar extends from the mean of an arm's parent to its own; "
        "its line is the 95% confidence interval of the change over patients, paired (BCa "
        "bootstrap). Blue dots: arms whose parent is not among the finished arms, with the "
        "interval of their mean. Stars: significant after Holm correction; none for a single seed.",
    )


def _label(arm: ArmData) -> str:
    """Name and full title: titles of two arms may differ only in their last words."""
    if is_narrow():
        # There is no space on narrow screens; the titles are in the tables.
        return one_line(arm.shown)
    return fill(one_line(f"{arm.shown}   {arm.title}"), _LINE)
