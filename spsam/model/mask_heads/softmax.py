"""Mask head that applies a softmax to SAM's raw logits, the paper's negative example."""

from __future__ import annotations

from torch import Tensor

from spsam.model.mask_heads.base import MaskHead


class SoftmaxHead(MaskHead):
    """Applies a softmax to the K raw logits (paper's Fig. 1c); no parameters.

    SAM's logits of different classes are not comparable. A pixel that lies outside every class's
    mask is still assigned to the class with the largest logit.
    """

    def forward(self, masks: Tensor) -> Tensor:
        """Returns the masks `(B, K, D, H, W)` unchanged."""
        return masks
