"""Where a run's SAM comes from, as its configuration and its file have it."""

from __future__ import annotations

from pathlib import Path

from spsam.config.schema import RunConfig
from spsam.model.sam.backbones import backbone_spec
from spsam.model.sam.origin import Origin, weights_origin
from spsam.registry.networks import uses_sam


def origin_of(config: RunConfig, file: Path | None) -> Origin | None:
    """Where the weights of a run's SAM come from; None for a network without SAM.

    Args:
        config: Of the run; it holds the weights' sha-256.
        file: With the weights; None for random ones.
    """
    if not uses_sam(config.arm):
        return None
    spec = backbone_spec(config.arm.backbone.name)
    return weights_origin(spec, config.checkpoint_sha256, None if file is None else file.name)
