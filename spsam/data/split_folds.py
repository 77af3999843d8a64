"""Reading of nnU-Net's `splits_final.json`: the training and test cases of every fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spsam.data.files.json_object import read_json
from spsam.errors import InputError, Problem

FOLDS_FILE = "splits_final.json"
"""Name of nnU-Net's file in the data folder; `--split` accepts a file with any name."""


def is_folds(content: Any) -> bool:
    """Check whether the content of a file is a list of folds rather than one split."""
    return isinstance(content, list)


def read_folds(path: Path) -> tuple[dict[str, tuple[str, ...]], ...]:
    """Read the case lists of every fold.

    nnU-Net scores the network of a fold on its `val`; these cases are the test cases here.

    Args:
        path: JSON file with a list of objects, each with the lists `train` and `val`.

    Returns:
        For each fold the parts `train`, `val` (empty) and `test`.

    Raises:
        InputError: If the file is not JSON, a fold lacks a list, or a case is in both lists of a
            fold; with all errors of all folds.
    """
    content = read_json(path)
    if not is_folds(content) or not content:
        raise InputError(Problem("expected a list of folds, each with train and val", path))
    problems: list[Problem] = []
    folds = []
    for fold, each in enumerate(content):
        lists = each if isinstance(each, dict) else {}
        lacking = [part for part in ("train", "val") if not _is_names(lists.get(part))]
        problems += [
            Problem(f"fold {fold}: expected '{part}' to be a list of cases", path)
            for part in lacking
        ]
        if lacking:
            continue
        train, val = lists["train"], lists["val"]
        both = sorted(set(train) & set(val))
        if both:
            shown = ", ".join(both[:5]) + (", …" if len(both) > 5 else "")
            message = (
                f"fold {fold}: {len(both)} cases are in both train and val: {shown}; the cases of "
                "val are scored, and no case that is scored may train"
            )
            problems.append(Problem(message, path))
        folds.append({"train": tuple(train), "val": (), "test": tuple(val)})
    if problems:
        raise InputError(problems)
    return tuple(folds)


def fold_of(path: Path, fold: int) -> tuple[dict[str, tuple[str, ...]], int]:
    """Return the case lists of one fold, and the number of folds.

    Raises:
        InputError: As `read_folds`, or if there is no such fold.
    """
    folds = read_folds(path)
    if not 0 <= fold < len(folds):
        numbers = "fold 0" if len(folds) == 1 else f"one of folds 0 to {len(folds) - 1}"
        message = f"has {len(folds)} folds, got fold {fold}; select {numbers} (--fold)"
        raise InputError(Problem(message, path))
    return folds[fold], len(folds)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
