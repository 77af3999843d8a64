"""Parsing of JSON files with `ValueError` as the only exception."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_MOST_DIGITS = 300


def parse_json(
    text: str | bytes, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Parse a JSON text.

    Args:
        text: Content of a file, UTF-8.
        pairs: Function that builds an object from its list of (key, value); default: a dictionary.

    Returns:
        The parsed value.

    Raises:
        ValueError: If the text is not valid JSON or not UTF-8, is nested too deeply, or contains
            an integer of more than 300 digits.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it contains a number of {len(digits)} digits")
    return int(digits)
