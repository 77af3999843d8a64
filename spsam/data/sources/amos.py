"""Reader of the CT volumes of AMOS22 in its official layout."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from spsam.data.cases import Case, DataSet
from spsam.data.files.json_object import read_object
from spsam.data.sources import dataset_json
from spsam.data.sources.beside import unread_notes
from spsam.data.sources.known import AMOS
from spsam.data.volume import read_geometry, read_volume
from spsam.errors import InputError, Problem

LAYOUT = "AMOS22: dataset.json whose 'training' lists imagesTr/amos_0001.nii.gz …"

_NUMBER = re.compile(r"amos_(\d{4})")
# Volumes with this number or a higher one are MR.
_FIRST_MR = 500


def recognise(folder: Path) -> bool:
    """Check for a `dataset.json` that lists volumes named `amos_…`."""
    training = dataset_json.peek(folder).get("training")
    return isinstance(training, list) and any(
        isinstance(entry, dict) and _NUMBER.search(str(entry.get("image"))) for entry in training
    )


def read(folder: Path) -> DataSet:
    """Open the labelled training volumes that are CT; the paper's five folds consist of these.

    Raises:
        InputError: With every error in `dataset.json` and every missing file.
    """
    path = folder / dataset_json.FILE
    content = read_object(path)
    problems: list[Problem] = []
    labels = dataset_json.names(content, "labels", path, problems)
    numbers = {_plain(name): number for number, name in labels.items() if number != 0}
    if labels and numbers.keys() != AMOS.organs.keys():
        odd = sorted(numbers.keys() ^ AMOS.organs.keys())
        message = f"expected the fifteen organs of AMOS22 in 'labels'; wrong: {', '.join(odd)}"
        problems.append(Problem(message, path))
    pairs = dataset_json.pairs(content, folder, path, problems)
    ct = {name: files for name, files in pairs.items() if _number(name) < _FIRST_MR}
    if pairs and not ct:
        problems.append(Problem(f"'training' lists no CT volume (amos_0001 … {_FIRST_MR})", path))
    if problems:
        raise InputError(problems)
    class_of = AMOS.class_of(numbers)
    cases = [
        Case(
            id=name,
            patient=name,
            load=partial(read_volume, image, label, class_of),
            geometry=partial(read_geometry, image),
            files=(image, label),
        )
        for name, (image, label) in sorted(ct.items())
    ]
    left = len(pairs) - len(ct)
    notes = dataset_json.count_notes(content, len(pairs))
    notes += unread_notes(file for files in pairs.values() for file in files)
    if left:
        notes.append(f"{left} MR volumes (amos_{_FIRST_MR:04d} …) are excluded")
    return DataSet(
        name=AMOS.name,
        cases=tuple(cases),
        class_names=AMOS.classes,
        raw_ids=AMOS.raw_ids(numbers),
        channel_names=("CT",),
        modality=AMOS.modality,
        published=AMOS.name,
        folder=folder,
        notes=tuple(notes),
    )


def _number(name: str) -> int:
    match = _NUMBER.search(name)
    # A volume with another name is not one of the MR volumes.
    return int(match[1]) if match else 0


def _plain(name: str) -> str:
    """Return an organ's name as in `known.py`; the official file spells some differently."""
    plain = dataset_json.short(name, name)
    return AMOS.aliases.get(plain, plain)
