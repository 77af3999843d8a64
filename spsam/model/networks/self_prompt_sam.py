"""Self-Prompt SAM: a frozen SAM with trained blocks that prompt it and adapt it to volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.placement import AdapterSet
from spsam.model.depth_pos_embeds.base import DepthPosEmbed
from spsam.model.input_adapters.base import InputAdapter
from spsam.model.mask_heads.base import MaskHead
from spsam.model.networks.base import Network, Output
from spsam.model.prompt_generators.base import PromptGenerator
from spsam.model.prompts.base import Prompt, Prompts

if TYPE_CHECKING:
    # Importing timm and segment-anything takes seconds; counting parameters needs neither.
    from spsam.model.sam.image_encoder import ImageEncoder
    from spsam.model.sam.mask_decoder import DecoderPrompts, PromptedMaskDecoder


class SelfPromptSAM(Network):
    """SAM with named slots, one component in each (paper's Fig. 2).

    SAM's own modules, `frozen()`, keep their weights and stay in evaluation mode. Only the added
    modules, `blocks()`, are trained: one for each slot.

    Args:
        image_encoder: SAM's image encoder, frozen.
        mask_decoder: SAM's prompt encoder and mask decoder, frozen.
        input_adapter: Converts `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Encodes the position of each slice in the patch.
        adapter: The adapters of every transformer block, by place.
        prompt_generator: Predicts auxiliary masks from the encoder's feature maps.
        prompt: Derives SAM's prompts from auxiliary masks.
        mask_head: Combines K binary masks into one label map.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
    """

    def __init__(  # noqa: PLR0917 - the engine passes these by name
        self,
        image_encoder: ImageEncoder,
        mask_decoder: PromptedMaskDecoder,
        input_adapter: InputAdapter,
        depth_pos_embed: DepthPosEmbed,
        adapter: AdapterSet,
        prompt_generator: PromptGenerator,
        prompt: Prompt,
        mask_head: MaskHead,
        depth: int,
        image_size: tuple[int, int],
    ) -> None:
        nn.Module.__init__(self)
        self.image_encoder = image_encoder
        self.mask_decoder = mask_decoder
        self.input_adapter = input_adapter
        self.depth_pos_embed = depth_pos_embed
        self.adapter = adapter
        self.prompt_generator = prompt_generator
        self.prompt = prompt
        self.mask_head = mask_head
        self.depth = depth
        self.image_size = image_size
        for module in self.frozen():
            module.requires_grad_(False)
        self.train()

    def frozen(self) -> tuple[nn.Module, ...]:
        """Returns SAM's own modules, which are never trained."""
        return (self.image_encoder, self.mask_decoder)

    def blocks(self) -> dict[str, nn.Module]:
        """Returns the added modules by slot, in the order of the forward pass."""
        return {
            "input_adapter": self.input_adapter,
            "depth_pos_embed": self.depth_pos_embed,
            "adapter": self.adapter,
            "prompt_generator": self.prompt_generator,
            "prompt": self.prompt,
            "mask_head": self.mask_head,
        }

    def training_starts(self) -> str:
        """Returns the first trained part of the forward pass, where the backward pass ends."""
        blocks = self.blocks()
        for slot in ("input_adapter", "depth_pos_embed"):
            if any(True for _ in blocks[slot].parameters()):
                return slot
        index = self.adapter.first_encoder_block()
        return "prompt_generator" if index is None else f"adapter of encoder block {index}"

    def parts_to_compile(self) -> list[nn.Module]:
        """Returns the image encoder and the prompt generator.

        The extraction of prompts between them runs outside torch on a CPU and cannot be compiled.
        """
        return [self.image_encoder, self.prompt_generator]

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches without any manual prompt.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.
            decode: False runs the prompt generator alone, as in the first phase of training.

        Returns:
            See `Output`.

        Raises:
            ValueError: If the network was built for another depth or in-plane size.
        """
        neck, auxiliary = self.encode(volume)
        if not decode:
            return Output(None, auxiliary, None)
        prompts = self.prompts_of(auxiliary)
        logits = self.mask_head(self.decode(neck, prompts))
        return Output(logits, auxiliary, prompts)

    def encode(self, volume: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Computes everything that does not depend on prompts, so that many prompts can share it.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.

        Returns:
            The image embedding `(B·D, C, gh, gw)` for `decode`, and the auxiliary logits as in
            `Output`.

        Raises:
            ValueError: If the network was built for another depth or in-plane size.
        """
        self.check(volume)
        maps = self.encode_slices(self.input_adapter(volume))
        return maps[-1], self.generate(maps)

    def encode_slices(self, slices: Tensor) -> list[Tensor]:
        """Computes the encoder's feature maps.

        Args:
            slices: `(B·D, 3, h, w)`, output of the input adapter.

        Returns:
            `(B·D, C_i, gh, gw)` each: the taps, shallow first, then the neck's output.
        """
        taps, neck = self.image_encoder(
            slices, depth=self.depth, adapters=self.adapter, depth_pos=self.depth_pos_embed
        )
        return [*taps, neck]

    def generate(self, maps: list[Tensor]) -> list[Tensor]:
        """Predicts auxiliary logits, finest first, from the maps of `encode_slices`."""
        auxiliary: list[Tensor] = self.prompt_generator([_unfold(x, self.depth) for x in maps])
        return auxiliary

    def prompts_of(self, auxiliary: list[Tensor]) -> Prompts:
        """Derives SAM's prompts from the auxiliary logits."""
        prompts: Prompts = self.prompt(
            auxiliary[0], self.image_encoder.image_size, self.mask_decoder.mask_size
        )
        return prompts

    def decode(self, embedding: Tensor, prompts: DecoderPrompts) -> Tensor:
        """Decodes SAM's raw masks for given prompts, before the mask head.

        Args:
            embedding: `(B·D, C, gh, gw)`, image embedding from `encode`.
            prompts: Prompts `(B, D, K, …)` in the encoder's frame.

        Returns:
            `(B, K, D, H, W)` float32 logits, one binary mask per class.
        """
        masks = self.mask_decoder(
            embedding,
            prompts,
            depth=self.depth,
            adapters=self.adapter,
            depth_pos=self.depth_pos_embed,
        )
        masks = functional.interpolate(
            masks.float(), size=self.image_size, mode="bilinear", align_corners=False
        )
        return _unfold(masks, self.depth)


def _unfold(maps: Tensor, depth: int) -> Tensor:
    """Unfolds slices from the batch: `(B·D, C, h, w)` to `(B, C, D, h, w)`."""
    return maps.reshape(-1, depth, *maps.shape[1:]).transpose(1, 2)
