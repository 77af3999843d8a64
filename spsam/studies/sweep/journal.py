"""A journal of a sweep's trials that survives killed processes and full disks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json

Warn = Callable[[str], None]


def open_journal(path: Path, warn: Warn) -> Any:
    """Opens or creates a journal for Optuna, and removes an incomplete entry at its end.

    Optuna's own lock is a file that remains if its process is killed. This lock belongs to the
    operating system, which releases it whenever the process ends.

    Args:
        path: The journal.
        warn: Called with a message if an entry was removed.

    Raises:
        InputError: If the journal is damaged before its end, or the file is not a journal.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    held = FileLock(path.with_name(f"{path.name}.flock"))

    class Lock(JournalFileOpenLock):
        def acquire(self) -> bool:
            held.acquire()
            return True

        def release(self) -> None:
            held.release()

    class Backend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            with held:
                if _is_torn(path):
                    # Left by a process that was killed meanwhile.
                    mend(path, warn)
                before = path.stat().st_size
                try:
                    super().append_logs(logs)
                except OSError:
                    # Disk full: an incomplete line would also make the next one unreadable.
                    os.truncate(path, before)
                    raise

    with held:
        path.touch()
        mend(path, warn)
        return JournalStorage(Backend(str(path.absolute()), Lock(str(path))))


def mend(path: Path, warn: Warn) -> None:
    """Removes an incomplete entry at a journal's end; the caller holds its lock.

    Raises:
        InputError: If the journal is damaged before its end.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    whole = 0
    while whole < len(lines) and _is_entry(lines[whole]):
        whole += 1
    if any(map(_is_entry, lines[whole:])):
        raise InputError(
            Problem(
                "the journal is damaged: expected an entry of Optuna's; move the file away to "
                "restart the sweep, which reuses its finished runs",
                path,
                whole + 1,
            )
        )
    if whole == 0 and any(line.strip(b"\0\n") for line in lines[1:]):
        raise InputError(Problem("is not a journal of Optuna's", path))
    kept = sum(map(len, lines[:whole]))
    torn = sum(map(len, lines)) - kept
    if torn:
        os.truncate(path, kept)
        warn(f"{path}: removed an incomplete entry of {torn} bytes at its end")
    if whole and not lines[whole - 1].endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        return file.read() not in (b"", b"\n")


def _is_entry(line: bytes) -> bool:
    try:
        entry = parse_json(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and "op_code" in entry
