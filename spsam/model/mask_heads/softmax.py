"""A softmax over raw SAM logits: the paper's negative example."""

from __future__ import annotations

from torch import Tensor

from spsam.model.mask_heads.base import MaskHead


class SoftmaxHead(MaskHead):
    """Applies a softmax to the K raw logits (paper's Fig. 1c); no parameters.

    SAM's logits of different classes are not comparable: where every class says "not me", one is
    named all the same.
    """

    def forward(self, masks: Tensor) -> Tensor:
        """`(B, K, D, H, W)`, unchanged."""
        return masks
