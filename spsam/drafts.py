"""Files that are there completely or not at all, whenever the process that writes them ends.

A file is written as a hidden neighbour, its draft, and takes its name by a rename. The writer holds
a lock on the draft, which the system takes away with the process: so the next writer of the file
knows which drafts are nobody's, on this machine or on a shared disk, and removes them.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: the number of the process tells drafts apart
    fcntl = None  # type: ignore[assignment]

_LOCK = ".lock"
_FILE, _FOLDER = ".spsam-draft", ".spsam-drafts"


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """A file to write instead of `path`, with the same ending, which replaces it at the end.

    Drafts of the same file that killed processes left are removed. Where the writing fails, the
    draft is removed and `path` is as it was.

    Args:
        path: The file; its folder is made.

    Raises:
        OSError: If the disk is full or protected.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    taken, handle = _take([path.with_name(f"{_FILE}{n or ''}-{path.name}") for n in range(64)])
    try:
        yield taken
        os.replace(taken, path)
    except BaseException:
        with suppress(OSError):
            taken.unlink(missing_ok=True)
        raise
    finally:
        _close(handle)


@contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """An empty hidden folder for drafts of several files; it is removed at the end.

    Such folders that killed processes left are removed.

    Args:
        parent: The folder in which the files will lie; it is made.

    Raises:
        OSError: If the disk is full or protected.
    """
    parent.mkdir(parents=True, exist_ok=True)
    places = [parent / f"{_FOLDER}{n or ''}" for n in range(64)]
    lock, handle = _take([place / _LOCK for place in places], in_folders=True)
    try:
        _empty(lock.parent)
        yield lock.parent
    finally:
        _remove(lock.parent)
        _close(handle)


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Waits for other processes that hold the same lock, and keeps them waiting.

    Args:
        lock: A file that is there only while it is held; `lock_file` names one.
    """
    handle: int | None = None
    while fcntl is not None:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a disk without locks
            break
        except BaseException:
            os.close(handle)
            raise
        if _is(lock, handle):
            break
        # Whoever held it has removed it.
        os.close(handle)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                lock.unlink()
        _close(handle)


def lock_file(folder: Path) -> Path:
    """The lock of what lies in a folder, for `one_at_a_time`; `clear_drafts` removes a dead one."""
    return folder / f"{_FILE}-lock"


def clear_drafts(folder: Path) -> None:
    """Removes the drafts in a folder that no living process writes; nothing below the folder."""
    if fcntl is None or not folder.is_dir():
        return
    for each in list(folder.glob(f"{_FILE}*")):
        in_folder = each.name.startswith(_FOLDER) and each.is_dir()
        with suppress(OSError):
            dead = _lock(each / _LOCK if in_folder else each, in_folders=False)
            _remove(each) if in_folder else each.unlink()
            _close(dead)


def _take(places: list[Path], *, in_folders: bool = False) -> tuple[Path, int | None]:
    """The first place that is no living process's, locked; of the later ones the dead are removed.

    Returns:
        The file, empty, and the handle that holds its lock; None where the disk has no locks.
    """
    for number, place in enumerate(places):
        try:
            handle = _lock(place, in_folders)
        except BlockingIOError:
            continue
        except OSError as error:
            if fcntl is not None and not _without_locks(error):
                raise
            break
        for later in places[number + 1 :]:
            if not later.exists():
                break
            with suppress(OSError):
                dead = _lock(later, in_folders=False)
                _remove(later.parent) if in_folders else later.unlink()
                _close(dead)
        return place, handle
    place = places[0]
    if in_folders:
        place = place.parent.with_name(f"{place.parent.name}-{os.getpid()}") / place.name
        place.parent.mkdir(exist_ok=True)
    else:
        place = place.with_name(place.name.replace(_FILE, f"{_FILE}-{os.getpid()}", 1))
    return place, None


def _lock(place: Path, in_folders: bool) -> int:
    """Makes a file, or takes over a dead process's, and locks it.

    Raises:
        BlockingIOError: If a living process has it.
    """
    if fcntl is None:
        raise OSError("no locks")
    for _ in count():
        if in_folders:
            place.parent.mkdir(exist_ok=True)
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if in_folders:
                continue  # removed between the two
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(place, handle):
                os.ftruncate(handle, 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # It got its name, or was removed, in between.
    raise AssertionError


def _without_locks(error: OSError) -> bool:
    return error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF)


def _is(path: Path, handle: int) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.name == _LOCK:
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _remove(folder: Path) -> None:
    """Removes a folder whose lock is held; the lock last."""
    with suppress(OSError):
        _empty(folder)
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
