"""The address of a sweep's storage: a journal file's path or a database's URL."""

from __future__ import annotations

from pathlib import Path

from spsam.text.secrets import masked

JOURNAL = "journal.log"


def is_database(storage: str | None) -> bool:
    """Whether a storage is a database's URL, and not a journal file's path."""
    return storage is not None and "://" in storage


def shown_storage(storage: str | None, folder: Path) -> str:
    """Returns the storage for display, without a password."""
    if storage is None:
        return str(folder / JOURNAL)
    return masked(storage)
