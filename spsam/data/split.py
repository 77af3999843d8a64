"""Which patients train, which validate, which test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.data.cases import DataSet
from spsam.data.files.json_object import read_object
from spsam.errors import InputError, Problem, nearest

PARTS = ("train", "val", "test")
FOLDS = 5
# One in eight of the patients that do not test watches the training.
VALIDATION = 8


@dataclass(frozen=True)
class Split:
    """Case ids by part, sorted; no patient is in two parts.

    Attributes:
        name: `file`, `five_fold`, the name of a split that comes with the data set, or a file's
            stem.
        train: Case ids to train on.
        val: Case ids to watch while training; may be empty; never test cases.
        test: Case ids that are scored.
        hash: 16 hex digits of the three lists.
        notes: What the user should know, e.g. how many patients are missing.
    """

    name: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    hash: str
    notes: tuple[str, ...] = ()


def split_cases(dataset: DataSet, name: str | Path | None = None, fold: int = 0) -> Split:
    """Splits a data set by patient.

    Args:
        dataset: The data set.
        name: A split file's path, `file` (the `split.json` beside the data), a split that comes
            with the data set, or `five_fold`. None takes the first of: `split.json`, the data
            set's own split if patients of it are here, five folds.
        fold: Which of the five folds tests, 0–4.

    Raises:
        InputError: If there is no such split, a patient is in two parts, or nothing is left to
            train on or to test.
    """
    beside = dataset.folder / "split.json" if dataset.folder else None
    has_file = beside is not None and beside.is_file()
    if name is None:
        name, notes = ("file", ()) if has_file else _usual(dataset)
    else:
        notes = ()
    if str(name) == "five_fold":
        return _five_fold(dataset, fold, notes)
    if fold != 0:
        raise InputError(f"split '{name}' has no folds, got fold {fold}; use fold 0 or five_fold")
    if str(name) in dataset.splits:
        return _assign(dataset, str(name), dataset.splits[str(name)], None)
    if name == "file":
        if beside is None or not has_file:
            raise InputError(Problem("there is no split.json beside the data", beside))
        return _assign(dataset, "file", _read(beside), beside)
    path = Path(name)
    if not path.is_file():
        guess = nearest(str(name), ["file", "five_fold", *dataset.splits])
        raise InputError(f"there is no split and no file '{name}'{guess}")
    return _assign(dataset, path.stem, _read(path), path)


def validation_split(split: Split) -> Split:
    """The same training cases, scored on the validation cases: for whoever chooses anything.

    No test case is left in it, so that nothing can be chosen by one.

    Raises:
        InputError: If the split has no validation cases.
    """
    if not split.val:
        raise InputError(
            f"split '{split.name}' has no validation cases, and values are never chosen by test "
            "cases: take another split (--split five_fold), or put a split.json with val beside "
            "the data"
        )
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


def _usual(dataset: DataSet) -> tuple[str, tuple[str, ...]]:
    """The data set's own split, if this copy has patients of it; else five folds and why."""
    here = {case.patient for case in dataset.cases} | {case.id for case in dataset.cases}
    for name, parts in dataset.splits.items():
        empty = [part for part in ("train", "test") if not here & set(parts[part])]
        if not empty:
            return name, ()
        lacking = f"no {' and no '.join(empty)} patient of split '{name}' is here"
        return "five_fold", (f"{lacking}: five folds instead",)
    return "five_fold", ()


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    content = read_object(path, "an object with train, val and test")
    problems = []
    parts: dict[str, tuple[str, ...]] = {}
    for part in PARTS:
        names = content.get(part, [] if part == "val" else None)
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            problems.append(Problem(f"expected '{part}' to be a list of patients or cases", path))
            continue
        parts[part] = tuple(names)
    if problems:
        raise InputError(problems)
    return parts


def _assign(
    dataset: DataSet, name: str, parts: Mapping[str, Sequence[str]], path: Path | None
) -> Split:
    """Turns lists of patients or case ids into a split of what is there."""
    by_name: dict[str, list[str]] = {}
    patient_of = {case.id: case.patient for case in dataset.cases}
    for case in dataset.cases:
        by_name.setdefault(case.id, []).append(case.id)
        if case.patient != case.id:
            by_name.setdefault(case.patient, []).append(case.id)
    notes: list[str] = []
    cases: dict[str, set[str]] = {}
    listed: dict[str, set[str]] = {}
    for part, names in parts.items():
        missing = sorted(set(names) - by_name.keys())
        cases[part] = {case for each in names for case in by_name.get(each, [])}
        # Of a patient who is not in this copy only the name is known; it counts all the same.
        listed[part] = {patient_of[case] for case in cases[part]} | set(missing)
        if missing:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            notes.append(
                f"{len(missing)} of {len(set(names))} {part} entries of split '{name}' are not in "
                f"this copy of {dataset.name}: {shown}"
            )
    problems = _overlaps(listed, path)
    for part in ("train", "test"):
        if not cases[part]:
            problems.append(Problem(f"no {part} case of split '{name}' is in the data set", path))
    if problems:
        raise InputError(problems)
    unused = set(patient_of.values()) - set().union(*listed.values())
    if unused:
        notes.append(f"{len(unused)} patients are in no part of split '{name}' and not used")
    return _split(name, cases, notes)


def _overlaps(listed: Mapping[str, set[str]], path: Path | None) -> list[Problem]:
    problems = []
    for index, part in enumerate(PARTS):
        for other in PARTS[index + 1 :]:
            both = sorted(listed[part] & listed[other])
            if both:
                shown = ", ".join(both[:5]) + (", …" if len(both) > 5 else "")
                problems.append(
                    Problem(
                        f"{len(both)} patients are in both {part} and {other}: {shown}; a patient "
                        "belongs to one part",
                        path,
                    )
                )
    return problems


def _five_fold(dataset: DataSet, fold: int, notes: Sequence[str]) -> Split:
    """Fold k tests, an eighth of the other patients validates, the rest trains."""
    if not 0 <= fold < FOLDS:
        raise InputError(f"expected a fold from 0 to {FOLDS - 1}, got {fold}")
    # A hash orders the names: stable over library versions, unlike a random generator's stream.
    patients = sorted(
        {case.patient for case in dataset.cases},
        key=lambda patient: hashlib.sha256(f"five_fold/{patient}".encode()).hexdigest(),
    )
    if len(patients) < FOLDS:
        raise InputError(
            f"five folds need at least {FOLDS} patients, {dataset.name} has {len(patients)}; "
            "put a split.json with train, val and test beside the data"
        )
    test = set(patients[fold::FOLDS])
    rest = [patient for patient in patients if patient not in test]
    val = set(rest[::VALIDATION])
    cases: dict[str, set[str]] = {part: set() for part in PARTS}
    for case in dataset.cases:
        part = "test" if case.patient in test else "val" if case.patient in val else "train"
        cases[part].add(case.id)
    return _split("five_fold", cases, notes)


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
