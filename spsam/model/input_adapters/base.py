"""Base class of input adapters."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

ENCODER_CHANNELS = 3
"""SAM's image encoder takes RGB."""


class InputAdapter(nn.Module, ABC):
    """Converts a volume to the three-channel slices that SAM's image encoder expects.

    A component without parameters needs nothing but `forward`.

    Args:
        in_channels: M, image modalities; from the engine, not kept.
        image_size: (H, W) of the patch, pixels; from the engine, not kept.
        encoder_size: (h, w) of the encoder's input, pixels; from the engine.
    """

    def __init__(
        self,
        in_channels: int = 0,
        image_size: tuple[int, int] = (0, 0),
        encoder_size: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.encoder_size = encoder_size

    @abstractmethod
    def forward(self, volume: Tensor) -> Tensor:
        """From volumes to slices.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.

        Returns:
            `(B·D, 3, h, w)`, slices folded into the batch.
        """


def fold_slices(volume: Tensor) -> Tensor:
    """`(B, C, D, H, W)` to `(B·D, C, H, W)`."""
    return volume.transpose(1, 2).flatten(0, 1)
