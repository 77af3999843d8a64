"""Hashes of file contents; unchanged files are not read again.

Hashes are stored in the user's cache with the size, times and inode of each file. Every write
updates the inode's change time (`ctime`), which programs cannot set. A file whose state equals the
stored one therefore has the stored content.
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

# Two writes within one tick of the file system's clock leave the same state for two contents.
_TICK_NS = 2_000_000_000
_THREADS = 8

State = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, inode."""


@dataclass(frozen=True)
class Content:
    """Content of a file at one time.

    Attributes:
        file: The file.
        sha256: Hexadecimal SHA-256 of all bytes.
        state: State of the file at that time.
        settled: Whether an equal state implies equal content.
    """

    file: Path
    sha256: str
    state: State
    settled: bool


def read_contents(files: Iterable[Path]) -> dict[Path, Content]:
    """Return the contents of files; only files that have changed are hashed again.

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
    """Return the files whose content has changed or that no longer exist."""
    return [each.file for each in contents if _has_changed(each)]


def together(contents: Iterable[Content]) -> str:
    """Return one hexadecimal hash of several files in the given order."""
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
        advice = "expected a file" if file.is_dir() else "check that it exists and is readable"
        return Problem(f"cannot be read: {error.strerror}; {advice}", file)


def _state(file: Path) -> State:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb", buffering=0) as stream:
        # Large pieces release Python's lock for other threads.
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the cache folder: `$SPSAM_CACHE`, or `spsam` in the user's cache folder."""
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
    """Map file names to state and hash; empty if nothing is cached or the cache is damaged."""
    try:
        said = parse_json(_cache_file(folder).read_text(encoding="utf-8"))
        files: dict[str, Any] = said["files"]
        return files if said["sha256"] == _checksum(files) else {}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(contents: Sequence[Content], known: dict[Path, dict[str, Any]]) -> None:
    """Add new entries to the cache; a cache that cannot be written is ignored."""
    new: dict[Path, dict[str, Any]] = defaultdict(dict)
    for each in contents:
        entry = [*each.state, each.sha256]
        if each.settled and known[each.file.parent].get(each.file.name) != entry:
            new[each.file.parent][each.file.name] = entry
    for folder, entries in new.items():
        # Read again, because another process may have added entries.
        files = {**_kept(folder), **entries}
        text = json.dumps({"sha256": _checksum(files), "files": files})
        with suppress(OSError, RuntimeError):
            write_text(_cache_file(folder), text)
    if new:
        clear_drafts(cache_folder() / "contents")


def _checksum(files: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
