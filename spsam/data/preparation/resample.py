"""Resampling of arrays to another number of samples over the same extent (pixels as areas)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spsam.data.labels import narrow_indices

Floats = npt.NDArray[np.float32]


def resample_image(image: Floats, shape: Sequence[int]) -> Floats:
    """Resample an image with cubic splines, within its range of intensities.

    Axes whose length does not change are not interpolated.

    Args:
        image: `(M, D, H, W)`.
        shape: Target shape `(D, H, W)`.
    """
    return np.stack([_zoom(channel, shape, order=3) for channel in image])


def resample_label(label: npt.NDArray[np.integer], shape: Sequence[int]) -> npt.NDArray[np.integer]:
    """Resample a label map: each class's indicator linearly, then the class with the largest.

    Of equal values, the lowest class is selected. Ignored voxels are resampled like a class and
    take precedence over other classes of equal value.

    Args:
        label: `(D, H, W)` class indices, or `IGNORED`.
        shape: Target shape `(D, H, W)`.

    Returns:
        Class indices, uint8, or int16 if there are ignored voxels or classes from 256 on.
    """
    label = narrow_indices(label)
    if tuple(label.shape) == tuple(shape):
        return label
    classes = np.unique(label)
    best = np.full(tuple(shape), -1.0, np.float32)
    result = np.zeros(tuple(shape), label.dtype)
    for value in classes:
        share = _zoom((label == value).astype(np.float32), shape, order=1)
        # Differences due to rounding do not count, so that the lowest class keeps the voxel.
        wins = share > best + 1e-6
        result[wins] = value
        best[wins] = share[wins]
    return result


def _zoom(array: Floats, shape: Sequence[int], order: Literal[1, 3]) -> Floats:
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    if all(factor == 1 for factor in factors):
        return array.astype(np.float32, copy=True)
    # If the depth is unchanged, slices are resampled one by one: a third of the cost, same result.
    if factors[0] == 1 and array.ndim == 3:
        return np.stack([_zoom(plane, shape[1:], order) for plane in array])
    # `grid_mode`: both grids cover the same extent, with pixels as areas.
    result = np.empty(tuple(shape), np.float32)
    ndimage.zoom(array, factors, output=result, order=order, mode="nearest", grid_mode=True)
    # Splines overshoot at edges; the result is clipped to the measured range.
    return result.clip(array.min(), array.max(), out=result)
