"""What `spsam predict` has written into a folder, for which volumes, and what else lies there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from spsam.config.problems import gather, raise_all
from spsam.errors import InputError, Problem
from spsam.files import clear_drafts, write_text
from spsam.text.json_text import parse_json

if TYPE_CHECKING:
    from spsam.data.cases import Case

RECORD = "predict.json"
_ELSE = "choose another --save, or take it away"

Volumes = dict[str, dict[str, Any]]
"""A result's name -> `input`, the hash of its scan's files, and `files`, its own with hashes."""


@dataclass(frozen=True)
class Predicted:
    """A folder of predictions of the same runs with the same options.

    Attributes:
        folder: The folder; need not be there.
        about: Runs, classes and options, as plain values.
        forms: Of the files that each volume gets, from the folder, its result's name as `{}`:
            `{}.nii.gz`, `probabilities/{}.nii.gz`.
        shared: Name -> text of files about all volumes, which lie beside the record.
    """

    folder: Path
    about: Mapping[str, Any]
    forms: Sequence[str]
    shared: Mapping[str, str] = field(default_factory=dict)

    def finished(self, cases: Mapping[str, Case]) -> set[str]:
        """Which volumes are segmented: the record names them, and their files are unchanged.

        Args:
            cases: The volume of each result's name.

        Raises:
            InputError: With every file that is in the way: of other runs or options, of another
                volume, changed, or of another program.
        """
        volumes = self._volumes()
        problems = self._shared_problems()
        done: set[str] = set()
        owners = {file: name for name, each in volumes.items() for file in each["files"]}
        for file in self._results(cases):
            owner = owners.get(self._relative(file))
            if owner is None:
                problems.append(Problem(f"spsam predict has not written it: {_ELSE}", file))
        for name, case in cases.items():
            if name not in volumes or not any(map(os.path.lexists, self._files(volumes[name]))):
                continue
            with gather(problems):
                if self._is_finished(name, volumes[name], volume_hash(case)):
                    done.add(name)
        raise_all(problems)
        return done

    def tidy(self) -> None:
        """Removes what killed processes left of their work."""
        clear_drafts(self.folder)
        if self._lock.exists():
            with self._alone():
                pass

    def begin(self) -> None:
        """Writes the record and what is shared, if they are not there yet.

        Raises:
            InputError: If the record is one of other runs or options, or another file is in the
                way.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if not (self.folder / RECORD).is_file():
                self._write({})
            self._volumes()
            raise_all(self._shared_problems())
            for name, text in self.shared.items():
                if not (self.folder / name).is_file():
                    write_text(self.folder / name, text)

    def add(self, name: str, volume: str, made: Path) -> None:
        """Moves a volume's files into the folder, all of them or none.

        The record is written first: of a volume that is recorded and lacks a file, the next call
        knows that it was interrupted.

        Args:
            name: The result's name.
            volume: The hash of the volume's files.
            made: A folder with the files, on the same disk.

        Raises:
            InputError: If something was put there meanwhile.
        """
        from spsam.data.files.content import read_contents

        with self._alone():
            volumes = self._volumes()
            files = {
                each.relative_to(made).as_posix(): each
                for each in sorted(made.rglob("*"))
                if each.is_file() and not each.name.startswith(".")
            }
            there = [each for each in map(self.folder.joinpath, files) if os.path.lexists(each)]
            known = volumes.get(name, {"files": {}})
            strange = [each for each in there if self._relative(each) not in known["files"]]
            if strange:
                raise InputError([Problem(f"was put there meanwhile: {_ELSE}", x) for x in strange])
            if there and self._is_finished(name, known, volume):
                return  # by another process
            # What is left of an interrupted call: its hashes are about to be forgotten. An earlier
            # version may have written other files for the same options.
            for each in filter(os.path.lexists, self._files(known)):
                each.unlink()
            found = read_contents(files.values())
            hashes = {place: found[each].sha256 for place, each in files.items()}
            self._write({**volumes, name: {"input": volume, "files": hashes}})
            for place, each in files.items():
                (self.folder / place).parent.mkdir(exist_ok=True)
                os.replace(each, self.folder / place)

    @property
    def _lock(self) -> Path:
        return self.folder / ".predict.lock"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from record and results; the lock's file is there meanwhile."""
        with FileLock(self._lock):
            try:
                yield
            finally:
                # Whoever waits for it sees that it is gone, and makes another.
                self._lock.unlink(missing_ok=True)

    def _is_finished(self, name: str, entry: Mapping[str, Any], volume: str) -> bool:
        """Whether all files of a volume are there.

        Raises:
            InputError: If they are of another volume, or changed.
        """
        from spsam.data.files.content import read_contents

        files = self._files(entry)
        there = [file for file in files if os.path.lexists(file)]
        if not there:
            return False
        if entry["input"] != volume:
            message = "was segmented from another scan of this name, or before the scan was changed"
            raise InputError([Problem(f"{message}: {_ELSE}", file) for file in there])
        found = read_contents(there)
        other = [
            file for file in there if found[file].sha256 != entry["files"][self._relative(file)]
        ]
        if other:
            message = "has been changed since spsam predict wrote it"
            raise InputError([Problem(f"{message}: {_ELSE}", file) for file in other])
        wanted = {named(form, name) for form in self.forms}
        return len(there) == len(files) and set(entry["files"]) == wanted

    def _shared_problems(self) -> list[Problem]:
        """Which of the shared files are another program's, or changed."""
        problems = []
        for name, text in self.shared.items():
            file = self.folder / name
            try:
                if os.path.lexists(file) and file.read_bytes() != text.encode("utf-8"):
                    problems.append(Problem(f"spsam predict has not written it: {_ELSE}", file))
            except OSError:
                problems.append(Problem(f"spsam predict has not written it: {_ELSE}", file))
        return problems

    def _results(self, cases: Iterable[str]) -> list[Path]:
        """What lies in the folder that may be taken for a result."""
        from spsam.data.sources.volumes import stem

        if not self.folder.is_dir():
            return []
        places = {self.folder / named(form, name) for name in cases for form in self.forms}
        found = {each for each in places if os.path.lexists(each)}
        images = (each for each in self.folder.iterdir() if stem(each) is not None)
        # A file where a folder of results belongs is in the way, too.
        folders = {each.parent for each in places} - {self.folder}
        return sorted(
            {
                *found,
                *(each for each in images if not each.is_dir()),
                *(each for each in folders if os.path.lexists(each) and not each.is_dir()),
            }
        )

    def _relative(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()

    def _files(self, entry: Mapping[str, Any]) -> list[Path]:
        return [self.folder / name for name in entry["files"]]

    def _volumes(self) -> Volumes:
        """The record's volumes; none where there is no record."""
        record = self.folder / RECORD
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(Problem("expected a folder for --save, this is a file", self.folder))
        if not record.is_file():
            return {}
        try:
            said = parse_json(record.read_text(encoding="utf-8"))
            volumes: Volumes = said.pop("volumes")
            sound = all(
                isinstance(each["input"], str)
                and isinstance(each["files"], dict)
                and all(map(_inside, each["files"]))
                for each in volumes.values()
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            said, sound = None, False
        if not sound or said != json.loads(json.dumps(self.about)):
            message = "the folder holds predictions of other runs or options"
            raise InputError(
                Problem(f"{message}: choose another --save, or remove it", self.folder)
            )
        return volumes

    def _write(self, volumes: Volumes) -> None:
        ordered = {name: volumes[name] for name in sorted(volumes)}
        text = json.dumps({**self.about, "volumes": ordered}, indent=2)
        write_text(self.folder / RECORD, text + "\n")


def named(form: str, name: str) -> str:
    """The place of a result's file of some form, see `Predicted.forms`."""
    return form.replace("{}", name)


def _inside(place: str) -> bool:
    """Whether a place that a record names is in its folder."""
    parts = Path(place).parts
    return bool(parts) and ".." not in parts and not Path(place).is_absolute()


def volume_hash(case: Case) -> str:
    """The hash of every file that a volume is read from.

    Raises:
        InputError: With every file that cannot be read.
    """
    from spsam.data.cases import contents_of
    from spsam.data.files.content import together

    return together(contents_of(case))


def place_problems(output: Path, inputs: Iterable[Path], cases: Iterable[Case]) -> list[Problem]:
    """Whether a folder for results is apart from the inputs, whatever links lead to them.

    Args:
        output: The folder; need not be there.
        inputs: Files and folders as they were named.
        cases: The volumes found in them.
    """
    above = [each for each in (output.absolute(), output.resolve()) for each in _upwards(each)]
    problems = [
        Problem(f"--save {output} is or lies in this folder of inputs: choose another", path)
        for path in dict.fromkeys(inputs)
        if path.is_dir() and any(_same(path, each) for each in above)
    ]
    folders = {
        folder
        for case in cases
        for file in case.files
        for each in (file.absolute(), file.resolve())
        for folder in (each if each.is_dir() else each.parent,)
    }
    inside = sorted(
        folder for folder in folders if any(_same(output, each) for each in _upwards(folder))
    )
    if inside and not problems:
        message = f"--save {output} holds these inputs: choose another"
        problems = [Problem(message, folder) for folder in inside[:5]]
    return problems


def _upwards(path: Path) -> list[Path]:
    return [path, *path.parents]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
