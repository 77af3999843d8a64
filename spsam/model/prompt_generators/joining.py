"""Maps that are doubled, joined and convolved, without the doubled maps."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.layers import (
    ONLY_IN_PLANE,
    Conv3d,
    as_precise,
    in_fast_layout,
    trained_convolutions,
)

Joining = Literal["concat", "sum"]


def join(maps: Sequence[Tensor], joining: Joining) -> Tensor:
    """Maps `(B, C_i, D, h, w)` beside each other (`concat`) or added (`sum`)."""
    if joining == "sum":
        return sum(maps[1:], start=maps[0])
    return torch.cat(list(maps), dim=1) if len(maps) > 1 else maps[0]


def convolve_doubled(
    maps: Sequence[Tensor],
    doublings: Sequence[nn.ConvTranspose3d],
    convolution: Conv3d,
    joining: Joining,
) -> Tensor:
    """What `convolution(join([double(map), ...]))` gives.

    Nothing stands between a doubling and the convolution, so both together are one transposed
    convolution, whose kernel is larger by one in the plane. With a convolution of 3 × 3 × 3 a
    pixel takes 2 × 2 of a map's instead of 3 × 3 of a doubled one's: 12 products a channel instead
    of 27, and the doubled maps, the largest of the network, are never made. Where that would take
    more, as for many maps that are added, the two are done one after the other.

    Args:
        maps: `(B, C_i, D, h, w)` each.
        doublings: Of each map, ×2 in the plane, without bias, to channels that the convolution
            takes.
        convolution: Of odd sides that leaves the size as it is, without bias.
        joining: How the doubled maps are joined.

    Returns:
        `(B, C', D, 2h, 2w)`.
    """
    if not _pays(doublings, convolution, maps[0][:, 0].numel()):
        doubled = [double(each) for double, each in zip(doublings, maps, strict=True)]
        result: Tensor = convolution(join(doubled, joining))
        return result
    kernel = _composed(doublings, convolution, joining)
    depth, rows, columns = (side // 2 for side in convolution.kernel_size)
    with trained_convolutions(maps[0], convolution.kernel_size):
        beside = join([in_fast_layout(as_precise(each, kernel)) for each in maps], "concat")
        return functional.conv_transpose3d(
            beside,
            in_fast_layout(kernel),
            stride=ONLY_IN_PLANE,
            padding=(depth, rows, columns),
        )


def _pays(doublings: Sequence[nn.ConvTranspose3d], convolution: Conv3d, map_pixels: int) -> bool:
    """Whether one composed convolution takes fewer products, its kernel's own included.

    Args:
        doublings: As in `convolve_doubled`.
        convolution: As there.
        map_pixels: B · D · h · w, of a map that is not doubled yet.
    """
    depth, rows, columns = convolution.kernel_size
    outputs, pixels = convolution.out_channels, 4 * map_pixels
    inputs = sum(double.in_channels for double in doublings)
    doubled = sum(double.in_channels * double.out_channels for double in doublings)
    in_turn = doubled + depth * rows * columns * convolution.in_channels * outputs
    as_one = depth * (rows // 2 + 1) * (columns // 2 + 1) * inputs * outputs
    kernel = 4 * doubled * depth * (rows + 1) * (columns + 1) * outputs
    return as_one * pixels + kernel < in_turn * pixels


def _composed(
    doublings: Sequence[nn.ConvTranspose3d], convolution: Conv3d, joining: Joining
) -> Tensor:
    """`(C_1 + C_2 + ..., C', d, h + 1, w + 1)`: what one pixel of each map becomes."""
    # In the weights' own precision: a kernel that is rounded twice would be another network. On the
    # meta device there is no autocast.
    kind = convolution.weight.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        weights = [double.weight for double in doublings]
        if joining == "sum":
            kernel = functional.conv3d(convolution.weight, torch.cat(weights), padding=(0, 1, 1))
        else:
            widths = [double.out_channels for double in doublings]
            parts = zip(torch.split(convolution.weight, widths, dim=1), weights, strict=True)
            kernels = [functional.conv3d(part, weight, padding=(0, 1, 1)) for part, weight in parts]
            kernel = torch.cat(kernels, dim=1)
        return kernel.flip(2, 3, 4).transpose(0, 1)
