"""Storage of prepared volumes: written once by `prepare`, then read in pieces from the files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from spsam.checksums import from_sealed_json, sha256
from spsam.data.geometry import Axes, Box, Geometry, Triple, Turn
from spsam.data.labels import IGNORED
from spsam.data.preparation.chunked import Chunked, damaged
from spsam.errors import Problem, SpsamError

INDEX = "store.json"
_OF_INDEX = ("cases", "class_names", "raw_ids")
_OF_CASE = ("patient", "original", "axes", "spacing", "foreground")
# Limit of open cases. Each has two open files, and a process may have about a thousand.
_OPEN = 128


@dataclass(frozen=True)
class PreparedCase:
    """One volume on the plan's grid.

    Attributes:
        id: Id of the case.
        patient: Id of the patient.
        image: `(M, D, H, W)` float32, normalised. In a store it is a `Chunked`, whose slices are
            read from the file on access.
        label: `(D, H, W)` class indices, uint8, or int16 if there are `IGNORED` voxels or classes
            from 256 on. In a store it is a `Chunked`.
        foreground: Class -> `(n, 3)` voxels (d, h, w), a sample of limited size; only classes that
            the case contains.
        spacing: (d, h, w) in mm.
        original: The acquired grid, array axes (z, y, x).
        axes: The original axes that became (d, h, w).
        raw_ids: For each class, its id in label files.
        flips: For each of (d, h, w), whether it is reversed.
        box: The cropped region of the original array, (start, stop) per axis (z, y, x); None if
            the volume was not cropped.
        notes: Warnings about its files; for a store see `PreparedStore.notes`.
        annotated: `(n, 3)` annotated voxels (d, h, w), a sample of limited size; None if no voxel
            is ignored.
    """

    id: str
    patient: str
    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.integer]
    foreground: Mapping[int, npt.NDArray[np.int32]]
    spacing: Triple
    original: Geometry
    axes: Axes
    raw_ids: tuple[int, ...]
    flips: tuple[bool, bool, bool] = (False, False, False)
    box: Box | None = None
    notes: tuple[Problem, ...] = ()
    annotated: npt.NDArray[np.int32] | None = None

    @property
    def turn(self) -> Turn:
        """The turn from the original axes to the prepared ones."""
        return Turn(self.axes, self.flips)


class PreparedStore:
    """A folder of prepared volumes, which are opened on access; it can be pickled.

    Args:
        folder: A folder that `prepare` has completed.

    Raises:
        SpsamError: If the index is damaged; for a damaged case, when it is accessed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = read_json(folder / INDEX, *_OF_INDEX)
        self._open: OrderedDict[str, PreparedCase] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without open files, which cannot be shared with other processes."""
        return {**vars(self), "_open": OrderedDict()}

    @property
    def ids(self) -> tuple[str, ...]:
        """Sorted ids of the cases."""
        return tuple(self.index["cases"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about the files of the cases."""
        return tuple(self.index.get("notes", ()))

    def classes(self, case_id: str) -> frozenset[int]:
        """Return the foreground classes that a case contains."""
        return frozenset(self.case(case_id).foreground)

    @property
    def num_classes(self) -> int:
        """K, background included."""
        return len(self.index["class_names"])

    def case(self, case_id: str) -> PreparedCase:
        """Open a case; an unknown id is a programming error (`KeyError`).

        The most recently used cases remain open, so that a random patch requires reading only the
        patch.
        """
        case = self._open.pop(case_id, None) or self._read(case_id)
        self._open[case_id] = case
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return case

    def _read(self, case_id: str) -> PreparedCase:
        if case_id not in self.index["cases"]:
            raise KeyError(case_id)
        meta = read_json(case_file(self.folder, case_id, "json"), *_OF_CASE)
        original = {name: tuple(value) for name, value in meta["original"].items()}
        box = meta.get("box")
        # A `Chunked` behaves like the array that it contains.
        image, label = (
            cast(Any, _array(self.folder, case_id, part, meta)) for part in ("image", "label")
        )
        voxels = _foreground(case_file(self.folder, case_id, "foreground.npy"), meta["foreground"])
        # If voxels are ignored, the rows with this number are a sample of all annotated voxels.
        annotated = voxels.pop(IGNORED, None)
        return PreparedCase(
            id=case_id,
            patient=meta["patient"],
            image=image,
            label=label,
            foreground=voxels,
            spacing=tuple(meta["spacing"]),
            original=Geometry(**original),
            axes=tuple(meta["axes"]),
            raw_ids=tuple(self.index["raw_ids"]),
            flips=tuple(meta.get("flips", (False, False, False))),
            box=None if box is None else cast(Box, tuple(map(tuple, box))),
            annotated=annotated,
        )


def is_sound(folder: Path, case_id: str) -> bool:
    """Check that a case is in a folder and that its checksums match."""
    try:
        meta = read_json(case_file(folder, case_id, "json"), *_OF_CASE)
        _foreground(case_file(folder, case_id, "foreground.npy"), meta["foreground"])
        for part in ("image", "label"):
            _array(folder, case_id, part, meta)[...]
    except SpsamError:
        return False
    return True


def _array(folder: Path, case_id: str, part: str, meta: Mapping[str, Any]) -> Chunked:
    # Descriptions of earlier versions lack checksums of the arrays.
    return Chunked(case_file(folder, case_id, f"{part}.b2nd"), meta.get("arrays", {}).get(part))


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """Read and verify a store's index or a case's description.

    Args:
        path: The file.
        needed: Keys that the content must have.

    Raises:
        SpsamError: If the file is damaged or missing, or lacks a key.
    """
    try:
        found = from_sealed_json(path.read_bytes(), required=True)
    except (ValueError, FileNotFoundError) as error:
        raise damaged(path) from error
    if not found.keys() >= set(needed):
        raise damaged(path)
    return found


def _foreground(path: Path, checksum: str) -> dict[int, npt.NDArray[np.int32]]:
    """Read the rows (class, d, h, w) of a file, sorted by class, as one view per class."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise damaged(path) from error
    if sha256(content) != checksum:
        raise damaged(path)
    rows = np.load(path, mmap_mode="r") if len(content) > 256 else np.load(path)
    values, starts = np.unique(rows[:, 0], return_index=True)
    ends = [*starts, len(rows)][1:]
    return {
        int(value): rows[start:end, 1:]
        for value, start, end in zip(values, starts, ends, strict=True)
    }


def case_file(folder: Path, case_id: str, ending: str) -> Path:
    """Return the path of a case's array or description."""
    return folder / f"{case_id}.{ending}"
