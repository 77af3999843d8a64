"""Mask head with independent classes: the label is the class with the largest positive logit."""

from __future__ import annotations

from torch import Tensor

from spsam.model.mask_heads.base import MaskHead


class ArgmaxHead(MaskHead):
    """Treats every mask as a binary decision, trained with a sigmoid; no parameters."""

    activation = "sigmoid"

    def forward(self, masks: Tensor) -> Tensor:
        """Returns the masks `(B, K, D, H, W)` unchanged."""
        return masks

    def labels(self, logits: Tensor) -> Tensor:
        """Selects the class with the largest positive logit, or the background if none is positive.

        Args:
            logits: `(B, K, D, H, W)`.

        Returns:
            `(B, D, H, W)` class indices, int64.
        """
        largest = logits.max(dim=1)
        return largest.indices * (largest.values > 0)
