"""nnU-Net's `splits_final.json`: for every fold the cases that train and those that test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spsam.data.files.json_object import read_json
from spsam.errors import InputError, Problem

FOLDS_FILE = "splits_final.json"
"""nnU-Net's name for it. It is found by this name beside the data; `--split` takes any name."""


def is_folds(content: Any) -> bool:
    """Whether a file's content is a list of folds, and not one split."""
    return isinstance(content, list)


def read_folds(path: Path) -> tuple[dict[str, tuple[str, ...]], ...]:
    """The lists of every fold, named as a split's parts are.

    nnU-Net scores a fold's network on its `val`: these cases are the test cases here.

    Args:
        path: A list of objects with the lists `train` and `val`.

    Returns:
        For each fold `train`, `val` (empty) and `test`.

    Raises:
        InputError: If it is no JSON, a fold lacks a list, or an entry is in both; all mistakes of
            all folds at once.
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
                f"fold {fold}: {len(both)} cases are in both train and val: {shown}; val is what "
                "is scored, and no case that is scored may train"
            )
            problems.append(Problem(message, path))
        folds.append({"train": tuple(train), "val": (), "test": tuple(val)})
    if problems:
        raise InputError(problems)
    return tuple(folds)


def fold_of(path: Path, fold: int) -> tuple[dict[str, tuple[str, ...]], int]:
    """One fold's lists, and how many folds there are.

    Raises:
        InputError: As `read_folds`, or if there is no such fold.
    """
    folds = read_folds(path)
    if not 0 <= fold < len(folds):
        numbers = "fold 0 alone" if len(folds) == 1 else f"folds 0 to {len(folds) - 1}"
        message = f"has {len(folds)} folds, got fold {fold}; choose of {numbers} (--fold)"
        raise InputError(Problem(message, path))
    return folds[fold], len(folds)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
