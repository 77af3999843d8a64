"""Split files with lists of patients or cases, and the cases that they select."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from spsam.data.cases import DataSet
from spsam.data.files.json_object import read_object
from spsam.errors import InputError, Problem

PARTS = ("train", "val", "test")


def read_split_file(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the lists of a split file; other keys are ignored.

    Raises:
        InputError: If the file is not JSON or lacks a list; with all errors.
    """
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


def cases_of(
    dataset: DataSet, name: str, parts: Mapping[str, Sequence[str]], path: Path | None
) -> tuple[dict[str, set[str]], list[str]]:
    """Return the cases that lists of patients and case ids select.

    Args:
        dataset: The data set.
        name: Name of the split.
        parts: The list of each part.
        path: The file with the lists; None for a published split of the data set.

    Returns:
        For each part the ids of the cases that are present, and notes for the user.

    Raises:
        InputError: If a case is listed twice, a patient is in two parts, or no case is left for
            training or test; with all errors.
    """
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
        # A patient who is not in this copy is known by name only, but is included in this check.
        listed[part] = {patient_of[case] for case in cases[part]} | set(missing)
        if missing:
            notes.append(
                f"{len(missing)} of {len(set(names))} {part} entries of split '{name}' are not in "
                f"this copy of {dataset.name}: {_some(missing)}"
            )
    problems = [*_twice(parts, by_name, path), *_overlaps(listed, cases, path)]
    for part in ("train", "test"):
        if not cases[part]:
            problems.append(Problem(f"no {part} case of split '{name}' is in the data set", path))
    if problems:
        raise InputError(problems)
    unused = set(patient_of.values()) - set().union(*listed.values())
    if unused:
        notes.append(f"{len(unused)} patients are in no part of split '{name}' and are not used")
    return cases, notes


def _twice(
    parts: Mapping[str, Sequence[str]], by_name: Mapping[str, Sequence[str]], path: Path | None
) -> list[Problem]:
    """Report entries that a part lists twice, by the same name or by case and patient."""
    problems = []
    for part, names in parts.items():
        entries = Counter(names)
        meant = Counter(case for each in entries for case in by_name.get(each, ()))
        twice = sorted({each for found in (entries, meant) for each in found if found[each] > 1})
        if twice:
            message = f"{_some(twice)}: listed more than once in {part}; list each case once"
            problems.append(Problem(message, path))
    return problems


def _overlaps(
    listed: Mapping[str, set[str]], cases: Mapping[str, set[str]], path: Path | None
) -> list[Problem]:
    problems = []
    for index, part in enumerate(PARTS):
        for other in PARTS[index + 1 :]:
            both, same = listed[part] & listed[other], cases[part] & cases[other]
            if both:
                named = f" (cases listed in both: {_some(sorted(same))})" if same - both else ""
                message = (
                    f"{len(both)} patients are in both {part} and {other}: {_some(sorted(both))}"
                    f"{named}; a patient belongs to one part"
                )
                problems.append(Problem(message, path))
    return problems


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
