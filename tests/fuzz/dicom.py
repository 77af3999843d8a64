"""DICOM series and files of many frames with tags and bytes changed, against pydicom."""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_rescale

from spsam.data.files.image import read_array, read_geometry
from spsam.data.geometry import Geometry
from tests.data.files.test_dicom import PIXELS, POSITIONS, frames, series
from tests.fuzz.campaign import Attempt, Campaign, Make, OtherError

_VALUES: tuple[Any, ...] = (
    *("", None, "x", -1, 0, 1, 2, 8, 12, 16, 65535, 1e30, -2.5, float("nan"), float("inf"), b""),
    *([1, 2, 3], [0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0], [0.5, 0.25]),
    *("MONOCHROME1", "RGB", "1.2.840.10008.1.2", "1\\2", "1e400", "٣", "9" * 400),
)
_SLICES = 4
_HEADER = 1200


def start(base: Path) -> Make:
    """A series, and a file of six frames."""
    series(base / "series", PIXELS[:_SLICES], POSITIONS, _scaled)
    frames(base / "frames.dcm", (2, 0, 1, 5, 3, 4))
    return lambda draw, folder: _attempt(draw, folder, base)


def _scaled(index: int, data: Any) -> None:
    data.RescaleSlope, data.RescaleIntercept = str(1 + index / 4), str(-index)


def _attempt(draw: random.Random, folder: Path, base: Path) -> Attempt:
    if draw.random() < 0.6:
        place = Path(shutil.copytree(base / "series", folder / "series"))
        files = sorted(place.iterdir())
        files = files if draw.random() < 0.2 else [draw.choice(files)]
    else:
        place = Path(shutil.copy(base / "frames.dcm", folder))
        files = [place]
    seed, changes = draw.random(), draw.choice([1, 1, 2])
    said = [_mutated(random.Random(seed), file, changes) for file in files]
    what = f"{len(files)} of {place.name}: {said[0]}"
    return Attempt(what, lambda: _read(place), lambda found: _as_pydicom(place, *found))


def _mutated(draw: random.Random, file: Path, changes: int) -> str:
    """Changes a file; says what."""
    said = []
    if draw.random() < 0.7:
        data = pydicom.dcmread(file)
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            for _ in range(changes):
                said.append(_changed(draw, data))
            try:
                data.save_as(file)
            except Exception as error:
                # What pydicom cannot write stands in no file; a byte is changed instead.
                said = [f"not {said} ({type(error).__name__})"]
        if not said[0].startswith("not "):
            return ", ".join(said)
    content = bytearray(file.read_bytes())
    at, new = draw.randrange(128, min(_HEADER, len(content))), draw.randrange(256)
    content[at] = new
    if draw.random() < 0.1:
        content = content[: draw.randrange(len(content))]
        said.append(f"cut to {len(content)} bytes")
    file.write_bytes(bytes(content))
    return ", ".join([*said, f"byte {at} is {new}"])


def _changed(draw: random.Random, data: Any) -> str:
    elements = [each for each in data if each.keyword]
    if data.get("PerFrameFunctionalGroupsSequence") and draw.random() < 0.6:
        groups = data.PerFrameFunctionalGroupsSequence
        group = draw.choice([*groups, *(data.get("SharedFunctionalGroupsSequence") or [])])
        elements = list(group) + [
            inner for each in group if each.VR == "SQ" for item in each.value for inner in item
        ]
    if not elements:
        return "nothing"
    element = draw.choice(elements)
    if draw.random() < 0.25:
        for holder in _holders(data):
            if element.tag in holder and holder[element.tag] is element:
                del holder[element.tag]
        return f"no {element.keyword}"
    value = draw.choice(_VALUES)
    try:
        element.value = value
    except Exception as error:
        # Sequences and numbers take no such value: an empty one in its place.
        element.value = [] if element.VR == "SQ" else None
        return f"{element.keyword} emptied ({type(error).__name__})"
    return f"{element.keyword} is {value!r:.40}"


def _holders(data: Any) -> list[Any]:
    inner = [item for each in data if each.VR == "SQ" for item in each.value]
    return [data, *(deeper for item in inner for deeper in _holders(item))]


def _read(place: Path) -> tuple[NDArray[Any], Geometry]:
    voxels, geometry = read_array(place)
    if read_geometry(place) != geometry:
        raise OtherError("headers alone give another place than headers and voxels")
    return voxels, geometry


def _as_pydicom(place: Path, voxels: NDArray[Any], geometry: Geometry) -> str:
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            slices = [each for file in files for each in _slices(file)]
        except Exception as error:
            return f"accepted, pydicom does not: {type(error).__name__} {str(error)[:40]}"
    if voxels.shape[:2] != (1, len(slices)):
        raise OtherError(f"the voxels are {voxels.shape}, the files hold {len(slices)} slices")
    direction = np.reshape(geometry.direction, (3, 3))
    slices.sort(key=lambda each: each[0] @ direction[:, 2])
    for index, (position, spacing, pixels) in enumerate(slices):
        if not np.allclose(geometry.spacing[1:], spacing, rtol=1e-3):
            raise OtherError(f"slice {index} has pixels of {geometry.spacing[1:]}, not {spacing}")
        lies = np.add(geometry.origin, index * geometry.spacing[0] * direction[:, 2])
        if np.abs(lies - position).max() > 0.02 * geometry.spacing[0]:
            raise OtherError(f"slice {index} lies at {lies}, pydicom's at {position}")
        if voxels[0, index].shape != pixels.shape or not np.allclose(
            voxels[0, index], pixels, 1e-5
        ):
            raise OtherError(f"slice {index} has other voxels than pydicom's")
    return "as pydicom"


def _slices(file: Path) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]]:
    """Position, pixel spacing and scaled pixels of each slice or frame."""
    data: Any = pydicom.dcmread(file, force=True)
    pixels = data.pixel_array
    if "PerFrameFunctionalGroupsSequence" not in data:
        return [
            (*_numbers(data.ImagePositionPatient, data.PixelSpacing), apply_rescale(pixels, data))
        ]
    shared = data.SharedFunctionalGroupsSequence[0]
    found = []
    for plane, group in zip(
        pixels.reshape(-1, *pixels.shape[-2:]), data.PerFrameFunctionalGroupsSequence, strict=True
    ):
        place = group.PlanePositionSequence[0].ImagePositionPatient
        values = group.get("PixelValueTransformationSequence") or [data]
        measures = (
            group.get("PixelMeasuresSequence") or shared.get("PixelMeasuresSequence") or [data]
        )
        numbers = _numbers(place, measures[0].PixelSpacing)
        found.append((*numbers, apply_rescale(plane, values[0])))
    return found


def _numbers(position: Any, spacing: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(position, np.float64), np.array(spacing, np.float64)


CAMPAIGN = Campaign("dicom", start, 600)
