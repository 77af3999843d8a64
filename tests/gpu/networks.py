"""Every network by its arm's name, small, and a batch for it."""

from __future__ import annotations

import torch

from spsam.data.sampling.patches import Patch
from spsam.engine.assemble import build_network
from spsam.model.networks.base import Network
from spsam.registry.arms import load_arm
from spsam.registry.files import arm_names
from tests.engine.networks import small

CLASSES, DEPTH, SIZE = 3, 3, 64


def arms() -> list[str]:
    """S1 to S9, and an arm for each other network; adapters are tested as components."""
    return [*(f"S{number}" for number in range(1, 10)), *other_networks()]


def other_networks() -> list[str]:
    """The first arm of each network that is not Self-Prompt SAM."""
    first: dict[str, str] = {}
    for name in arm_names():
        first.setdefault(load_arm(name).network.name, name)
    return [name for network, name in first.items() if network != "self_prompt_sam"]


def whole_network(name: str) -> Network:
    """The network of an arm, of the sizes of `sample`."""
    arm = load_arm(name)
    if arm.network.name == "self_prompt_sam":
        return small(name)
    shape = {"num_classes": CLASSES, "depth": DEPTH, "image_size": SIZE}
    return build_network(arm, in_channels=1, spacing=(3.0, 1.0, 1.0), **shape)


def sample(device: str) -> Patch:
    """A batch of two on a device."""
    shape = (2, DEPTH, SIZE, SIZE)
    return {
        "image": torch.zeros(2, 1, *shape[1:], device=device),
        "label": torch.zeros(shape, dtype=torch.long, device=device),
    }
