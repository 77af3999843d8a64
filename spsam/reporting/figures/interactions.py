"""Interactions of two factors in a factorial study."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.figures.style import (
    Drawing,
    NothingToDrawError,
    colour,
    dashes,
    facets,
    row_starts,
)
from spsam.reporting.statistics.bootstrap import bootstrap_interval, resampling_weights
from spsam.reporting.statistics.scores import Scores
from spsam.reporting.tables.study import StudyResults
from spsam.text.drawn import in_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ASIDE = 0.06  # Offset of a level, so that error bars do not overlap.

Pair = tuple[str, str]


def draw(study: StudyResults) -> Drawing:
    """One axis per pair of factors: the first on the x-axis, one line per level of the second."""
    pairs = pairs_of(study)
    if not pairs:
        raise NothingToDrawError("No two factors have finished cells for all pairs of levels.")
    figure, axes = facets(len(pairs), columns=2, height=2.4, share=False)
    limits = []
    for axis, pair in zip(axes, pairs, strict=True):
        _draw(axis, study, pair)
        limits.append(axis.get_ylim())
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    for axis in axes:
        # The same scale on all axes, so that slopes are comparable.
        axis.set_ylim(low, high)
    for axis in row_starts(axes, 2):
        axis.set_ylabel("mean Dice, percent")
    return Drawing(
        figure,
        "Mean Dice of the cells with both levels, over all levels of the other factors. Parallel "
        "lines: the effects of both factors add up. Other lines: one factor changes the effect of "
        "the other; the table of effects contains the tests. Vertical lines: 95% confidence "
        "interval over patients (BCa bootstrap).",
    )


def pairs_of(study: StudyResults) -> list[Pair]:
    """The pairs of factors for which all combinations of levels have finished cells."""
    return [
        pair
        for pair in itertools.combinations(study.measured.factors, 2)
        if all(_cells(study, pair, both) for both in itertools.product(*_levels(study, pair)))
    ]


def marginal_mean(
    cells: Iterable[Scores], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Mean over cells, each weighted equally.

    Args:
        cells: Cells with at least one finished seed each.
        weights: `(..., P)` weight of each patient; None: weight 1.

    Returns:
        `(...)`.
    """
    means: NDArray[np.float64] = np.mean([cell.mean(weights) for cell in cells], axis=0)
    return means


def _levels(study: StudyResults, pair: Pair) -> list[list[str]]:
    own = [arm.levels for arm in study.measured.arms if not arm.external]
    return [list(dict.fromkeys(one[f] for one in own if f in one)) for f in pair]


def _cells(study: StudyResults, pair: Pair, levels: tuple[str, ...]) -> list[Scores]:
    scores = study.scores("dice")
    return [
        scores[arm.name]
        for arm in study.measured.arms
        if tuple(arm.levels.get(factor) for factor in pair) == levels
        and not math.isnan(scores[arm.name].mean())
    ]


def _draw(axis: Axes, study: StudyResults, pair: Pair) -> None:
    first, second = _levels(study, pair)
    for place, other in enumerate(second):
        shift = _ASIDE * (place - (len(second) - 1) / 2)
        places = np.arange(len(first)) + shift
        means = []
        for at, level in zip(places, first, strict=True):
            cells = _cells(study, pair, (level, other))
            means.append(100 * float(marginal_mean(cells)))
            weights = resampling_weights(len(cells[0].sums))
            low, high = bootstrap_interval(partial(marginal_mean, cells), weights)
            axis.plot([at, at], [100 * low, 100 * high], color=colour(place), lw=1, alpha=0.6)
        axis.plot(
            places, means, "o", ls=dashes(place), ms=4, color=colour(place), label=in_legend(other)
        )
    axis.set_xticks(range(len(first)), first)
    axis.set_xlim(-0.4, len(first) - 0.6)
    axis.set_xlabel(pair[0])
    axis.grid(axis="y")
    axis.legend(title=pair[1], title_fontsize=8)
