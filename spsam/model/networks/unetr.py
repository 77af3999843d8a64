"""UNETR, from MONAI."""

from __future__ import annotations

from torch import Tensor, nn

from spsam.errors import require
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork

PATCH = 16


class UNETR(ConvolutionalNetwork):
    """A transformer over 16³ patches with a convolutional decoder (arXiv 2103.10504).

    Patches are cubes, so that volumes of fewer than 16 slices are padded to 16.

    Args:
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        feature_size: Channels of the decoder's finest level.
        hidden_size: Width of the transformer; a multiple of `num_heads`.
        mlp_dim: Hidden width of the transformer's MLPs.
        num_heads: Number of attention heads.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        *,
        feature_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
    ) -> None:
        sizes = (feature_size, hidden_size, mlp_dim, num_heads)
        require(
            (min(sizes) >= 1, f"all sizes must be at least 1, got {sizes}"),
            (
                num_heads >= 1 and hidden_size % num_heads == 0,
                f"hidden_size must be a multiple of num_heads, got {hidden_size} and {num_heads}",
            ),
        )
        # Importing MONAI takes seconds, and no other network needs it.
        from monai.networks.nets.unetr import UNETR as Net  # noqa: N811

        super().__init__(num_classes, depth, image_size, (PATCH,) * 3)
        self.net = Net(
            in_channels=in_channels,
            out_channels=num_classes,
            img_size=self.padded_size(),
            feature_size=feature_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_heads=num_heads,
        )
        for block in self.net.vit.blocks:
            # MONAI's blocks have norms for a cross-attention that UNETR does not use.
            block.norm_cross_attn = nn.Identity()

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        return self.segment(self.net, volume)
