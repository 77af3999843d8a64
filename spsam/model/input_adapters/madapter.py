"""Three channels learned from all modalities: the paper's modality adapter."""

from __future__ import annotations

from torch import Tensor, nn

from spsam.errors import InputError
from spsam.model.input_adapters.base import ENCODER_CHANNELS, InputAdapter, fold_slices
from spsam.model.layers import Conv3d, InstanceNorm, doubling, resize_in_plane

KERNEL = 3


class MAdapter(InputAdapter):
    """An inverted bottleneck of 3×3×3 convolutions, M → hidden → 3 (paper's Sec. 2.1).

    Between the two, transposed convolutions double the plane as often as a doubling is needed on
    the way from the patch to the encoder's size; a bilinear resize does what is left. Every
    convolution is followed by an instance norm, all but the last by a GELU as well: the frozen
    encoder gets standardised channels, as from SAM's own preprocessing.

    Args:
        in_channels: M, image modalities.
        image_size: (H, W) of the patch, pixels.
        encoder_size: (h, w) of the encoder's input, pixels.
        hidden: Channels inside, more than M and more than 3.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        encoder_size: tuple[int, int],
        *,
        hidden: int = 16,
    ) -> None:
        super().__init__()
        if hidden <= max(in_channels, ENCODER_CHANNELS):
            raise InputError(
                f"an inverted bottleneck is wider inside: hidden is to be more than "
                f"{max(in_channels, ENCODER_CHANNELS)}, got {hidden}"
            )
        self.encoder_size = encoder_size
        layers: list[nn.Module] = [_conv(in_channels, hidden), InstanceNorm(hidden), nn.GELU()]
        for _ in range(doublings(image_size, encoder_size)):
            layers += [doubling(hidden, hidden), InstanceNorm(hidden), nn.GELU()]
        layers += [_conv(hidden, ENCODER_CHANNELS), InstanceNorm(ENCODER_CHANNELS)]
        self.layers = nn.Sequential(*layers)

    def forward(self, volume: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to `(B·D, 3, h, w)`."""
        return fold_slices(resize_in_plane(self.layers(volume), self.encoder_size))


def doublings(image_size: tuple[int, int], encoder_size: tuple[int, int]) -> int:
    """How often the patch can be doubled, on both axes, without passing the encoder's size."""
    factor = min(encoder // image for encoder, image in zip(encoder_size, image_size, strict=True))
    return max(factor, 1).bit_length() - 1


def _conv(in_channels: int, out_channels: int) -> Conv3d:
    # No bias: the instance norm behind it would take it away again.
    return Conv3d(in_channels, out_channels, KERNEL, padding=KERNEL // 2, bias=False)
