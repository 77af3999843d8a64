"""Reader of nnU-Net v2's raw layout: one file per channel, `dataset.json` with `channel_names`."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

from spsam.data.cases import Case, DataSet
from spsam.data.files.json_object import read_object
from spsam.data.labels import IGNORED
from spsam.data.sources import dataset_json
from spsam.data.sources.beside import ENDINGS, entries, stem, unread_notes
from spsam.data.sources.nnunet_labels import read_labels
from spsam.data.volume import read_geometry, read_volume
from spsam.errors import InputError, Problem

LAYOUT = (
    "nnU-Net v2 raw: imagesTr/CASE_0000.nii.gz …, labelsTr/CASE.nii.gz and dataset.json with "
    "'channel_names', 'labels', 'file_ending'"
)


RAW_FOLDERS = "nnUNet_raw"
"""Environment variable with the folder of all raw data sets, as used by nnU-Net's commands."""


def find(name: str) -> Path | None:
    """Find the folder of a data set in `$nnUNet_raw`.

    Args:
        name: `Dataset027_ACDC`, `Dataset027` or `27`.

    Returns:
        The folder; None if the name does not have the form of an nnU-Net data set.

    Raises:
        InputError: If the variable is not set, or not exactly one folder has the number.
    """
    found = re.fullmatch(r"(?:Dataset(?=\d{3}))?(\d{1,3})(_.+)?", name)
    if found is None or (found[2] and not name.startswith("Dataset")):
        return None
    number, root = int(found[1]), os.environ.get(RAW_FOLDERS, "")
    if not root or not Path(root).is_dir():
        state = f"{root} is not a folder" if root else "it is not set"
        raise InputError(
            f"data set '{name}': expected the environment variable {RAW_FOLDERS} to contain the "
            f"folder of nnU-Net's raw data sets, but {state}; set it, or pass the data set's folder"
        )
    folders = [each for each in sorted(Path(root).glob(f"Dataset{number:03d}_*")) if each.is_dir()]
    if found[2]:
        folders = [each for each in folders if each.name == name]
    if len(folders) == 1:
        return folders[0]
    shown = ", ".join(each.name for each in folders) if folders else "there is none"
    raise InputError(
        Problem(f"expected one folder Dataset{number:03d}{found[2] or '_*'}, {shown}", Path(root))
    )


def recognise(folder: Path) -> bool:
    """Check for a `dataset.json` with `channel_names`."""
    return "channel_names" in dataset_json.peek(folder)


def read(folder: Path) -> DataSet:
    """Open the labelled cases; every case counts as a patient.

    Raises:
        InputError: With every error in `dataset.json` and every missing file.
    """
    path = folder / dataset_json.FILE
    content = read_object(path)
    problems: list[Problem] = []
    channels = dataset_json.names(content, "channel_names", path, problems)
    if channels and sorted(channels) != list(range(len(channels))):
        shown = ", ".join(map(str, sorted(channels)))
        problems.append(Problem(f"expected 'channel_names' 0, 1, …, got {shown}", path))
    labels = read_labels(content, path, problems)
    ending = content.get("file_ending")
    if ending not in ENDINGS:
        message = f"expected 'file_ending' to be one of {', '.join(ENDINGS)}, got {ending!r}"
        problems.append(Problem(message, path))
    if problems:
        raise InputError(problems)
    class_of = {raw: index for index, raw in enumerate(labels.names)}
    if labels.ignore_id is not None:
        class_of[labels.ignore_id] = IGNORED
    cases = _cases(folder, len(channels), str(ending), class_of, problems)
    if problems:
        raise InputError(problems)
    names = [channels[index] for index in sorted(channels)]
    name = re.sub(r"^Dataset\d{3}_", "", folder.resolve().name)
    return DataSet(
        name=dataset_json.short(str(content.get("name") or name), "nnunet"),
        cases=tuple(cases),
        class_names=("background", *list(labels.names.values())[1:]),
        raw_ids=tuple(labels.names),
        channel_names=tuple(names),
        modality="CT" if dataset_json.is_ct(names) else "MR",
        folder=folder,
        notes=(
            *dataset_json.count_notes(content, len(cases)),
            *unread_notes(file for case in cases for file in case.files),
        ),
        ignore_id=labels.ignore_id,
        regions=labels.regions,
    )


def _by_ending(folder: Path, ending: str) -> tuple[list[Path], list[Path]]:
    """Return the images in a folder with the suffix `ending`, and those with another suffix."""
    images = [each for each in entries(folder) if stem(each)] if folder.is_dir() else []
    return (
        [each for each in images if each.name.endswith(ending)],
        [each for each in images if not each.name.endswith(ending)],
    )


def _cases(
    folder: Path,
    channels: int,
    ending: str,
    class_of: dict[int, int],
    problems: list[Problem],
) -> list[Case]:
    place = folder / "labelsTr"
    labels, other = _by_ending(place, ending)
    message = f"expected the suffix {ending} (file_ending of dataset.json): rename or remove it"
    problems += [
        Problem(message, each) for each in [*other, *_by_ending(folder / "imagesTr", ending)[1]]
    ]
    if not labels:
        problems.append(Problem(f"there is no label (labelsTr/*{ending})", folder))
    cases = []
    for label in labels:
        name = label.name[: -len(ending)]
        images = tuple(
            folder / "imagesTr" / f"{name}_{channel:04d}{ending}" for channel in range(channels)
        )
        missing = [image for image in images if not image.is_file()]
        shifted = folder / "imagesTr" / f"{name}_{channels:04d}{ending}"
        if missing and missing[0] == images[0] and shifted.is_file():
            message = "channels start at 0001, expected 0000: rename the images"
            problems.append(Problem(f"{message} of {name}", shifted))
            continue
        problems += [
            Problem("the image does not exist, but its label does", image) for image in missing
        ]
        load = partial(read_volume, images, label, class_of)
        geometry = partial(read_geometry, images[0])
        cases.append(Case(name, name, load, geometry, (*images, label)))
    return cases
