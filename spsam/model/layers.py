"""Convolutional building blocks for volumes (B, C, D, H, W) that several slots share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.kernels.bf16_convolution import as_precise, trained_convolutions
from spsam.model.kernels.channels_last_norm import channels_last_norm, has_channels_last
from spsam.model.kernels.leaky_relu import leaky_relu
from spsam.model.kernels.thin_convolution import in_halves, is_thin

LEAK = 0.01
"""Negative slope of every LeakyReLU, as in nnU-Net."""

ONLY_IN_PLANE = (1, 2, 2)
"""Stride and kernel of an upsampling that doubles the plane and leaves the slices alone."""

Joining = Literal["concat", "sum"]
"""How maps join: beside each other, or added."""


class Conv3d(nn.Conv3d):
    """Convolution that trains in any precision and is fast for a single volume on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, D, H, W)` to `(B, C', D, H', W')`."""
        if x.device.type != "cpu":
            return super().forward(x)
        with trained_convolutions(x, self.kernel_size):
            x = as_precise(x, self.weight)
            return in_halves(x, self) if is_thin(x, self) else super().forward(x)


class InstanceNorm(nn.InstanceNorm3d):
    """Instance norm with scale and shift that also accepts maps of a single element.

    One element has no spread: normalised, it would always be zero (and torch refuses it), so it
    is only scaled and shifted. Such maps are the deepest ones of tiny patches with D = 1.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, D, H, W)` to the same shape."""
        if x.shape[2:].numel() == 1:
            shape = (1, -1, 1, 1, 1)
            return x * self.weight.view(shape) + self.bias.view(shape)
        return channels_last_norm(x, self) if has_channels_last(x) else super().forward(x)


class LeakyReLU(nn.Module):
    """LeakyReLU of slope `LEAK`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return leaky_relu(x, LEAK)


def conv_block(in_channels: int, out_channels: int, kernel: tuple[int, int, int]) -> nn.Sequential:
    """Convolution of unchanged size, instance norm, LeakyReLU.

    The convolution has no bias, because the norm would take it away again.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel: Odd sizes (depth, height, width).
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        Conv3d(in_channels, out_channels, kernel, padding=padding, bias=False),
        InstanceNorm(out_channels),
        LeakyReLU(),
    )


def doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose3d:
    """Transposed convolution ×2 in the plane: `(B, C, D, h, w)` to `(B, C', D, 2h, 2w)`."""
    return nn.ConvTranspose3d(
        in_channels, out_channels, ONLY_IN_PLANE, stride=ONLY_IN_PLANE, bias=False
    )


def join(maps: Sequence[Tensor], joining: Joining) -> Tensor:
    """Maps `(B, C_i, D, h, w)` beside each other (`concat`) or added (`sum`)."""
    if joining == "sum":
        return sum(maps[1:], start=maps[0])
    return torch.cat(list(maps), dim=1) if len(maps) > 1 else maps[0]


def resize_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of every slice; nothing is done where the size is right already.

    Args:
        volume: `(B, C, D, H, W)`.
        size: (h, w), pixels.

    Returns:
        `(B, C, D, h, w)`.
    """
    if tuple(volume.shape[3:]) == tuple(size):
        return volume
    slices = functional.interpolate(
        volume.flatten(1, 2), size=size, mode="bilinear", align_corners=False
    )
    return slices.reshape(*volume.shape[:3], *size)
