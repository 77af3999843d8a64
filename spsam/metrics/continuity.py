"""How much neighbouring slices of a label map agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import IGNORED, dice_of_counts


def neighbour_dice(labels: NDArray[Any], num_classes: int) -> NDArray[np.float64]:
    """Mean Dice between each slice and the next (paper's Fig. 1d, as a number).

    Args:
        labels: `(D, H, W)` class indices; a pixel that is `IGNORED` in one of two slices does not
            count in either.
        num_classes: K, background included.

    Returns:
        `(K,)`, over the pairs of slices of which at least one has the class; NaN where none has.
    """
    scores = np.full(num_classes, np.nan)
    annotated = labels != IGNORED
    pairs = annotated[:-1] & annotated[1:]
    for k in range(num_classes):
        mask = labels == k
        one, next_ = mask[:-1] & pairs, mask[1:] & pairs
        dice = dice_of_counts(*(part.sum(axis=(1, 2)) for part in (one & next_, one, next_)))
        # An invented class scores 0 by any convention here: one slice has it, the other has not.
        if not np.isnan(dice).all():
            scores[k] = np.nanmean(dice)
    return scores
