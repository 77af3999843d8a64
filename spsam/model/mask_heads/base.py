"""Base class of mask heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn


class MaskHead(nn.Module, ABC):
    """Combines SAM's K binary masks into one label map.

    A component without trained parameters only has to define `forward`.

    Args:
        num_classes: K, number of classes including the background; passed by the engine, not
            stored.

    Attributes:
        activation: Function by which the loss converts logits to probabilities.
    """

    activation: ClassVar[Literal["sigmoid", "softmax"]] = "softmax"

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, masks: Tensor) -> Tensor:
        """Converts SAM's raw logits to the network's logits.

        Args:
            masks: `(B, K, D, H, W)`, logits of one binary mask per class, at output resolution.

        Returns:
            `(B, K, D, H, W)` logits, before `activation`.
        """

    def labels(self, logits: Tensor) -> Tensor:
        """Computes the label map from the logits that `forward` returned.

        Args:
            logits: `(B, K, D, H, W)`.

        Returns:
            `(B, D, H, W)` class indices, int64: the class with the largest logit, the first in a
            tie.
        """
        # On a CPU, this is several times as fast as argmax.
        return logits.max(dim=1).indices
