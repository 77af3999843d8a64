"""Agreement of neighbouring slices of a label map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import IGNORED, dice_of_counts


def neighbour_dice(labels: NDArray[Any], num_classes: int) -> NDArray[np.float64]:
    """Compute the mean Dice between each slice and the next, per class (the paper's Fig. 1d).

    Args:
        labels: `(D, H, W)` class indices. A pixel that is `IGNORED` in one slice of a pair is
            excluded from both.
        num_classes: K, background included.

    Returns:
        `(K,)` mean over the pairs of slices of which at least one contains the class; NaN if no
        slice contains it.
    """
    scores = np.full(num_classes, np.nan)
    annotated = labels != IGNORED
    pairs = annotated[:-1] & annotated[1:]
    for k in range(num_classes):
        mask = labels == k
        one, next_ = mask[:-1] & pairs, mask[1:] & pairs
        dice = dice_of_counts(*(part.sum(axis=(1, 2)) for part in (one & next_, one, next_)))
        # A class in only one of the two slices scores 0, whichever of them it is.
        if not np.isnan(dice).all():
            scores[k] = np.nanmean(dice)
    return scores
