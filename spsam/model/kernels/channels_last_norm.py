"""Instance norm of maps in channels-last layout: replaces torch's own, which reorders them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def has_channels_last(x: Tensor) -> bool:
    """Checks whether `(B, C, D, H, W)` is in channels-last layout and not contiguous as well."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last_3d)


def channels_last_norm(x: Tensor, norm: nn.InstanceNorm3d) -> Tensor:
    """Computes `norm(x)` in channels-last layout.

    For a single volume, batch norm is the same operation and does not reorder the memory.

    Args:
        x: `(B, C, D, H, W)` in channels-last layout.
        norm: The instance norm.

    Returns:
        The same shape and layout.
    """
    volumes = [
        functional.batch_norm(
            volume, None, None, norm.weight, norm.bias, training=True, eps=norm.eps
        )
        for volume in torch.split(x, 1)
    ]
    return torch.cat(volumes) if len(volumes) > 1 else volumes[0]
