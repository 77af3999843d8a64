"""A JSON file with an object at its top, and what is wrong with it in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spsam.errors import InputError, Problem


def read_object(path: Path, expected: str = "a JSON object at the top") -> dict[str, Any]:
    """The object in the file.

    Args:
        path: The file.
        expected: What is said where something else is at the top.

    Raises:
        InputError: If it is not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(Problem("is not a text file in UTF-8", path)) from error
    except json.JSONDecodeError as error:
        raise InputError(Problem(f"is not valid JSON: {error.msg}", path, error.lineno)) from error
    if not isinstance(content, dict):
        raise InputError(Problem(f"expected {expected}", path))
    return content
