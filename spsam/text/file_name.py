"""Names of results: any text as the name of a folder."""

from __future__ import annotations

import hashlib
import re

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_LONGEST = 120
"""Characters; behind them stand a hash and, of a table or a figure, an ending: at most 255."""


def file_name(label: str) -> str:
    """A label of letters, digits, `_`, `-` and `.`; a long one is cut, with a hash of all of it.

    It is a name on every system: Windows has devices of some names, whatever their ending, and
    drops a dot at the end.

    Args:
        label: Any text.
    """
    allowed = re.sub(r"[^A-Za-z0-9._-]+|\.+$", "_", label)
    if _DEVICE.match(allowed):
        allowed = f"_{allowed}"
    if len(allowed) <= _LONGEST:
        return allowed
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{allowed[:_LONGEST]}-{digest}"
