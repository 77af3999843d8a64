"""Files that are there completely or not at all: the one place that writes in this way.

Content goes into a draft, a hidden file in the same folder, which takes the file's name once it is
complete. Neither a kill nor a full disk leaves half a file, and a reader never sees one. A draft's
name says which process wrote it, so that a later process can remove what a killed one left.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

# host, process, when the process began; the file's own name keeps its ending.
_DRAFT = re.compile(r"\.draft-([0-9a-f]{6})-(\d+)-(\d+)-")
LONGEST_NAME = 255
"""Bytes that file systems allow a name."""
_CLOCK_SECONDS = 2
"""A clock that is set moves the beginnings of processes by about so much."""
_FOREIGN_SECONDS = 24 * 3600
"""A draft of another machine, whose processes are not seen here, is dead when it is so old."""


@contextmanager
def atomic(path: Path, *, durable: bool = False, keep: Path | None = None) -> Iterator[Path]:
    """Gives a draft to write; at the block's end the draft takes the file's name.

    Where the block fails, the draft is removed and what was there stays as it was.

    Args:
        path: The file; its folder is made. The draft's name has the same ending.
        durable: Whether content and name reach the disk before this returns, so that a power cut
            leaves the old file or the new one.
        keep: Where the file that was there goes, once the draft is complete; None: it goes.

    Raises:
        OSError: If the disk is full or protected; it names the file.
    """
    draft = draft_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        if durable:
            _sync(draft)
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(draft, path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        # NumPy's error of a write that was cut short has neither number nor name.
        if error.errno is None and str(error).endswith(" written"):
            full = errno.ENOSPC
            raise OSError(full, os.strerror(full), str(path)) from error
        # A draft's name tells nobody anything, and a full disk's error has no name at all.
        if error.errno is not None and str(error.filename) in ("None", str(draft)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview, *, durable: bool = False) -> None:
    """Writes a file; see `atomic`."""
    with atomic(path, durable=durable) as draft:
        draft.write_bytes(content)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Writes a text file as UTF-8; see `atomic`."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_texts(texts: Mapping[Path, str]) -> None:
    """Writes text files that belong together: on a full disk none of them is there."""
    with ExitStack() as together:
        for path, text in texts.items():
            together.enter_context(atomic(path)).write_bytes(text.encode("utf-8"))


def draft_of(path: Path) -> Path:
    """Where this process drafts a file or a folder, for what `atomic` does not fit.

    The caller renames the draft, or removes it; `clear_drafts` does so after a kill.
    """
    start = f".draft-{_host()}-{os.getpid()}-{_own_start(os.getpid())}-"
    room = LONGEST_NAME - len(start)
    end = os.fsencode(path.name)[-room:].decode("utf-8", "ignore")
    return path.with_name(start + end)


def clear_drafts(folder: Path, *, below: bool = False) -> None:
    """Removes the drafts of processes that were killed; those of living processes stay.

    Args:
        folder: Where they lie; it may be missing.
        below: Whether to look into its folders, too.
    """
    for file in folder.rglob(".draft-*") if below else folder.glob(".draft-*"):
        if _is_dead(file):
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file, ignore_errors=True)
            else:
                with suppress(OSError):
                    file.unlink()


def _is_dead(draft: Path) -> bool:
    named = _DRAFT.match(draft.name)
    if named is None:
        return False
    host, process, start = named.groups()
    if host == _host():
        began = _start(int(process))
        return began is None or abs(began - int(start)) > _CLOCK_SECONDS
    try:
        return time.time() - draft.stat().st_mtime > _FOREIGN_SECONDS
    except OSError:
        return False


@cache
def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


@cache
def _own_start(process: int) -> int:
    """Of this process; a fork has another number, and asks again."""
    return _start(process) or 0


def _start(process: int) -> int | None:
    """When a process of this machine began, in seconds; None where there is none."""
    import psutil

    try:
        return int(psutil.Process(process).create_time())
    except psutil.NoSuchProcess:
        return None


def _sync(path: Path) -> None:
    """Brings a file or a folder's names to the disk."""
    if path.is_dir() and os.name != "posix":
        return  # folders cannot be opened there; the system sees to it
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
