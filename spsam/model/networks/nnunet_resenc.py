"""nnU-Net's network with a residual encoder, from `dynamic-network-architectures`."""

from __future__ import annotations

from typing import Any

from spsam.model.networks.nnunet import NnUNet
from spsam.model.networks.nnunet_plan import NnUNetPlan

BLOCKS = (1, 3, 4, *(6,) * 11)
"""Number of residual blocks of the encoder's stages, finest first."""


class NnUNetResEnc(NnUNet):
    """`NnUNet` with a residual encoder and one convolution per decoder stage (arXiv 2404.09556)."""

    def make(self, plan: NnUNetPlan, options: dict[str, Any]) -> Any:
        """Builds the library's network."""
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

        return ResidualEncoderUNet(
            n_blocks_per_stage=BLOCKS[: len(plan.strides)], n_conv_per_stage_decoder=1, **options
        )
