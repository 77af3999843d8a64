"""Search for label maps in a folder: references, or predictions of any program."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from spsam.data.sources.beside import is_file, is_litter, stem
from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json

RECORD = "predict.json"
"""Record that `spsam predict` writes into a folder of label maps."""


def label_maps(folder: Path) -> dict[str, Path]:
    """Return every label map in a folder and its subfolders by the name of its case.

    If any names end in `_gt`, as ACDC's references do, only these files are returned.

    Raises:
        InputError: If the path is not a folder or contains no label map, and with every case that
            occurs twice and every broken link.
    """
    files = _files(folder)
    # In ACDC, the images are in the same folders as the references.
    with_gt = [(name.removesuffix("_gt"), file) for name, file in files if name.endswith("_gt")]
    found, problems = _by_name(with_gt or files)
    if problems:
        raise InputError(problems)
    return found


def predicted_maps(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Return every label map like `label_maps`, but without special treatment of `_gt`.

    Returns:
        Label maps by file name, and problems for cases that occur twice and broken links.

    Raises:
        InputError: If the path is not a folder or contains no label map.
    """
    return _by_name(_files(folder))


def _files(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise InputError(Problem("expected a folder of label maps", folder))
    named = [
        (stem(file), file)
        for file in sorted(folder.rglob("*"))
        if is_file(file) and not any(map(is_litter, file.relative_to(folder).parents))
    ]
    beside = _beside_label_maps(folder)
    files = [(name, file) for name, file in named if name is not None and file not in beside]
    if not files:
        raise InputError(Problem("the folder contains no label map (.nii.gz, .nrrd, .mha)", folder))
    return files


def _beside_label_maps(folder: Path) -> set[Path]:
    """Return images that `spsam predict` has written beside label maps, such as probabilities."""
    found: set[Path] = set()
    for record in folder.rglob(RECORD):
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            for name, each in parse_json(record.read_text(encoding="utf-8"))["volumes"].items():
                label_map = f"{name}.nii.gz"
                found |= {record.parent / file for file in each["files"] if file != label_map}
    return found


def _by_name(files: list[tuple[str, Path]]) -> tuple[dict[str, Path], list[Problem]]:
    found: dict[str, Path] = {}
    problems: list[Problem] = []
    for name, file in files:
        if name in found:
            message = f"is a second label map of '{name}', beside {found[name]}: remove one"
            problems.append(Problem(message, file))
        if not file.is_file():
            problems.append(Problem("is a link to a file that does not exist", file))
        found[name] = file
    return found, problems
