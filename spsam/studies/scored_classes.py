"""The classes, regions and ignore label for the scoring of a folder of predictions."""

from __future__ import annotations

import re
from pathlib import Path

from spsam.data.sources import dataset_json
from spsam.data.sources.label_maps import RECORD
from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json

Ids = tuple[int, ...]
"""The id of a class, or the ids of the classes that form a region."""


def read_classes(text: str | None, predictions: Path) -> dict[Ids, str]:
    """Returns the classes or regions to score, by their ids.

    Args:
        text: The value of `--classes`; None uses the record of `spsam predict`.
        predictions: The folder of predictions, which may contain the record.

    Returns:
        Ids -> name; empty if there is neither a text nor a record.

    Raises:
        InputError: If the text or the record is invalid.
    """
    if text is None:
        record = predictions / RECORD
        if not record.is_file():
            return {}
        try:
            said = parse_json(record.read_text(encoding="utf-8"))
            if said.get("regions"):
                pairs = said["regions"].items()
                return {tuple(int(each) for each in ids): str(name) for name, ids in pairs}
            classes = said["classes"]
            return {(int(key),): str(name) for key, name in classes.items() if int(key) != 0}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            message = "is not a valid record of spsam predict: specify the classes with "
            raise InputError(Problem(f"{message}--classes NAME=ID,…", record)) from error
    parts = [re.fullmatch(r"\s*(.+?)\s*=\s*(\d+(?:\s*\+\s*\d+)*)\s*", x) for x in text.split(",")]
    named = [(tuple(map(int, part[2].split("+"))), part[1]) for part in parts if part is not None]
    found = {tuple(sorted(set(ids))): name for ids, name in named}
    sound = all(ids[0] > 0 for ids in found) and all(len(set(x)) == len(x) for x, _ in named)
    if len(found) < len(parts) or len(set(found.values())) < len(found) or not sound:
        raise InputError(
            f"--classes {text}: expected NAME=ID,NAME=ID with ids from 1, each id and each name "
            "once; the ids of a region as NAME=ID+ID"
        )
    # Regions keep their order in the text.
    return found if any(len(ids) > 1 for ids in found) else dict(sorted(found.items()))


def declared_ignore_id(predictions: Path, references: Path) -> int | None:
    """Returns the id of voxels that are ignored in the references.

    The record of `spsam predict` takes precedence over nnU-Net's `dataset.json` in the parent
    folder of the references. None if neither of them declares a valid id.
    """
    try:
        record = parse_json((predictions / RECORD).read_text(encoding="utf-8"))
        found = record.get("ignore")
        if found is not None:
            return int(found)
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    labels = dataset_json.peek(references.resolve().parent).get("labels")
    declared = labels.get("ignore") if isinstance(labels, dict) else None
    return int(str(declared)) if re.fullmatch(r"\d+", str(declared)) else None
