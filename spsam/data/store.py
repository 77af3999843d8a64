"""Prepared volumes on disk: written once by `prepare`, mapped into memory by everyone else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spsam.data.volume import Geometry

INDEX = "store.json"


@dataclass(frozen=True)
class PreparedCase:
    """One volume on the plan's grid.

    Attributes:
        id: The case's id.
        patient: Whose it is.
        image: `(M, D, H, W)` float32, normalised; mapped from the file, read-only.
        label: `(D, H, W)` uint8 class indices; mapped from the file, read-only.
        foreground: Class -> `(n, 3)` voxels (d, h, w) of it, a bounded sample; only classes that
            are there.
        spacing: (d, h, w) in mm.
        original: The grid it was acquired on, array axes (z, y, x).
        axes: Which of those axes became (d, h, w).
        raw_ids: For each class, the id it has in label files.
    """

    id: str
    patient: str
    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]
    foreground: Mapping[int, npt.NDArray[np.int32]]
    spacing: tuple[float, float, float]
    original: Geometry
    axes: tuple[int, int, int]
    raw_ids: tuple[int, ...]


class PreparedStore:
    """A folder of prepared volumes. Light: opens files when a case is asked for; pickles.

    Args:
        folder: A folder that `prepare` has finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))

    @property
    def ids(self) -> tuple[str, ...]:
        """The cases in it, sorted."""
        return tuple(self.index["cases"])

    @property
    def num_classes(self) -> int:
        """K, background included."""
        return len(self.index["class_names"])

    def case(self, case_id: str) -> PreparedCase:
        """Maps one case's arrays; an unknown id is a programming mistake (`KeyError`)."""
        if case_id not in self.index["cases"]:
            raise KeyError(case_id)
        meta = json.loads(case_file(self.folder, case_id, "json").read_text(encoding="utf-8"))
        voxels = np.load(case_file(self.folder, case_id, "foreground.npy"))
        original = {name: tuple(value) for name, value in meta["original"].items()}
        return PreparedCase(
            id=case_id,
            patient=meta["patient"],
            image=np.load(case_file(self.folder, case_id, "image.npy"), mmap_mode="r"),
            label=np.load(case_file(self.folder, case_id, "label.npy"), mmap_mode="r"),
            foreground={
                int(value): voxels[voxels[:, 0] == value, 1:] for value in np.unique(voxels[:, 0])
            },
            spacing=tuple(meta["spacing"]),
            original=Geometry(**original),
            axes=tuple(meta["axes"]),
            raw_ids=tuple(self.index["raw_ids"]),
        )


def case_file(folder: Path, case_id: str, ending: str) -> Path:
    """Where a case's array or description lies."""
    return folder / f"{case_id}.{ending}"
