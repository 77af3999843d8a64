"""Measures of overlap and volume beside Dice, from the same counts of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spsam.metrics.dice import dice_of_counts


def iou_of_counts(
    both: NDArray[Any],
    in_prediction: NDArray[Any],
    in_reference: NDArray[Any],
    convention: str = "nnunet",
) -> NDArray[np.float64]:
    """Intersection over union, Dice / (2 - Dice), so that empty classes score as in Dice.

    Args:
        both: Voxels in prediction and reference, any shape.
        in_prediction: The same shape.
        in_reference: The same shape.
        convention: As in `dice`.

    Raises:
        InputError: If the convention is unknown.
    """
    dice = dice_of_counts(both, in_prediction, in_reference, convention)
    iou: NDArray[np.float64] = dice / (2 - dice)
    return iou


def volume_error_of_counts(
    in_prediction: NDArray[Any], in_reference: NDArray[Any]
) -> NDArray[np.float64]:
    """(predicted − reference) / reference: -1 for a missed class, NaN where none was to be found.

    Args:
        in_prediction: Voxels, any shape.
        in_reference: The same shape.
    """
    error = np.full(np.shape(in_reference), np.nan)
    difference = np.subtract(in_prediction, in_reference, dtype=np.float64)
    np.divide(difference, in_reference, out=error, where=np.asarray(in_reference) > 0)
    return error
