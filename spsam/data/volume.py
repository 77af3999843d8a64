"""One case's image and label in memory, and the reading of image files with every check."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from spsam.data.nifti import nifti_problems
from spsam.errors import InputError, Problem

# Its functions carry no types.
sitk: Any = SimpleITK

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int16]
Triple = tuple[float, float, float]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# Written through different programs, one geometry differs in its last digits; this is in mm.
GEOMETRY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """Where a volume's voxels lie.

    Attributes:
        shape: Number of voxels along the array's axes (z, y, x).
        spacing: mm along the array's axes (z, y, x).
        origin: Position (x, y, z) in mm of the first voxel's centre.
        direction: The 3×3 direction cosines, row by row, in the file's (x, y, z) order.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY


@dataclass(frozen=True)
class Volume:
    """A case as it was acquired.

    Attributes:
        image: `(M, D, H, W)` intensities.
        label: `(D, H, W)` class indices (not the file's ids), or None without a reference.
        spacing: (z, y, x) in mm.
        origin: (x, y, z) in mm.
        direction: Nine direction cosines, see `Geometry`.
    """

    image: Floats
    label: Labels | None
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY

    @property
    def geometry(self) -> Geometry:
        """The array's shape and where it lies."""
        depth, height, width = self.image.shape[1:]
        return Geometry((depth, height, width), self.spacing, self.origin, self.direction)


def read_geometry(path: Path) -> Geometry:
    """Reads a file's header only.

    Raises:
        InputError: If there is no readable 3D image (or 4D, channels last) in the file.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(_unreadable(path)) from error
    return _geometry(path, reader)


def read_volume(image: Path, label: Path | None, class_of: Mapping[int, int]) -> Volume:
    """Reads one case and checks it.

    Args:
        image: A 3D image, or a 4D one whose last axis holds the channels.
        label: Its label map, if it has one.
        class_of: For each id that the label file may hold, the class index it stands for.

    Raises:
        InputError: With every problem found in the two files.
    """
    problems: list[Problem] = []
    pixels = label_ids = None
    try:
        pixels, geometry = _read_array(image)
        problems += check_image(pixels, image)
    except InputError as error:
        problems += error.problems
    if label is not None:
        try:
            label_ids, label_geometry = _read_array(label)
            if len(label_ids) != 1:
                problems.append(Problem(f"expected one label map, got {len(label_ids)}", label))
        except InputError as error:
            problems += error.problems
    classes: Labels | None = None
    if label is not None and label_ids is not None:
        mapped = _classes(label_ids[0], label, class_of)
        if isinstance(mapped, Problem):
            problems.append(mapped)
        else:
            classes = mapped
        if pixels is not None:
            problems += _compare(geometry, label_geometry, image, label)
    if problems:
        raise InputError(problems)
    assert pixels is not None
    return Volume(
        pixels.astype(np.float32, copy=False),
        classes,
        geometry.spacing,
        geometry.origin,
        geometry.direction,
    )


def write_label(path: Path, ids: npt.NDArray[np.integer], geometry: Geometry) -> None:
    """Writes `(D, H, W)` ids on a grid; the file is there completely or not at all."""
    assert ids.shape == geometry.shape, (ids.shape, geometry.shape)
    image = sitk.GetImageFromArray(ids)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending decides the format: it stays.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    sitk.WriteImage(image, str(temporary), useCompression=True)
    os.replace(temporary, path)


def one_thread() -> None:
    """Keeps the image library to one thread, in a process that has siblings."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def check_image(pixels: npt.NDArray[np.generic], path: Path | None) -> list[Problem]:
    """What makes an image `(M, D, H, W)` unusable: no voxels, NaN, infinity, a constant channel."""
    if pixels.size == 0:
        return [Problem("the image is empty: it has no voxels", path)]
    if np.issubdtype(pixels.dtype, np.floating):
        bad = int(pixels.size - np.isfinite(pixels).sum())
        if bad:
            return [Problem(f"the image has {bad} voxels that are NaN or infinite", path)]
    problems = []
    for index, channel in enumerate(pixels):
        low = channel.min()
        if low == channel.max():
            which = f"channel {index} of the image" if len(pixels) > 1 else "the image"
            problems.append(Problem(f"{which} is empty: every voxel is {low:g}", path))
    return problems


def _read_array(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """The file's voxels as `(M, D, H, W)`, and their geometry."""
    if not path.is_file():
        raise InputError(_unreadable(path))
    problems = nifti_problems(path)
    if problems:
        raise InputError(problems)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(_unreadable(path)) from error
    geometry = _geometry(path, image)
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return array.reshape(-1, *geometry.shape), geometry


def _unreadable(path: Path) -> Problem:
    if not path.is_file():
        return Problem("the file does not exist", path)
    return Problem(
        f"cannot be read as an image ({path.stat().st_size} bytes): the file is truncated or "
        "not an image; copy it again from its source",
        path,
    )


def _geometry(path: Path, source: Any) -> Geometry:
    """The geometry of an image or of a reader that has read its header."""
    size, spacing, origin = source.GetSize(), source.GetSpacing(), source.GetOrigin()
    if len(size) not in (3, 4):
        raise InputError(Problem(f"expected a 3D image, got {len(size)} dimensions", path))
    matrix = np.reshape(source.GetDirection(), (len(size), len(size)))[:3, :3]
    return Geometry(
        (int(size[2]), int(size[1]), int(size[0])),
        (float(spacing[2]), float(spacing[1]), float(spacing[0])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(value) for value in matrix.ravel()),
    )


def _classes(
    ids: npt.NDArray[np.generic], path: Path, class_of: Mapping[int, int]
) -> Labels | Problem:
    """The file's ids as class indices, or what is wrong with them."""
    present = np.unique(ids)
    wrong = [value for value in present.tolist() if value not in class_of]
    if wrong:
        shown = ", ".join(f"{value:g}" for value in wrong[:8])
        more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        known = ", ".join(str(value) for value in sorted(class_of))
        return Problem(f"label values {shown}{more} are out of range; expected {known}", path)
    classes = np.zeros(ids.shape, np.int16)
    for value in present.tolist():
        classes[ids == value] = class_of[int(value)]
    return classes


def _compare(image: Geometry, label: Geometry, path: Path, label_path: Path) -> list[Problem]:
    """Whether the two files of a case lie on the same grid."""
    if image.shape != label.shape:
        ours, theirs = (" × ".join(map(str, each.shape)) for each in (label, image))
        return [
            Problem(
                f"the label's size {ours} is not that of its image, {theirs} ({path.name})",
                label_path,
            )
        ]
    # Only the spacing decides what is learnt. Origins and directions of well-known sets differ
    # between image and label although the voxels correspond, so those are not held against them.
    if not np.allclose(image.spacing, label.spacing, rtol=0, atol=GEOMETRY_TOLERANCE):
        ours, theirs = (
            " × ".join(f"{value:.4g}" for value in each.spacing) for each in (label, image)
        )
        return [
            Problem(
                f"the label's spacing {ours} mm is not that of its image, {theirs} mm "
                f"({path.name})",
                label_path,
            )
        ]
    return []
