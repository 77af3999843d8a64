"""How much neighbouring slices of a label map agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import dice_of_counts


def neighbour_dice(labels: NDArray[Any], num_classes: int) -> NDArray[np.float64]:
    """Mean Dice between each slice and the next (paper's Fig. 1d, as a number).

    Args:
        labels: `(D, H, W)` class indices.
        num_classes: K, background included.

    Returns:
        `(K,)`, over the pairs of slices of which at least one has the class; NaN where none has.
    """
    scores = np.full(num_classes, np.nan)
    for k in range(num_classes):
        mask = labels == k
        pixels = mask.sum(axis=(1, 2))
        both = (mask[:-1] & mask[1:]).sum(axis=(1, 2))
        dice = dice_of_counts(both, pixels[:-1], pixels[1:])
        # An invented class scores 0 by any convention here: one slice has it, the other has not.
        if not np.isnan(dice).all():
            scores[k] = np.nanmean(dice)
    return scores
