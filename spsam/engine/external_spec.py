"""Description of an external's evaluation: planning creates it, the engine executes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.data.files.content import read_contents, together
from spsam.data.files.image import read_array
from spsam.data.files.parts import parts
from spsam.data.geometry import FATAL_OF_LABELS, VolumePlace, mismatches
from spsam.data.labels import Labels, class_indices
from spsam.errors import InputError, Problem

if TYPE_CHECKING:
    from spsam.config.schema import DataIdentity
    from spsam.data.cases import Case
    from spsam.results.run_folder import RunFolder

TITLE = "predicted by another program, scored by spsam"
"""Description of an external in titles and captions."""


@dataclass(frozen=True)
class ExternalSpec:
    """The label maps of one external for one fold, and the destination of their scores.

    Attributes:
        name: Name of the external.
        folder: The run's folder, identified by the content of the files and the scored data.
        data: Defines the scored classes or regions.
        files: Label map of each test case, in the order of the split.
        sha256: SHA-256 of each of these files.
        seed: Seed under which the external is listed; its label maps count for one seed.
        convention: Defines the score of an empty class.
    """

    name: str
    folder: RunFolder
    data: DataIdentity
    files: Mapping[str, Path]
    sha256: Mapping[str, str]
    seed: int
    convention: str

    def config(self) -> dict[str, Any]:
        """Returns the content of `config.yaml`, which describes no training."""
        return {
            "arm": {"name": self.name, "title": TITLE},
            "external": {"name": self.name, "label_maps": len(self.files)},
            "data": self.data.model_dump(mode="json"),
            "evaluation": {"convention": self.convention},
            "preset": "",
            "seed": self.seed,
        }


def read_prediction(
    file: Path, case: Case, raw_ids: Mapping[int, int]
) -> tuple[Labels, list[Problem]]:
    """Reads a label map and compares its grid with a case's.

    Args:
        file: The label map, in any format that `spsam evaluate` reads.
        case: The case.
        raw_ids: The class index for each id that the label map may contain.

    Returns:
        `(D, H, W)` class indices, array axes (z, y, x), and warnings on the grid.

    Raises:
        InputError: With every problem: not a label map, unknown ids, another grid.
    """
    array, geometry = read_array(file)
    of = case.files[0] if case.files else Path(case.id)
    errors, warnings = mismatches(
        VolumePlace("the prediction", file, geometry),
        VolumePlace(f"case {case.id}", of, case.geometry()),
        FATAL_OF_LABELS,
    )
    try:
        labels = class_indices(array, file, raw_ids)
    except InputError as error:
        errors += error.problems
    if errors:
        raise InputError(errors)
    return labels, warnings


def content_hashes(files: Iterable[Path]) -> dict[Path, str]:
    """Computes the SHA-256 of each label map; for several files, the hash of their hashes.

    Raises:
        InputError: With every file that cannot be read.
    """
    pieces = {file: parts(file) for file in files}
    contents = read_contents(piece for each in pieces.values() for piece in each)
    return {
        file: contents[each[0]].sha256
        if len(each) == 1
        else together([contents[piece] for piece in each])
        for file, each in pieces.items()
    }
