"""Calibration: the accuracy of predictions by confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spsam.reporting.figures.recorded import recorded
from spsam.reporting.figures.style import (
    GREY,
    Drawing,
    NothingToDrawError,
    colour,
    dashes,
    full_width,
    new_figure,
)
from spsam.reporting.tables.study import StudyResults
from spsam.results.measures import BINS, MARGIN, read_measures

_FEWEST = 20  # Bins with fewer voxels are omitted.


def draw(study: StudyResults) -> Drawing:
    """Top: accuracy by confidence; bottom: share of voxels by confidence."""
    found, missing = recorded(study, "measures.npz", read_measures)
    # Label maps of external predictions have no confidences.
    found = {arm: runs for arm, runs in found.items() if any(run.voxels.any() for run in runs)}
    if not found:
        raise NothingToDrawError("No finished run has recorded confidences.")
    figure = new_figure(full_width(), 3.9)
    reliability, share = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    reliability.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls=(0, (4, 2)))
    edges = np.linspace(0, 1, BINS + 1)
    for place, arm in enumerate(study.measured.arms):
        if arm.name not in found:
            continue
        runs = found[arm.name]
        voxels, confidence, correct = (
            np.sum([getattr(run, name).sum(axis=0) for run in runs], axis=0)
            for name in ("voxels", "confidence", "correct")
        )
        many = voxels >= _FEWEST
        error = expected_calibration_error(voxels, confidence, correct)
        reliability.plot(
            confidence[many] / voxels[many],
            correct[many] / voxels[many],
            "o",
            ls=dashes(place),
            ms=3.5,
            color=colour(place),
            label=f"{arm.label}   ECE {100 * error:.1f}%   ({runs[0].activation})",
        )
        total = max(int(voxels.sum()), 1)
        share.stairs(100 * voxels / total, edges, color=colour(place), ls=dashes(place), lw=1.2)
    reliability.set_ylabel("accuracy")
    reliability.set_ylim(0, 1.02)
    reliability.set_xlim(0, 1)
    reliability.grid()
    reliability.legend(loc="upper left")
    share.set_xlabel("confidence")
    share.set_ylabel("voxels, %")
    share.grid(axis="y")
    return Drawing(
        figure,
        f"Reliability of voxels within {MARGIN:g} mm of the bounding box of the reference's "
        f"foreground, pooled over test cases and seeds, in {BINS} bins; below, the share of voxels "
        "in each bin. On the dashed line, accuracy equals confidence. ECE: the mean distance from "
        "it, weighted by voxels. Confidence of a softmax head: the probability of the predicted "
        "class; of a sigmoid head: the sigmoid of the predicted class or, if no class is positive, "
        f"one minus the largest foreground sigmoid.{missing}",
    )


def expected_calibration_error(
    voxels: NDArray[np.int64], confidence: NDArray[np.float64], correct: NDArray[np.int64]
) -> float:
    """Expected calibration error: mean distance between accuracy and confidence.

    Args:
        voxels: `(bins,)` number of voxels, the weight of each bin.
        confidence: `(bins,)` sum of confidences.
        correct: `(bins,)` number of correct voxels.

    Returns:
        A value in 0…1; NaN without voxels.
    """
    total = float(voxels.sum())
    return float(np.abs(correct - confidence).sum() / total) if total else float("nan")
