"""Limits of numbers in options and files: finite, and not too large."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

_Path = tuple[str | int, ...]

LARGEST = 2**32 - 1
"""The largest whole number, and the largest seed accepted by every random generator."""

MOST_LISTED = 10_000
"""The largest count of seeds, folds or arms that a number or range may expand to."""


def whole(text: str) -> int | None:
    """Parses a whole number from 0 to `LARGEST`, in digits; None if the text is anything else."""
    # Checked before int(), which rejects texts of thousands of digits.
    short = text.isascii() and text.isdigit() and len(text.lstrip("0")) <= len(str(LARGEST))
    return int(text) if short and int(text) <= LARGEST else None


def unusable(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    """Finds infinite, NaN or too large numbers in plain values: the path and problem of each."""
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
