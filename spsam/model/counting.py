"""Counting of trained parameters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def count_parameters(blocks: Mapping[str, nn.Module]) -> dict[str, int]:
    """Counts the trained parameters of each block.

    Args:
        blocks: Modules by name.

    Returns:
        Numbers of parameters by the same names.
    """
    return {
        name: sum(p.numel() for p in block.parameters() if p.requires_grad)
        for name, block in blocks.items()
    }
