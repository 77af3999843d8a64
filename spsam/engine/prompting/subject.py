"""The network of a prompt study: plain SAM, or a trained run."""

from __future__ import annotations

from pathlib import Path

import torch

from spsam.config.schema import RunConfig
from spsam.engine.assemble import network_for
from spsam.engine.checkpoint import load_checkpoint
from spsam.errors import InputError
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.prompts.base import Prompt
from spsam.registry.catalogue import Card
from spsam.registry.resolve import build


def load_network(
    config: RunConfig,
    patch: tuple[int, int, int],
    sam: Path | None,
    trained: Path | None,
    device: str,
) -> SelfPromptSAM:
    """Builds a network and loads trained weights into its blocks.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        sam: File with SAM's weights; None for random ones.
        trained: The run's checkpoint; None keeps the initial weights.
        device: Device of the network.

    Raises:
        InputError: If the checkpoint belongs to another arm, or the arm's network has no prompts.
    """
    network = network_for(config, patch, sam)
    if not isinstance(network, SelfPromptSAM):
        raise InputError(f"{config.arm.name}: {config.arm.network.name} does not accept prompts")
    if trained is not None:
        load_checkpoint(trained, network)
    return network.to(torch.device(device)).eval()


def make_prompt(card: Card, num_classes: int, params: dict[str, object]) -> Prompt:
    """Builds a component of the slot `prompt` from its card."""
    prompt = build(card, (num_classes,), params)
    assert isinstance(prompt, Prompt)
    return prompt
