"""Reading of a DICOM series, or of a file with many frames, as one volume.

SimpleITK stacks any files without checks. With a missing, repeated or shifted slice, the volume has
a wrong extent in mm. The frames of one file keep the file's order, and the data type of the first
slice is used for all. Therefore headers are read with pydicom, slices are sorted by position, and
each slice is scaled by its own slope and intercept.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spsam.data.files.dicom_frames import Frame, frames_of, order_problems, ordered, stacked
from spsam.data.files.dicom_pixels import stored
from spsam.data.files.reading import check_memory, named
from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem

# Largest length of a DICOM identifier.
_LONGEST = 64
# Suffixes of slice files; many have none.
_SLICES = (".dcm", ".ima", "")
_DAMAGED = "the DICOM file cannot be read: it is damaged or not an image"


def series_in(folder: Path) -> list[str]:
    """Return the identifiers of the DICOM series in the folder that contain images."""
    return sorted(_series(folder))


def ordered_files(folder: Path) -> tuple[str, ...]:
    """Return the files of the folder's first series in the order of the volume's slices.

    Raises:
        InputError: As `read_series`.
    """
    frames = _frames(folder, _files(folder, series_in(folder)[0]))
    return tuple(dict.fromkeys(str(frame.file) for frame in frames))


def series_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of all DICOM series in the folder, sorted by series and name."""
    return tuple(file for _, files in sorted(_series(folder).items()) for file in files)


def read_series(folder: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """Read the only series of a folder as `(1, D, H, W)`, with slices sorted by position.

    The type is float32, or float64 if stored values have 32 bits or more.

    Raises:
        InputError: If the folder does not contain exactly one series, if a slice is unreadable,
            missing or repeated, or if the slices are not parallel and aligned.
    """
    return _read(folder, _one_series(folder))


def series_geometry(folder: Path) -> Geometry:
    """Read the geometry of a folder's only series from headers alone.

    Raises:
        InputError: As `read_series`.
    """
    return stacked(_frames(folder, _one_series(folder)))


def is_dicom(path: Path) -> bool:
    """Check by suffix or content whether a file is a DICOM file."""
    if path.name.lower().endswith(".dcm"):
        return True
    with named(path, "cannot be read"), path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_dicom_file(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """Read the frames of one file as `(1, D, H, W)`, sorted by position.

    Raises:
        InputError: As `read_series`.
    """
    return _read(path, [path])


def dicom_file_geometry(path: Path) -> Geometry:
    """Read the geometry of one file from its header alone.

    Raises:
        InputError: As `read_series`.
    """
    return stacked(_frames(path, [path]))


def _read(place: Path, files: Sequence[Path]) -> tuple[npt.NDArray[np.generic], Geometry]:
    frames = _frames(place, files)
    geometry = stacked(frames)
    check_memory(4 * int(np.prod(geometry.shape)), place)
    voxels: npt.NDArray[np.floating] | None = None
    kept: dict[Path, npt.NDArray[np.generic]] = {}
    for index, frame in enumerate(frames):
        if frame.file not in kept:
            with _reading(frame.file):
                kept = {frame.file: stored(frame.file)}
        pixels = kept[frame.file][frame.index]
        if pixels.shape != geometry.shape[1:]:
            message = f"its pixels are {pixels.shape}, but its header claims {geometry.shape[1:]}"
            raise InputError(Problem(message, frame.file))
        wide = np.result_type(pixels.dtype, np.float32)
        if voxels is None:
            voxels = np.empty(geometry.shape, wide)
        elif np.promote_types(voxels.dtype, wide) != voxels.dtype:
            voxels = voxels.astype(wide)
        with np.errstate(over="ignore", invalid="ignore"):
            voxels[index] = pixels.astype(np.float64) * frame.slope + frame.intercept
    assert voxels is not None, "a series has at least one frame"
    return voxels[None], geometry


def _frames(place: Path, files: Sequence[Path]) -> list[Frame]:
    """Return all frames sorted by position.

    Raises:
        InputError: With every unreadable file, or the reason why the frames do not form a volume.
    """
    frames: list[Frame] = []
    problems: list[Problem] = []
    for file in files:
        try:
            with _reading(file):
                frames += frames_of(file)
        except InputError as error:
            problems += error.problems
    problems = problems or order_problems(place, frames)
    if problems:
        raise InputError(problems)
    return ordered(frames)


def _one_series(folder: Path) -> tuple[Path, ...]:
    series = _series(folder)
    if not series:
        raise InputError(Problem("there is no DICOM series in the folder", folder))
    if len(series) > 1:
        shown = "; ".join(_describe(name, series[name]) for name in sorted(series))
        message = f"expected one DICOM series, the folder has {len(series)}: {shown}; move each "
        raise InputError(Problem(f"{message}into its own folder", folder))
    return tuple(*series.values())


def _reading(file: Path) -> AbstractContextManager[None]:
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return named(file, _DAMAGED, BytesLengthException, InvalidDicomError)


def _series(folder: Path) -> dict[str, list[Path]]:
    """Group the files of a folder by series, sorted by name.

    A file without pixels is kept if its series contains images, because it is then a damaged slice.
    A series without any image is a report or a treatment plan and is excluded. A file without a
    valid series identifier is added to every series.
    """
    found: dict[str, list[Path]] = {}
    images: set[str] = set()
    damaged: list[Path] = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        if file.name.startswith("."):
            continue
        if file.is_symlink() and not file.exists() and file.suffix.lower() in _SLICES:
            damaged.append(file)
            continue
        if not file.is_file() or not is_dicom(file):
            continue
        try:
            name, image = _kind(file)
        except InputError:
            name, image = "", False
        if name:
            found.setdefault(name, []).append(file)
            images |= {name} if image else set()
        elif name is not None:
            damaged.append(file)
    if damaged and not images:
        return {"": damaged}
    return {name: files + damaged for name, files in found.items() if name in images}


def _kind(file: Path) -> tuple[str | None, bool]:
    """Return a file's series (None for a DICOMDIR) and whether it is an image."""
    import pydicom

    tags = ["SeriesInstanceUID", "Rows", "DirectoryRecordSequence"]
    with _reading(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
        if "DirectoryRecordSequence" in header:
            return None, False
        name = str(header.get("SeriesInstanceUID", ""))
        # An invalid identifier counts as missing.
        return name if len(name) <= _LONGEST and name.isprintable() else "", "Rows" in header


def _files(folder: Path, series: str) -> tuple[Path, ...]:
    return tuple(_series(folder).get(series, ()))


def _describe(series: str, files: Sequence[Path]) -> str:
    import pydicom

    with _reading(files[0]):
        header = pydicom.dcmread(files[0], stop_before_pixels=True, force=True)
        name = str(header.get("SeriesDescription", "")).strip() or f"…{series[-12:]}"
    return f"'{name}' ({len(files)} {'file' if len(files) == 1 else 'files'})"
