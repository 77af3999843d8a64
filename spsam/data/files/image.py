"""Reading of image files and DICOM series with the reader of their format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from spsam.data.files.containers import container_geometry, read_container
from spsam.data.files.dicom import (
    dicom_file_geometry,
    is_dicom,
    read_dicom_file,
    read_series,
    series_geometry,
)
from spsam.data.files.nifti import is_nifti, nifti_geometry, read_nifti
from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem


def read_array(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """Read the voxels `(M, D, H, W)` and the geometry of an image.

    Args:
        path: A file with a 3D image (or 4D, channels last), or a folder with one DICOM series.

    Raises:
        InputError: If the image is missing or damaged, or a voxel is not a finite number.
    """
    array, geometry = _read(path)
    if np.issubdtype(array.dtype, np.floating):
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            raise InputError(Problem(f"the image has {bad} voxels that are NaN or infinite", path))
    return array, geometry


def _read(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    if path.is_dir():
        return read_series(path)
    _check_file(path)
    if is_nifti(path):
        return read_nifti(path)
    return read_dicom_file(path) if is_dicom(path) else read_container(path)


def read_geometry(path: Path) -> Geometry:
    """Read the geometry of an image from headers alone.

    Raises:
        InputError: If the path is not a readable 3D image (or 4D, channels last).
    """
    if path.is_dir():
        return series_geometry(path)
    _check_file(path)
    if is_nifti(path):
        return nifti_geometry(path)
    return dicom_file_geometry(path) if is_dicom(path) else container_geometry(path)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(Problem("the file does not exist", path))
