"""A case's image and label in memory, and reading of image files with all checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.files.image import read_array, read_geometry
from spsam.data.files.nifti import write_nifti
from spsam.data.geometry import (
    FATAL_OF_CHANNELS,
    FATAL_OF_LABELS,
    IDENTITY,
    Geometry,
    Triple,
    VolumePlace,
    mismatches,
)
from spsam.data.labels import Labels, class_indices
from spsam.errors import InputError, Problem, SpsamError
from spsam.files import atomic

__all__ = [
    "Floats",
    "Geometry",
    "Labels",
    "Triple",
    "Volume",
    "check_image",
    "one_thread",
    "read_geometry",
    "read_volume",
    "write_label",
]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Volume:
    """Image and label of a case on the acquired grid.

    Attributes:
        image: `(M, D, H, W)` intensities: float32, or integers of at most 16 bits if the reader
            keeps the file's type.
        label: `(D, H, W)` class indices (not the file's ids) or `IGNORED`; None without a
            reference.
        spacing: (z, y, x) in mm.
        origin: (x, y, z) in mm.
        direction: Nine direction cosines, see `Geometry`.
        forms: Spatial fields of a NIfTI header, see `Geometry`.
        notes: Warnings about its files.
    """

    image: npt.NDArray[Any]
    label: Labels | None
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY
    forms: tuple[float, ...] = ()
    notes: tuple[Problem, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """Grid and position of the volume."""
        depth, height, width = self.image.shape[1:]
        return Geometry(
            (depth, height, width), self.spacing, self.origin, self.direction, self.forms
        )


def read_volume(
    image: Path | Sequence[Path],
    label: Path | None,
    class_of: Mapping[int, int],
    *,
    as_stored: bool = False,
) -> Volume:
    """Read a case and check it.

    Args:
        image: A 3D image, a 4D image whose last axis holds the channels, the folder of a DICOM
            series, or one such path per channel.
        label: The label map, if there is one.
        class_of: For each id allowed in the label file, its class index.
        as_stored: Whether integers of at most 16 bits keep their type, which needs half of the
            memory or less; otherwise, the image is float32.

    Raises:
        InputError: With every problem found in the files.
    """
    paths = [image] if isinstance(image, Path) else list(image)
    problems: list[Problem] = []
    notes: list[Problem] = []
    channels: list[npt.NDArray[np.generic]] = []
    first: VolumePlace | None = None
    for path in paths:
        try:
            pixels, geometry = read_array(path)
        except InputError as error:
            problems += error.problems
            continue
        problems += check_image(pixels, path)
        channels.append(pixels)
        if first is None:
            first = VolumePlace("its image", path, geometry)
        else:
            other = VolumePlace("the channel", path, geometry)
            problems += mismatches(other, first, FATAL_OF_CHANNELS)[0]
    classes: Labels | None = None
    if label is not None:
        try:
            ids, geometry = read_array(label)
            if first is not None:
                place = VolumePlace("the label", label, geometry)
                errors, notes = mismatches(place, first, FATAL_OF_LABELS)
                problems += errors
            classes = class_indices(ids, label, class_of)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    assert first is not None, "an image without files"
    grid = first.geometry
    pixels = channels[0] if len(channels) == 1 else np.concatenate(channels)
    channels.clear()
    short = np.issubdtype(pixels.dtype, np.integer) and pixels.dtype.itemsize <= 2
    return Volume(
        pixels if as_stored and short else pixels.astype(np.float32, copy=False),
        classes,
        grid.spacing,
        grid.origin,
        grid.direction,
        grid.forms,
        tuple(notes),
    )


def write_label(
    path: Path,
    labels: npt.NDArray[np.integer],
    geometry: Geometry,
    ids: npt.NDArray[np.integer] | None = None,
) -> None:
    """Write a label map as `.nii.gz` with a geometry, atomically.

    Args:
        path: The file.
        labels: `(D, H, W)`.
        geometry: The grid.
        ids: Written id of each label 0, 1, …; None: the labels themselves.

    Raises:
        SpsamError: If the disk is full or write-protected; an existing file is then unchanged.
    """
    assert labels.shape == geometry.shape, (labels.shape, geometry.shape)
    with atomic(path) as draft:
        try:
            write_nifti(draft, labels, geometry, ids)
        except OSError as error:
            raise SpsamError(
                f"{path}: cannot write the label map: the disk is full or protected; free some "
                "space and rerun the same command"
            ) from error


def one_thread() -> None:
    """Limit SimpleITK to one thread, for a process that runs beside others."""
    import SimpleITK

    # SimpleITK has no type annotations.
    library: Any = SimpleITK
    library.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def check_image(pixels: npt.NDArray[np.generic], path: Path | None) -> list[Problem]:
    """Report an image `(M, D, H, W)` that is empty or has NaN, infinity or a constant channel."""
    if pixels.size == 0:
        return [Problem("the image is empty: it has no voxels", path)]
    if not np.issubdtype(pixels.dtype, np.number) or np.iscomplexobj(pixels):
        return [Problem(f"the image's voxels are {pixels.dtype}: expected one number each", path)]
    if np.issubdtype(pixels.dtype, np.floating):
        bad = int(pixels.size - np.isfinite(pixels).sum())
        if bad:
            return [Problem(f"the image has {bad} voxels that are NaN or infinite", path)]
    largest = max(float(pixels.max()), -float(pixels.min()))
    if largest > float(np.finfo(np.float32).max):
        message = f"the image has voxels as large as {largest:.3g}, beyond 32-bit numbers: scale "
        return [Problem(f"{message}it", path)]
    problems = []
    for index, channel in enumerate(pixels):
        low = channel.min()
        # Compared in 32 bits, which cannot represent small differences of very large numbers.
        if np.float32(low) == np.float32(channel.max()):
            which = f"channel {index} of the image" if len(pixels) > 1 else "the image"
            problems.append(Problem(f"{which} is empty: every voxel is {low:g}", path))
    return problems
