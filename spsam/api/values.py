"""What the functions take, as the layers below want it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.config.numbers import LARGEST, MOST_LISTED
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.model.sam.origin import Origin

Place = str | Path
Words = str | Sequence[str]
Numbers = int | Sequence[int]


def warn_of(origins: Iterable[Origin | None]) -> None:
    """Warns of weights that are neither official nor shipped."""
    for text in dict.fromkeys(origin.warning for origin in origins if origin is not None):
        if text:
            warnings.warn(text, stacklevel=3)


def path(value: Place | None) -> Path | None:
    """A place as a path."""
    return None if value is None else Path(value)


def words(value: Words) -> list[str]:
    """One word, words with commas, or a list of such; commas are the arms' own matter."""
    return [value] if isinstance(value, str | Path) else [str(each) for each in value]


def optional_words(value: Words | None) -> list[str] | None:
    """The words of a list; None where nothing was said."""
    if value is None:
        return None
    return [word.strip() for each in words(value) for word in each.split(",") if word.strip()]


def numbers(name: str, value: Numbers | None, *, count: bool = False) -> tuple[int, ...]:
    """Seeds or folds as numbers; a number alone is a count of seeds, or the one fold.

    Raises:
        InputError: If they are no such numbers, or one is named twice.
    """
    if value is None:
        return ()
    expected = f"{name}: expected a number or a list of numbers from 0 to {LARGEST}, each once"
    if isinstance(value, int) and not isinstance(value, bool):
        if count and not 1 <= value <= MOST_LISTED:
            raise InputError(f"{name}: expected from one to {MOST_LISTED}, got {value}")
        value = range(value) if count else [value]
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InputError(f"{expected}, got {value!r}")
    found = tuple(value)
    whole = all(type(each) is int and 0 <= each <= LARGEST for each in found)
    if not whole or not found or len(set(found)) < len(found):
        raise InputError(f"{expected}, got {value!r}")
    return found
