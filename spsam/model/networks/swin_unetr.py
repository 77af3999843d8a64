"""Swin UNETR, from MONAI."""

from __future__ import annotations

import torch
from torch import Tensor

from spsam.errors import require
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork

MULTIPLE = 32
"""Required divisor of every axis: patches of two voxels, halved four times."""


class SwinUNETR(ConvolutionalNetwork):
    """A shifted-window transformer over 2³ patches with a convolutional decoder (arXiv 2201.01266).

    Every axis is halved five times, so that volumes of fewer than 32 slices are padded to 32. The
    smallest padded size is 32×32×64.

    Args:
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        feature_size: Channels of the finest level; a multiple of 12.
        window: Side length of the attention windows, tokens.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        *,
        feature_size: int = 48,
        window: int = 7,
    ) -> None:
        require(
            (
                feature_size >= 12 and feature_size % 12 == 0,
                f"feature_size must be a multiple of 12, got {feature_size}",
            ),
            (window >= 1, f"window must be at least 1, got {window}"),
        )
        # Importing MONAI takes seconds, and no other network needs it.
        from monai.networks.nets.swin_unetr import SwinUNETR as Net

        # The deepest map must have more than one voxel to be normalised.
        single = max(depth, *image_size) <= MULTIPLE
        multiple = (MULTIPLE, MULTIPLE, 2 * MULTIPLE if single else MULTIPLE)
        super().__init__(num_classes, depth, image_size, multiple)
        device = torch.get_default_device()
        with torch.device("cpu"):  # the constructor reads values of tensors
            net = Net(
                in_channels=in_channels,
                out_channels=num_classes,
                feature_size=feature_size,
                window_size=window,
            )
        self.net = net.to(device)

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        return self.segment(self.net, volume)
