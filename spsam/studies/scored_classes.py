"""What a folder of predictions is scored for: classes, regions and the ignore label."""

from __future__ import annotations

import re
from pathlib import Path

from spsam.data.sources import dataset_json
from spsam.data.sources.label_maps import RECORD
from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json

Ids = tuple[int, ...]
"""Of one class, or of the classes that form a region."""


def read_classes(text: str | None, predictions: Path) -> dict[Ids, str]:
    """The classes or regions that are scored, by their ids.

    Args:
        text: Of `--classes`; None takes the record of `spsam predict`.
        predictions: The folder with the record.

    Returns:
        Empty if neither names any.

    Raises:
        InputError: If the text or the record has another form.
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
            message = "is no record of spsam predict, or a damaged one: name the classes by "
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
    # Regions keep the order in which they are given.
    return found if any(len(ids) > 1 for ids in found) else dict(sorted(found.items()))


def declared_ignore_id(predictions: Path, references: Path) -> int | None:
    """The id of voxels that references ignore.

    As the record of `spsam predict` has it, otherwise a `dataset.json` of nnU-Net beside the
    references' folder. None where neither declares one, or is damaged.
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
