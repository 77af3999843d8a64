"""Checksums of what is stored, so that damage is noticed where a file is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from spsam.text.json_text import parse_json

_FORMAT, _CHECKSUM = "format", "checksum"
# Beside the checksum, so that damage to the name of either is no file without a checksum.
_SEALED = 2


def sha256(content: bytes) -> str:
    """The SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def to_sealed_json(values: Mapping[str, Any]) -> str:
    """A JSON object with a checksum of its values; spaces and the keys' order do not count."""
    own = {_FORMAT: _SEALED}
    plain = {k: v for k, v in json.loads(json.dumps(values)).items() if k != _CHECKSUM} | own
    return json.dumps({**plain, _CHECKSUM: _of(plain)}, indent=2) + "\n"


def from_sealed_json(content: bytes, *, required: bool = False) -> dict[str, Any]:
    """The values of a JSON object, verified.

    Args:
        content: A file's.
        required: Whether an object without a checksum is refused; the first version wrote such.

    Raises:
        ValueError: If the content is no JSON object, or has another checksum.
    """
    values = parse_json(content.decode("utf-8"))
    if not isinstance(values, dict):
        raise ValueError("is no JSON object")
    checksum = values.pop(_CHECKSUM, None)
    if checksum is None and _FORMAT not in values and not required:
        return values
    if checksum != _of(values):
        raise ValueError("its content has another checksum")
    del values[_FORMAT]
    return values


def _of(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode())
