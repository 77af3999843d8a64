"""Parsing of `labels` in nnU-Net's `dataset.json`: classes, regions and the ignore label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spsam.data.cases import Region
from spsam.errors import Problem

_IGNORE = "ignore"
_ORDER = "regions_class_order"


class NnunetLabels(NamedTuple):
    """Classes, regions and ignore label that `labels` declares.

    Attributes:
        names: Id -> name of each class in ascending order of ids, background first.
        regions: The scored regions in the file's order if an entry has several ids; else empty.
        ignore_id: Id of voxels without annotation.
    """

    names: dict[int, str]
    regions: tuple[Region, ...]
    ignore_id: int | None


def read_labels(content: Mapping[str, Any], path: Path, problems: list[Problem]) -> NnunetLabels:
    """Read `labels` and verify `regions_class_order`; errors are appended to `problems`.

    Each id of the label files is a class. Its name is that of the entry that lists this id alone,
    or otherwise `label ID`.
    """
    value = content.get("labels")
    if not isinstance(value, dict) or not value:
        message = 'expected \'labels\' to be an object like {"background": 0, "organ": 1}'
        problems.append(Problem(message, path))
        return NnunetLabels({}, (), None)
    entries: dict[str, tuple[int, ...]] = {}
    owner: dict[frozenset[int], str] = {}
    for name, number in value.items():
        ids = _ids(name, number, path, problems)
        if not ids:
            continue
        first = owner.setdefault(frozenset(ids), name)
        if first == name:
            entries[name] = ids
        else:
            of = f"the same number {ids[0]}" if len(ids) == 1 else f"the same ids {list(ids)}"
            problems.append(Problem(f"labels '{first}' and '{name}' have {of}", path))
    ignore_id = _ignored(entries, path, problems)
    if (0,) not in entries.values():
        problems.append(Problem("'labels' lacks the id 0 for the background", path))
    for name, ids in entries.items():
        if len(ids) > 1 and (0 in ids or ignore_id in ids):
            what = "the background" if 0 in ids else "the ignore label"
            message = f"region '{name}' contains {what}: list only the ids of its classes"
            problems.append(Problem(message, path))
    names = {ids[0]: name for name, ids in entries.items() if len(ids) == 1}
    for number in sorted({number for ids in entries.values() for number in ids} - names.keys()):
        names[number] = f"label {number}"
        if names[number] in entries:
            message = (
                f"'{names[number]}' is a region, but also the name of the class with the id "
                f"{number}, which no entry lists alone: rename the region"
            )
            problems.append(Problem(message, path))
    names = dict(sorted(names.items()))
    foreground = {name: ids for name, ids in entries.items() if 0 not in ids}
    if all(len(ids) == 1 for ids in foreground.values()):
        return NnunetLabels(names, (), ignore_id)
    _check_order(content, foreground, path, problems)
    class_of = {number: k for k, number in enumerate(names)}
    regions = tuple(
        Region(name, tuple(sorted(class_of[each] for each in ids)))
        for name, ids in foreground.items()
    )
    return NnunetLabels(names, regions, ignore_id)


def _ids(name: str, value: Any, path: Path, problems: list[Problem]) -> tuple[int, ...]:
    """Return the ids of one entry; empty if it is invalid."""
    listed = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not value:
        problems.append(Problem(f"region '{name}' has no id: list the ids of its classes", path))
    wrong = [each for each in listed if not re.fullmatch(r"\d+", str(each))]
    if wrong:
        problems.append(Problem(f"expected a number for label '{name}', got {wrong[0]!r}", path))
        return ()
    ids = tuple(int(each) for each in listed)
    if len(set(ids)) < len(ids):
        problems.append(Problem(f"region '{name}' lists an id twice: {list(ids)}", path))
        return ()
    return ids


def _ignored(
    entries: dict[str, tuple[int, ...]], path: Path, problems: list[Problem]
) -> int | None:
    """Remove the ignore label from the entries and return its id."""
    if _IGNORE not in entries:
        return None
    ids = entries.pop(_IGNORE)
    highest = max((number for others in entries.values() for number in others), default=0)
    if len(ids) > 1 or ids[0] <= highest:
        shown = ids[0] if len(ids) == 1 else list(ids)
        message = (
            f"expected 'ignore' to have one id, above {highest}, the highest of the others, as in "
            f"nnU-Net; got {shown}"
        )
        problems.append(Problem(message, path))
    return ids[0]


def _check_order(
    content: Mapping[str, Any],
    foreground: Mapping[str, tuple[int, ...]],
    path: Path,
    problems: list[Problem],
) -> None:
    """Verify nnU-Net's order of regions, which is not needed for label maps of classes."""
    if _ORDER not in content:
        return
    order = content[_ORDER]
    ids = {number for each in foreground.values() for number in each}
    if not isinstance(order, list) or len(order) != len(foreground):
        shown = f"{len(order)}" if isinstance(order, list) else repr(order)
        message = f"expected '{_ORDER}' to list {len(foreground)} ids, one for each region"
        problems.append(Problem(f"{message}, got {shown}", path))
        return
    unknown = [each for each in order if type(each) is not int or each not in ids]
    if unknown:
        known = ", ".join(map(str, sorted(ids)))
        message = f"'{_ORDER}' contains {unknown[0]!r}, which no region lists; expected {known}"
        problems.append(Problem(message, path))
