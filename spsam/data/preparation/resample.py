"""Resampling of arrays to another number of samples over the same extent (pixels as areas)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from spsam.data.labels import narrow_indices

Floats = npt.NDArray[np.float32]
Part = Callable[[slice, slice], Floats]
"""Function that returns a part of a volume `(D, H, W)`, given its slices and its rows."""

# Weights of a spline decrease to a quarter from one sample to the next. Weights below this bound,
# about a ten-thousandth of the precision of float32, are omitted.
_NEGLIGIBLE = 1e-12
# Number of rows that are processed together, which limits memory if the depth is resampled.
_ROWS = 64


class Resampler:
    """Resampling with cubic splines, some slices of the result at a time.

    The interpolation is separable: each axis is multiplied by a matrix with a narrow band.
    Therefore a slice of the result depends only on the original slices within the band.

    Args:
        old: Original shape (D, H, W).
        new: Target shape (D, H, W).
    """

    def __init__(self, old: Sequence[int], new: Sequence[int]) -> None:
        self.shape = tuple(new)
        self._depth, self._rows, self._columns = (
            None if before == after else _splines(before, after)
            for before, after in zip(old, new, strict=True)
        )
        self._height = old[1]

    def slices(
        self, part: Part, first: int, stop: int, limits: tuple[float, float] | None = None
    ) -> Floats:
        """Return slices `first` to `stop` of the result, `(n, H, W)`.

        Args:
            part: Function that reads the volume.
            first: First slice.
            stop: First slice after the returned ones.
            limits: Smallest and largest value of the volume, to which the result is clipped. If
                the depth is not resampled, each slice is clipped to its own range instead.
        """
        if self._depth is None:
            found = np.empty((stop - first, *self.shape[1:]), np.float32)
            for index, result in enumerate(found, start=first):
                plane = part(slice(index, index + 1), slice(None))[0]
                result[:] = self._in_plane(plane)
                if self._rows is not None or self._columns is not None:
                    # Splines overshoot at edges; values beyond the measured range are clipped.
                    result.clip(plane.min(), plane.max(), out=result)
            return found
        weights = self._depth[first:stop]
        touched = slice(int(weights.indices.min()), int(weights.indices.max()) + 1)
        weights = weights[:, touched]
        between: list[npt.NDArray[np.float64]] = []
        for row in range(0, self._height, _ROWS):
            some = part(touched, slice(row, row + _ROWS))
            flat = np.ascontiguousarray(some, np.float64).reshape(len(some), -1)
            between.append((weights @ flat).reshape(stop - first, *some.shape[1:]))
        planes = zip(*between, strict=True)
        found = np.stack([self._in_plane(np.concatenate(plane)) for plane in planes])
        return found if limits is None else found.clip(*limits, out=found)

    def _in_plane(self, plane: npt.NDArray[np.floating]) -> Floats:
        if self._rows is not None:
            plane = self._rows @ plane.astype(np.float64)
        if self._columns is not None:
            turned = np.ascontiguousarray(plane.T, np.float64)
            plane = (self._columns @ turned).T
        return plane.astype(np.float32)


@lru_cache(maxsize=32)
def _splines(old: int, new: int) -> Any:
    """Return the sparse matrix `(new, old)` that resamples one axis from one grid to another."""
    # `grid_mode`: both grids cover the same extent, with pixels as areas.
    columns = [
        ndimage.zoom(unit, new / old, order=3, mode="nearest", grid_mode=True)
        for unit in np.eye(old)
    ]
    matrix = np.stack(columns, axis=1)
    matrix[np.abs(matrix) < _NEGLIGIBLE] = 0
    return sparse.csr_matrix(matrix)


def resample_image(image: Floats, shape: Sequence[int]) -> Floats:
    """Resample an image with cubic splines, within its range of intensities.

    Axes whose length does not change are not interpolated.

    Args:
        image: `(M, D, H, W)`.
        shape: Target shape `(D, H, W)`.
    """
    resampler = Resampler(image.shape[1:], shape)
    return np.stack(
        [
            resampler.slices(
                lambda depth, rows, channel=channel: channel[depth, rows],  # type: ignore[misc]
                0,
                shape[0],
                (channel.min(), channel.max()),
            )
            for channel in image
        ]
    )


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
        share = _zoom((label == value).astype(np.float32), shape)
        # Differences due to rounding do not count, so that the lowest class keeps the voxel.
        wins = share > best + 1e-6
        result[wins] = value
        best[wins] = share[wins]
    return result


def _zoom(array: Floats, shape: Sequence[int]) -> Floats:
    """Linear interpolation within the range of values."""
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    if all(factor == 1 for factor in factors):
        return array.astype(np.float32, copy=True)
    # If the depth is unchanged, slices are resampled one by one: less work, same result.
    if factors[0] == 1 and array.ndim == 3:
        return np.stack([_zoom(plane, shape[1:]) for plane in array])
    # `grid_mode`: both grids cover the same extent, with pixels as areas.
    result = np.empty(tuple(shape), np.float32)
    ndimage.zoom(array, factors, output=result, order=1, mode="nearest", grid_mode=True)
    return result.clip(array.min(), array.max(), out=result)
