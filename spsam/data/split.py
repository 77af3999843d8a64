"""Splits of the patients into training, validation and test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spsam.data.cases import DataSet
from spsam.data.files.json_object import read_json
from spsam.data.split_folds import FOLDS_FILE, fold_of, is_folds
from spsam.data.split_lists import PARTS, cases_of, read_split_file
from spsam.errors import InputError, Problem, nearest

FOLDS = 5
ALL = "all"
FIVE_FOLD = "five_fold"
MADE = (FIVE_FOLD, ALL)
"""Splits that can be made for any data set."""
# If validation cases are requested and the split has none, one in eight training patients is held
# out.
VALIDATION = 8


@dataclass(frozen=True)
class Split:
    """Sorted case ids of each part; no patient is in two parts.

    Attributes:
        name: `file`, `five_fold`, `all`, the name of a published split of the data set, or the stem
            of a file name.
        train: Ids of the training cases.
        val: Ids of the cases that sweeps and validations score; may be empty; never test cases.
        test: Ids of the cases that are scored; empty for `all`.
        hash: 16 hex digits that identify the three lists.
        notes: Messages for the user, for example about missing patients.
        folds: Number of folds that this split is one of.
    """

    name: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    hash: str
    notes: tuple[str, ...] = ()
    folds: int = 1


def split_cases(
    dataset: DataSet,
    name: str | Path | None = None,
    fold: int = 0,
    *,
    protocol: str | None = None,
    validate: bool = False,
) -> Split:
    """Split a data set by patient.

    Args:
        dataset: The data set.
        name: The path of a split file (one split, or nnU-Net's list of folds), `file` (the
            `split.json` in the data folder, or else its `splits_final.json`), a published split of
            the data set, `five_fold`, or `all` (every case trains, none is scored). Default: the
            first of the protocol's split, `file`, the data set's published split if its patients
            are present, and `five_fold`.
        fold: The fold that is tested, for `five_fold` or a file with folds.
        protocol: The split of the preset's protocol, used if its patients are present.
        validate: Whether validation cases are required. If the split has none, every eighth
            training patient is held out.

    Returns:
        The split.

    Raises:
        InputError: If there is no such split, a patient is in two parts, or no case is left for
            training, for test or, if required, for validation.
    """
    file = _beside(dataset.folder)
    notes: tuple[str, ...] = ()
    if name is None:
        name, notes = _usual(dataset, protocol, file)
    if str(name) == FIVE_FOLD:
        split = _five_fold(dataset, fold, notes)
    elif str(name) == ALL:
        _no_folds(ALL, fold)
        note = "every case trains and none is scored: scores require other test cases"
        cases = {"train": {case.id for case in dataset.cases}, "val": set(), "test": set()}
        split = _split(ALL, cases, (*notes, note))
    elif str(name) in dataset.splits:
        _no_folds(str(name), fold)
        split = _listed(dataset, str(name), dataset.splits[str(name)], None, notes)
    elif name == "file":
        if file is None:
            message = f"there is no split.json and no {FOLDS_FILE} in the data folder"
            raise InputError(Problem(message, dataset.folder))
        split = _of_file(dataset, "file", file, fold, notes)
    else:
        path = Path(name)
        if not path.is_file():
            guess = nearest(str(name), ["file", *MADE, *dataset.splits])
            raise InputError(f"there is no split and no file '{name}'{guess}")
        split = _of_file(dataset, path.stem, path, fold, notes)
    return _held_back(dataset, split) if validate and not split.val else split


def split_of_hash(dataset: DataSet, name: str | None, fold: int, wanted: str) -> Split:
    """Recover the split of a run by its hash, or return the split of that name if none matches.

    Args:
        dataset: The data set of the run.
        name: Name of the split; None if it is a file elsewhere, or not part of the data set.
        fold: Fold of the split.
        wanted: Hash of the run's split.

    Raises:
        InputError: As `split_cases`.
    """
    split = split_cases(dataset, name, fold)
    if split.hash != wanted and not split.val:
        # Runs with validation, and runs of earlier versions, held out an eighth of the patients.
        held_back = split_cases(dataset, name, fold, validate=True)
        split = held_back if held_back.hash == wanted else split
    return split


def validation_split(split: Split) -> Split:
    """Return a split with the same training cases that tests on the validation cases.

    It contains no test case, so that no decision can depend on one.

    Args:
        split: A split of `split_cases(..., validate=True)`.
    """
    assert split.val, "a split for validation must contain validation cases"
    cases = {"train": set(split.train), "val": set(split.val), "test": set(split.val)}
    return _split(f"{split.name}-validation", cases, split.notes, split.folds)


def unlearnable(
    split: Split, fold: int, class_names: Sequence[str], classes: Mapping[str, Collection[int]]
) -> tuple[str, ...]:
    """Return the names of the classes that are in no training case and cannot be learnt.

    Args:
        split: The split.
        fold: Fold of the split, for messages.
        class_names: Names of the data set's classes, background first.
        classes: For each readable case, the class indices in its reference.

    Raises:
        InputError: If no training case contains any foreground.
    """
    known = [set(classes[case]) - {0} for case in split.train if case in classes]
    there = set().union(*known)
    if known and not there:
        raise InputError(
            f"no training case of {title(split, fold)} contains any foreground: there is nothing "
            "to learn; check that the references are the right files, or select another split"
        )
    return tuple(name for k, name in enumerate(class_names) if k and k not in there)


def title(split: Split, fold: int) -> str:
    """Return the name of a split, or of one of its folds, for messages."""
    if split.name == FIVE_FOLD:
        return f"fold {fold} of five_fold"
    return f"fold {fold} of split '{split.name}'" if split.folds > 1 else f"split '{split.name}'"


def _beside(folder: Path | None) -> Path | None:
    """Return the split file in the data folder, if there is one."""
    places = [] if folder is None else [folder / "split.json", folder / FOLDS_FILE]
    return next((place for place in places if place.is_file()), None)


def _no_folds(name: str, fold: int) -> None:
    if fold != 0:
        raise InputError(f"split '{name}' has no folds, got fold {fold}; use fold 0 or five_fold")


def _of_file(
    dataset: DataSet, name: str, path: Path, fold: int, notes: Sequence[str] = ()
) -> Split:
    """Read the split of a file, or one of its folds."""
    if not is_folds(read_json(path)):
        parts = read_split_file(path)
        _no_folds(name, fold)
        return _listed(dataset, name, parts, path, notes)
    parts, folds = fold_of(path, fold)
    try:
        return replace(_listed(dataset, name, parts, path, notes), folds=folds)
    except InputError as error:
        where = f"fold {fold}, whose val is the test part: "
        raise InputError(
            [replace(each, message=where + each.message) for each in error.problems]
        ) from None


def _usual(
    dataset: DataSet, protocol: str | None, file: Path | None
) -> tuple[str, tuple[str, ...]]:
    """Return the default split, and notes about the splits that were not used."""
    named = [*([protocol] if protocol else []), *(["file"] if file else []), *dataset.splits]
    notes: list[str] = []
    for name in dict.fromkeys(named):
        lacking = _lacking(dataset, name)
        if lacking is None:
            break
        notes.append(lacking)
    else:
        name = FIVE_FOLD
    if notes:
        notes[-1] += f": using {'five folds' if name == FIVE_FOLD else name} instead"
    if file is not None and name != "file" and not _alike(dataset, name, file):
        notes.append(
            f"{file.name} in the data folder is not used, because the preset's protocol selects "
            f"the split '{name}'; use --split file to select it"
        )
    return name, tuple(notes)


def _lacking(dataset: DataSet, name: str) -> str | None:
    """Return the reason why this copy of the data set lacks a split; None if it is available."""
    if name in ("file", *MADE):
        return None
    if name not in dataset.splits:
        return f"split '{name}' does not exist for data in this layout"
    here = {case.patient for case in dataset.cases} | {case.id for case in dataset.cases}
    parts = dataset.splits[name]
    empty = [part for part in ("train", "test") if not here & set(parts[part])]
    return f"no {' and no '.join(empty)} patient of split '{name}' is present" if empty else None


def _alike(dataset: DataSet, name: str, file: Path) -> bool:
    """Check whether a file assigns cases to the same parts as a published split of the data set."""
    if name not in dataset.splits:
        return False
    ours = _listed(dataset, name, dataset.splits[name], None)
    # A single split never equals a list of folds.
    return not is_folds(read_json(file)) and ours.hash == _of_file(dataset, "file", file, 0).hash


def _listed(
    dataset: DataSet,
    name: str,
    parts: Mapping[str, Sequence[str]],
    path: Path | None,
    notes: Sequence[str] = (),
) -> Split:
    """Create a split from lists of patients or cases, as far as they are present."""
    cases, said = cases_of(dataset, name, parts, path)
    return _split(name, cases, [*notes, *said])


def _five_fold(dataset: DataSet, fold: int, notes: Sequence[str]) -> Split:
    """Create a split that tests on one fifth of the patients and trains on the others."""
    if not 0 <= fold < FOLDS:
        raise InputError(f"expected a fold from 0 to {FOLDS - 1}, got {fold}")
    patients = _in_order({case.patient for case in dataset.cases})
    if len(patients) < FOLDS:
        raise InputError(
            f"five folds require at least {FOLDS} patients, {dataset.name} has {len(patients)}; "
            "put a split.json with train, val and test into the data folder"
        )
    test = set(patients[fold::FOLDS])
    cases: dict[str, set[str]] = {part: set() for part in PARTS}
    for case in dataset.cases:
        cases["test" if case.patient in test else "train"].add(case.id)
    return _split(FIVE_FOLD, cases, notes, FOLDS)


def _held_back(dataset: DataSet, split: Split) -> Split:
    """Move every eighth training patient to the validation part."""
    patient_of = {case.id: case.patient for case in dataset.cases}
    patients = _in_order({patient_of[case] for case in split.train})
    if len(patients) < 2:
        raise InputError(
            f"split '{split.name}' has no validation cases, and one training patient is too few to "
            "hold any out; values are never chosen by test cases: use another split "
            "(--split five_fold), or a split file with val"
        )
    val = {case for case in split.train if patient_of[case] in set(patients[::VALIDATION])}
    cases = {"train": set(split.train) - val, "val": val, "test": set(split.test)}
    return _split(split.name, cases, split.notes, split.folds)


def _in_order(patients: set[str]) -> list[str]:
    """Order patients by a hash, which is stable across library versions, unlike random streams."""
    return sorted(
        patients, key=lambda each: hashlib.sha256(f"five_fold/{each}".encode()).hexdigest()
    )


def _split(name: str, cases: Mapping[str, set[str]], notes: Sequence[str], folds: int = 1) -> Split:
    lists = {part: sorted(cases[part]) for part in PARTS}
    text = json.dumps(lists, sort_keys=True, separators=(",", ":"))
    return Split(
        name,
        tuple(lists["train"]),
        tuple(lists["val"]),
        tuple(lists["test"]),
        hashlib.sha256(text.encode()).hexdigest()[:16],
        tuple(notes),
        folds,
    )
