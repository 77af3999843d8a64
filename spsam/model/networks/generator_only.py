"""Self-Prompt SAM without prompts and mask decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from spsam.model.adapters.placement import AdapterSet
from spsam.model.depth_pos_embeds.base import DepthPosEmbed
from spsam.model.input_adapters.base import InputAdapter
from spsam.model.networks.base import Output
from spsam.model.networks.encoded import EncodedNetwork
from spsam.model.prompt_generators.base import PromptGenerator

if TYPE_CHECKING:
    from spsam.model.sam.image_encoder import ImageEncoder


class GeneratorOnly(EncodedNetwork):
    """Self-Prompt SAM reduced to its auxiliary masks, which are the prediction.

    The difference between both networks measures the contribution of prompts and mask decoder.

    Args:
        image_encoder: SAM's image encoder, frozen.
        input_adapter: Converts `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Encodes the position of each slice in the patch.
        adapter: The adapters of the encoder.
        prompt_generator: Predicts auxiliary masks from the encoder's feature maps.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
    """

    def __init__(  # noqa: PLR0917 - the engine passes these by name
        self,
        image_encoder: ImageEncoder,
        input_adapter: InputAdapter,
        depth_pos_embed: DepthPosEmbed,
        adapter: AdapterSet,
        prompt_generator: PromptGenerator,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
    ) -> None:
        depth_pos_embed.leave_decoder_out()
        super().__init__(
            image_encoder, input_adapter, depth_pos_embed, adapter, num_classes, depth, image_size
        )
        self.prompt_generator = prompt_generator

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        auxiliary: list[Tensor] = self.prompt_generator([self.unfold(x) for x in self.maps(volume)])
        return Output(auxiliary[0], deeper=auxiliary[1:])
