"""Base class of prompt generators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class PromptGenerator(nn.Module, ABC):
    """Predicts auxiliary masks, the source of the prompts, from the encoder's feature maps.

    A component builds its layers in `__init__` and runs them in `forward`.

    Args:
        tap_dims: The taps' channels, shallow first; from the engine, not kept.
        neck_dim: C, channels of the neck's output; from the engine, not kept.
        grid: (gh, gw), the token grid; from the engine, not kept.
        num_classes: K, background included; from the engine, not kept.
        image_size: (H, W) of the patch, pixels; from the engine.
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
        """From encoder maps to auxiliary logits.

        Args:
            maps: `(B, C_i, D, gh, gw)` each: the taps, shallow first, then the neck's output.

        Returns:
            Logits, finest first: `(B, K, D, H, W)`, then `(B, K, D, h, w)` at lower resolutions
            for deep supervision.
        """
