"""What a prompt generator is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class PromptGenerator(nn.Module, ABC):
    """Makes auxiliary masks, from which the prompts come, of the image encoder's maps.

    The engine gives `tap_dims`, the taps' channels, shallow first, `neck_dim`, C, `grid`,
    (gh, gw) tokens, `num_classes`, K, background included, and `image_size`, (H, W) of the patch.
    """

    @abstractmethod
    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """From encoder maps to auxiliary logits.

        Args:
            maps: `(B, C_i, D, gh, gw)` each: the taps, shallow first, then the neck's output.

        Returns:
            Logits, finest first: `(B, K, D, H, W)`, then `(B, K, D, h, w)` at lower resolutions
            for deep supervision.
        """
