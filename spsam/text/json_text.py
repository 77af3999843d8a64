"""JSON as it is read from a file: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_MOST_DIGITS = 300


def parse_json(
    text: str | bytes, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """The values of a JSON text.

    Args:
        text: A file's content, UTF-8.
        pairs: What makes an object of its keys and values; None: a dictionary.

    Raises:
        ValueError: If it is no JSON, or no UTF-8, is nested too deep, or has a number of more than
            300 digits.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)
