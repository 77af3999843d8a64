"""Which patients train, which validate, which test."""

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
"""Splits that are made of any data set's patients."""
# Where validation cases are wanted and the split names none, one in eight of the patients that
# would train is held back.
VALIDATION = 8


@dataclass(frozen=True)
class Split:
    """Case ids by part, sorted; no patient is in two parts.

    Attributes:
        name: `file`, `five_fold`, `all`, the name of a split that comes with the data set, or a
            file's stem.
        train: Case ids to train on.
        val: Case ids that a sweep or a validation scores; may be empty; never test cases.
        test: Case ids that are scored; empty for `all`.
        hash: 16 hex digits of the three lists.
        notes: What the user should know, e.g. how many patients are missing.
        folds: How many folds it is one of.
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
    """Splits a data set by patient.

    Args:
        dataset: The data set.
        name: A split file's path (one split, or nnU-Net's list of folds), `file` (the `split.json`
            beside the data, else the `splits_final.json`), a split that comes with the data set,
            `five_fold`, or `all` (every case trains, none is scored). None takes the first of: the
            protocol's, `file`, the data set's own split if patients of it are here, five folds.
        fold: Which fold tests, of `five_fold` or of a file with folds.
        protocol: The split of the preset's protocol, taken where this copy has patients of it.
        validate: Whether validation cases are wanted. A split that names some has them in any
            case; of another one every eighth training patient is then held back.

    Raises:
        InputError: If there is no such split, a patient is in two parts, or nothing is left to
            train on, to test or, where it is wanted, to validate.
    """
    file = _beside(dataset.folder)
    notes: tuple[str, ...] = ()
    if name is None:
        name, notes = _usual(dataset, protocol, file)
    if str(name) == FIVE_FOLD:
        split = _five_fold(dataset, fold, notes)
    elif str(name) == ALL:
        _no_folds(ALL, fold)
        note = "every case trains and none is scored: predictions are for test cases elsewhere"
        cases = {"train": {case.id for case in dataset.cases}, "val": set(), "test": set()}
        split = _split(ALL, cases, (*notes, note))
    elif str(name) in dataset.splits:
        _no_folds(str(name), fold)
        split = _listed(dataset, str(name), dataset.splits[str(name)], None, notes)
    elif name == "file":
        if file is None:
            message = f"there is no split.json and no {FOLDS_FILE} beside the data"
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
    """The split that a run had, known by its hash; any that fits its name if none has the hash.

    Args:
        dataset: The run's data set.
        name: The split's; None where it was a file elsewhere, or comes with no data set.
        fold: Of the split.
        wanted: The hash of the run's split.

    Raises:
        InputError: As `split_cases`.
    """
    split = split_cases(dataset, name, fold)
    if split.hash != wanted and not split.val:
        # With validation, and in runs of earlier versions, an eighth was held back.
        held_back = split_cases(dataset, name, fold, validate=True)
        split = held_back if held_back.hash == wanted else split
    return split


def validation_split(split: Split) -> Split:
    """The same training cases, scored on the validation cases: for whoever chooses anything.

    No test case is left in it, so that nothing can be chosen by one.

    Args:
        split: Of `split_cases(..., validate=True)`.
    """
    assert split.val, "a split for validation has validation cases"
    cases = {"train": set(split.train), "val": set(split.val), "test": set(split.val)}
    return _split(f"{split.name}-validation", cases, split.notes, split.folds)


def unlearnable(
    split: Split, fold: int, class_names: Sequence[str], classes: Mapping[str, Collection[int]]
) -> tuple[str, ...]:
    """The classes that no training case of a split has a voxel of: they cannot be learnt.

    Args:
        split: The split.
        fold: Which fold of it, for the sentence.
        class_names: Of the data set, background first.
        classes: For each case that could be read, the class indices that its reference has.

    Returns:
        Their names.

    Raises:
        InputError: If no training case has any foreground: there is nothing to learn.
    """
    known = [set(classes[case]) - {0} for case in split.train if case in classes]
    there = set().union(*known)
    if known and not there:
        raise InputError(
            f"no training case of {title(split, fold)} has any foreground: there is nothing to "
            "learn; see whether the references are the right files, or choose another split"
        )
    return tuple(name for k, name in enumerate(class_names) if k and k not in there)


def title(split: Split, fold: int) -> str:
    """A split, or a fold of it, in a sentence."""
    if split.name == FIVE_FOLD:
        return f"fold {fold} of five_fold"
    return f"fold {fold} of split '{split.name}'" if split.folds > 1 else f"split '{split.name}'"


def _beside(folder: Path | None) -> Path | None:
    """The split file that lies beside the data."""
    places = [] if folder is None else [folder / "split.json", folder / FOLDS_FILE]
    return next((place for place in places if place.is_file()), None)


def _no_folds(name: str, fold: int) -> None:
    if fold != 0:
        raise InputError(f"split '{name}' has no folds, got fold {fold}; use fold 0 or five_fold")


def _of_file(
    dataset: DataSet, name: str, path: Path, fold: int, notes: Sequence[str] = ()
) -> Split:
    """The split of a file, or one fold where it has several."""
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
    """The split that is taken where none is asked for, and what there is to say of that."""
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
        notes[-1] += f": {'five folds' if name == FIVE_FOLD else name} instead"
    if file is not None and name != "file" and not _alike(dataset, name, file):
        notes.append(
            f"{file.name} beside the data is not used, since the preset's protocol has the split "
            f"'{name}'; --split file takes it"
        )
    return name, tuple(notes)


def _lacking(dataset: DataSet, name: str) -> str | None:
    """Why a split cannot be had of this copy of a data set; None where it can."""
    if name in ("file", *MADE):
        return None
    if name not in dataset.splits:
        return f"split '{name}' does not come with data in this layout"
    here = {case.patient for case in dataset.cases} | {case.id for case in dataset.cases}
    parts = dataset.splits[name]
    empty = [part for part in ("train", "test") if not here & set(parts[part])]
    return f"no {' and no '.join(empty)} patient of split '{name}' is here" if empty else None


def _alike(dataset: DataSet, name: str, file: Path) -> bool:
    """Whether a file has the same cases in each part as a split that comes with the data set."""
    if name not in dataset.splits:
        return False
    ours = _listed(dataset, name, dataset.splits[name], None)
    # One split of a data set is not alike to several folds.
    return not is_folds(read_json(file)) and ours.hash == _of_file(dataset, "file", file, 0).hash


def _listed(
    dataset: DataSet,
    name: str,
    parts: Mapping[str, Sequence[str]],
    path: Path | None,
    notes: Sequence[str] = (),
) -> Split:
    """The split that lists of patients or cases make of what is there."""
    cases, said = cases_of(dataset, name, parts, path)
    return _split(name, cases, [*notes, *said])


def _five_fold(dataset: DataSet, fold: int, notes: Sequence[str]) -> Split:
    """Fold k tests, the other four train."""
    if not 0 <= fold < FOLDS:
        raise InputError(f"expected a fold from 0 to {FOLDS - 1}, got {fold}")
    patients = _in_order({case.patient for case in dataset.cases})
    if len(patients) < FOLDS:
        raise InputError(
            f"five folds need at least {FOLDS} patients, {dataset.name} has {len(patients)}; "
            "put a split.json with train, val and test beside the data"
        )
    test = set(patients[fold::FOLDS])
    cases: dict[str, set[str]] = {part: set() for part in PARTS}
    for case in dataset.cases:
        cases["test" if case.patient in test else "train"].add(case.id)
    return _split(FIVE_FOLD, cases, notes, FOLDS)


def _held_back(dataset: DataSet, split: Split) -> Split:
    """The split with every eighth training patient in its validation part."""
    patient_of = {case.id: case.patient for case in dataset.cases}
    patients = _in_order({patient_of[case] for case in split.train})
    if len(patients) < 2:
        raise InputError(
            f"split '{split.name}' has no validation cases, and one training patient is too few to "
            "hold any back; values are never chosen by test cases: take another split "
            "(--split five_fold), or a split file with val"
        )
    val = {case for case in split.train if patient_of[case] in set(patients[::VALIDATION])}
    cases = {"train": set(split.train) - val, "val": val, "test": set(split.test)}
    return _split(split.name, cases, split.notes, split.folds)


def _in_order(patients: set[str]) -> list[str]:
    """Ordered by a hash: stable over library versions, unlike a random generator's stream."""
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
