"""Reader of Synapse as preprocessed for TransUNet: slices for training, volumes for testing.

Intensities are clipped to −125…275 HU and scaled to 0…1, organs have other ids, and the voxel sizes
are lost.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.cases import Case, DataSet
from spsam.data.geometry import Geometry
from spsam.data.labels import class_indices
from spsam.data.sources.beside import entries, second, unread_notes
from spsam.data.sources.known import SYNAPSE, SYNAPSE_PREPROCESSED
from spsam.data.volume import Volume, check_image
from spsam.errors import InputError, Problem

LAYOUT = (
    "Synapse, preprocessed: train_npz/case0005_slice000.npz … and test_vol_h5/case0001.npy.h5, "
    "each with 'image' and 'label'"
)

_SLICE = re.compile(r"(case\d{4})_slice(\d{3,})\.npz", re.IGNORECASE)
_VOLUME = re.compile(r"(case\d{4})\.npy\.h5", re.IGNORECASE)
_UNKNOWN = (1.0, 1.0, 1.0)


def recognise(folder: Path) -> bool:
    """Check whether one of the two folders contains a file with a matching name."""
    return bool(_slices(folder) or _volumes(folder))


def read(folder: Path) -> DataSet:
    """Open the folder that contains `train_npz` and `test_vol_h5`.

    Raises:
        InputError: If a volume lacks slices, has a slice twice, or is in both folders.
    """
    every, volumes = _slices(folder), _volumes(folder)
    slices = {
        name: {number: files[0] for number, files in each.items()} for name, each in every.items()
    }
    problems = [
        second(files[1], files[0])
        for each in every.values()
        for files in each.values()
        if len(files) > 1
    ]
    for name, files in slices.items():
        if sorted(files) != list(range(len(files))):
            lacking = sorted(set(range(max(files))) - files.keys())
            shown = ", ".join(map(str, lacking[:5])) + (", …" if len(lacking) > 5 else "")
            problems.append(Problem(f"slices {shown} of {name} are missing", folder / "train_npz"))
    problems += [
        Problem(f"{name} is also in train_npz", volumes[name])
        for name in sorted(volumes.keys() & slices.keys())
    ]
    if problems:
        raise InputError(problems)
    class_of = SYNAPSE.class_of(SYNAPSE_PREPROCESSED)
    cases = [
        _case(name, _stack, tuple(files[number] for number in sorted(files)), class_of)
        for name, files in slices.items()
    ]
    cases += [_case(name, _whole, (file,), class_of) for name, file in volumes.items()]
    return DataSet(
        name=f"{SYNAPSE.name}_preprocessed",
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        class_names=SYNAPSE.classes,
        raw_ids=SYNAPSE.raw_ids(SYNAPSE_PREPROCESSED),
        channel_names=("CT",),
        modality=SYNAPSE.modality,
        published=SYNAPSE.name,
        folder=folder,
        splits=SYNAPSE.splits,
        notes=(
            "the files contain no voxel sizes: 1 mm is assumed, so distances are in voxels",
            *unread_notes((file for case in cases for file in case.files), (".npz", ".h5")),
        ),
    )


def _case(name: str, read: Any, files: tuple[Path, ...], class_of: Mapping[int, int]) -> Case:
    return Case(
        id=name,
        patient=name,
        load=partial(_load, read, files, class_of),
        geometry=partial(_geometry, read, files),
        files=files,
    )


def _slices(folder: Path) -> dict[str, dict[int, list[Path]]]:
    """Map each case to its slice numbers and the files with this number."""
    found: dict[str, dict[int, list[Path]]] = {}
    place = folder / "train_npz"
    for path in entries(place) if place.is_dir() else []:
        match = _SLICE.fullmatch(path.name)
        if match:
            of_case = found.setdefault(match[1].lower(), {})
            of_case.setdefault(int(match[2]), []).append(path)
    return found


def _volumes(folder: Path) -> dict[str, Path]:
    place = folder / "test_vol_h5"
    files = entries(place) if place.is_dir() else []
    matches = ((path, _VOLUME.fullmatch(path.name)) for path in files)
    return {match[1].lower(): path for path, match in matches if match}


def _load(read: Any, files: Sequence[Path], class_of: Mapping[int, int]) -> Volume:
    image, label = read(files)
    problems = check_image(image[None], files[0])
    classes = None
    try:
        classes = class_indices(label[None], files[0], class_of)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return Volume(image[None].astype(np.float32, copy=False), classes, _UNKNOWN)


def _geometry(read: Any, files: Sequence[Path]) -> Geometry:
    if read is _stack:
        first, _ = _stack(files[:1])
        return Geometry((len(files), *first.shape[1:]), _UNKNOWN)
    image, _ = read(files)
    return Geometry(image.shape, _UNKNOWN)


def _stack(files: Sequence[Path]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read image and label `(D, H, W)` of a volume from its slices, one file each."""
    parts: dict[str, list[npt.NDArray[Any]]] = {"image": [], "label": []}
    problems = []
    for file in files:
        try:
            # Opened here, because NumPy does not close a truncated file.
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                read = {key: content[key] for key in parts}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            problems.append(_unreadable(file, error))
            continue
        for key, array in read.items():
            expected = parts[key][0].shape if parts[key] else read["image"].shape
            if array.ndim != 2 or array.shape != expected:
                message = f"expected '{key}' of one size, {expected}, got {array.shape}"
                problems.append(Problem(message, file))
            parts[key].append(array)
    if problems:
        raise InputError(problems)
    return np.stack(parts["image"]), np.stack(parts["label"])


def _whole(files: Sequence[Path]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read image and label `(D, H, W)` of a volume from one file."""
    import h5py

    (file,) = files
    try:
        with h5py.File(file, "r") as content:
            image, label = content["image"][()], content["label"][()]
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(_unreadable(file, error)) from error
    if image.ndim != 3 or image.shape != label.shape:
        message = f"expected 'image' and 'label' of one size (D, H, W), got {image.shape} and "
        raise InputError(Problem(f"{message}{label.shape}", file))
    return image, label


def _unreadable(file: Path, error: Exception) -> Problem:
    why = "it lacks 'image' or 'label'" if isinstance(error, KeyError) else "the file is damaged"
    return Problem(f"cannot be read: {why}; copy it again from its source", file)
