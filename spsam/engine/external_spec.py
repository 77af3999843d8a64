"""What is scored of predictions made elsewhere: planning makes it, the engine takes it."""

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

TITLE = "predicted elsewhere; scored by spsam"
"""What an external is called in titles and captions."""


@dataclass(frozen=True)
class ExternalSpec:
    """One fold's label maps of one source, and where their scores go.

    Attributes:
        name: What the source is called.
        folder: The run's folder, named by the content of the files and what they are scored on.
        data: What is scored.
        files: The label map of each test case, in the order of the split.
        sha256: Of each of these files.
        seed: The seed that it stands beside; an external counts for one.
        convention: What an empty class scores.
    """

    name: str
    folder: RunFolder
    data: DataIdentity
    files: Mapping[str, Path]
    sha256: Mapping[str, str]
    seed: int
    convention: str

    def config(self) -> dict[str, Any]:
        """What `config.yaml` has of it: no training, so little."""
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
    """A label map that should lie on a case's grid.

    Args:
        file: The label map, in any format that `spsam evaluate` reads.
        case: Whose it is.
        raw_ids: For each id that it may hold, the class index.

    Returns:
        `(D, H, W)` class indices, array axes (z, y, x), and what the user should know.

    Raises:
        InputError: With everything that is wrong: no label map, unknown ids, another grid.
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
    """The SHA-256 of each label map; of one in several files, that of their hashes.

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
