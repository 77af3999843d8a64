"""Reader of the layout of the Medical Segmentation Decathlon, with a `dataset.json`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from spsam.data.cases import Case, DataSet
from spsam.data.files.json_object import read_object
from spsam.data.sources import dataset_json
from spsam.data.sources.beside import unread_notes
from spsam.data.volume import read_geometry, read_volume
from spsam.errors import InputError, Problem

LAYOUT = (
    "Medical Segmentation Decathlon: dataset.json with 'modality', 'labels' and 'training' "
    '(a list of {"image": …, "label": …})'
)


def recognise(folder: Path) -> bool:
    """Check for a `dataset.json`."""
    return (folder / dataset_json.FILE).is_file()


def read(folder: Path) -> DataSet:
    """Open the folder; every volume counts as a patient.

    Organs are identified by their names in `dataset.json`, because copies of a data set use
    different ids and the order of the entries is arbitrary. Class k is the k-th id in ascending
    order.

    Raises:
        InputError: With every error in `dataset.json` and every missing file.
    """
    path = folder / dataset_json.FILE
    content = read_object(path)
    problems: list[Problem] = []
    channels = dataset_json.names(content, "modality", path, problems)
    labels = dataset_json.names(content, "labels", path, problems)
    if labels and 0 not in labels:
        problems.append(Problem("'labels' lacks the id 0 for the background", path))
    pairs = dataset_json.pairs(content, folder, path, problems)
    if problems:
        raise InputError(problems)
    raw_ids = tuple(sorted(labels))
    ids = {raw: index for index, raw in enumerate(raw_ids)}
    cases = [
        Case(
            name,
            name,
            partial(read_volume, image, label, ids),
            partial(read_geometry, image),
            (image, label),
        )
        for name, (image, label) in pairs.items()
    ]
    return DataSet(
        name=dataset_json.short(str(content.get("name") or folder.resolve().name), "msd"),
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        class_names=("background", *(labels[raw] for raw in raw_ids[1:])),
        raw_ids=raw_ids,
        channel_names=tuple(channels[index] for index in sorted(channels)),
        modality="CT" if dataset_json.is_ct(list(channels.values())) else "MR",
        folder=folder,
        notes=(
            *dataset_json.count_notes(content, len(cases)),
            *unread_notes(file for files in pairs.values() for file in files),
        ),
    )
