"""A JSON file, mostly with an object at its top, and what is wrong with it in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json


def read_object(path: Path, expected: str = "a JSON object at the top") -> dict[str, Any]:
    """The object in the file.

    Args:
        path: The file.
        expected: What is said where something else is at the top.

    Raises:
        InputError: If it is not JSON, or not an object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(Problem(f"expected {expected}", path))
    return content


def read_json(path: Path) -> Any:
    """What the file holds, whatever is at its top.

    Raises:
        InputError: If it is not JSON.
    """
    try:
        # Some editors write a mark of the byte order first.
        text = path.read_text(encoding="utf-8-sig")
        return parse_json(text, pairs=_object)
    except UnicodeDecodeError as error:
        raise InputError(Problem("is not a text file in UTF-8; save it as UTF-8", path)) from error
    except json.JSONDecodeError as error:
        advice = "; write folders with / or \\\\, not with \\" if "escape" in error.msg else ""
        message = f"is not valid JSON: {error.msg}{advice}"
        raise InputError(Problem(message, path, error.lineno)) from error
    except ValueError as error:
        raise InputError(Problem(f"is not valid JSON: {error}", path)) from error
    except _RepeatedKeyError as error:
        message = f"has the key '{error}' twice in one object, and only one of both can be meant"
        raise InputError(Problem(message, path)) from error


class _RepeatedKeyError(Exception):
    """An object has two values under one key, of which JSON's readers keep the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found
