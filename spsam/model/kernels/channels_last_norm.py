"""Instance norm of maps with channels last: replaces torch's own, which would reorder them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def has_channels_last(x: Tensor) -> bool:
    """Whether `(B, C, D, H, W)` lies with channels last, and not in both orders at once."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last_3d)


def channels_last_norm(x: Tensor, norm: nn.InstanceNorm3d) -> Tensor:
    """`norm(x)`, channels last: batch norm is the same of a single volume and reorders nothing."""
    volumes = [
        functional.batch_norm(
            volume, None, None, norm.weight, norm.bias, training=True, eps=norm.eps
        )
        for volume in torch.split(x, 1)
    ]
    return torch.cat(volumes) if len(volumes) > 1 else volumes[0]
