"""SAMed: SAM with an adapted encoder and one mask token per class, without prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from spsam.model.adapters.placement import AdapterSet
from spsam.model.depth_pos_embeds.base import DepthPosEmbed
from spsam.model.input_adapters.base import InputAdapter
from spsam.model.networks.base import Output
from spsam.model.networks.encoded import EncodedNetwork

if TYPE_CHECKING:
    from spsam.model.sam.image_encoder import ImageEncoder
    from spsam.model.sam.mask_decoder import PromptedMaskDecoder


class SAMed(EncodedNetwork):
    """SAM with a frozen encoder and a fully trained mask decoder that predicts K masks per slice.

    The masks are combined by a softmax. The arm's `adapter` adapts the encoder: with LoRA, the
    network is SAMed (arXiv 2304.13785); with FacT, a depth convolution and full resolution, it is
    MA-SAM (arXiv 2309.08842). Without an adapter, only the decoder is trained.

    Args:
        image_encoder: SAM's image encoder, frozen.
        mask_decoder: SAM's prompt encoder and mask decoder.
        input_adapter: Converts `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Encodes the position of each slice in the patch.
        adapter: The adapters of every transformer block, by place.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        full_resolution: Whether further doublings enlarge the masks to the size of the encoder's
            input, as in MA-SAM. In SAM and SAMed, masks have four times the size of the token grid.
    """

    trains_sam = True

    def __init__(  # noqa: PLR0917 - the engine passes these by name
        self,
        image_encoder: ImageEncoder,
        mask_decoder: PromptedMaskDecoder,
        input_adapter: InputAdapter,
        depth_pos_embed: DepthPosEmbed,
        adapter: AdapterSet,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        *,
        full_resolution: bool = False,
    ) -> None:
        # Importing it takes seconds; other networks' parameters can be counted without it.
        from spsam.model.sam.class_decoder import ClassMaskDecoder

        super().__init__(
            image_encoder, input_adapter, depth_pos_embed, adapter, num_classes, depth, image_size
        )
        self.mask_decoder = ClassMaskDecoder(
            mask_decoder, num_classes, full_resolution=full_resolution
        )

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        masks = self.mask_decoder(
            self.maps(volume)[-1],
            depth=self.depth,
            adapters=self.adapter,
            depth_pos=self.depth_pos_embed,
        )
        large = functional.interpolate(
            masks.float(), size=self.image_size, mode="bilinear", align_corners=False
        )
        return Output(self.unfold(large))
