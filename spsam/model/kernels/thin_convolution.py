"""One volume of few channels and rows on a CPU: replaces the loop that torch takes there.

That loop is ten times slower than oneDNN's convolution, which torch takes for a batch: two halves
of the volume are one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

THIN = 20480
"""Channels · slices · rows up to which torch's rule takes oneDNN for no single volume."""


def is_thin(x: Tensor, layer: nn.Conv3d) -> bool:
    """Whether torch would not take oneDNN for `(B, C, D, H, W)`, though it can be had."""
    batch, channels, depth, rows, _ = x.shape
    small = batch == 1 and channels * depth * rows <= THIN
    return small and rows >= 2 and layer.kernel_size[1] > 1 and layer.stride == (1, 1, 1)


def in_halves(x: Tensor, layer: nn.Conv3d) -> Tensor:
    """`layer(x)`: upper and lower half of the rows, each with its neighbours, as a batch of two."""
    assert not isinstance(layer.padding, str)
    depth, rows, columns = layer.padding
    padded = functional.pad(x, (0, 0, rows, rows))
    results = padded.shape[3] - layer.kernel_size[1] + 1
    half = -(-results // 2)
    length = half + layer.kernel_size[1] - 1
    halves = torch.cat([padded[:, :, :, :length], padded[:, :, :, -length:]])
    both = functional.conv3d(halves, layer.weight, layer.bias, padding=(depth, 0, columns))
    upper, lower = both.chunk(2)
    # An odd number of rows has one in both.
    return torch.cat([upper, lower[:, :, :, 2 * half - results :]], dim=3)
