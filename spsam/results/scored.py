"""What the rows of a run score: every class, or the regions of the data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def scored_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in the order of the rows' class ids, the background first.

    Args:
        data: The data's identity as plain values, as `config.yaml` and `ablation.json` have it;
            those written before there were regions have none.
    """
    names = tuple(map(str, data["class_names"]))
    regions = data.get("regions") or ()
    return (names[0], *(str(region["name"]) for region in regions)) if regions else names
