"""Reading of JSON files, with errors as problems that name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem
from spsam.text.json_text import parse_json


def read_object(path: Path, expected: str = "a JSON object at the top") -> dict[str, Any]:
    """Read the JSON object in a file.

    Args:
        path: The file.
        expected: Description of the expected content, for the message if it is not an object.

    Raises:
        InputError: If the content is not JSON or not an object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(Problem(f"expected {expected}", path))
    return content


def read_json(path: Path) -> Any:
    """Read the JSON value in a file.

    Raises:
        InputError: If the content is not JSON, or an object has a key twice.
    """
    try:
        # Some editors start a file with a byte order mark.
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
        message = f"contains the key '{error}' twice in one object; remove one of the two"
        raise InputError(Problem(message, path)) from error


class _RepeatedKeyError(Exception):
    """A key occurs twice in an object; JSON parsers would keep the last value."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found
