"""Convolutional layers for volumes `(B, C, D, H, W)`, shared by several slots."""

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
"""Stride and kernel of an upsampling that doubles the in-plane size only."""

Joining = Literal["concat", "sum"]
"""How feature maps are combined: concatenated along the channels, or added."""


class Conv3d(nn.Conv3d):
    """3D convolution with a correct gradient in any precision, fast for a single volume on a CPU.

    See `spsam.model.kernels` for the operations of torch that it replaces.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolves `(B, C, D, H, W)` to `(B, C', D, H', W')`."""
        if x.device.type != "cpu":
            return super().forward(x)
        with trained_convolutions(x, self.kernel_size):
            x = as_precise(x, self.weight)
            return in_halves(x, self) if is_thin(x, self) else super().forward(x)


class ConvTranspose3d(nn.ConvTranspose3d):
    """Transposed 3D convolution with a correct gradient in any precision."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolves `(B, C, D, H, W)` to `(B, C', D', H', W')`."""
        if x.device.type != "cpu":
            return super().forward(x, output_size)
        with trained_convolutions(x, self.kernel_size):
            return super().forward(as_precise(x, self.weight), output_size)


class InstanceNorm(nn.InstanceNorm3d):
    """Instance norm with scale and shift that also accepts maps of a single element.

    A single element would be normalised to zero, and torch raises an error for it. Such a map is
    therefore only scaled and shifted. It occurs at the deepest level of tiny patches with D = 1.

    Args:
        channels: C, number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalises `(B, C, D, H, W)`; returns the same shape."""
        if x.shape[2:].numel() == 1:
            shape = (1, -1, 1, 1, 1)
            return x * self.weight.view(shape) + self.bias.view(shape)
        return channels_last_norm(x, self) if has_channels_last(x) else super().forward(x)


class LeakyReLU(nn.Module):
    """LeakyReLU with negative slope `LEAK`."""

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation to a tensor of any shape; returns the same shape."""
        return leaky_relu(x, LEAK)


def conv_block(in_channels: int, out_channels: int, kernel: tuple[int, int, int]) -> nn.Sequential:
    """Builds a convolution that keeps the size, followed by an instance norm and a LeakyReLU.

    The convolution has no bias, because the norm would subtract it.

    Args:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel: Odd sizes (depth, height, width).
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        Conv3d(in_channels, out_channels, kernel, padding=padding, bias=False),
        InstanceNorm(out_channels),
        LeakyReLU(),
    )


def doubling(in_channels: int, out_channels: int) -> ConvTranspose3d:
    """Builds a transposed convolution that doubles the in-plane size, without bias.

    It maps `(B, C, D, h, w)` to `(B, C', D, 2h, 2w)`.

    Args:
        in_channels: C.
        out_channels: C'.
    """
    return ConvTranspose3d(
        in_channels, out_channels, ONLY_IN_PLANE, stride=ONLY_IN_PLANE, bias=False
    )


def join(maps: Sequence[Tensor], joining: Joining) -> Tensor:
    """Combines feature maps.

    Args:
        maps: `(B, C_i, D, h, w)` each.
        joining: `concat` concatenates the channels; `sum` adds maps with equal channels.

    Returns:
        `(B, C, D, h, w)`.
    """
    if joining == "sum":
        return sum(maps[1:], start=maps[0])
    return torch.cat(list(maps), dim=1) if len(maps) > 1 else maps[0]


def resize_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes every slice bilinearly; a volume of the requested size is returned unchanged.

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
