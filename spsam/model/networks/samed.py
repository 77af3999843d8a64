"""SAMed: SAM with adapters in its encoder and a mask token for each class, without prompts."""

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
    """The encoder is frozen, the whole mask decoder trains; K masks a slice, then a softmax.

    The arm's `adapter` adapts the encoder. LoRA makes this network SAMed (arXiv 2304.13785); FacT
    with a depth convolution and full resolution makes it MA-SAM (arXiv 2309.08842); without an
    adapter, the decoder alone is trained.

    Args:
        image_encoder: SAM's image encoder.
        mask_decoder: SAM's prompt encoder and mask decoder.
        input_adapter: From `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Tells the slices of a patch apart.
        adapter: The adapters of every transformer block, by place.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: `(H, W)`, the patch in the plane, pixels.
        full_resolution: Whether the decoder doubles its masks further, to the size of the encoder's
            input, as in MA-SAM. SAM's and SAMed's have four times the size of the token grid.
    """

    trains_sam = True

    def __init__(  # noqa: PLR0917 - the engine gives what is named here, by name
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
        # It takes seconds to import; counting another network's parameters does not need it.
        from spsam.model.sam.class_decoder import ClassMaskDecoder

        super().__init__(
            image_encoder, input_adapter, depth_pos_embed, adapter, num_classes, depth, image_size
        )
        self.mask_decoder = ClassMaskDecoder(
            mask_decoder, num_classes, full_resolution=full_resolution
        )

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """See `Network`; there are no phases, `decode` changes nothing."""
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
