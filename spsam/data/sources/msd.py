"""The layout of the Medical Segmentation Decathlon: a `dataset.json` beside the images."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from spsam.data.cases import Case, DataSet, fingerprint_files
from spsam.data.volume import read_geometry, read_volume
from spsam.errors import InputError, Problem

LAYOUT = (
    "Medical Segmentation Decathlon: dataset.json with 'modality', 'labels' and 'training' "
    '(a list of {"image": …, "label": …})'
)


def recognise(folder: Path) -> bool:
    """Whether there is a `dataset.json`."""
    return (folder / "dataset.json").is_file()


def open(folder: Path) -> DataSet:
    """Opens the folder; every volume counts as a patient.

    Organs are keyed by their name in `dataset.json`: copies of one data set number them
    differently, and the order of the file's entries means nothing. Class k is the k-th id in
    numerical order.

    Raises:
        InputError: With every mistake in `dataset.json` and every missing file.
    """
    path = folder / "dataset.json"
    content = _read(path)
    problems: list[Problem] = []
    channels = _names(content, "modality", path, problems)
    labels = _names(content, "labels", path, problems)
    if labels and 0 not in labels:
        problems.append(Problem("'labels' has no id 0 for the background", path))
    pairs = _pairs(content, folder, path, problems)
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
    is_ct = all(name.upper().startswith("CT") for name in channels.values())
    return DataSet(
        name=_short(str(content.get("name") or folder.resolve().name)),
        cases=tuple(sorted(cases, key=lambda case: case.id)),
        class_names=("background", *(labels[raw] for raw in raw_ids[1:])),
        raw_ids=raw_ids,
        channel_names=tuple(channels[index] for index in sorted(channels)),
        modality="CT" if is_ct else "MR",
        fingerprint=fingerprint_files(
            folder, [path, *(file for case in cases for file in case.files)]
        ),
        folder=folder,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(Problem("is not a text file in UTF-8", path)) from error
    except json.JSONDecodeError as error:
        raise InputError(Problem(f"is not valid JSON: {error.msg}", path, error.lineno)) from error
    if not isinstance(content, dict):
        raise InputError(Problem("expected a JSON object at the top", path))
    return content


def _names(
    content: dict[str, Any], key: str, path: Path, problems: list[Problem]
) -> dict[int, str]:
    """The mapping id -> name under `key`; mistakes are appended to `problems`."""
    value = content.get(key)
    expected = f'expected \'{key}\' to be an object of names by id, like {{"0": "…", "1": "…"}}'
    if not isinstance(value, dict) or not value:
        problems.append(Problem(expected, path))
        return {}
    names: dict[int, str] = {}
    for number, name in value.items():
        if not re.fullmatch(r"\d+", number) or not isinstance(name, str):
            problems.append(Problem(f"{expected}; got {number!r}: {name!r}", path))
            return {}
        names[int(number)] = name
    twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if twice and key == "labels":
        problems.append(Problem(f"'labels' has the same name twice: {', '.join(twice)}", path))
    return names


def _pairs(
    content: dict[str, Any], folder: Path, path: Path, problems: list[Problem]
) -> dict[str, tuple[Path, Path]]:
    """Case id -> image and label file of the training list."""
    training = content.get("training")
    if not isinstance(training, list) or not training:
        problems.append(Problem("expected 'training' to be a list of images and labels", path))
        return {}
    pairs: dict[str, tuple[Path, Path]] = {}
    for entry in training:
        files = entry if isinstance(entry, dict) else {}
        first, second = files.get("image"), files.get("label")
        if not isinstance(first, str) or not isinstance(second, str):
            message = f"expected 'image' and 'label' in each entry of 'training', got {entry!r}"
            problems.append(Problem(message, path))
            continue
        image, label = folder / first, folder / second
        name = re.sub(r"\.nii(\.gz)?$|\.[^.]+$", "", image.name)
        if name in pairs:
            problems.append(Problem(f"'training' lists {name} twice", path))
        pairs[name] = (image, label)
        problems += [
            Problem("the file does not exist, but dataset.json lists it", file)
            for file in (image, label)
            if not file.is_file()
        ]
    return pairs


def _short(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "msd"
