"""Geometry of volumes: grid, position and orientation in the patient."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from spsam.errors import Problem

Scalar = TypeVar("Scalar", bound=np.generic)
Triple = tuple[float, float, float]
Axes = tuple[int, int, int]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

# Different programs write the same geometry with differences in the last digits. The spacing may
# differ by this share of itself: over 500 voxels that is half a voxel. Origins may differ by this
# share of a voxel along each axis.
SPACING_TOLERANCE = 1e-3
ORIGIN_TOLERANCE = 0.1
# Tolerance of direction cosines, ten times the error of a quaternion in single precision.
DIRECTION_TOLERANCE = 1e-3
# Headers store origins in single precision; far from zero the rounding exceeds the tolerance above.
_ROUNDED = 4 * float(np.finfo(np.float32).eps)

FATAL_OF_CHANNELS = ("size", "spacing", "origin", "direction")
"""Fatal differences between channels: only headers show whether their voxels correspond."""

FATAL_OF_LABELS = ("size", "spacing")
"""Fatal differences between image and label. In well-known data sets, the origin or direction of a
label differs from the image's although the voxels correspond: these differences are a warning."""

_POSITIVE, _NEGATIVE = "LPS", "RAI"


@dataclass(frozen=True)
class Geometry:
    """The grid of a volume and its position in the patient.

    Attributes:
        shape: Number of voxels along the array axes (z, y, x).
        spacing: Spacing in mm along the array axes (z, y, x).
        origin: Position (x, y, z) in mm of the centre of the first voxel.
        direction: The 3×3 direction cosines, row by row, in the file's (x, y, z) order.
        forms: Spatial fields of a NIfTI header (`Forms.numbers` in `spsam.data.files.nifti_forms`),
            which are copied to label maps on the same grid; empty for other files. They are ignored
            when geometries are compared.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY
    forms: tuple[float, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class VolumePlace:
    """A file and the geometry of its volume.

    Attributes:
        what: Name of the volume in messages, such as `the label`.
        path: The file.
        geometry: Geometry of the volume.
    """

    what: str
    path: Path
    geometry: Geometry


def differences(one: Geometry, other: Geometry) -> dict[str, tuple[str, str]]:
    """Compare two geometries within the tolerances.

    Returns:
        For each of `size`, `spacing`, `origin` and `direction` that differs, both values as text.
        If the sizes differ, nothing else is compared.
    """
    if one.shape != other.shape:
        return {"size": (_times(one.shape), _times(other.shape))}
    found = {}
    ours, theirs = np.array(one.spacing), np.array(other.spacing)
    if np.any(np.abs(ours - theirs) > SPACING_TOLERANCE * np.maximum(ours, theirs)):
        found["spacing"] = (f"{_times(ours)} mm", f"{_times(theirs)} mm")
    first, second = np.array(one.origin), np.array(other.origin)
    # Difference along the axes (x, y, z) of the first volume.
    apart = np.abs(np.reshape(one.direction, (3, 3)).T @ (first - second))
    rounded = _ROUNDED * np.abs([first, second]).max()
    if np.any(apart > ORIGIN_TOLERANCE * ours[::-1] + rounded):
        found["origin"] = (f"({_list(first)}) mm", f"({_list(second)}) mm")
    turned = np.abs(np.subtract(one.direction, other.direction)).max()
    if turned > DIRECTION_TOLERANCE:
        codes = orientation(one), orientation(other)
        found["direction"] = (
            codes if codes[0] != codes[1] else (_list(one.direction), _list(other.direction))
        )
    return found


def mismatches(
    other: VolumePlace, of: VolumePlace, fatal: Collection[str]
) -> tuple[list[Problem], list[Problem]]:
    """Report the differences between a file and the file whose grid it should share.

    Args:
        other: The file.
        of: The file that it belongs to.
        fatal: The properties (`size`, `spacing`, `origin`, `direction`) that must not differ.

    Returns:
        Errors and warnings, each with the path of `other`.
    """
    errors, warnings = [], []
    for name, (ours, theirs) in differences(other.geometry, of.geometry).items():
        message = f"{other.what}'s {name} {ours} is not that of {of.what}, {theirs} ({of.path})"
        if name in fatal:
            errors.append(Problem(message, other.path))
        else:
            warnings.append(Problem(f"{message}; voxels are matched by index", other.path))
    return errors, warnings


def _times(values: Collection[float]) -> str:
    return " × ".join(f"{value:.6g}" for value in values)


def _list(values: Collection[float]) -> str:
    return ", ".join(f"{value:.5g}" for value in values)


@dataclass(frozen=True)
class Turn:
    """A lossless, invertible permutation and flip of array axes.

    Attributes:
        axes: For each axis of the result, the axis of the original array.
        flips: For each axis of the result, whether it is reversed.
    """

    axes: Axes = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def there(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Return a view of the array with the turn applied to its last three axes."""
        lead = array.ndim - 3
        turned = np.transpose(array, (*range(lead), *(lead + axis for axis in self.axes)))
        return turned[(..., *self._steps())]

    def back(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Return a view of a turned array with the turn reverted on its last three axes."""
        lead = array.ndim - 3
        order = [lead + int(axis) for axis in np.argsort(self.axes)]
        return np.transpose(array[(..., *self._steps())], (*range(lead), *order))

    def _steps(self) -> tuple[slice, slice, slice]:
        first, second, third = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return first, second, third


def orientation(geometry: Geometry) -> str:
    """Return the directions in the patient that the axes (x, y, z) point to, such as `LPS`.

    The letters follow DICOM: left, posterior, superior; right, anterior, inferior. Oblique axes are
    assigned to the nearest direction.
    """
    cosines = np.reshape(geometry.direction, (3, 3))
    # For oblique axes, select the assignment with the smallest angles; each direction occurs once.
    rows = max(
        permutations(range(3)),
        key=lambda order: sum(abs(cosines[row, axis]) for axis, row in enumerate(order)),
    )
    return "".join(
        (_POSITIVE if cosines[row, axis] >= 0 else _NEGATIVE)[row] for axis, row in enumerate(rows)
    )


def turn_to(wanted: str, geometry: Geometry) -> Turn:
    """Return the turn that brings an array (z, y, x) of a geometry to an orientation.

    Args:
        wanted: Target orientation, as returned by `orientation`.
        geometry: Geometry of the array.
    """
    # Orientation codes are in (x, y, z) order, array axes in (z, y, x) order.
    there, here = wanted[::-1], orientation(geometry)[::-1]
    axes, flips = [], []
    for letter in there:
        direction = _row(letter)
        axis = next(index for index in range(3) if _row(here[index]) == direction)
        axes.append(axis)
        flips.append(here[axis] != letter)
    return Turn((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def _row(letter: str) -> int:
    return (_POSITIVE if letter in _POSITIVE else _NEGATIVE).index(letter)


def nonzero_box(image: npt.NDArray[np.generic]) -> Box:
    """Return the bounding box, (start, stop) per axis, of the nonzero voxels of `(M, D, H, W)`."""
    filled = [np.zeros(size, bool) for size in image.shape[1:]]
    # Processed by slice, because a mask of the whole volume needs much memory.
    for index in range(image.shape[1]):
        plane = (image[:, index] != 0).any(axis=0)
        filled[0][index] = plane.any()
        filled[1] |= plane.any(axis=1)
        filled[2] |= plane.any(axis=0)
    bounds = []
    for axis in filled:
        found = np.flatnonzero(axis)
        assert len(found), "an all-zero image must have been rejected by the checks"
        bounds.append((int(found[0]), int(found[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]
