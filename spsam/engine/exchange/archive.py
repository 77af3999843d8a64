"""Zip archive of known members, written atomically and verified on reading.

The first member is a sealed JSON object that lists all others with size and SHA-256. Members that
are not listed, are larger than listed or have another hash are rejected. Nothing is unpacked to
disk.
"""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spsam.checksums import from_sealed_json, sha256, to_sealed_json
from spsam.data.files.memory import memory_at_hand
from spsam.errors import InputError, Problem, SpsamError
from spsam.files import atomic

MANIFEST = "model.json"

_MOST_MEMBERS = 10_000
_LARGEST_MANIFEST = 64 << 20
_LONGEST_NAME = 240
# First date that zip can represent; a constant, so that the same content is the same file.
_TIME = (1980, 1, 1, 0, 0, 0)
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# Exceptions that the library raises for damaged or unsuitable archives.
_RAISED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError),
    *(LookupError, OverflowError, OSError),
)
_AGAIN = "copy it again from its source"


def write_archive(path: Path, about: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    """Writes an archive, completely or not at all.

    Args:
        path: The file.
        about: Plain values; `files` is added.
        members: Content of each file, by name in the archive.

    Raises:
        SpsamError: If the disk is full or not writable; an existing file is unchanged.
    """
    files = {
        name: {"bytes": len(content), "sha256": sha256(content)}
        for name, content in sorted(members.items())
    }
    assert all(is_safe_name(name) for name in files), "names are made by the caller"
    manifest = to_sealed_json({**about, "files": files}).encode("utf-8")
    try:
        with atomic(path, durable=True) as draft, zipfile.ZipFile(draft, "w") as archive:
            for name, content in {MANIFEST: manifest, **dict(sorted(members.items()))}.items():
                info = zipfile.ZipInfo(name, _TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
                archive.writestr(info, content)
    except OSError as error:
        message = f"the model cannot be written: {error.strerror}; free disk space"
        raise SpsamError(f"{path}: {message} and rerun the same command") from error


class Archive:
    """An archive that is open for reading.

    Args:
        path: The file.

    Attributes:
        about: Content of the manifest.

    Raises:
        InputError: If the file is not such an archive, is damaged, or contains a file that its
            manifest does not list.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # In memory, so that the content cannot change after verification.
            content = path.read_bytes()
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            self._infos = {info.filename: info for info in self._zip.infolist()}
        except _RAISED as error:
            raise self._wrong(f"is not an exported model or is damaged: {error}") from error
        self._refuse_strange(len(self._zip.infolist()))
        manifest = self._content(MANIFEST, _LARGEST_MANIFEST)
        try:
            self.about = from_sealed_json(manifest, required=True)
            listed = self.about["files"]
            self._files = {
                str(name): (int(each["bytes"]), str(each["sha256"]))
                for name, each in listed.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._wrong(f"its {MANIFEST} is damaged; {_AGAIN}") from error
        self._compare()

    def read(self, name: str) -> bytes:
        """Returns a member's verified content.

        Raises:
            InputError: If the member is missing or damaged.
        """
        if name not in self._files:
            raise self._wrong(f"does not contain {name}; {_AGAIN}")
        size, expected = self._files[name]
        content = self._content(name, size)
        if len(content) != size or sha256(content) != expected:
            raise self._wrong(f"its member {name} is damaged: its hash does not match; {_AGAIN}")
        return content

    def read_json(self, name: str) -> Any:
        """Returns a member's JSON values.

        Raises:
            InputError: If the member is missing or damaged.
        """
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"its member {name} is not JSON; {_AGAIN}") from error

    def _refuse_strange(self, count: int) -> None:
        problems = []
        if count > _MOST_MEMBERS:
            raise self._wrong(f"contains {count} files, expected at most {_MOST_MEMBERS}")
        if count > len(self._infos):
            problems.append("contains two files with the same name")
        for name, info in self._infos.items():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if not is_safe_name(name):
                problems.append(f"contains a file with an unsafe name: {name[:200]!r}")
            elif info.flag_bits & _ENCRYPTED or info.compress_type not in _KINDS:
                problems.append(f"its member {name} is encrypted or has an unknown compression")
            elif kind not in (0, stat.S_IFREG):
                problems.append(f"its member {name} is a link, not a file")
        if MANIFEST not in self._infos:
            problems.append(f"is not an exported model: no {MANIFEST}; spsam export creates one")
        if problems:
            raise InputError([Problem(problem, self._path) for problem in problems[:10]])

    def _compare(self) -> None:
        there = set(self._infos) - {MANIFEST}
        strange, lost = sorted(there - set(self._files)), sorted(set(self._files) - there)
        wrong = [
            name
            for name in sorted(there & set(self._files))
            if self._infos[name].file_size != self._files[name][0]
        ]
        problems = [f"contains a file that is not in its {MANIFEST}: {name}" for name in strange]
        problems += [f"does not contain {name}; {_AGAIN}" for name in lost]
        problems += [f"its member {name} has another size; {_AGAIN}" for name in wrong]
        if problems:
            raise InputError([Problem(problem, self._path) for problem in problems[:10]])
        total, free = sum(size for size, _ in self._files.values()), memory_at_hand()
        if total > free:
            sizes = f"{total / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of memory are free"
            raise self._wrong(f"unpacks to {sizes}")

    def _content(self, name: str, most: int) -> bytes:
        """Reads at most `most` + 1 bytes of a member, so that a larger member is detected."""
        try:
            with self._zip.open(self._infos[name]) as stream:
                return stream.read(most + 1)
        except _RAISED as error:
            raise self._wrong(f"its member {name} is damaged: {error}; {_AGAIN}") from error

    def _wrong(self, message: str) -> InputError:
        return InputError(Problem(message, self._path))


def is_safe_name(name: str) -> bool:
    """Checks whether a member's name is a plain relative path on every operating system."""
    parts = name.split("/")
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isprintable()
        and not re.search(r'[\\:*?"<>|]', name)
        and all(part not in ("", ".", "..") and part == part.strip(" ") for part in parts)
    )
