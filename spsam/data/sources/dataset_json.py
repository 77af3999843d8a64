"""Helpers to read a `dataset.json`, which three layouts use with different keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from spsam.data.files.json_object import read_object
from spsam.errors import InputError, Problem, shortened
from spsam.files import LONGEST_NAME

FILE = "dataset.json"
_LONGEST_PATH = 2000


def peek(folder: Path) -> dict[str, Any]:
    """Return the content of the folder's `dataset.json`; empty if it cannot be read."""
    path = folder / FILE
    try:
        return read_object(path) if path.is_file() else {}
    except (InputError, OSError):
        return {}


def names(content: dict[str, Any], key: str, path: Path, problems: list[Problem]) -> dict[int, str]:
    """Return the mapping id -> name under `key`; errors are appended to `problems`."""
    value = content.get(key)
    expected = f'expected \'{key}\' to be an object of names by id, like {{"0": "…", "1": "…"}}'
    if not isinstance(value, dict) or not value:
        problems.append(Problem(expected, path))
        return {}
    found: dict[int, str] = {}
    for number, name in value.items():
        if not re.fullmatch(r"\d+", number) or not isinstance(name, str):
            problems.append(Problem(f"{expected}; got {number!r}: {name!r}", path))
            return {}
        if int(number) in found:
            problems.append(Problem(f"'{key}' contains the id {int(number)} twice", path))
        found[int(number)] = name
    twice = sorted({name for name in found.values() if list(found.values()).count(name) > 1})
    if twice and key == "labels":
        problems.append(Problem(f"'labels' contains the same name twice: {', '.join(twice)}", path))
    return found


def pairs(
    content: dict[str, Any], folder: Path, path: Path, problems: list[Problem]
) -> dict[str, tuple[Path, Path]]:
    """Map case ids to image and label files in 'training'; errors are appended to `problems`."""
    training = content.get("training")
    if not isinstance(training, list) or not training:
        problems.append(Problem("expected 'training' to be a list of images and labels", path))
        return {}
    found: dict[str, tuple[Path, Path]] = {}
    for entry in training:
        files = entry if isinstance(entry, dict) else {}
        first, second = files.get("image"), files.get("label")
        if not isinstance(first, str) or not isinstance(second, str):
            got = shortened(repr(entry))
            message = f"expected 'image' and 'label' in each entry of 'training', got {got}"
            problems.append(Problem(message, path))
            continue
        outward = [
            Problem(
                f"'training' has the path {shortened(each)!r}: expected a path inside the data "
                "set's folder, relative to it, without '..'; names have at most 255 bytes",
                path,
            )
            for each in (first, second)
            if not _stays_inside(each)
        ]
        if outward:
            problems += outward
            continue
        # Windows separates folders by backslashes.
        image, label = (folder / each.replace("\\", "/") for each in (first, second))
        name = re.sub(r"\.nii(\.gz)?$|\.[^.]+$", "", image.name, flags=re.IGNORECASE)
        if name in found:
            problems.append(Problem(f"'training' lists {name} twice", path))
        if image.is_file() and label.is_file() and image.samefile(label):
            problems.append(Problem("dataset.json lists it as an image and as its label", image))
        found[name] = (image, label)
        problems += [
            Problem("the file does not exist, but dataset.json lists it", file)
            for file in (image, label)
            if not file.is_file()
        ]
    return found


def _stays_inside(path: str) -> bool:
    """Check that a path leads to a file inside its base folder, on any system."""
    parts = PureWindowsPath(path)  # accepts both / and \\, and parses drives
    return (
        not parts.anchor
        and ".." not in parts.parts
        and "\0" not in path
        and len(path.encode("utf-8", "surrogatepass")) <= _LONGEST_PATH
        and all(len(part.encode("utf-8", "surrogatepass")) <= LONGEST_NAME for part in parts.parts)
    )


def count_notes(content: dict[str, Any], found: int) -> list[str]:
    """Return a note if `numTraining` differs from the number of labelled volumes."""
    said = content.get("numTraining", found)
    if said == found:
        return []
    return [f"{FILE} has numTraining {said}, but {found} labelled volumes exist: are all copied?"]


def short(name: str, otherwise: str) -> str:
    """Convert a name to lower case letters, digits and `_`, for file names."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or otherwise


def is_ct(channels: Sequence[str]) -> bool:
    """Check by their names whether all channels are CT."""
    return all(name.upper().startswith("CT") for name in channels)
