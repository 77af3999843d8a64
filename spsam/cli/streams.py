"""What a command prints: signs that act on a terminal are spelled out, passwords are hidden."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from spsam.text.escape import plain
from spsam.text.secrets import masked


class Shown:
    """A text stream that people read.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        # rich draws by escape sequences and so writes past this; its texts are made plain before.
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Writes the text, spelled out and without passwords."""
        return self.rich_proxied_file.write(shown(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def open_closed_streams() -> None:
    """Gives streams that the caller closed (`2>&-`) a place where nothing is kept.

    Otherwise a file of results would take a closed stream's number, and what a library prints.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as we


def shown(text: str) -> str:
    """Text as a terminal may have it."""
    return masked(plain(text))


@contextmanager
def shown_streams() -> Iterator[None]:
    """While it lasts, stdout and stderr are `Shown`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Shown(before[0]), Shown(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
