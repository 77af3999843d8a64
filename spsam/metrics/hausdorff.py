"""The 95th percentile of surface distances, where a missed organ is never a good one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spsam.errors import InputError
from spsam.metrics.dice import check_same_shape, without_ignored

PERCENTILE = 95.0

CONVENTION = "diagonal"
"""What a class scores that only one of the two has: the volume's diagonal."""


def hd95(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    spacing: Sequence[float],
) -> NDArray[np.float64]:
    """Symmetric 95 % Hausdorff distance of every class in millimetres, as MONAI defines it.

    Of the surface distances from prediction to reference and of those back, the larger 95th
    percentile. A class that only one of the two has is as far off as the volume is long: its
    diagonal, so that neither a missed nor an invented organ improves a mean [C]. Each class is
    measured in the box around it, beyond which it has no surface.

    Args:
        prediction: `(D, H, W)` class indices, of an integer type.
        reference: The same shape. Its `IGNORED` voxels are background in both before surfaces are
            found: neither what is predicted there nor the border to them is an error.
        num_classes: K, background included.
        spacing: (z, y, x) mm.

    Returns:
        `(K,)` mm, background first and always NaN; NaN for a class that neither has.

    Raises:
        InputError: If the shapes differ, or there is not one spacing an axis.
    """
    check_same_shape(prediction, reference)
    prediction, reference = without_ignored(prediction, reference)
    if len(spacing) != prediction.ndim or min(spacing) <= 0:
        raise InputError(
            f"expected a positive spacing for each of {prediction.ndim} axes, got {tuple(spacing)}"
        )
    distances = np.full(num_classes, np.nan)
    boxes = [_boxes(labels, num_classes) for labels in (prediction, reference)]
    for k in range(1, num_classes):
        predicted, referred = boxes[0][k - 1], boxes[1][k - 1]
        if predicted is not None and referred is not None:
            box = tuple(
                slice(min(one.start, other.start), max(one.stop, other.stop))
                for one, other in zip(predicted, referred, strict=True)
            )
            distances[k] = _distance(prediction[box] == k, reference[box] == k, spacing)
        elif predicted is not None or referred is not None:
            distances[k] = np.linalg.norm(np.multiply(prediction.shape, spacing))
    return distances


def _boxes(labels: NDArray[Any], num_classes: int) -> list[tuple[slice, ...] | None]:
    """The box around each foreground class, None for one that is not there."""
    return list(ndimage.find_objects(labels, num_classes - 1))


def _distance(
    predicted: NDArray[np.bool_], referred: NDArray[np.bool_], spacing: Sequence[float]
) -> float:
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, referred)]
    percentiles = []
    for near, far in (surfaces, surfaces[::-1]):
        away = edt.edt(~far, anisotropy=tuple(spacing), black_border=False)
        percentiles.append(np.percentile(away[near], PERCENTILE))
    return float(max(percentiles))
