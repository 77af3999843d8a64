"""Three channels without parameters."""

from __future__ import annotations

from torch import Tensor

from spsam.model.input_adapters.base import ENCODER_CHANNELS, InputAdapter, fold_slices
from spsam.model.layers import resize_in_plane


class RepeatChannels(InputAdapter):
    """Repeats one modality three times, keeps three, and repeats the mean of any other number.

    Then a bilinear resize to the encoder's size; no parameters.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """`(B, M, D, H, W)` to `(B·D, 3, h, w)`."""
        if volume.shape[1] != ENCODER_CHANNELS:
            volume = volume.mean(dim=1, keepdim=True)
        slices = fold_slices(resize_in_plane(volume, self.encoder_size))
        return slices.expand(-1, ENCODER_CHANNELS, -1, -1)
