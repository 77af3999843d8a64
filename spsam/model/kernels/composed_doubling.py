"""Maps that are doubled, joined and convolved: replaces the doubled maps, which are never made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.kernels.bf16_convolution import as_precise, in_fast_layout, trained_convolutions


def convolve_doubled(
    maps: Sequence[Tensor],
    doublings: Sequence[nn.ConvTranspose3d],
    convolution: nn.Conv3d,
    *,
    added: bool,
) -> Tensor:
    """What `convolution(join([double(map), ...]))` gives.

    Nothing stands between a doubling and the convolution, so both together are one transposed
    convolution, whose kernel is larger by one in the plane. With a convolution of 3 × 3 × 3 a
    pixel takes 2 × 2 of a map's instead of 3 × 3 of a doubled one's: 12 products a channel instead
    of 27, and the doubled maps, the largest of the network, are never made.

    Args:
        maps: `(B, C_i, D, h, w)` each.
        doublings: Of each map, ×2 in the plane, without bias, to channels that the convolution
            takes.
        convolution: Of odd sides that leaves the size as it is, without bias.
        added: Whether the doubled maps join by a sum; else channels stand beside each other.

    Returns:
        `(B, C', D, 2h, 2w)`.
    """
    kernel = _composed(doublings, convolution, added=added)
    depth, rows, columns = (side // 2 for side in convolution.kernel_size)
    with trained_convolutions(maps[0], convolution.kernel_size):
        beside = [in_fast_layout(as_precise(each, kernel)) for each in maps]
        return functional.conv_transpose3d(
            torch.cat(beside, dim=1) if len(beside) > 1 else beside[0],
            in_fast_layout(kernel),
            stride=doublings[0].stride,
            padding=(depth, rows, columns),
        )


def composing_pays(
    doublings: Sequence[nn.ConvTranspose3d], convolution: nn.Conv3d, map_pixels: int
) -> bool:
    """Whether one composed convolution takes fewer products, its kernel's own included.

    It does not for many maps that are added, for instance.

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
    doublings: Sequence[nn.ConvTranspose3d], convolution: nn.Conv3d, *, added: bool
) -> Tensor:
    """`(C_1 + C_2 + ..., C', d, h + 1, w + 1)`: what one pixel of each map becomes."""
    # In the weights' own precision: a kernel that is rounded twice would be another network. On the
    # meta device there is no autocast.
    kind = convolution.weight.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        weights = [double.weight for double in doublings]
        if added:
            kernel = functional.conv3d(convolution.weight, torch.cat(weights), padding=(0, 1, 1))
        else:
            widths = [double.out_channels for double in doublings]
            parts = zip(torch.split(convolution.weight, widths, dim=1), weights, strict=True)
            kernels = [functional.conv3d(part, weight, padding=(0, 1, 1)) for part, weight in parts]
            kernel = torch.cat(kernels, dim=1)
        return kernel.flip(2, 3, 4).transpose(0, 1)
