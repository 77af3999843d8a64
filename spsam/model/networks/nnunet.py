"""nnU-Net's plain network, from `dynamic-network-architectures`."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork
from spsam.model.networks.nnunet_plan import NnUNetPlan, plan_nnunet


class NnUNet(ConvolutionalNetwork):
    """The U-Net that nnU-Net (Nature Methods 2021) plans for the patch, with its deep supervision.

    Each stage has two convolutions with instance norm and LeakyReLU. Weights are initialised as in
    nnU-Net. In training mode, all resolutions except the deepest predict logits.

    Args:
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        spacing: Voxel spacing (z, y, x), mm.
        dimensions: 3: nnU-Net's `3d_fullres`; 2: its `2d`, which segments slices independently.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        spacing: tuple[float, float, float],
        *,
        dimensions: Literal[2, 3] = 3,
    ) -> None:
        plan = plan_nnunet((depth, *image_size)[-dimensions:], spacing[-dimensions:])
        super().__init__(num_classes, depth, image_size, plan.multiple)
        self.plan = plan
        self.unet = self.make(plan, _options(plan, in_channels, num_classes))
        self.unet.apply(self.unet.initialize)

    def make(self, plan: NnUNetPlan, options: dict[str, Any]) -> Any:
        """Builds the library's network."""
        # Importing it takes seconds, and no other network needs it.
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        return PlainConvUNet(n_conv_per_stage=2, n_conv_per_stage_decoder=2, **options)

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        self.unet.decoder.deep_supervision = self.training
        return self.segment(self.unet, volume)


def _options(plan: NnUNetPlan, in_channels: int, num_classes: int) -> dict[str, Any]:
    """Returns the options that nnU-Net's plans set for every network."""
    spatial = len(plan.strides[0]) == 3
    return {
        "input_channels": in_channels,
        "num_classes": num_classes,
        "n_stages": len(plan.strides),
        "features_per_stage": plan.features,
        "conv_op": nn.Conv3d if spatial else nn.Conv2d,
        "kernel_sizes": plan.kernels,
        "strides": plan.strides,
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d if spatial else nn.InstanceNorm2d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": True,
    }
