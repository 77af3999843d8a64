"""The plain 3D U-Net."""

from __future__ import annotations

from spsam.model.networks.plain_unet import PlainUNet


class UNet3D(PlainUNet):
    """`PlainUNet` with 3D convolutions.

    Args:
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
    """

    def __init__(
        self, in_channels: int, num_classes: int, depth: int, image_size: tuple[int, int]
    ) -> None:
        super().__init__(in_channels, num_classes, depth, image_size, spatial=True)
