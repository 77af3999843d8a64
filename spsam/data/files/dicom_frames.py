"""Frames of DICOM files: position, order, and checks that they form a volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.geometry import Geometry
from spsam.errors import InputError, Problem

Vectors = npt.NDArray[np.float64]

# Scanners round positions; a missing slice causes an error of a whole spacing.
_TOLERANCE = 0.1
# Attributes that may distinguish images at the same position.
_TRAITS = (
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "EchoTime"),
    *("EffectiveEchoTime", "EchoNumbers", "DiffusionBValue", "AcquisitionNumber", "StackID"),
    *("ImageType", "FrameType", "AcquisitionTime", "ContentTime", "ConvolutionKernel"),
)


@dataclass(frozen=True)
class Frame:
    """One slice of a series.

    Attributes:
        file: File that contains the slice.
        index: Index of the frame in the file.
        count: Number of frames in the file.
        shape: Rows and columns.
        position: Centre (x, y, z) of the first pixel in mm.
        orientation: Direction cosines along a row, then along a column.
        spacing: Distance between rows and between columns in mm.
        thickness: Distance to the next slice in mm; None if the header does not contain it.
        slope: Factor applied to stored values.
        intercept: Offset added to the scaled values.
        scaled: Whether the header contains slope and intercept.
        traits: Attributes that may distinguish the slice from others at its position.
    """

    file: Path
    index: int
    count: int
    shape: tuple[int, int]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    slope: float = 1.0
    intercept: float = 0.0
    scaled: bool = True
    traits: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the file and, if it has several frames, number of the frame."""
        return self.file.name if self.count == 1 else f"{self.file.name} (frame {self.index + 1})"


def frames_of(file: Path) -> list[Frame]:
    """Read the frames of a file from its header, in the file's order.

    Raises:
        InputError: If the file is not an image, or does not specify the positions of its frames or
            the scale of its values.
    """
    import pydicom

    with pydicom.config.disable_value_validation():
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        if "Rows" not in header or "Columns" not in header:
            raise InputError(Problem("the DICOM file contains no image", file))
        if "ModalityLUTSequence" in header:
            message = "its values require a lookup table (ModalityLUTSequence), which is "
            raise InputError(Problem(f"{message}not supported: convert it", file))
        count = int(header.get("NumberOfFrames") or 1)
        groups = header.get("PerFrameFunctionalGroupsSequence")
        if groups is None:
            if count > 1:
                message = f"does not specify the positions of its {count} frames; convert it"
                raise InputError(Problem(message, file))
            return [_frame(file, 0, 1, [header])]
        if len(groups) != count:
            message = f"its header claims {count} frames, but positions of {len(groups)}"
            raise InputError(Problem(f"{message}; copy it again from its source", file))
        shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
        return [
            _frame(file, index, count, [*_flat(group), *_flat(shared[0]), header])
            for index, group in enumerate(groups)
        ]


def order_problems(place: Path, frames: Sequence[Frame]) -> list[Problem]:
    """Report why frames do not form a volume; empty if they do.

    Args:
        place: The series' folder, or its file.
        frames: Frames in any order.
    """
    for what in ("shape", "spacing"):
        values = {getattr(frame, what) for frame in frames}
        if len(values) > 1 and not np.allclose(*_extremes(values), rtol=1e-3, atol=0):
            shown = ", ".join(" × ".join(f"{v:g}" for v in each) for each in sorted(values)[:4])
            name = "size" if what == "shape" else "pixel spacing"
            message = f"the slices of the DICOM series differ in {name} ({shown})"
            return [Problem(f"{message}; move each kind into its own folder", place)]
    plain = [frame.name for frame in frames if not frame.scaled]
    if 0 < len(plain) < len(frames):
        message = f"{len(plain)} of {len(frames)} slices have no scale of their values "
        return [Problem(f"{message}(RescaleSlope), as {plain[0]}; correct the headers", place)]
    turns = np.array([frame.orientation for frame in frames])
    square = np.array([turns[:, :3] @ turns[0, :3], turns[:, 3:] @ turns[0, 3:]])
    if np.abs(turns - turns[0]).max() > 1e-3:
        kinds = len(np.unique(np.round(turns, 2), axis=0))
        message = f"the slices of the DICOM series are not parallel ({kinds} orientations, as with "
        return [Problem(f"{message}a localizer): move each into its own folder", place)]
    if np.abs(square[:, 0] - 1).max() > 1e-2 or abs(turns[0, :3] @ turns[0, 3:]) > 1e-3:
        return [Problem("its rows and columns are not at right angles (ImageOrientation)", place)]
    if len(frames) == 1:
        return [] if frames[0].thickness else [Problem("its header has no slice thickness", place)]
    return _step_problems(place, ordered(frames))


def ordered(frames: Sequence[Frame]) -> list[Frame]:
    """Sort frames by their positions along the slice normal."""
    normal = _normal(frames[0])
    return sorted(frames, key=lambda frame: (float(np.dot(frame.position, normal)), frame.name))


def stacked(frames: Sequence[Frame]) -> Geometry:
    """Return the geometry of a volume of frames that passed `order_problems`.

    Args:
        frames: Frames sorted by `ordered`.
    """
    first, last = frames[0], frames[-1]
    normal = _normal(first)
    along = float(np.dot(np.subtract(last.position, first.position), normal))
    step = along / (len(frames) - 1) if len(frames) > 1 else first.thickness
    assert step is not None
    matrix = np.column_stack([first.orientation[:3], first.orientation[3:], normal])
    return Geometry(
        (len(frames), *first.shape),
        (step, first.spacing[0], first.spacing[1]),
        (first.position[0], first.position[1], first.position[2]),
        tuple(float(value) for value in matrix.ravel()),
    )


def _normal(frame: Frame) -> Vectors:
    return np.cross(frame.orientation[:3], frame.orientation[3:])


def _extremes(values: set[tuple[float, ...]]) -> tuple[Vectors, Vectors]:
    array = np.array(sorted(values), np.float64)
    return array.min(axis=0), array.max(axis=0)


def _step_problems(place: Path, frames: Sequence[Frame]) -> list[Problem]:
    normal = _normal(frames[0])
    steps = np.diff([frame.position for frame in frames], axis=0)
    along = steps @ normal
    twice = along <= 1e-3 * along.max()
    if twice.any():
        return [Problem(_repeated(frames, twice), place)]
    usual = float(np.median(along))
    wrong = np.flatnonzero(np.abs(along - usual) > _TOLERANCE * usual)
    if len(wrong):
        first = int(wrong[0])
        between = f"{frames[first].name} and {frames[first + 1].name}"
        return [
            Problem(
                f"the slices {between} are {along[first]:.4g} mm apart, the others "
                f"{usual:.4g} mm: a slice is missing ({len(wrong)} such gaps)",
                place,
            )
        ]
    if np.abs(steps - along[:, None] * normal).max() > max(0.01, _TOLERANCE * usual):
        message = "the slices are shifted against each other (a tilted gantry); resample it first"
        return [Problem(message, place)]
    return []


def _repeated(frames: Sequence[Frame], twice: npt.NDArray[np.bool_]) -> str:
    """Describe slices that share a position."""
    sizes = np.diff([0, *(np.flatnonzero(~twice) + 1), len(frames)])
    several = int(sizes[0])
    if several == 1 or (sizes != several).any():
        name = frames[int(np.flatnonzero(twice)[0]) + 1].name
        return f"two slices have the same position ({name} is one of them); remove one"
    values = {trait: {frame.traits.get(trait) for frame in frames} - {None} for trait in _TRAITS}
    differ = [trait for trait, found in values.items() if len(found) == several]
    told = f" (they differ in {', '.join(differ[:2])})" if differ else ""
    return (
        f"positions repeat: {len(frames)} slices have {len(sizes)} positions, {several} at each, "
        f"as with several phases or echoes in one series{told}; move each into its own folder"
    )


def _flat(group: Any) -> list[Any]:
    """Return the first item of each sequence in a functional group.

    Private sequences of vendors are excluded, because their attributes have other meanings.
    """
    return [each.value[0] for each in group if each.VR == "SQ" and each.keyword and each.value]


def _frame(file: Path, index: int, count: int, places: Sequence[Any]) -> Frame:
    """Create a frame; each attribute is taken from the first of `places` that contains it."""

    def numbers(name: str, length: int, otherwise: Sequence[float] | None = None) -> Any:
        value = next((place.get(name) for place in places if place.get(name) is not None), None)
        if value is None and otherwise is not None:
            return tuple(otherwise)
        found = () if value is None else tuple(map(float, np.atleast_1d(value)))
        if len(found) != length or not all(map(math.isfinite, found)):
            shown = "is missing" if value is None else f"is {value}"
            what = f"the slice has no valid position, orientation, spacing or scale: {name} {shown}"
            where = f" in frame {index + 1}" if count > 1 else ""
            raise InputError(Problem(f"{what}{where}", file))
        return found

    scaled = _is_scaled(file, places)
    slope = numbers("RescaleSlope", 1, (1.0,))[0]
    spacing = numbers("PixelSpacing", 2)
    between = (
        numbers("SpacingBetweenSlices", 1, (0.0,))[0] or numbers("SliceThickness", 1, (0.0,))[0]
    )
    shape = (int(places[-1].Rows), int(places[-1].Columns))
    if min(spacing) <= 0 or min(shape) <= 0:
        message = f"its header claims {shape[0]} × {shape[1]} pixels of {spacing[0]} × {spacing[1]}"
        raise InputError(Problem(f"{message} mm", file))
    return Frame(
        file,
        index,
        count,
        shape,
        numbers("ImagePositionPatient", 3),
        numbers("ImageOrientationPatient", 6),
        spacing,
        abs(between) or None,
        slope,
        numbers("RescaleIntercept", 1, (0.0,))[0],
        scaled,
        {name: str(place.get(name)) for place in places for name in _TRAITS if name in place},
    )


def _is_scaled(file: Path, places: Sequence[Any]) -> bool:
    """Check for slope and intercept; readers interpret one without the other differently."""
    names = ("RescaleSlope", "RescaleIntercept")
    for place in places:
        values = [place.get(name) for name in names]
        if values == [None, None]:
            continue
        if values[0] == 0:
            message = "its values would be multiplied by 0 (RescaleSlope)"
            raise InputError(Problem(message, file))
        if None in values:
            there, missing = names if values[1] is None else names[::-1]
            message = f"its header has {there} without {missing}: the scale of values is unknown"
            raise InputError(Problem(f"{message}; correct the header, or convert it again", file))
        return True
    return False
