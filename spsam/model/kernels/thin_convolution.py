"""Convolution of one small volume on a CPU: replaces torch's own loop by oneDNN.

torch uses its own loop for a single volume with few channels and rows, which takes ten times as
long as oneDNN's convolution. It uses oneDNN for a batch, and two halves of the volume form a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

THIN = 20480
"""Channels · slices · rows up to which torch does not use oneDNN for a single volume."""


def is_thin(x: Tensor, layer: nn.Conv3d) -> bool:
    """Checks whether torch would not use oneDNN for an input, although it could.

    Args:
        x: `(B, C, D, H, W)`, input of the convolution.
        layer: The convolution.
    """
    batch, channels, depth, rows, _ = x.shape
    small = batch == 1 and channels * depth * rows <= THIN
    plain = layer.stride == layer.dilation == (1, 1, 1) and layer.groups == 1
    padded = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return small and plain and padded and rows >= 2 and layer.kernel_size[1] > 1


def in_halves(x: Tensor, layer: nn.Conv3d) -> Tensor:
    """Computes `layer(x)` on a batch of two: the upper and lower half of the rows.

    Each half includes the neighbouring rows of the other that the kernel covers.

    Args:
        x: `(1, C, D, H, W)`.
        layer: A convolution for which `is_thin` holds.

    Returns:
        `(1, C', D', H', W')`.
    """
    assert not isinstance(layer.padding, str)
    depth, rows, columns = layer.padding
    padded = functional.pad(x, (0, 0, rows, rows))
    results = padded.shape[3] - layer.kernel_size[1] + 1
    half = -(-results // 2)
    length = half + layer.kernel_size[1] - 1
    halves = torch.cat([padded[:, :, :, :length], padded[:, :, :, -length:]])
    both = functional.conv3d(halves, layer.weight, layer.bias, padding=(depth, 0, columns))
    upper, lower = both.chunk(2)
    # If the number of rows is odd, both halves contain the middle row.
    return torch.cat([upper, lower[:, :, :, 2 * half - results :]], dim=3)
