"""95th percentile of surface distances (HD95), with a penalty for missed and invented classes."""

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
"""Score of a class that is in only one of the two label maps: the diagonal of the volume."""


def hd95(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    num_classes: int,
    spacing: Sequence[float],
) -> NDArray[np.float64]:
    """Compute the symmetric 95 % Hausdorff distance of every class in mm, as defined by MONAI.

    HD95 is the larger of two 95th percentiles: of the surface distances from prediction to
    reference, and of those from reference to prediction. A class that is in only one of the two
    scores the diagonal of the volume, so that neither a missed nor an invented organ improves a
    mean [C]. Each class is evaluated in the box that encloses it in both maps.

    Args:
        prediction: `(D, H, W)` class indices of an integer type.
        reference: Class indices of the same shape. `IGNORED` voxels become background in both maps
            before surfaces are extracted. Predictions there, and the border of the ignored voxels,
            do not count as errors.
        num_classes: K, background included.
        spacing: (z, y, x) in mm.

    Returns:
        `(K,)` distances in mm, background first. The background is always NaN, as is a class that
        is in neither map.

    Raises:
        InputError: If the shapes differ, or `spacing` is not one positive value per axis.
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
    """Return the bounding box of each foreground class, None for a class without voxels."""
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
