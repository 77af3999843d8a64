"""Measures of overlap and volume in addition to Dice, computed from the same voxel counts."""

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
    """Compute intersection over union as Dice / (2 - Dice).

    Empty classes therefore follow the same convention as in `dice`.

    Args:
        both: Voxels in both prediction and reference, any shape.
        in_prediction: Voxels in the prediction, same shape.
        in_reference: Voxels in the reference, same shape.
        convention: As in `dice`.

    Returns:
        Scores of the same shape; NaN if the convention excludes a class.

    Raises:
        InputError: If the convention is unknown.
    """
    dice = dice_of_counts(both, in_prediction, in_reference, convention)
    iou: NDArray[np.float64] = dice / (2 - dice)
    return iou


def volume_error_of_counts(
    in_prediction: NDArray[Any], in_reference: NDArray[Any]
) -> NDArray[np.float64]:
    """Compute the relative volume error, (predicted − reference) / reference.

    Args:
        in_prediction: Voxels in the prediction, any shape.
        in_reference: Voxels in the reference, same shape.

    Returns:
        Errors of the same shape: -1 for a missed class, NaN if the reference has no such voxel.
    """
    error = np.full(np.shape(in_reference), np.nan)
    difference = np.subtract(in_prediction, in_reference, dtype=np.float64)
    np.divide(difference, in_reference, out=error, where=np.asarray(in_reference) > 0)
    return error
