"""A DICOM series as one volume.

The image library stacks whatever it is given: with a slice missing, twice there or shifted, it
makes a volume of the wrong size in mm, and at most writes a warning. So the slices' positions are
looked at first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from spsam.errors import InputError, Problem

# Its functions carry no types.
sitk: Any = SimpleITK

_POSITION, _ORIENTATION, _NAME = "0020|0032", "0020|0037", "0008|103e"
# Scanners round positions; a missing slice is off by its whole spacing.
_TOLERANCE = 0.1


def series_in(folder: Path) -> list[str]:
    """The identifiers of the DICOM series whose files lie in the folder."""
    if not folder.is_dir():
        return []
    # A folder without a series is no news to whoever asks for them.
    warns = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        return sorted(map(str, sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))))
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warns)


def ordered_files(folder: Path) -> tuple[str, ...]:
    """The files of the folder's first series, in the order of its volume's slices."""
    return _files(folder, series_in(folder)[0])


def series_files(folder: Path) -> tuple[Path, ...]:
    """The files of all DICOM series in the folder, those of one series in its order."""
    return tuple(Path(file) for each in series_in(folder) for file in _files(folder, each))


def read_series(folder: Path) -> Any:
    """The one series of a folder, its slices ordered by their position.

    Raises:
        InputError: If there is no series or more than one, a slice cannot be read, is missing, is
            there twice, or the slices are not parallel and upright on each other.
    """
    series = series_in(folder)
    if not series:
        raise InputError(Problem("there is no DICOM series in the folder", folder))
    if len(series) > 1:
        shown = "; ".join(_describe(folder, each) for each in series)
        message = f"expected one DICOM series, the folder has {len(series)}: {shown}; give each a "
        raise InputError(Problem(f"{message}folder of its own", folder))
    files = _files(folder, series[0])
    if len(files) > 1:
        problems = _slice_problems(folder, files)
        if problems:
            raise InputError(problems)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    try:
        return reader.Execute() if len(files) > 1 else sitk.ReadImage(files[0])
    except RuntimeError as error:
        message = "the slices of the DICOM series differ in size or cannot be read"
        raise InputError(Problem(message, folder)) from error


def _files(folder: Path, series: str) -> tuple[str, ...]:
    return tuple(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series))


def _describe(folder: Path, series: str) -> str:
    files = _files(folder, series)
    name = _header(files[0]).get(_NAME, "").strip() or f"…{series[-12:]}"
    return f"'{name}' ({len(files)} {'file' if len(files) == 1 else 'files'})"


def _header(file: str) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(Problem("the DICOM file cannot be read", Path(file))) from error
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def _slice_problems(folder: Path, files: tuple[str, ...]) -> list[Problem]:
    headers = [_header(file) for file in files]
    for file, header in zip(files, headers, strict=True):
        if _POSITION not in header or _ORIENTATION not in header:
            return [Problem("the slice does not say where it lies (ImagePosition)", Path(file))]
    orientations = np.array([_numbers(header[_ORIENTATION]) for header in headers])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        return [Problem("the slices of the DICOM series are not parallel", folder)]
    positions = np.array([_numbers(header[_POSITION]) for header in headers])
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    if np.abs(along).min() < 1e-4:
        twice = Path(files[int(np.abs(along).argmin()) + 1]).name
        return [Problem(f"two slices lie at the same position ({twice} is one of them)", folder)]
    usual = float(np.median(along))
    wrong = np.flatnonzero(np.abs(along - usual) > _TOLERANCE * abs(usual))
    if len(wrong):
        first = int(wrong[0])
        between = f"{Path(files[first]).name} and {Path(files[first + 1]).name}"
        return [
            Problem(
                f"the slices {between} are {abs(along[first]):.4g} mm apart, the others "
                f"{abs(usual):.4g} mm: a slice is missing ({len(wrong)} such gaps)",
                folder,
            )
        ]
    aside = np.abs(steps - along[:, None] * normal).max()
    if aside > max(0.01, _TOLERANCE * abs(usual)):
        message = "the slices are shifted against each other (a tilted gantry); resample it first"
        return [Problem(message, folder)]
    return []


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split("\\")]
