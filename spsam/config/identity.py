"""The identity of a run: the values that determine its results."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from spsam.config.schema import RunConfig

# Dotted paths of a RunConfig that do not change results: labels, paths, speed and bookkeeping.
# Weights and data are identified by hashes of their content, the split by hashes of its lists.
NOT_IDENTITY = (
    "arm.name",
    "arm.title",
    "arm.parent",
    "arm.summary",
    "arm.plugins",
    "arm.backbone.checkpoint",
    "arm.train.workers",
    "arm.train.checkpoint_every",
    "arm.train.checkpoint_minutes",
    "arm.train.accumulate",
    "arm.train.checkpoint_activations",
    "arm.train.compile",
    "arm.train.deterministic",
    "arm.inference.batch_size",
    "preset",
    "data.name",
    "data.split_name",
)

# Keys added later, with the value that reproduces earlier behaviour. At this value they are omitted
# from the identity, so that runs keep their ids when the schema grows.
CAME_LATER: dict[str, Any] = {
    "arm.train.schedule": "poly",
    "arm.train.warmup_epochs": 0,
    "arm.train.checkpoint": "last",
    "arm.train.optimizer.betas": [0.9, 0.999],
    "arm.train.deep_supervision.weights": None,
    "arm.train.loss.batch_dice": True,
    "arm.train.loss.cross_entropy": 1.0,
    "arm.train.loss.dice": 1.0,
    "arm.train.loss.generator": 1.0,
    "arm.train.loss.mask": 1.0,
    "arm.inference.keep_largest": False,
    # The planner used 2 before the value became configurable.
    "arm.patch.anisotropy": 2.0,
    "data.preparation": 2,
    "data.regions": [],
    "data.ignore_id": None,
}


def canonical_json(value: Any) -> str:
    """JSON that is identical for equal values: sorted keys, no spaces, ASCII only.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(config: RunConfig) -> dict[str, Any]:
    """The part of a run's configuration that determines its results."""
    content = config.model_dump(mode="json")
    for dotted in (*NOT_IDENTITY, *CAME_LATER):
        *above, last = dotted.split(".")
        part = content
        for key in above:
            part = part[key]
        if dotted not in CAME_LATER or part[last] == CAME_LATER[dotted]:
            del part[last]
    if config.arm.train.checkpoint == "last":
        # Validation scores do not change results unless they select the weights.
        del content["arm"]["train"]["validate_every"]
    if config.initial_sha256 is None:
        # Training from scratch, as in all runs before `initial_sha256` was added.
        del content["initial_sha256"]
    return content


def as_of_then(stored: Any) -> Any:
    """Completes a stored run's configuration with keys added later, at their earlier values.

    Args:
        stored: Plain values, as read from JSON or YAML; not modified. Anything that is not a
            configuration is returned unchanged, to be rejected by the schema.

    Returns:
        The completed copy.
    """
    content = copy.deepcopy(stored)
    for dotted, value in CAME_LATER.items():
        *above, last = dotted.split(".")
        part = content
        for key in above:
            part = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.setdefault(last, value)
    return content


def run_id(config: RunConfig) -> str:
    """The id of a run: the first 16 hexadecimal digits of the SHA-256 of its identity."""
    return hashlib.sha256(canonical_json(identity(config)).encode()).hexdigest()[:16]
