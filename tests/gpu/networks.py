"""Every network by its arm's name, small, and a batch for it."""

from __future__ import annotations

import torch

from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import build_unet
from spsam.model.segmenter import Segmenter
from spsam.registry.arms import load_arm
from spsam.registry.files import arm_names
from tests.engine.networks import small

CLASSES, DEPTH, SIZE = 3, 3, 64


def arms() -> list[str]:
    """Every arm that ships, U-Nets included."""
    return arm_names()


def whole_network(name: str) -> Segmenter:
    """The network of an arm, of the sizes of `sample`."""
    kind = load_arm(name).network
    if kind == "self_prompt_sam":
        return small(name)
    return build_unet(
        kind, in_channels=1, num_classes=CLASSES, depth=DEPTH, image_size=(SIZE, SIZE)
    )


def sample(device: str) -> Patch:
    """A batch of two on a device."""
    shape = (2, DEPTH, SIZE, SIZE)
    return {
        "image": torch.zeros(2, 1, *shape[1:], device=device),
        "label": torch.zeros(shape, dtype=torch.long, device=device),
    }
