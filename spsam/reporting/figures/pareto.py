"""Dice against cost: trained parameters and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spsam.reporting.figures.style import (
    GREY,
    Drawing,
    NothingToDrawError,
    colour,
    facets,
)
from spsam.reporting.tables.study import STEP_TIME, StudyResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE, _HIGH = 40, 10  # size of a label in points
_LETTER = 4.5

Point = tuple[int, str, float, float]


def draw(study: StudyResults) -> Drawing:
    """One axis per cost; a line connects the arms of the Pareto front."""
    scores = study.scores("dice")
    arms = [
        (place, arm)
        for place, arm in enumerate(study.measured.arms)
        if not np.isnan(scores[arm.name].mean())
    ]
    if not arms:
        raise NothingToDrawError("No run is finished yet.")
    costs = {
        "trained parameters, million": {a.name: a.trained_parameters / 1e6 for _, a in arms},
        "optimiser step, second": {a.name: study.cost(STEP_TIME, a.name) for _, a in arms},
    }
    points = {
        title: [
            (place, arm.name, cost[arm.name], 100 * float(scores[arm.name].mean()))
            for place, arm in arms
            if not np.isnan(cost[arm.name])
        ]
        for title, cost in costs.items()
    }
    left_out = [title.partition(",")[0] for title, found in points.items() if not found]
    points = {title: found for title, found in points.items() if found}
    if not points:
        raise NothingToDrawError("No run trained by spsam is finished yet.")
    figure, axes = facets(len(points), columns=2, height=2.8, share=False)
    for axis, (title, found) in zip(axes, points.items(), strict=True):
        _draw(axis, study, found)
        axis.set_xlabel(title)
        axis.grid()
        axis.margins(0.15)
    axes[0].set_ylabel("mean Dice, percent")
    labels = {arm.name: arm.label for _, arm in arms}
    # Labels are placed to avoid overlaps, which requires the final layout.
    figure.draw_without_rendering()
    for axis, found in zip(axes, points.values(), strict=True):
        shown = [(place, labels[name], cost, value) for place, name, cost, value in found]
        _label(axis, shown, 72 / figure.dpi)
    caption = (
        "Mean Dice against cost. The line connects the Pareto front: arms that no other arm "
        "exceeds in Dice at equal or lower cost. Vertical lines: 95% confidence interval over "
        "patients. Time: the median optimiser step of the joint phase, averaged over runs; it "
        "depends on the machine."
    )
    if left_out:
        caption += f" Not shown, because not recorded by any run: {', '.join(left_out)}."
    return Drawing(figure, caption)


def front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Indices of the Pareto front, by increasing cost: less cost and more value are better."""
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i]))
    chosen: list[int] = []
    for index in order:
        if not chosen or values[index] > values[chosen[-1]]:
            chosen.append(index)
    return chosen


def _draw(axis: Axes, study: StudyResults, points: Sequence[Point]) -> None:
    costs, values = [point[2] for point in points], [point[3] for point in points]
    best = front(costs, values)
    ends = [costs[i] for i in best], [values[i] for i in best]
    axis.step(*ends, where="post", color=GREY, lw=1, zorder=1)
    for index, (place, name, cost, value) in enumerate(points):
        shade = colour(place)
        low, high = (100 * end for end in study.interval("dice", name))
        axis.plot([cost, cost], [low, high], color=shade, lw=1, alpha=0.5, zorder=2)
        axis.plot(
            cost, value, "o", color=shade, mfc=shade if index in best else "white", ms=6, zorder=3
        )


def _label(axis: Axes, points: Sequence[Point], scale: float) -> None:
    """Adds names next to points; overlapping names are moved down and connected by a line.

    Args:
        axis: The axis with its final limits.
        points: The points on the axis.
        scale: Points (typographic) per pixel.
    """
    wide = max(_WIDE, _LETTER * max(len(name) for _, name, _, _ in points))
    placed: list[tuple[float, float]] = []
    for _, name, cost, value in sorted(points, key=lambda point: -point[3]):
        x, y = axis.transData.transform((cost, value)) * scale
        low = y + 3
        while any(abs(x - other[0]) < wide and abs(low - other[1]) < _HIGH for other in placed):
            low -= 1
        placed.append((x, low))
        moved = low < y
        axis.annotate(
            name,
            (cost, value),
            (16 if moved else 7, low - y),
            textcoords="offset points",
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5} if moved else None,
        )
