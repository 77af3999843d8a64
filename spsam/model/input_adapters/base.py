"""Base class of input adapters."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

ENCODER_CHANNELS = 3
"""Number of input channels of SAM's image encoder (RGB)."""


class InputAdapter(nn.Module, ABC):
    """Converts a volume to the three-channel slices that SAM's image encoder expects.

    A component without trained parameters only has to define `forward`.

    Args:
        in_channels: M, number of image modalities; passed by the engine, not stored.
        image_size: (H, W), in-plane size of the patch, pixels; passed by the engine, not stored.
        encoder_size: (h, w) of the encoder's input, pixels; passed by the engine.
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
        """Converts volumes to slices.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.

        Returns:
            `(B·D, 3, h, w)`, slices folded into the batch.
        """


def fold_slices(volume: Tensor) -> Tensor:
    """Folds the slices of `(B, C, D, H, W)` into the batch, `(B·D, C, H, W)`."""
    return volume.transpose(1, 2).flatten(0, 1)
