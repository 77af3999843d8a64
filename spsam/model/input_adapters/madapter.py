"""The paper's modality adapter: three channels learned from all modalities."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from spsam.errors import require
from spsam.model.input_adapters.base import ENCODER_CHANNELS, InputAdapter, fold_slices
from spsam.model.layers import Conv3d, InstanceNorm, doubling, resize_in_plane

KERNEL = 3


class MAdapter(InputAdapter):
    """An inverted bottleneck of 3×3×3 convolutions, M → hidden → 3 (paper's Sec. 2.2).

    Between the two convolutions, transposed convolutions double the in-plane size of the patch as
    long as it does not exceed the encoder's input size. A bilinear resize at the end produces the
    exact size. Every convolution is followed by an instance norm, and all but the last also by a
    GELU. The frozen encoder thus receives standardised channels, as from SAM's own preprocessing.

    Args:
        in_channels: M, number of image modalities.
        image_size: (H, W), in-plane size of the patch, pixels.
        encoder_size: (h, w) of the encoder's input, pixels.
        hidden: Number of hidden channels; greater than M and than 3.
        init: `identity` starts with the standardised output of `repeat`, so that SAM receives a
            natural image from the first step; `default` keeps torch's initialisation.
        lr_mult: Learning rate as a multiple of the other blocks' rate.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        encoder_size: tuple[int, int],
        *,
        hidden: int = 16,
        init: Literal["identity", "default"] = "identity",
        lr_mult: float = 1.0,
    ) -> None:
        super().__init__(in_channels, image_size, encoder_size)
        widest = max(in_channels, ENCODER_CHANNELS)
        require(
            (
                hidden > widest,
                f"hidden must be greater than {widest}, because an inverted bottleneck is wider "
                f"inside: got {hidden}",
            ),
            (0 < lr_mult < math.inf, f"lr_mult must be positive and finite: got {lr_mult}"),
        )
        self.lr_mult = lr_mult
        layers: list[nn.Module] = [_conv(in_channels, hidden), InstanceNorm(hidden), nn.GELU()]
        for _ in range(doublings(image_size, encoder_size)):
            layers += [doubling(hidden, hidden), InstanceNorm(hidden), nn.GELU()]
        layers += [_conv(hidden, ENCODER_CHANNELS), InstanceNorm(ENCODER_CHANNELS)]
        self.layers = nn.Sequential(*layers)
        if init == "identity":
            _carry_picture(self.layers, in_channels, hidden)

    def forward(self, volume: Tensor) -> Tensor:
        """Converts volumes `(B, M, D, H, W)` to slices `(B·D, 3, h, w)`."""
        return fold_slices(resize_in_plane(self.layers(volume), self.encoder_size))


def doublings(image_size: tuple[int, int], encoder_size: tuple[int, int]) -> int:
    """Counts how often both axes of the patch can be doubled within the encoder's input size.

    Args:
        image_size: (H, W), in-plane size of the patch, pixels.
        encoder_size: (h, w) of the encoder's input, pixels.
    """
    factor = min(encoder // image for encoder, image in zip(encoder_size, image_size, strict=True))
    return max(factor, 1).bit_length() - 1


@torch.no_grad()
def _carry_picture(layers: nn.Sequential, in_channels: int, hidden: int) -> None:
    """Sets weights so that the last convolution initially outputs the same image as `repeat`.

    Because GELU(x) - GELU(-x) = x, a pair of channels with opposite signs passes an image through a
    layer unchanged. All other channels keep their random weights; the last convolution starts with
    zero weights for them.
    """
    as_they_are = in_channels == ENCODER_CHANNELS and hidden >= 2 * ENCODER_CHANNELS
    pictures = ENCODER_CHANNELS if as_they_are else 1
    pairs = [(2 * picture, 2 * picture + 1) for picture in range(pictures)]
    first, *ups, last = (m for m in layers if isinstance(m, nn.Conv3d | nn.ConvTranspose3d))
    centre = KERNEL // 2
    for picture, pair in enumerate(pairs):
        for channel, sign in zip(pair, (1.0, -1.0), strict=True):
            first.weight[channel] = 0
            source = picture if as_they_are else slice(None)
            first.weight[channel, source, centre, centre, centre] = sign
            for up in ups:  # Weights (in, out, 1, 2, 2).
                up.weight[:, channel] = 0
                up.weight[pair[0], channel] = sign
                up.weight[pair[1], channel] = -sign
    last.weight.zero_()
    for channel in range(ENCODER_CHANNELS):
        plus, minus = pairs[channel if as_they_are else 0]
        last.weight[channel, plus, centre, centre, centre] = 1
        last.weight[channel, minus, centre, centre, centre] = -1


def _conv(in_channels: int, out_channels: int) -> Conv3d:
    # No bias: the instance norm that follows would subtract it.
    return Conv3d(in_channels, out_channels, KERNEL, padding=KERNEL // 2, bias=False)
