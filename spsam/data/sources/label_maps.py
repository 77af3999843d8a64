"""A folder of label maps: references, or what some program has predicted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from spsam.data.sources.beside import is_file, is_litter, stem
from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json

RECORD = "predict.json"
"""What `spsam predict` writes into a folder of its label maps."""


def label_maps(folder: Path) -> dict[str, Path]:
    """Every label map in a folder and the folders below it, by its case's name.

    Where names end in `_gt`, as those of ACDC's references beside the images, these files alone.

    Raises:
        InputError: If it is no folder or holds none, with every case that is there twice and every
            link that leads nowhere.
    """
    files = _files(folder)
    # Beside ACDC's references lie the images.
    with_gt = [(name.removesuffix("_gt"), file) for name, file in files if name.endswith("_gt")]
    found, problems = _by_name(with_gt or files)
    if problems:
        raise InputError(problems)
    return found


def predicted_maps(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    """The same of predictions: a reference among them is no prediction of its case.

    Returns:
        By the file's name, and every case that is there twice and every link that leads nowhere.

    Raises:
        InputError: If it is no folder or holds none.
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
        raise InputError(Problem("there is no label map (.nii.gz, .nrrd, .mha) in it", folder))
    return files


def _beside_label_maps(folder: Path) -> set[Path]:
    """Images that `spsam predict` has written beside label maps, such as probabilities."""
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
            message = f"is a second label map of '{name}', beside {found[name]}: take one away"
            problems.append(Problem(message, file))
        if not file.is_file():
            problems.append(Problem("is a link to a file that does not exist", file))
        found[name] = file
    return found, problems
