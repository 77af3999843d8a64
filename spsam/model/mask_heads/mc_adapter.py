"""The paper's multi-class adapter, which makes SAM's raw logits comparable across classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from spsam.errors import require
from spsam.model.layers import Conv3d
from spsam.model.mask_heads.base import MaskHead


class MCAdapterHead(MaskHead):
    """An inverted bottleneck of two in-plane convolutions, K → eK → K, with a GELU in between.

    The loss applies a softmax to the output, and the label is the class with the largest logit
    (paper's Sec. 2.5).

    Args:
        num_classes: K, number of classes including the background.
        expansion: e, width of the hidden layer as a multiple of K.
        kernel: Odd in-plane size of the convolutions.
        init: `identity` initially passes SAM's masks through unchanged and requires an expansion of
            at least 2; `default` keeps torch's initialisation.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        expansion: int = 4,
        kernel: int = 3,
        init: Literal["identity", "default"] = "identity",
    ) -> None:
        super().__init__()
        require(
            (
                expansion >= 1 and kernel >= 1 and kernel % 2,
                "the multi-class adapter requires an expansion of at least 1 and an odd kernel: "
                f"got expansion {expansion}, kernel {kernel}",
            ),
            (
                init != "identity" or expansion != 1,
                f"init 'identity' requires an expansion of at least 2, got {expansion}: "
                "set init to 'default'",
            ),
        )
        size, padding = (1, kernel, kernel), (0, kernel // 2, kernel // 2)
        hidden = expansion * num_classes
        self.layers = nn.Sequential(
            Conv3d(num_classes, hidden, size, padding=padding),
            nn.GELU(),
            Conv3d(hidden, num_classes, size, padding=padding),
        )
        if init == "identity":
            _carry_masks(self.layers, num_classes, kernel // 2)

    def forward(self, masks: Tensor) -> Tensor:
        """Maps raw logits `(B, K, D, H, W)` to logits of the same shape."""
        logits: Tensor = self.layers(masks)
        return logits


@torch.no_grad()
def _carry_masks(layers: nn.Sequential, num_classes: int, centre: int) -> None:
    """Sets weights so that masks initially pass through both convolutions unchanged.

    Each class uses a pair of channels with opposite signs, because GELU(x) - GELU(-x) = x. All
    other channels keep their random weights; the last convolution starts with zero weights for
    them.
    """
    widen, _, narrow = layers
    assert isinstance(widen, nn.Conv3d)
    assert isinstance(narrow, nn.Conv3d)
    narrow.weight.zero_()
    for convolution in (widen, narrow):
        assert convolution.bias is not None
        convolution.bias.zero_()
    for k in range(num_classes):
        for channel, sign in ((2 * k, 1.0), (2 * k + 1, -1.0)):
            widen.weight[channel] = 0
            widen.weight[channel, k, 0, centre, centre] = sign
            narrow.weight[k, channel, 0, centre, centre] = sign
