"""Composition of doublings and a convolution: avoids computing the doubled maps."""

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
    """Computes `convolution(join([double(map), ...]))` as one transposed convolution.

    No operation separates a doubling from the convolution, so that both compose to one transposed
    convolution, whose kernel is larger by one in the plane. With a 3 × 3 × 3 convolution, an output
    pixel depends on 2 × 2 pixels of a map instead of 3 × 3 pixels of a doubled map: 12
    multiplications per channel instead of 27. The doubled maps, the largest of the network, are
    never computed.

    Args:
        maps: `(B, C_i, D, h, w)` each.
        doublings: Transposed convolution of each map, ×2 in the plane, without bias. Their output
            channels match the convolution's input.
        convolution: Convolution with odd kernel sizes that keeps the size, without bias.
        added: Whether the doubled maps are added; otherwise, they are concatenated.

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
    """Checks whether one composed convolution requires fewer multiplications.

    The computation of its kernel is included. Composing does not pay for many maps that are added,
    for instance.

    Args:
        doublings: As in `convolve_doubled`.
        convolution: As in `convolve_doubled`.
        map_pixels: B · D · h · w, number of pixels of a map before doubling.
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
    """Computes the composed kernel, `(C_1 + C_2 + ..., C', d, h + 1, w + 1)`."""
    # Computed in the weights' own precision, because rounding the kernel twice would change the
    # network's output. The meta device does not support autocast.
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
