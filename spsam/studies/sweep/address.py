"""Where a sweep's study is kept: a journal file, or a database's URL."""

from __future__ import annotations

from pathlib import Path

from spsam.text.secrets import masked

JOURNAL = "journal.log"


def is_database(storage: str | None) -> bool:
    """Whether a storage is a database's URL, not a journal file's path."""
    return storage is not None and "://" in storage


def shown_storage(storage: str | None, folder: Path) -> str:
    """The storage as people may see it: without a password."""
    if storage is None:
        return str(folder / JOURNAL)
    return masked(storage)
