"""Where a volume's voxels lie, and how its axes run in the patient."""

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

# Written through different programs, one geometry differs in its last digits. These are shares of
# the spacing itself, whatever it is, and of a voxel along each axis. Over 500 voxels the first is
# half a voxel.
SPACING_TOLERANCE = 1e-3
ORIGIN_TOLERANCE = 0.1
# Of cosines; a quaternion in single precision is good for a tenth of it.
DIRECTION_TOLERANCE = 1e-3
# Headers hold origins in single precision: far from zero that is coarser than a share of a micron.
_ROUNDED = 4 * float(np.finfo(np.float32).eps)

FATAL_OF_CHANNELS = ("size", "spacing", "origin", "direction")
"""Channels are stacked by voxel: only their headers tell that their voxels belong together."""

FATAL_OF_LABELS = ("size", "spacing")
"""Only these decide what is learnt and scored. Origins and directions of well-known sets differ
between image and label although the voxels correspond: those are a warning."""

_POSITIVE, _NEGATIVE = "LPS", "RAI"


@dataclass(frozen=True)
class Geometry:
    """Where a volume's voxels lie.

    Attributes:
        shape: Number of voxels along the array's axes (z, y, x).
        spacing: mm along the array's axes (z, y, x).
        origin: Position (x, y, z) in mm of the first voxel's centre.
        direction: The 3×3 direction cosines, row by row, in the file's (x, y, z) order.
        forms: What a NIfTI header says of it in its own words (`Forms.numbers` of
            `spsam.data.files.nifti_forms`), for label maps that lie on it; empty for others. It is
            no part of where the voxels lie: geometries that differ in it alone are equal.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY
    forms: tuple[float, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class VolumePlace:
    """A file, and where the volume in it lies.

    Attributes:
        what: What it is called in a sentence: `the label`.
        path: The file.
        geometry: The volume's.
    """

    what: str
    path: Path
    geometry: Geometry


def differences(one: Geometry, other: Geometry) -> dict[str, tuple[str, str]]:
    """Where two volumes do not lie on one grid: the one comparison of size, spacing and place.

    Returns:
        By `size`, `spacing`, `origin` and `direction`, as far as they differ, both values in
        words. Of volumes that differ in size nothing else is compared.
    """
    if one.shape != other.shape:
        return {"size": (_times(one.shape), _times(other.shape))}
    found = {}
    ours, theirs = np.array(one.spacing), np.array(other.spacing)
    if np.any(np.abs(ours - theirs) > SPACING_TOLERANCE * np.maximum(ours, theirs)):
        found["spacing"] = (f"{_times(ours)} mm", f"{_times(theirs)} mm")
    first, second = np.array(one.origin), np.array(other.origin)
    # Along the axes (x, y, z) of the first one's voxels.
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
    """What is wrong with a file that should lie on the grid of another one.

    Args:
        other: The file.
        of: What it belongs to.
        fatal: Of `size`, `spacing`, `origin` and `direction` those in which they may not differ.

    Returns:
        Errors, and warnings, each with the file's name.
    """
    errors, warnings = [], []
    for name, (ours, theirs) in differences(other.geometry, of.geometry).items():
        message = f"{other.what}'s {name} {ours} is not that of {of.what}, {theirs} ({of.path})"
        if name in fatal:
            errors.append(Problem(message, other.path))
        else:
            warnings.append(Problem(f"{message}; voxel is taken for voxel", other.path))
    return errors, warnings


def _times(values: Collection[float]) -> str:
    return " × ".join(f"{value:.6g}" for value in values)


def _list(values: Collection[float]) -> str:
    return ", ".join(f"{value:.5g}" for value in values)


@dataclass(frozen=True)
class Turn:
    """A choice of axes and directions; there and back without loss.

    Attributes:
        axes: For each axis of the result, the axis of the array that becomes it.
        flips: For each axis of the result, whether it runs the other way.
    """

    axes: Axes = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def there(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """A view of the array, turned; axes before the last three stay."""
        lead = array.ndim - 3
        turned = np.transpose(array, (*range(lead), *(lead + axis for axis in self.axes)))
        return turned[(..., *self._steps())]

    def back(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """A view of a turned array on the axes it had; axes before the last three stay."""
        lead = array.ndim - 3
        order = [lead + int(axis) for axis in np.argsort(self.axes)]
        return np.transpose(array[(..., *self._steps())], (*range(lead), *order))

    def _steps(self) -> tuple[slice, slice, slice]:
        first, second, third = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return first, second, third


def orientation(geometry: Geometry) -> str:
    """Where the axes (x, y, z) run to in the patient, each as its nearest: such as `LPS`.

    Letters as DICOM's: left, posterior, superior; right, anterior, inferior.
    """
    cosines = np.reshape(geometry.direction, (3, 3))
    # Oblique axes: the pairing with the least angles, each direction once.
    rows = max(
        permutations(range(3)),
        key=lambda order: sum(abs(cosines[row, axis]) for axis, row in enumerate(order)),
    )
    return "".join(
        (_POSITIVE if cosines[row, axis] >= 0 else _NEGATIVE)[row] for axis, row in enumerate(rows)
    )


def turn_to(wanted: str, geometry: Geometry) -> Turn:
    """What brings an array (z, y, x) of that geometry to an orientation.

    Args:
        wanted: As of `orientation`.
        geometry: The array's.
    """
    # Codes are in (x, y, z) order, axes in (z, y, x).
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
    """The smallest box (start, stop) per axis of what is not zero in any channel `(M, D, H, W)`."""
    filled = [np.zeros(size, bool) for size in image.shape[1:]]
    # Slice by slice: a map of the whole volume would take memory.
    for index in range(image.shape[1]):
        plane = (image[:, index] != 0).any(axis=0)
        filled[0][index] = plane.any()
        filled[1] |= plane.any(axis=1)
        filled[2] |= plane.any(axis=0)
    bounds = []
    for axis in filled:
        found = np.flatnonzero(axis)
        assert len(found), "an image that is all zero does not pass the checks"
        bounds.append((int(found[0]), int(found[-1]) + 1))
    return bounds[0], bounds[1], bounds[2]
