"""Dice coefficient of label maps, with named conventions for classes without voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -1
"""Index of a voxel that is not annotated in a reference. It counts for no class."""

CHUNK = 1 << 22
"""Number of voxels counted at a time; it limits the size of temporary copies."""


@dataclass(frozen=True)
class Convention:
    """Scores that a published evaluation assigns to classes without voxels.

    Attributes:
        both_empty: Score of a class that is in neither prediction nor reference.
        invented: Score of a class that is in the prediction only.
    """

    both_empty: float
    invented: float


CONVENTIONS = {
    "nnunet": Convention(both_empty=float("nan"), invented=0.0),
    "nnformer": Convention(both_empty=1.0, invented=0.0),
    "transunet": Convention(both_empty=0.0, invented=1.0),
}
"""Conventions by name. All of them score a class 0 if it is in the reference only."""


def dice(
    prediction: NDArray[Any] | Tensor,
    reference: NDArray[Any] | Tensor,
    num_classes: int,
    convention: str = "nnunet",
) -> NDArray[np.float64]:
    """Compute the Dice score of every class, 2·|P ∩ R| / (|P| + |R|), over all voxels together.

    Args:
        prediction: Class indices of an integer type, any shape.
        reference: Class indices of the same shape. `IGNORED` voxels are excluded from both maps.
        num_classes: K, background included.
        convention: A class in neither label map is excluded by `nnunet` (NaN), scores 1 with
            `nnformer` and 0 with `transunet`. A class in the prediction only scores 1 with
            `transunet` and 0 with the others.

    Returns:
        `(K,)` scores, background first; NaN if the convention excludes a class.

    Raises:
        InputError: If the shapes differ, a label is not an integer in 0 … K-1 (or, in the
            reference, `IGNORED`), or the convention is unknown.
    """
    _rule(convention)  # reject an unknown convention before the expensive steps
    predicted, referred = _array(prediction, "prediction"), _array(reference, "reference")
    check_same_shape(predicted, referred)
    _check_range(predicted, num_classes, "prediction")
    _check_range(referred, num_classes, "reference", lowest=IGNORED)
    return dice_of_counts(*counts(predicted, referred, num_classes), convention)


def dice_of_counts(
    both: NDArray[Any],
    in_prediction: NDArray[Any],
    in_reference: NDArray[Any],
    convention: str = "nnunet",
) -> NDArray[np.float64]:
    """Compute Dice from voxel counts, such as those of a volume that is counted in pieces.

    Args:
        both: Voxels of the class in both prediction and reference, any shape.
        in_prediction: Voxels in the prediction, same shape.
        in_reference: Voxels in the reference, same shape.
        convention: As in `dice`.

    Returns:
        Scores of the same shape; NaN if the convention excludes a class.

    Raises:
        InputError: If the convention is unknown.
    """
    rule = _rule(convention)
    total = in_prediction + in_reference
    scores = np.full(total.shape, rule.both_empty)
    np.divide(2.0 * both, total, out=scores, where=total > 0)
    scores[(in_reference == 0) & (in_prediction > 0)] = rule.invented
    return scores


def check_same_shape(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """Reject label maps of different shapes.

    Raises:
        InputError: If the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise InputError(
            "prediction and reference must have the same shape: "
            f"got {prediction.shape} and {reference.shape}"
        )


def without_ignored(
    prediction: NDArray[Any], reference: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Replace the reference's ignored voxels by background in both label maps.

    Surface measures need this, because an ignored voxel would otherwise form a surface.

    Args:
        prediction: Class indices, any shape.
        reference: Class indices of the same shape, with or without `IGNORED` voxels.

    Returns:
        Prediction and reference; the given arrays themselves if no voxel is ignored.
    """
    ignored = reference == IGNORED
    if not ignored.any():
        return prediction, reference
    return np.where(ignored, 0, prediction), np.where(ignored, 0, reference)


def _rule(convention: str) -> Convention:
    if convention not in CONVENTIONS:
        raise InputError(
            f"unknown Dice convention '{convention}'{nearest(convention, CONVENTIONS)}"
        )
    return CONVENTIONS[convention]


def counts(
    prediction: NDArray[Any], reference: NDArray[Any], num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the voxels of each class in both maps, in the prediction and in the reference.

    Args:
        prediction: Class indices in 0 … K-1, of an integer type, any shape.
        reference: Class indices of the same shape; `IGNORED` voxels are not counted.
        num_classes: K, background included.

    Returns:
        Three `(K,)` arrays: voxels in both, in the prediction, in the reference.
    """
    table = np.zeros((3, num_classes), dtype=np.int64)
    flat_prediction, flat_reference = prediction.reshape(-1), reference.reshape(-1)
    for start in range(0, flat_prediction.size, CHUNK):
        predicted = flat_prediction[start : start + CHUNK]
        referred = flat_reference[start : start + CHUNK]
        annotated = referred != IGNORED
        if not annotated.all():
            predicted, referred = predicted[annotated], referred[annotated]
        for row, labels in enumerate((predicted[predicted == referred], predicted, referred)):
            table[row] += np.bincount(labels.astype(np.intp), minlength=num_classes)
    return table[0], table[1], table[2]


def _array(labels: NDArray[Any] | Tensor, name: str) -> NDArray[Any]:
    """Convert a label map to an integer array; tensors are detected without importing torch."""
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    array = np.asarray(labels)
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"expected a {name} of an integer type, got {array.dtype}")
    return array


def _check_range(labels: NDArray[Any], num_classes: int, name: str, lowest: int = 0) -> None:
    if not labels.size:
        return
    low, high = int(labels.min()), int(labels.max())
    if low < lowest or high >= num_classes:
        raise InputError(
            f"labels of {num_classes} classes must be in 0 to {num_classes - 1}, "
            f"the {name} contains values from {low} to {high}"
        )
