"""What a data set is: named cases that are loaded when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spsam.data.volume import Geometry, Volume
from spsam.errors import InputError, Problem, nearest

Modality = Literal["MR", "CT"]

# The ends of a file tell versions of it apart; whole files would take minutes on a large set.
_END = 64 * 1024


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
        fingerprint: 16 hex digits, of the files' names, sizes and ends.
        published: Name of the data set in the paper's tables, if it is in one.
        folder: Where a `split.json` would lie; None for a built-in set.
        splits: Splits that come with the set: name -> part -> patients.
        notes: What the user should know, e.g. what was skipped.
    """

    name: str
    cases: tuple[Case, ...]
    class_names: tuple[str, ...]
    raw_ids: tuple[int, ...]
    channel_names: tuple[str, ...]
    modality: Modality
    fingerprint: str
    published: str | None = None
    folder: Path | None = None
    splits: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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


def fingerprint_files(root: Path, files: Iterable[Path]) -> str:
    """Identity of a set of files without reading all of them.

    The sha-256 over every file's path below `root`, its size and the sha-256 of its first and last
    64 KiB. The same copy of a data set in another place has the same fingerprint.

    Returns:
        The first 16 hex digits.

    Raises:
        InputError: With every file that cannot be read.
    """
    ordered = sorted((file.relative_to(root).as_posix(), file) for file in set(files))
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(_ends, (file for _, file in ordered)))
    problems = [end for end in ends if isinstance(end, Problem)]
    if problems:
        raise InputError(problems)
    total = hashlib.sha256()
    for (relative, _), end in zip(ordered, ends, strict=True):
        total.update(f"{relative}\0{end}\n".encode())
    return total.hexdigest()[:16]


def _ends(file: Path) -> str | Problem:
    """A file's size and the hash of its ends, or why it cannot be read."""
    try:
        return _size_and_digest(file)
    except OSError as error:
        advice = "see what it should be" if file.is_dir() else "see whether it is there and yours"
        return Problem(f"cannot be read: {error.strerror}; {advice}", file)


def _size_and_digest(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as stream:
        digest = hashlib.sha256(stream.read(_END))
        stream.seek(max(_END, size - _END))
        digest.update(stream.read(_END))
    return f"{size}\0{digest.hexdigest()}"
