"""Base class of prompt generators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class PromptGenerator(nn.Module, ABC):
    """Predicts auxiliary masks, from which prompts are derived, from the encoder's feature maps.

    A component defines its layers in `__init__` and applies them in `forward`.

    Args:
        tap_dims: Channels of the encoder's feature maps (taps), shallow first; passed by the
            engine, not stored.
        neck_dim: C, channels of the neck's output; passed by the engine, not stored.
        grid: (gh, gw), size of the token grid; passed by the engine, not stored.
        num_classes: K, number of classes including the background; passed by the engine, not
            stored.
        image_size: (H, W), in-plane size of the patch, pixels; passed by the engine.
    """

    def __init__(
        self,
        tap_dims: tuple[int, ...] = (),
        neck_dim: int = 0,
        grid: tuple[int, int] = (0, 0),
        num_classes: int = 0,
        image_size: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.image_size = image_size

    @abstractmethod
    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Predicts auxiliary logits from the encoder's feature maps.

        Args:
            maps: `(B, C_i, D, gh, gw)` each: the taps, shallow first, then the neck's output.

        Returns:
            Logits, finest first: `(B, K, D, H, W)`, then `(B, K, D, h, w)` at lower resolutions
            for deep supervision.
        """
