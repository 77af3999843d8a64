"""Small networks for the tests: the paper's nine arms, by name."""

from __future__ import annotations

from typing import Any

import torch

from spsam.engine.assemble import build_network
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.registry.arms import load_arm
from spsam.registry.catalogue import Catalogue
from spsam.registry.resolve import resolve

ARMS = [f"S{number}" for number in range(1, 10)]


def small(
    name: str, overrides: Any = None, *, seed: int = 0, noise: float = 0.0, **sizes: int
) -> SelfPromptSAM:
    """An arm's network on `sam_tiny`; `noise` moves every trained weight away from its start."""
    options = {"in_channels": 1, "num_classes": 3, "depth": 3, "image_size": 64} | sizes
    network = build_network(load_arm(name, overrides), seed=seed, **options).eval()
    if noise:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for _, parameter in network.trained_parameters():
                parameter += noise * torch.randn(parameter.shape, generator=generator)
    return network


def mixes_depth(name: str) -> bool:
    """Whether the arm is said to mix slices in encoder and decoder."""
    adapter = Catalogue.load().card("adapter", load_arm(name).blocks.adapter.name)
    return bool(resolve(adapter).reach.slices is None)  # type: ignore[attr-defined]
