"""Data sets and their cases, which are loaded on demand."""

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
        id: Identifier, unique in the data set; used in file names.
        patient: Identifier of the patient; a split never divides a patient.
        load: Function that reads and checks the volume; picklable for other processes.
        geometry: Function that reads the geometry from the header alone.
        files: Image files, then the label file if there is one; empty for a built-in data set.
    """

    id: str
    patient: str
    load: Callable[[], Volume]
    geometry: Callable[[], Geometry]
    files: tuple[Path, ...] = ()


class Region(NamedTuple):
    """A union of classes that is scored as one class with its own name.

    Attributes:
        name: Name of the region in the data set.
        classes: Indices of its classes in ascending order.
    """

    name: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class DataSet:
    """An opened data set.

    Attributes:
        name: Short name in lower case, used in results and folder names.
        cases: All cases, sorted by id.
        class_names: Names of the K classes, background first.
        raw_ids: For each class, its id in the label files.
        channel_names: Names of the M image channels.
        modality: Imaging modality, which determines the intensity normalisation.
        fingerprint: 16 hex digits that identify the data, see `identified`; empty before that call.
        published: Name of the data set in the paper's tables, if it is one of them.
        folder: Folder of the data, which may contain a `split.json`; None for a built-in data set.
        splits: Published splits of the data set: name -> part -> patients.
        notes: Messages for the user, for example about skipped cases.
        regions: The scored regions if the classes form overlapping regions; a single class that is
            scored is one of them. Empty if every class is scored.
        ignore_id: Id of voxels without annotation, see `IGNORED`; None if there is none.
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
        """K, the number of classes including background."""
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """M, the number of image channels."""
        return len(self.channel_names)

    def case(self, case_id: str) -> Case:
        """Return the case with an id.

        Raises:
            InputError: If there is no such case.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        known = nearest(case_id, (case.id for case in self.cases))
        raise InputError(f"data set {self.name} has no case '{case_id}'{known}")


def identified(dataset: DataSet) -> DataSet:
    """Return the data set with its fingerprint and with cases that detect changed files.

    The fingerprint is a hash of everything that affects training: the id, patient and file contents
    of every case, the classes and the channels. It does not depend on the folder's location or on
    file names.

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
    # Added only if present, so that the fingerprints of other data sets remain the same.
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
    """Return the content of each file that a case is read from.

    Raises:
        InputError: With every file that cannot be read.
    """
    return tuple(read_contents(_parts(case)).values())


def guarded(case: Case, contents: Sequence[Content]) -> Case:
    """Return the case with a `load` that raises `InputError` if its files have changed."""
    return replace(case, load=partial(_load, case.load, tuple(contents)))


def _parts(case: Case) -> list[Path]:
    return [each for file in case.files for each in parts(file)]


def _load(load: Callable[[], Volume], contents: tuple[Content, ...]) -> Volume:
    _refuse_changed(contents)
    volume = load()
    # A file may also have been modified during reading.
    _refuse_changed(contents)
    return volume


def _refuse_changed(contents: tuple[Content, ...]) -> None:
    message = "has changed since this command opened it; rerun the command; changed data "
    problems = [Problem(f"{message}lead to separate results", file) for file in changed(contents)]
    if problems:
        raise InputError(problems)
