"""A sweep's journal of trials that survives kills and full disks."""

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
    """Opens a journal for Optuna, made anew if there is none; what is torn at its end is cut off.

    Optuna's own lock is a file that stays when its process is killed. This one is the system's,
    which goes with the process, however that ends.

    Args:
        path: The journal.
        warn: Told what was cut off.

    Raises:
        InputError: If the journal is damaged before its end, or is none.
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
                    # By a process that was killed meanwhile.
                    mend(path, warn)
                before = path.stat().st_size
                try:
                    super().append_logs(logs)
                except OSError:
                    # A full disk: half a line would make the next one unreadable, too.
                    os.truncate(path, before)
                    raise

    with held:
        path.touch()
        mend(path, warn)
        return JournalStorage(Backend(str(path.absolute()), Lock(str(path))))


def mend(path: Path, warn: Warn) -> None:
    """Cuts off what is torn at a journal's end; the caller holds its lock.

    Raises:
        InputError: If something before the end is damaged.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    whole = 0
    while whole < len(lines) and _is_entry(lines[whole]):
        whole += 1
    if any(map(_is_entry, lines[whole:])):
        raise InputError(
            Problem(
                "the journal is damaged: expected an entry of Optuna's; move the file away to "
                "begin the sweep anew, its finished runs are not computed again",
                path,
                whole + 1,
            )
        )
    if whole == 0 and any(line.strip(b"\0\n") for line in lines[1:]):
        raise InputError(Problem("is no journal of Optuna's", path))
    kept = sum(map(len, lines[:whole]))
    torn = sum(map(len, lines)) - kept
    if torn:
        os.truncate(path, kept)
        warn(f"{path}: {torn} bytes of an entry that was being written were cut off its end")
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
