"""MONAI's plain U-Nets in 2D and 3D, as baselines of Self-Prompt SAM."""

from __future__ import annotations

from contextlib import AbstractContextManager
from math import prod

from torch import Tensor

from spsam.model.kernels.bf16_convolution import trained_convolutions
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork

CHANNELS = (32, 64, 128, 256)
"""Channels of the levels, finest first."""

KERNEL = 3
PLANAR = (KERNEL, KERNEL)


class PlainUNet(ConvolutionalNetwork):
    """MONAI's `DynUNet` (nnU-Net's architecture) with instance norm; without SAM.

    It is trained on the same patches as Self-Prompt SAM, on the final logits alone. The 2D network
    segments slices independently. The 3D network first halves only the plane, and then also the
    depth while there are at least two slices; its finest level convolves in the plane.

    MONAI's `UNet` is not suitable: its last level has one channel per class with an instance norm,
    so that a class that occurs in few slices is never learnt (decision 25).

    Args:
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        spatial: Whether the network is 3D.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        *,
        spatial: bool,
    ) -> None:
        # Importing MONAI takes seconds, and no other network needs it.
        from monai.networks.nets.dynunet import DynUNet

        planar: list[tuple[int, ...]] = [(2, 2)] * (len(CHANNELS) - 1)
        strides = halvings(depth) if spatial else planar
        first = (1, KERNEL, KERNEL) if spatial else PLANAR
        axes = range(len(strides[0]))
        multiple = [prod(stride[axis] for stride in strides) for axis in axes]
        super().__init__(num_classes, depth, image_size, multiple)
        self.unet = DynUNet(
            spatial_dims=3 if spatial else 2,
            in_channels=in_channels,
            out_channels=num_classes,
            kernel_size=[first, *[(KERNEL,) * len(first)] * len(strides)],
            strides=[(1,) * len(first), *strides],
            upsample_kernel_size=strides,
            filters=CHANNELS,
            norm_name=("INSTANCE", {"affine": True}),
        )

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        return self.segment(self.unet, volume)

    def precision(self, images: Tensor) -> AbstractContextManager[None]:
        """Allows bf16 for the 2D network, whose convolutions are correct in bf16 on most CPUs."""
        return super().precision(images) if self.spatial else trained_convolutions(images, PLANAR)


def halvings(depth: int) -> list[tuple[int, ...]]:
    """Computes the 3D network's strides, finest first; the first halves only the plane."""
    strides: list[tuple[int, ...]] = [(1, 2, 2)]
    while len(strides) < len(CHANNELS) - 1:
        strides.append((2 if depth > 1 else 1, 2, 2))
        depth = -(-depth // 2)
    return strides
