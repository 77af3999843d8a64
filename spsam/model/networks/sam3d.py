"""SAM3D: SAM's encoder applied to slices, and a small 3D decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from spsam.errors import require
from spsam.model.adapters.placement import AdapterSet
from spsam.model.depth_pos_embeds.base import DepthPosEmbed
from spsam.model.input_adapters.base import InputAdapter
from spsam.model.layers import Conv3d, conv_block, resize_in_plane
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import exact_on_cpu
from spsam.model.networks.encoded import EncodedNetwork

if TYPE_CHECKING:
    from spsam.model.sam.image_encoder import ImageEncoder


class SAM3D(EncodedNetwork):
    """Residual 3×3×3 blocks on the neck's output, each doubled in the plane (arXiv 2309.03493).

    A level doubles its in-plane size while it is smaller than the patch. In training mode, the two
    levels before the last also predict logits. The encoder is frozen and contains the arm's
    adapters, if any.

    Args:
        image_encoder: SAM's image encoder, frozen.
        input_adapter: Converts `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Encodes the position of each slice in the patch.
        adapter: The adapters of the encoder.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        widths: Channels of the levels, deepest first.
    """

    def __init__(  # noqa: PLR0917 - the engine passes these by name
        self,
        image_encoder: ImageEncoder,
        input_adapter: InputAdapter,
        depth_pos_embed: DepthPosEmbed,
        adapter: AdapterSet,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        *,
        widths: tuple[int, ...] = (128, 64, 32, 16),
    ) -> None:
        require(
            (bool(widths) and all(w >= 2 for w in widths), f"widths must be at least 2: {widths}")
        )
        # Importing MONAI takes seconds.
        from monai.networks.blocks.dynunet_block import UnetResBlock

        depth_pos_embed.leave_decoder_out()
        super().__init__(
            image_encoder, input_adapter, depth_pos_embed, adapter, num_classes, depth, image_size
        )
        pairs = zip((image_encoder.out_dim, *widths), widths, strict=False)
        self.levels = nn.ModuleList(
            UnetResBlock(3, came, width, 3, 1, ("instance", {"affine": True}))
            for came, width in pairs
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                conv_block(width, width // 2, (3, 3, 3)), Conv3d(width // 2, num_classes, 1)
            )
            for width in widths[-3:]
        )

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        x = self.unfold(self.maps(volume)[-1]).float()
        found: list[Tensor] = []
        first = len(self.levels) - len(self.heads)
        with exact_on_cpu(x):
            for index, level in enumerate(self.levels):
                x = level(x)
                if x.shape[3] < self.image_size[0]:
                    x = functional.interpolate(x, scale_factor=(1.0, 2.0, 2.0))
                last = index == len(self.levels) - 1
                if last or (self.training and index >= first):
                    found.append(self.heads[index - first](x))
        *deeper, finest = found
        return Output(resize_in_plane(finest, self.image_size), deeper=deeper[::-1])
