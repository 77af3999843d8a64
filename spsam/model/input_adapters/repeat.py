"""Input adapter without parameters."""

from __future__ import annotations

from torch import Tensor

from spsam.model.input_adapters.base import ENCODER_CHANNELS, InputAdapter, fold_slices
from spsam.model.layers import resize_in_plane


class RepeatChannels(InputAdapter):
    """Repeats one modality three times, keeps three, and repeats the mean of any other number.

    A bilinear resize to the encoder's input size follows. There are no parameters.
    """

    def forward(self, volume: Tensor) -> Tensor:
        """Converts volumes `(B, M, D, H, W)` to slices `(B·D, 3, h, w)`."""
        if volume.shape[1] != ENCODER_CHANNELS:
            volume = volume.mean(dim=1, keepdim=True)
        slices = fold_slices(resize_in_plane(volume, self.encoder_size))
        return slices.expand(-1, ENCODER_CHANNELS, -1, -1)
