"""Conversion of labels to file and folder names."""

from __future__ import annotations

import hashlib
import re

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_LONGEST = 120
"""Characters before the hash and the suffix, so that names stay below the limit of 255."""


def file_name(label: str) -> str:
    """Convert a label to a name of ASCII letters, digits, `_`, `-` and `.`.

    The name is valid on every system. Windows reserves some names for devices, whatever their
    suffix, and removes a trailing dot. A long name is truncated, and a hash is appended.

    Args:
        label: Any text.

    Returns:
        The name, at most 129 characters long.
    """
    allowed = re.sub(r"[^A-Za-z0-9._-]+|\.+$", "_", label)
    if _DEVICE.match(allowed):
        allowed = f"_{allowed}"
    if len(allowed) <= _LONGEST:
        return allowed
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{allowed[:_LONGEST]}-{digest}"
