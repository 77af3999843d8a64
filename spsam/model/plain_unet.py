"""The plain U-Nets that stand beside Self-Prompt SAM in a table: MONAI's, planar or spatial."""

from __future__ import annotations

from contextlib import AbstractContextManager
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.kernels.bf16_convolution import trained_convolutions
from spsam.model.mask_heads.softmax import SoftmaxHead
from spsam.model.segmenter import Output, Segmenter

CHANNELS = (32, 64, 128, 256)
"""Of the levels, finest first."""

KERNEL = 3


class PlainUNet(Segmenter):
    """MONAI's `DynUNet`, which is nnU-Net's network, with instance norm; nothing of SAM.

    It takes the same patches as Self-Prompt SAM and trains on the final logits alone. The planar
    one segments every slice by itself. The spatial one halves slices later
    than the plane, and only while there are two or more; its finest level convolves in the plane.

    MONAI's `UNet` will not do: its last level has one channel a class, under an instance norm, and
    a class that is in few slices is never learnt (decision 25).

    Args:
        in_channels: M, image modalities.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), pixels.
        spatial: Whether convolutions go through slices.
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
        # MONAI takes seconds to import; no other network needs it.
        from monai.networks.nets.dynunet import DynUNet

        super().__init__()
        self.depth, self.image_size = depth, image_size
        self.mask_head = SoftmaxHead(num_classes)
        self.spatial = spatial
        planar: list[tuple[int, ...]] = [(2, 2)] * (len(CHANNELS) - 1)
        strides = halvings(depth) if spatial else planar
        first = (1, KERNEL, KERNEL) if spatial else (KERNEL, KERNEL)
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
        self.multiple = tuple(
            prod(stride[axis] for stride in strides) for axis in range(len(strides[0]))
        )

    def blocks(self) -> dict[str, nn.Module]:
        """The whole network trains."""
        return {"unet": self.unet}

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """See `Segmenter`; there are no phases, `decode` changes nothing."""
        self.check(volume)
        batch, _, depth = volume.shape[:3]
        images = volume if self.spatial else volume.transpose(1, 2).flatten(0, 1)
        logits = self._padded(images)
        if not self.spatial:
            logits = logits.reshape(batch, depth, *logits.shape[1:]).transpose(1, 2)
        return Output(logits, [], None, self.mask_head.labels)

    def _padded(self, images: Tensor) -> Tensor:
        """Logits of images of any size: made a multiple of the strides, cut again."""
        size = images.shape[2:]
        missing = [-extent % multiple for extent, multiple in zip(size, self.multiple, strict=True)]
        margins = [part for after in reversed(missing) for part in (0, after)]
        with self._precision(images):
            logits: Tensor = self.unet(functional.pad(images, margins))
        for axis, extent in enumerate(size, start=2):
            logits = logits.narrow(axis, 0, extent)
        return logits

    def _precision(self, images: Tensor) -> AbstractContextManager[None]:
        # Deep maps of the spatial network have fewer slices than the kernel.
        if self.spatial and images.device.type == "cpu":
            return torch.autocast("cpu", enabled=False)
        return trained_convolutions(images, (KERNEL, KERNEL))


def halvings(depth: int) -> list[tuple[int, ...]]:
    """The spatial network's strides, finest first; the first is always in the plane alone."""
    strides: list[tuple[int, ...]] = [(1, 2, 2)]
    while len(strides) < len(CHANNELS) - 1:
        strides.append((2 if depth > 1 else 1, 2, 2))
        depth = -(-depth // 2)
    return strides
