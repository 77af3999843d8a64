"""The numbers that options and files may hold: finite, and not too large to count to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

_Path = tuple[str | int, ...]

LARGEST = 2**32 - 1
"""The largest whole number, and the largest seed that every generator takes."""

MOST_LISTED = 10_000
"""The most numbers that a count or a range may stand for."""


def whole(text: str) -> int | None:
    """A whole number from 0 to `LARGEST`, written in digits; None if the text is anything else."""
    # Python reads no number of thousands of digits, and no such number is meant.
    short = text.isascii() and text.isdigit() and len(text.lstrip("0")) <= len(str(LARGEST))
    return int(text) if short and int(text) <= LARGEST else None


def unusable(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    """Numbers in plain values that are infinite, NaN or too large: the path of each, and why."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from unusable(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from unusable(item, (*path, index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"expected a finite number, got {value}"
    elif isinstance(value, int) and abs(value) > LARGEST:
        size = len(str(abs(value))) if value.bit_length() < 1000 else "hundreds of"
        yield path, f"expected a number of at most {LARGEST}, got one of {size} digits"
