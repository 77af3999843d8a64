"""nnU-Net's plain network, from `dynamic-network-architectures`."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork
from spsam.model.networks.nnunet_plan import NnUNetPlan, plan_nnunet


class NnUNet(ConvolutionalNetwork):
    """The U-Net that nnU-Net plans for the patch, with its deep supervision.

    Two convolutions a stage, instance norm, LeakyReLU; initial weights as nnU-Net draws them. In
    training every resolution but the deepest gives logits.

    Args:
        in_channels: M, image modalities.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), pixels.
        spacing: (z, y, x) of a voxel, mm.
        dimensions: 3: nnU-Net's `3d_fullres`; 2: its `2d`, which takes each slice by itself.
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
        """The network of the library."""
        # It takes seconds to import; no other network needs it.
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        return PlainConvUNet(n_conv_per_stage=2, n_conv_per_stage_decoder=2, **options)

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """See `Network`; there are no phases, `decode` changes nothing."""
        self.unet.decoder.deep_supervision = self.training
        return self.segment(self.unet, volume)


def _options(plan: NnUNetPlan, in_channels: int, num_classes: int) -> dict[str, Any]:
    """What nnU-Net's plans say of every network."""
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
