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
    # timm and segment-anything take seconds to import; counting parameters needs neither.
    from spsam.model.sam.image_encoder import ImageEncoder
    from spsam.model.sam.mask_decoder import DecoderPrompts, PromptedMaskDecoder


class SelfPromptSAM(Network):
    """SAM with named slots, one component in each (paper's Fig. 2).

    SAM's own modules, `frozen()`, keep their weights and stay in evaluation mode. What is added,
    `blocks()`, is one module a slot, and nothing else is ever trained.

    Args:
        image_encoder: SAM's image encoder.
        mask_decoder: SAM's prompt encoder and mask decoder.
        input_adapter: From `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Tells the slices of a patch apart.
        adapter: The adapters of every transformer block, by place.
        prompt_generator: From encoder maps to auxiliary masks.
        prompt: From auxiliary masks to SAM's prompts.
        mask_head: From K binary masks to one label map.
        depth: D, slices of a patch.
        image_size: `(H, W)`, the patch in the plane, pixels.
    """

    def __init__(  # noqa: PLR0917 - the engine gives what is named here, by name
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
        """SAM's own modules, which never train."""
        return (self.image_encoder, self.mask_decoder)

    def blocks(self) -> dict[str, nn.Module]:
        """The added modules by slot, in the order of the forward pass."""
        return {
            "input_adapter": self.input_adapter,
            "depth_pos_embed": self.depth_pos_embed,
            "adapter": self.adapter,
            "prompt_generator": self.prompt_generator,
            "prompt": self.prompt,
            "mask_head": self.mask_head,
        }

    def training_starts(self) -> str:
        """The first part on the forward pass that trains: nothing before it goes backward."""
        blocks = self.blocks()
        for slot in ("input_adapter", "depth_pos_embed"):
            if any(True for _ in blocks[slot].parameters()):
                return slot
        index = self.adapter.first_encoder_block()
        return "prompt_generator" if index is None else f"adapter of encoder block {index}"

    def parts_to_compile(self) -> list[nn.Module]:
        """What lies between them, the prompts, is no tensor program on a processor."""
        return [self.image_encoder, self.prompt_generator]

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches without any manual prompt.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.
            decode: False runs the prompt generator alone (training's first phase).

        Returns:
            See `Output`.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """
        neck, auxiliary = self.encode(volume)
        if not decode:
            return Output(None, auxiliary, None)
        prompts = self.prompts_of(auxiliary)
        logits = self.mask_head(self.decode(neck, prompts))
        return Output(logits, auxiliary, prompts)

    def encode(self, volume: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What does not depend on prompts, so that many prompts can share it.

        Args:
            volume: `(B, M, D, H, W)` normalised intensities.

        Returns:
            The embedding `(B·D, C, gh, gw)` that `decode` takes, and the auxiliary logits as in
            `Output`.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """
        self.check(volume)
        maps = self.encode_slices(self.input_adapter(volume))
        return maps[-1], self.generate(maps)

    def encode_slices(self, slices: Tensor) -> list[Tensor]:
        """The encoder's taps, shallow first, and its neck's output, `(B·D, C_i, gh, gw)` each.

        Args:
            slices: `(B·D, 3, h, w)`, of the input adapter.
        """
        taps, neck = self.image_encoder(
            slices, depth=self.depth, adapters=self.adapter, depth_pos=self.depth_pos_embed
        )
        return [*taps, neck]

    def generate(self, maps: list[Tensor]) -> list[Tensor]:
        """The prompt generator's logits of `encode_slices`' maps, finest first."""
        auxiliary: list[Tensor] = self.prompt_generator([_unfold(x, self.depth) for x in maps])
        return auxiliary

    def prompts_of(self, auxiliary: list[Tensor]) -> Prompts:
        """SAM's prompts of the generator's logits."""
        prompts: Prompts = self.prompt(
            auxiliary[0], self.image_encoder.image_size, self.mask_decoder.mask_size
        )
        return prompts

    def decode(self, embedding: Tensor, prompts: DecoderPrompts) -> Tensor:
        """SAM's raw masks for given prompts, before the mask head.

        Args:
            embedding: Of `encode`, `(B·D, C, gh, gw)`.
            prompts: In the encoder's frame, `(B, D, K, …)`.

        Returns:
            `(B, K, D, H, W)` float32 logits, one binary mask a class.
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
    """`(B·D, C, h, w)` to `(B, C, D, h, w)`."""
    return maps.reshape(-1, depth, *maps.shape[1:]).transpose(1, 2)
