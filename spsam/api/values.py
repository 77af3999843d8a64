"""Conversion of the arguments of the public functions."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.numbers import LARGEST, MOST_LISTED
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.model.sam.origin import Origin

Place = str | Path
Words = str | Path | Sequence[str | Path]
Numbers = int | Sequence[int]


def warn_of(origins: Iterable[Origin | None]) -> None:
    """Warns about weights that are neither official nor shipped."""
    for text in dict.fromkeys(origin.warning for origin in origins if origin is not None):
        if text:
            warnings.warn(text, stacklevel=3)


def path(value: Place | None) -> Path | None:
    """Converts to a path; None stays None."""
    return None if value is None else Path(value)


def words(value: Words) -> list[str]:
    """Converts one value or a list to a list of strings; commas are kept."""
    return [str(each) for each in ([value] if isinstance(value, str | Path) else value)]


def optional_words(value: Words | None) -> list[str] | None:
    """Splits values at commas; None stays None."""
    if value is None:
        return None
    return [word.strip() for each in words(value) for word in each.split(",") if word.strip()]


def numbers(name: str, value: Numbers | None, *, count: bool = False) -> tuple[int, ...]:
    """Converts seeds or folds; a single number is a count of seeds, or one fold.

    Raises:
        InputError: If they are not whole numbers from 0 to `LARGEST`, or if one is repeated.
    """
    if value is None:
        return ()
    if count and _is_whole(value) and not 1 <= value <= MOST_LISTED:  # type: ignore[operator]
        raise InputError(f"{name}: expected from one to {MOST_LISTED}, got {value}")
    listed = _listed(value, count=count)
    whole = listed is not None and all(_is_whole(each) and 0 <= each <= LARGEST for each in listed)
    if not listed or not whole or len(set(listed)) < len(listed):
        expected = f"expected a number or a list of numbers from 0 to {LARGEST}, each only once"
        raise InputError(f"{name}: {expected}, got {value!r}")
    return tuple(int(each) for each in listed)


def _listed(value: Any, *, count: bool) -> list[Any] | None:
    if _is_whole(value):
        return list(range(value)) if count else [value]
    ordered = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return list(value) if ordered else None


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole number, including NumPy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)
