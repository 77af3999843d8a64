"""What makes two runs the same run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from spsam.config.schema import RunConfig

# Dotted paths of a RunConfig that change no result: labels, paths, speed and bookkeeping. Weights
# and data count by their content's hash, the split by its lists'.
NOT_IDENTITY = (
    "arm.name",
    "arm.title",
    "arm.parent",
    "arm.summary",
    "arm.plugins",
    "arm.backbone.checkpoint",
    "arm.train.workers",
    "arm.train.checkpoint_every",
    "arm.inference.batch_size",
    "preset",
    "data.name",
    "data.split_name",
)


def canonical_json(value: Any) -> str:
    """JSON that is equal for equal values: keys sorted, no spaces, plain ASCII.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(config: RunConfig) -> dict[str, Any]:
    """The part of a run's configuration that its results depend on."""
    content = config.model_dump(mode="json")
    for dotted in NOT_IDENTITY:
        *above, last = dotted.split(".")
        part = content
        for key in above:
            part = part[key]
        del part[last]
    return content


def run_id(config: RunConfig) -> str:
    """The run's name: 16 hexadecimal digits of the sha-256 of its identity."""
    return hashlib.sha256(canonical_json(identity(config)).encode()).hexdigest()[:16]
