"""What makes two runs the same run."""

from __future__ import annotations

import copy
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

# Keys that came later, with the value that stands for what was computed before there were any: at
# that value they are left out, so that a run keeps its id when the schema grows.
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
    # Planned with 2 until it was a value.
    "arm.patch.anisotropy": 2.0,
    "data.preparation": 2,
    "data.regions": [],
    "data.ignore_id": None,
}


def canonical_json(value: Any) -> str:
    """JSON that is equal for equal values: keys sorted, no spaces, plain ASCII.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(config: RunConfig) -> dict[str, Any]:
    """The part of a run's configuration that its results depend on."""
    content = config.model_dump(mode="json")
    for dotted in (*NOT_IDENTITY, *CAME_LATER):
        *above, last = dotted.split(".")
        part = content
        for key in above:
            part = part[key]
        if dotted not in CAME_LATER or part[last] == CAME_LATER[dotted]:
            del part[last]
    if config.arm.train.checkpoint == "last":
        # Scores of validation cases change nothing where no weights are chosen by them.
        del content["arm"]["train"]["validate_every"]
    if config.initial_sha256 is None:
        # From scratch, as every run was before others could begin with its weights.
        del content["initial_sha256"]
    return content


def as_of_then(stored: Any) -> Any:
    """A stored run's configuration with the keys that came later, at the values of its time.

    Args:
        stored: Plain values, as JSON or YAML gives them; they are left as they are. What is no
            configuration comes back for the schema to refuse.
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
    """The run's name: 16 hexadecimal digits of the sha-256 of its identity."""
    return hashlib.sha256(canonical_json(identity(config)).encode()).hexdigest()[:16]
