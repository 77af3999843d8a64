"""Reader of Synapse (BTCV) in the layout of the challenge, with folders `img` and `label`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from spsam.data.cases import Case, DataSet
from spsam.data.sources.beside import entries, second, unread_notes
from spsam.data.sources.known import SYNAPSE
from spsam.data.volume import read_geometry, read_volume
from spsam.errors import InputError, Problem

LAYOUT = "Synapse (BTCV): [RawData/][Training/]img/img0001.nii.gz and label/label0001.nii.gz"

_ABOVE = ("", "Training", "RawData/Training", "RawData")
_FILE = {
    kind: re.compile(rf"{kind}(\d{{4}})\.nii(?:\.gz)?", re.IGNORECASE) for kind in ("img", "label")
}


def recognise(folder: Path) -> bool:
    """Check for numbered images in `img/` beside a folder `label/`."""
    return _root(folder) is not None


def read(folder: Path) -> DataSet:
    """Open the folder of `img/` and `label/`, or a parent folder.

    The classes are the eight organs that publications score; the other five count as background.

    Raises:
        InputError: If a label has no image, a file occurs twice, or no image has a label.
    """
    root = _root(folder)
    assert root is not None, "the layout must have been recognised"
    every = [_numbered(root, kind) for kind in ("img", "label")]
    images, labels = ({number: files[0] for number, files in each.items()} for each in every)
    problems = [
        second(files[1], files[0]) for each in every for files in each.values() if len(files) > 1
    ]
    problems += [
        Problem(f"the image img{number}.nii.gz is missing", labels[number])
        for number in sorted(labels.keys() - images.keys())
    ]
    both = sorted(images.keys() & labels.keys())
    if not problems and not both:
        problems.append(Problem("no image has a label (label/label0001.nii.gz …)", folder))
    if problems:
        raise InputError(problems)
    class_of = SYNAPSE.class_of()
    cases = [
        Case(
            id=f"case{number}",
            patient=f"case{number}",
            load=partial(read_volume, images[number], labels[number], class_of),
            geometry=partial(read_geometry, images[number]),
            files=(images[number], labels[number]),
        )
        for number in both
    ]
    alone = sorted(images.keys() - labels.keys())
    notes = [f"{len(alone)} images without a label are excluded"] if alone else []
    notes += unread_notes([file for each in every for files in each.values() for file in files])
    return DataSet(
        name=SYNAPSE.name,
        cases=tuple(cases),
        class_names=SYNAPSE.classes,
        raw_ids=SYNAPSE.raw_ids(),
        channel_names=("CT",),
        modality=SYNAPSE.modality,
        published=SYNAPSE.name,
        folder=folder,
        splits=SYNAPSE.splits,
        notes=tuple(notes),
    )


def _root(folder: Path) -> Path | None:
    for above in _ABOVE:
        root = folder / above
        if (root / "label").is_dir() and _numbered(root, "img"):
            return root
    return None


def _numbered(root: Path, kind: str) -> dict[str, list[Path]]:
    """Map each number, as written, to the files with this number."""
    if not (root / kind).is_dir():
        return {}
    found: dict[str, list[Path]] = {}
    for path in entries(root / kind):
        match = _FILE[kind].fullmatch(path.name)
        if match:
            found.setdefault(match[1], []).append(path)
    return found
