"""The classes or regions that the rows of a run score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def scored_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in the order of the rows' class ids, background first.

    Args:
        data: Identity of the data as plain values, as in `config.yaml` and `ablation.json`. Files
            of versions without regions contain no `regions`.

    Returns:
        The background and the data set's regions if it defines any, otherwise all classes.
    """
    names = tuple(map(str, data["class_names"]))
    regions = data.get("regions") or ()
    return (names[0], *(str(region["name"]) for region in regions)) if regions else names
