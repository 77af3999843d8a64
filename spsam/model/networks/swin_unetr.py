"""Swin UNETR, from MONAI."""

from __future__ import annotations

import torch
from torch import Tensor

from spsam.errors import require
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork

MULTIPLE = 32
"""Patches of two voxels, halved four times."""


class SwinUNETR(ConvolutionalNetwork):
    """Shifted windows over 2³ patches with a convolutional decoder (arXiv 2201.01266).

    It halves every axis five times: a volume of fewer than 32 slices is padded to 32, and
    the smallest one has two cubes of 32.

    Args:
        in_channels: M, image modalities.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), pixels.
        feature_size: Channels of the finest level; a multiple of 12.
        window: Side of the attention's windows, tokens.
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
                f"feature_size is a multiple of 12, got {feature_size}",
            ),
            (window >= 1, f"window is at least 1, got {window}"),
        )
        # MONAI takes seconds to import; no other network needs it.
        from monai.networks.nets.swin_unetr import SwinUNETR as Net

        # A single deepest voxel could not be normalised.
        single = max(depth, *image_size) <= MULTIPLE
        multiple = (MULTIPLE, MULTIPLE, 2 * MULTIPLE if single else MULTIPLE)
        super().__init__(num_classes, depth, image_size, multiple)
        device = torch.get_default_device()
        with torch.device("cpu"):  # it reads numbers while it is built
            net = Net(
                in_channels=in_channels,
                out_channels=num_classes,
                feature_size=feature_size,
                window_size=window,
            )
        self.net = net.to(device)

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """See `Network`; there are no phases, `decode` changes nothing."""
        return self.segment(self.net, volume)
