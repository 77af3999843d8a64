"""Raw SAM logits made comparable: the paper's multi-class adapter."""

from __future__ import annotations

from torch import Tensor, nn

from spsam.errors import InputError
from spsam.model.layers import Conv3d
from spsam.model.mask_heads.base import MaskHead


class MCAdapterHead(MaskHead):
    """An inverted bottleneck of two in-plane convolutions, K → eK → K, GELU between.

    A softmax follows, in the loss; the label is the largest logit (paper's Sec. 2.3).

    Args:
        num_classes: K, background included.
        expansion: e, the hidden layer's width in units of K.
        kernel: The convolutions' odd size in the plane.
    """

    activation = "softmax"

    def __init__(self, num_classes: int, *, expansion: int = 4, kernel: int = 3) -> None:
        super().__init__()
        if expansion < 1 or kernel < 1 or kernel % 2 == 0:
            raise InputError(
                "the multi-class adapter has an expansion of at least 1 and an odd kernel: "
                f"got expansion {expansion}, kernel {kernel}"
            )
        size, padding = (1, kernel, kernel), (0, kernel // 2, kernel // 2)
        hidden = expansion * num_classes
        self.layers = nn.Sequential(
            Conv3d(num_classes, hidden, size, padding=padding),
            nn.GELU(),
            Conv3d(hidden, num_classes, size, padding=padding),
        )

    def forward(self, masks: Tensor) -> Tensor:
        """`(B, K, D, H, W)` to the same shape."""
        logits: Tensor = self.layers(masks)
        return logits
