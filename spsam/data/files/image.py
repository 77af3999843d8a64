"""One image file or DICOM series as an array and its geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from spsam.data.files.dicom import read_series
from spsam.data.files.nifti import nifti_problems
from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem

# Its functions carry no types.
sitk: Any = SimpleITK


def read_array(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """The voxels as `(M, D, H, W)`, and where they lie.

    Args:
        path: A file with a 3D image (or a 4D one, channels last), or a folder of one DICOM series.

    Raises:
        InputError: If there is no such image, or it is damaged.
    """
    if path.is_dir():
        image = read_series(path)
    else:
        if not path.is_file():
            raise InputError(unreadable(path))
        problems = nifti_problems(path)
        if problems:
            raise InputError(problems)
        try:
            image = sitk.ReadImage(str(path), imageIO=_reader(path))
        except RuntimeError as error:
            raise InputError(unreadable(path, error)) from error
    geometry = _geometry(path, image)
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return array.reshape(-1, *geometry.shape), geometry


def read_geometry(path: Path) -> Geometry:
    """Reads the header only; of a DICOM series, everything.

    Raises:
        InputError: If there is no readable 3D image (or 4D, channels last) in the file.
    """
    if path.is_dir():
        return _geometry(path, read_series(path))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_reader(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(unreadable(path, error)) from error
    return _geometry(path, reader)


def _reader(path: Path) -> str:
    """The library's reader; empty where it finds it by itself, as it does by a small ending."""
    ending = path.suffix
    return "MetaImageIO" if ending.lower() in (".mha", ".mhd") and ending.isupper() else ""


def unreadable(path: Path, error: Exception | None = None) -> Problem:
    """What is said of a file that the image library cannot read."""
    if not path.is_file():
        return Problem("the file does not exist", path)
    if "orthonormal" in str(error):
        message = "its axes are not at right angles (a sheared sform): resample it first"
        return Problem(message, path)
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
