"""The folder of results of `spsam predict`: its record, finished volumes, and foreign files."""

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
from spsam.data.sources.label_maps import RECORD
from spsam.errors import InputError, Problem
from spsam.files import clear_drafts, write_text
from spsam.text.json_text import parse_json

if TYPE_CHECKING:
    from spsam.data.cases import Case

_ELSE = "choose another --save, or move it away"

Volumes = dict[str, dict[str, Any]]
"""Result's name -> `input`, the hash of its scan's files, and `files`, its files with hashes."""


@dataclass(frozen=True)
class Predicted:
    """A folder of predictions by the same runs with the same options.

    Attributes:
        folder: The folder, which may not exist yet.
        about: Runs, classes and options, as plain values.
        forms: Paths of the files of each volume, relative to the folder, with `{}` in place of the
            result's name: `{}.nii.gz`, `probabilities/{}.nii.gz`.
        shared: Name -> text of files that concern all volumes, stored beside the record.
    """

    folder: Path
    about: Mapping[str, Any]
    forms: Sequence[str]
    shared: Mapping[str, str] = field(default_factory=dict)

    def finished(self, cases: Mapping[str, Case]) -> set[str]:
        """Returns the volumes that are segmented: recorded, with unchanged files.

        Args:
            cases: Result's name -> volume.

        Raises:
            InputError: With every file that is in the way: it belongs to other runs or options, to
                another volume or another program, or was changed.
        """
        volumes = self._volumes()
        problems = self._shared_problems()
        done: set[str] = set()
        owners = {file: name for name, each in volumes.items() for file in each["files"]}
        for file in self._results(cases):
            owner = owners.get(self._relative(file))
            if owner is None:
                problems.append(Problem(f"was not written by spsam predict: {_ELSE}", file))
        for name, case in cases.items():
            if name not in volumes or not any(map(os.path.lexists, self._files(volumes[name]))):
                continue
            with gather(problems):
                if self._is_finished(name, volumes[name], volume_hash(case)):
                    done.add(name)
        raise_all(problems)
        return done

    def tidy(self) -> None:
        """Removes temporary files of processes that were killed."""
        clear_drafts(self.folder)
        if self._lock.exists():
            with self._alone():
                pass

    def begin(self) -> None:
        """Writes the record and the shared files, unless they exist.

        Raises:
            InputError: If the record belongs to other runs or options, or another file is in the
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

        The record is written first: if a recorded volume lacks a file, the next call detects that
        it was interrupted.

        Args:
            name: The result's name.
            volume: The hash of the volume's files.
            made: A folder with the files, on the same disk.

        Raises:
            InputError: If another program has created one of the files meanwhile.
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
                raise InputError([Problem(f"was created meanwhile: {_ELSE}", x) for x in strange])
            if there and self._is_finished(name, known, volume):
                return  # finished by another process
            # Remove the remains of an interrupted call, whose hashes are about to be replaced. An
            # earlier version may have written other files for the same options.
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
        """Excludes other processes from record and results; the lock file exists only meanwhile."""
        with FileLock(self._lock):
            try:
                yield
            finally:
                # Processes that wait for the file notice its removal and create a new one.
                self._lock.unlink(missing_ok=True)

    def _is_finished(self, name: str, entry: Mapping[str, Any], volume: str) -> bool:
        """Whether all files of a volume exist.

        Raises:
            InputError: If they belong to another volume, or were changed.
        """
        from spsam.data.files.content import read_contents

        files = self._files(entry)
        there = [file for file in files if os.path.lexists(file)]
        if not there:
            return False
        if entry["input"] != volume:
            message = "was segmented from another scan of this name, or the scan was changed since"
            raise InputError([Problem(f"{message}: {_ELSE}", file) for file in there])
        found = read_contents(there)
        other = [
            file for file in there if found[file].sha256 != entry["files"][self._relative(file)]
        ]
        if other:
            message = "was changed after spsam predict wrote it"
            raise InputError([Problem(f"{message}: {_ELSE}", file) for file in other])
        wanted = {named(form, name) for form in self.forms}
        return len(there) == len(files) and set(entry["files"]) == wanted

    def _shared_problems(self) -> list[Problem]:
        """Returns a problem for each shared file that was changed or is another program's."""
        problems = []
        for name, text in self.shared.items():
            file = self.folder / name
            try:
                if os.path.lexists(file) and file.read_bytes() != text.encode("utf-8"):
                    problems.append(Problem(f"was not written by spsam predict: {_ELSE}", file))
            except OSError:
                problems.append(Problem(f"was not written by spsam predict: {_ELSE}", file))
        return problems

    def _results(self, cases: Iterable[str]) -> list[Path]:
        """Returns the files in the folder that could be mistaken for results."""
        from spsam.data.sources.volumes import stem

        if not self.folder.is_dir():
            return []
        places = {self.folder / named(form, name) for name in cases for form in self.forms}
        found = {each for each in places if os.path.lexists(each)}
        images = (each for each in self.folder.iterdir() if stem(each) is not None)
        # A file in place of a folder of results is also in the way.
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
        """Returns the record's volumes; none if there is no record."""
        record = self.folder / RECORD
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(Problem("expected a folder for --save, got a file", self.folder))
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
            message = "the folder contains predictions of other runs or options"
            raise InputError(
                Problem(f"{message}: choose another --save, or remove it", self.folder)
            )
        return volumes

    def _write(self, volumes: Volumes) -> None:
        ordered = {name: volumes[name] for name in sorted(volumes)}
        text = json.dumps({**self.about, "volumes": ordered}, indent=2)
        write_text(self.folder / RECORD, text + "\n")


def named(form: str, name: str) -> str:
    """Returns the path of a result's file of a form, see `Predicted.forms`."""
    return form.replace("{}", name)


def _inside(place: str) -> bool:
    """Whether a path in a record stays within its folder."""
    parts = Path(place).parts
    return bool(parts) and ".." not in parts and not Path(place).is_absolute()


def volume_hash(case: Case) -> str:
    """Returns the hash of all files of a volume.

    Raises:
        InputError: With every file that cannot be read.
    """
    from spsam.data.cases import contents_of
    from spsam.data.files.content import together

    return together(contents_of(case))


def place_problems(output: Path, inputs: Iterable[Path], cases: Iterable[Case]) -> list[Problem]:
    """Checks that the folder of results is separate from the inputs, even through links.

    Args:
        output: The folder, which may not exist yet.
        inputs: Files and folders, as the user gave them.
        cases: The volumes found in them.

    Returns:
        A problem for each conflict.
    """
    above = [each for each in (output.absolute(), output.resolve()) for each in _upwards(each)]
    problems = [
        Problem(f"--save {output} is, or is in, this folder of inputs: choose another", path)
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
        message = f"--save {output} contains these inputs: choose another"
        problems = [Problem(message, folder) for folder in inside[:5]]
    return problems


def _upwards(path: Path) -> list[Path]:
    return [path, *path.parents]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
