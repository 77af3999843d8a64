"""Independent classes; the label is the class with the largest positive logit."""

from __future__ import annotations

from torch import Tensor

from spsam.model.mask_heads.base import MaskHead


class ArgmaxHead(MaskHead):
    """Every mask is a binary decision, trained with a sigmoid; no parameters."""

    activation = "sigmoid"

    def forward(self, masks: Tensor) -> Tensor:
        """`(B, K, D, H, W)`, unchanged."""
        return masks

    def labels(self, logits: Tensor) -> Tensor:
        """`(B, K, D, H, W)` to `(B, D, H, W)`: the largest positive logit, background if none."""
        largest = logits.max(dim=1)
        return largest.indices * (largest.values > 0)
