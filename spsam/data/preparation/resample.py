"""Resampling of arrays that cover one extent, between two numbers of samples (pixel areas)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from spsam.data.labels import narrow_indices

Floats = npt.NDArray[np.float32]


def resample_image(image: Floats, shape: Sequence[int]) -> Floats:
    """Cubic splines within the range of intensities; an axis that keeps its length is left alone.

    Args:
        image: `(M, D, H, W)`.
        shape: The wanted `(D, H, W)`.
    """
    return np.stack([_zoom(channel, shape, order=3) for channel in image])


def resample_label(label: npt.NDArray[np.integer], shape: Sequence[int]) -> npt.NDArray[np.integer]:
    """Each class's indicator linearly, then the largest; of equal ones the lowest class.

    Ignored voxels are resampled as a class is; of equal shares they keep the voxel.

    Args:
        label: `(D, H, W)` class indices, or `IGNORED`.
        shape: The wanted `(D, H, W)`.

    Returns:
        uint8, or int16 of classes from 256 on and of ignored voxels.
    """
    label = narrow_indices(label)
    if tuple(label.shape) == tuple(shape):
        return label
    classes = np.unique(label)
    best = np.full(tuple(shape), -1.0, np.float32)
    result = np.zeros(tuple(shape), label.dtype)
    for value in classes:
        share = _zoom((label == value).astype(np.float32), shape, order=1)
        # Shares that differ by rounding only are equal: the lowest class keeps the voxel.
        wins = share > best + 1e-6
        result[wins] = value
        best[wins] = share[wins]
    return result


def _zoom(array: Floats, shape: Sequence[int], order: Literal[1, 3]) -> Floats:
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    if all(factor == 1 for factor in factors):
        return array.astype(np.float32, copy=True)
    # Slice by slice where depth stays: a third of the work of a 3D spline, and the same result.
    if factors[0] == 1 and array.ndim == 3:
        return np.stack([_zoom(plane, shape[1:], order) for plane in array])
    # `grid_mode`: both grids cover the same extent, corner to corner, as pixel areas.
    result = np.empty(tuple(shape), np.float32)
    ndimage.zoom(array, factors, output=result, order=order, mode="nearest", grid_mode=True)
    # Splines overshoot at edges; values that were never measured are cut off.
    return result.clip(array.min(), array.max(), out=result)
