"""Output streams that escape control characters and hide passwords."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from spsam.text.escape import plain
from spsam.text.secrets import masked


class Shown:
    """A text stream whose output is meant for people.

    Args:
        stream: The underlying stream.
    """

    def __init__(self, stream: TextIO) -> None:
        # rich bypasses this class to write escape sequences; its texts are escaped beforehand.
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Writes the text with control characters escaped and passwords hidden."""
        return self.rich_proxied_file.write(shown(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def open_closed_streams() -> None:
    """Opens the null device in place of streams that the caller closed (`2>&-`).

    Otherwise, the next opened file would get the number of a closed stream, and everything that
    libraries print would end up in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # uses the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as we


def shown(text: str) -> str:
    """Text that is safe to print on a terminal."""
    return masked(plain(text))


@contextmanager
def shown_streams() -> Iterator[None]:
    """Replaces stdout and stderr by `Shown` within the context."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Shown(before[0]), Shown(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
