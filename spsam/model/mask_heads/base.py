"""Base class of mask heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn


class MaskHead(nn.Module, ABC):
    """Combines SAM's K binary masks into one label map.

    A component without parameters needs nothing but `forward`.

    Args:
        num_classes: K, background included; from the engine, not kept.

    Attributes:
        activation: What the loss turns the logits into probabilities with.
    """

    activation: ClassVar[Literal["sigmoid", "softmax"]] = "softmax"

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, masks: Tensor) -> Tensor:
        """From SAM's raw logits to the network's.

        Args:
            masks: `(B, K, D, H, W)`, one binary mask's logits a class, at output resolution.

        Returns:
            `(B, K, D, H, W)` logits, before `activation`.
        """

    def labels(self, logits: Tensor) -> Tensor:
        """The label map of the logits that `forward` returned.

        Args:
            logits: `(B, K, D, H, W)`.

        Returns:
            `(B, D, H, W)` class indices, int64: the largest logit, among equals the first class.
        """
        # On a processor several times as fast as argmax.
        return logits.max(dim=1).indices
