"""What a data set is: named cases that are loaded when they are needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spsam.data.files.content import Content, changed, read_contents
from spsam.data.files.parts import parts
from spsam.data.volume import Geometry, Volume
from spsam.errors import InputError, Problem, nearest

Modality = Literal["MR", "CT"]


@dataclass(frozen=True)
class Case:
    """One labelled volume.

    Attributes:
        id: Unique in the data set; used in file names.
        patient: Whose volume it is; a split never divides a patient.
        load: Reads and checks the volume. Survives pickling, for other processes.
        geometry: Reads the header only.
        files: The image's and the label's file; none for a built-in set.
    """

    id: str
    patient: str
    load: Callable[[], Volume]
    geometry: Callable[[], Geometry]
    files: tuple[Path, ...] = ()


class Region(NamedTuple):
    """A union of classes that is scored as one, under its own name.

    Attributes:
        name: Of the data set.
        classes: Indices of its classes, rising.
    """

    name: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class DataSet:
    """An opened data set.

    Attributes:
        name: Short, lower case; labels results and folders.
        cases: Sorted by id.
        class_names: Background first; class k is the k-th.
        raw_ids: For each class, the id it has in the label files.
        channel_names: One for each of an image's M channels.
        modality: Decides the intensity scheme.
        fingerprint: 16 hex digits, of what is learnt from, see `identified`; empty until then.
        published: Name of the data set in the paper's tables, if it is in one.
        folder: Where a `split.json` would lie; None for a built-in set.
        splits: Splits that come with the set: name -> part -> patients.
        notes: What the user should know, e.g. what was skipped.
        regions: What is scored where classes form overlapping regions, single classes that are to
            be scored included; empty where every class is scored.
        ignore_id: The id of voxels that were not annotated, see `IGNORED`; None if there is none.
    """

    name: str
    cases: tuple[Case, ...]
    class_names: tuple[str, ...]
    raw_ids: tuple[int, ...]
    channel_names: tuple[str, ...]
    modality: Modality
    fingerprint: str = ""
    published: str | None = None
    folder: Path | None = None
    splits: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    ignore_id: int | None = None

    @property
    def num_classes(self) -> int:
        """K, background included."""
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """M, the number of image channels."""
        return len(self.channel_names)

    def case(self, case_id: str) -> Case:
        """The case of that id.

        Raises:
            InputError: If there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        known = nearest(case_id, (case.id for case in self.cases))
        raise InputError(f"data set {self.name} has no case '{case_id}'{known}")


def identified(dataset: DataSet) -> DataSet:
    """The data set with its fingerprint, whose cases notice when a file of theirs changes.

    The fingerprint is of what is learnt from: every case with the content of each file that it is
    read from, and what classes and channels are. The folder's place and the files' names are no
    part of it.

    Raises:
        InputError: With every file that cannot be read.
    """
    files = {case.id: _parts(case) for case in dataset.cases}
    contents = read_contents(file for each in files.values() for file in each)
    own = {name: tuple(contents[file] for file in each) for name, each in files.items()}
    described: dict[str, Any] = {
        "classes": dataset.class_names,
        "ids": dataset.raw_ids,
        "channels": dataset.channel_names,
        "modality": dataset.modality,
        "cases": [
            (case.id, case.patient, [each.sha256 for each in own[case.id]])
            for case in dataset.cases
        ],
    }
    # Only where they are: other data sets keep their fingerprint.
    if dataset.ignore_id is not None:
        described["ignore"] = dataset.ignore_id
    if dataset.regions:
        described["regions"] = dataset.regions
    return replace(
        dataset,
        cases=tuple(guarded(case, own[case.id]) for case in dataset.cases),
        fingerprint=hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16],
    )


def contents_of(case: Case) -> tuple[Content, ...]:
    """What is in each file that a case is read from.

    Raises:
        InputError: With every file that cannot be read.
    """
    return tuple(read_contents(_parts(case)).values())


def guarded(case: Case, contents: Sequence[Content]) -> Case:
    """The case, whose `load` raises an `InputError` once its files have another content."""
    return replace(case, load=partial(_load, case.load, tuple(contents)))


def _parts(case: Case) -> list[Path]:
    return [each for file in case.files for each in parts(file)]


def _load(load: Callable[[], Volume], contents: tuple[Content, ...]) -> Volume:
    _refuse_changed(contents)
    volume = load()
    # It may have been written while it was read.
    _refuse_changed(contents)
    return volume


def _refuse_changed(contents: tuple[Content, ...]) -> None:
    message = "has changed since this command opened it; give the command again: changed data get "
    problems = [Problem(f"{message}results of their own", file) for file in changed(contents)]
    if problems:
        raise InputError(problems)
