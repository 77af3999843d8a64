"""What is in a file, by a hash of all of it; what was hashed before is not read again.

Hashes are kept in the user's cache with the file's size, times and inode. Any writing changes the
time of the inode (`ctime`), which no program can set: a file whose state is the kept one has the
kept content.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem
from spsam.files import clear_drafts, write_text
from spsam.text.json_text import parse_json

# A file that is written twice within a tick of the disk's clock shows one state for two contents.
_TICK_NS = 2_000_000_000
_THREADS = 8

State = tuple[int, int, int, int]
"""Size, mtime and ctime (ns), inode."""


@dataclass(frozen=True)
class Content:
    """A file's content at one time.

    Attributes:
        file: The file.
        sha256: Of all its bytes, hexadecimal.
        state: Its state then.
        settled: Whether the same state means the same content.
    """

    file: Path
    sha256: str
    state: State
    settled: bool


def read_contents(files: Iterable[Path]) -> dict[Path, Content]:
    """Hashes files that changed since they were hashed last, and takes the others from the cache.

    Raises:
        InputError: With every file that cannot be read.
    """
    wanted = list(dict.fromkeys(files))
    known = {folder: _kept(folder) for folder in {file.parent for file in wanted}}
    with ThreadPoolExecutor(_THREADS) as pool:
        made = list(pool.map(lambda file: _read(file, known[file.parent]), wanted))
    problems = [each for each in made if isinstance(each, Problem)]
    if problems:
        raise InputError(problems)
    found = [each for each in made if isinstance(each, Content)]
    _keep(found, known)
    return {each.file: each for each in found}


def changed(contents: Sequence[Content]) -> list[Path]:
    """The files whose content is another one now, or that are gone."""
    return [each.file for each in contents if _has_changed(each)]


def together(contents: Iterable[Content]) -> str:
    """One hash, hexadecimal, of several files in their order."""
    return hashlib.sha256("\n".join(each.sha256 for each in contents).encode()).hexdigest()


def _has_changed(content: Content) -> bool:
    try:
        if content.settled and _state(content.file) == content.state:
            return False
        return _hash(content.file) != content.sha256
    except OSError:
        return True


def _read(file: Path, known: dict[str, Any]) -> Content | Problem:
    try:
        now = time.time_ns()
        before = _state(file)
        kept = known.get(file.name)
        if kept is not None and tuple(kept[:4]) == before:
            return Content(file, kept[4], before, settled=True)
        digest = _hash(file)
        settled = max(before[1], before[2]) < now - _TICK_NS and _state(file) == before
        return Content(file, digest, before, settled)
    except OSError as error:
        advice = "see what it should be" if file.is_dir() else "see whether it is there and yours"
        return Problem(f"cannot be read: {error.strerror}; {advice}", file)


def _state(file: Path) -> State:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb", buffering=0) as stream:
        # Large pieces: other threads compute meanwhile.
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where hashes are kept: `$SPSAM_CACHE`, else `spsam` in the user's folder of caches."""
    if named := os.environ.get("SPSAM_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        above = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        above = "~/Library/Caches"
    else:
        above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(above).expanduser() / "spsam"


def _cache_file(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return cache_folder() / "contents" / f"{name}.json"


def _kept(folder: Path) -> dict[str, Any]:
    """File name -> state and hash; empty where nothing is kept, or it is damaged."""
    try:
        said = parse_json(_cache_file(folder).read_text(encoding="utf-8"))
        files: dict[str, Any] = said["files"]
        return files if said["sha256"] == _checksum(files) else {}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(contents: Sequence[Content], known: dict[Path, dict[str, Any]]) -> None:
    """Adds what is new to the cache; without a word where it cannot be written."""
    new: dict[Path, dict[str, Any]] = defaultdict(dict)
    for each in contents:
        entry = [*each.state, each.sha256]
        if each.settled and known[each.file.parent].get(each.file.name) != entry:
            new[each.file.parent][each.file.name] = entry
    for folder, entries in new.items():
        # Read again: another process may have added something.
        files = {**_kept(folder), **entries}
        text = json.dumps({"sha256": _checksum(files), "files": files})
        with suppress(OSError, RuntimeError):
            write_text(_cache_file(folder), text)
    if new:
        clear_drafts(cache_folder() / "contents")


def _checksum(files: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
