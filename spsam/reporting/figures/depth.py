"""Dice of slices by their position along the organ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import dice_of_counts
from spsam.reporting.figures.recorded import recorded
from spsam.reporting.figures.style import Drawing, colour, dashes, facets, legend, row_starts
from spsam.reporting.tables.study import StudyResults
from spsam.results.measures import Measures, read_measures
from spsam.text.drawn import in_legend

PARTS = 8
"""Number of parts that an organ is divided into along the depth axis."""


def draw(study: StudyResults) -> Drawing:
    """One axis per class and one line per arm: Dice of slices by position in the organ."""
    found, missing = recorded(study, "measures.npz", read_measures)
    classes = study.measured.class_labels
    figure, axes = facets(len(classes) - 1, columns=3, height=2.0, share=True)
    middles = (np.arange(PARTS) + 0.5) / PARTS
    for place, arm in enumerate(study.measured.arms):
        profiles = np.array([profile(run) for run in found.get(arm.name, [])])
        if not profiles.size:
            continue
        there = ~np.isnan(profiles)
        total = np.where(there, profiles, 0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = 100 * total / there.sum(axis=0)
        for k, axis in enumerate(axes, start=1):
            axis.plot(
                middles,
                mean[k],
                "o",
                ls=dashes(place),
                ms=3,
                color=colour(place),
                label=in_legend(arm.label),
            )
    for k, axis in enumerate(axes, start=1):
        axis.set_title(classes[k])
        axis.set_xlim(0, 1)
        axis.set_ylim(-3, 103)
        axis.set_xticks([0, 0.5, 1], ["first", "middle", "last"])
        axis.grid(axis="y")
    for axis in row_starts(axes, 3):
        axis.set_ylabel("Dice of a slice, percent")
    legend(figure, axes[0], columns=9)
    return Drawing(
        figure,
        "Dice of single slices along the depth axis, from the first to the last slice with the "
        f"organ in the reference, in {PARTS} parts; averaged over the slices of a part in each "
        "case, then over cases, then over seeds. Slices are in the order of the file; the data set "
        f"determines which end is the upper one.{missing}",
    )


def profile(measures: Measures) -> NDArray[np.float64]:
    """Mean Dice of slices by their relative position in the organ.

    Args:
        measures: The measures of one run.

    Returns:
        `(K, PARTS)` in 0…1, averaged over cases; NaN if no case has a slice.
    """
    dice = dice_of_counts(*np.moveaxis(measures.counts, -1, 0))
    classes = measures.counts.shape[1]
    sums, counts = np.zeros((classes, PARTS)), np.zeros((classes, PARTS))
    for number in range(len(measures.cases)):
        of_case = measures.case == number
        for k in range(1, classes):
            scored = dice[of_case, k]
            filled = np.flatnonzero(measures.counts[of_case, k, 2])
            if not filled.size:
                continue
            length = filled[-1] - filled[0] + 1
            parts = np.minimum((filled - filled[0] + 0.5) / length * PARTS, PARTS - 1).astype(int)
            total = np.bincount(parts, scored[filled], PARTS)
            many = np.bincount(parts, minlength=PARTS)
            sums[k] += np.divide(total, many, out=np.zeros(PARTS), where=many > 0)
            counts[k] += many > 0
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
