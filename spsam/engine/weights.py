"""Origin of a run's SAM, from its configuration and its file."""

from __future__ import annotations

from pathlib import Path

from spsam.config.schema import RunConfig
from spsam.model.sam.backbones import backbone_spec
from spsam.model.sam.origin import Origin, weights_origin
from spsam.registry.networks import uses_sam


def origin_of(config: RunConfig, file: Path | None) -> Origin | None:
    """Determines the origin of a run's SAM; None for a network without SAM.

    Args:
        config: The run's configuration, which contains the weights' SHA-256.
        file: File with the weights; None for random ones.
    """
    if not uses_sam(config.arm):
        return None
    spec = backbone_spec(config.arm.backbone.name)
    return weights_origin(spec, config.checkpoint_sha256, None if file is None else file.name)
