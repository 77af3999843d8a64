"""Which patients train, which validate, which test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.data.cases import DataSet
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
    """

    name: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    hash: str
    notes: tuple[str, ...] = ()


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
        name: A split file's path, `file` (the `split.json` beside the data), a split that comes
            with the data set, `five_fold`, or `all` (every case trains, none is scored). None takes
            the first of: the protocol's, `split.json`, the data set's own split if patients of it
            are here, five folds.
        fold: Which of the five folds tests, 0–4.
        protocol: The split of the preset's protocol, taken where this copy has patients of it.
        validate: Whether validation cases are wanted. A split that names some has them in any
            case; of another one every eighth training patient is then held back.

    Raises:
        InputError: If there is no such split, a patient is in two parts, or nothing is left to
            train on, to test or, where it is wanted, to validate.
    """
    beside = dataset.folder / "split.json" if dataset.folder else None
    file = beside if beside is not None and beside.is_file() else None
    notes: tuple[str, ...] = ()
    if name is None:
        name, notes = _usual(dataset, protocol, file)
    if str(name) == FIVE_FOLD:
        split = _five_fold(dataset, fold, notes)
    elif fold != 0:
        raise InputError(f"split '{name}' has no folds, got fold {fold}; use fold 0 or five_fold")
    elif str(name) == ALL:
        note = "every case trains and none is scored: predictions are for test cases elsewhere"
        cases = {"train": {case.id for case in dataset.cases}, "val": set(), "test": set()}
        split = _split(ALL, cases, (*notes, note))
    elif str(name) in dataset.splits:
        split = _listed(dataset, str(name), dataset.splits[str(name)], None, notes)
    elif name == "file":
        if file is None:
            raise InputError(Problem("there is no split.json beside the data", beside))
        split = _listed(dataset, "file", read_split_file(file), file, notes)
    else:
        path = Path(name)
        if not path.is_file():
            guess = nearest(str(name), ["file", *MADE, *dataset.splits])
            raise InputError(f"there is no split and no file '{name}'{guess}")
        split = _listed(dataset, path.stem, read_split_file(path), path, notes)
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
    return _split(f"{split.name}-validation", cases, split.notes)


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
    return f"fold {fold} of five_fold" if split.name == "five_fold" else f"split '{split.name}'"


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
            f"split.json beside the data is not used, since the preset's protocol has the split "
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
    return ours.hash == _listed(dataset, "file", read_split_file(file), file).hash


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
    return _split(FIVE_FOLD, cases, notes)


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
    return _split(split.name, cases, split.notes)


def _in_order(patients: set[str]) -> list[str]:
    """Ordered by a hash: stable over library versions, unlike a random generator's stream."""
    return sorted(
        patients, key=lambda each: hashlib.sha256(f"five_fold/{each}".encode()).hexdigest()
    )


def _split(name: str, cases: Mapping[str, set[str]], notes: Sequence[str]) -> Split:
    lists = {part: sorted(cases[part]) for part in PARTS}
    text = json.dumps(lists, sort_keys=True, separators=(",", ":"))
    return Split(
        name,
        tuple(lists["train"]),
        tuple(lists["val"]),
        tuple(lists["test"]),
        hashlib.sha256(text.encode()).hexdigest()[:16],
        tuple(notes),
    )
