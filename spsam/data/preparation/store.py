"""Prepared volumes on disk: written once by `prepare`, mapped into memory by everyone else."""

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
# Each open case holds two files open, of which a process may have about a thousand.
_OPEN = 128


@dataclass(frozen=True)
class PreparedCase:
    """One volume on the plan's grid.

    Attributes:
        id: The case's id.
        patient: Whose it is.
        image: `(M, D, H, W)` float32, normalised. Of a store it is a `Chunked`, whose slices are
            read from the file when they are asked for.
        label: `(D, H, W)` class indices, uint8 or, from class 256 on and with `IGNORED` voxels,
            int16; likewise.
        foreground: Class -> `(n, 3)` voxels (d, h, w) of it, a bounded sample; only classes that
            are there.
        spacing: (d, h, w) in mm.
        original: The grid it was acquired on, array axes (z, y, x).
        axes: Which of those axes became (d, h, w).
        raw_ids: For each class, the id it has in label files.
        flips: Which of (d, h, w) run against their original axis.
        box: What was cut out of the original array first, (start, stop) per axis (z, y, x); None
            where all of it was kept.
        notes: What the user should look at in its files; of a store see `PreparedStore.notes`.
        annotated: `(n, 3)` voxels (d, h, w) that are not ignored, a bounded sample; None for a
            case without ignored voxels.
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
        """From the original axes to the prepared ones and back."""
        return Turn(self.axes, self.flips)


class PreparedStore:
    """A folder of prepared volumes. Light: opens files when a case is asked for; pickles.

    Args:
        folder: A folder that `prepare` has finished.

    Raises:
        SpsamError: If its index is damaged; of a case, when it is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = read_json(folder / INDEX, *_OF_INDEX)
        self._open: OrderedDict[str, PreparedCase] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Open files stay in their process."""
        return {**vars(self), "_open": OrderedDict()}

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases in it, sorted."""
        return tuple(self.index["cases"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should look at in the files of its cases."""
        return tuple(self.index.get("notes", ()))

    def classes(self, case_id: str) -> frozenset[int]:
        """The classes that a case has a voxel of, the background not counted."""
        return frozenset(self.case(case_id).foreground)

    @property
    def num_classes(self) -> int:
        """K, background included."""
        return len(self.index["class_names"])

    def case(self, case_id: str) -> PreparedCase:
        """Maps one case's arrays; an unknown id is a programming mistake (`KeyError`).

        The cases used last stay open: a random patch costs the reading of that patch.
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
        # They stand for the arrays that they hold.
        image, label = (
            cast(Any, _array(self.folder, case_id, part, meta)) for part in ("image", "label")
        )
        voxels = _foreground(case_file(self.folder, case_id, "foreground.npy"), meta["foreground"])
        # Of a case with ignored voxels, the rows under their number are of all others.
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
    """Whether a case is in a folder, with every byte as it was written."""
    try:
        meta = read_json(case_file(folder, case_id, "json"), *_OF_CASE)
        _foreground(case_file(folder, case_id, "foreground.npy"), meta["foreground"])
        for part in ("image", "label"):
            _array(folder, case_id, part, meta)[...]
    except SpsamError:
        return False
    return True


def _array(folder: Path, case_id: str, part: str, meta: Mapping[str, Any]) -> Chunked:
    # Descriptions of earlier versions do not have the arrays' checksums.
    return Chunked(case_file(folder, case_id, f"{part}.b2nd"), meta.get("arrays", {}).get(part))


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """A store's index or a case's description, verified.

    Args:
        path: The file.
        needed: Keys that one of its kind has.

    Raises:
        SpsamError: If it is damaged, missing or of another kind.
    """
    try:
        found = from_sealed_json(path.read_bytes(), required=True)
    except (ValueError, FileNotFoundError) as error:
        raise damaged(path) from error
    if not found.keys() >= set(needed):
        raise damaged(path)
    return found


def _foreground(path: Path, checksum: str) -> dict[int, npt.NDArray[np.int32]]:
    """The rows (class, d, h, w) of a file, which are sorted by class, as views for each class."""
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
    """Where a case's array or description lies."""
    return folder / f"{case_id}.{ending}"
