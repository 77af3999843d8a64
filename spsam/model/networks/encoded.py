"""Base class of networks on SAM's image encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from spsam.model.adapters.placement import AdapterSet
from spsam.model.depth_pos_embeds.base import DepthPosEmbed
from spsam.model.input_adapters.base import InputAdapter
from spsam.model.networks.base import Network

if TYPE_CHECKING:
    from spsam.model.sam.image_encoder import ImageEncoder


class EncodedNetwork(Network):
    """A network that starts with SAM's frozen encoder and its blocks.

    Args:
        image_encoder: SAM's image encoder.
        input_adapter: From `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Tells the slices of a patch apart.
        adapter: The adapters of every transformer block, by place.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: `(H, W)`, the patch in the plane, pixels.
    """

    def __init__(  # noqa: PLR0917 - the engine gives what is named here, by name
        self,
        image_encoder: ImageEncoder,
        input_adapter: InputAdapter,
        depth_pos_embed: DepthPosEmbed,
        adapter: AdapterSet,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
    ) -> None:
        super().__init__(num_classes, depth, image_size)
        self.image_encoder = image_encoder
        self.input_adapter = input_adapter
        self.depth_pos_embed = depth_pos_embed
        self.adapter = adapter

    def frozen(self) -> tuple[nn.Module, ...]:
        """SAM's image encoder."""
        return (self.image_encoder,)

    def maps(self, volume: Tensor) -> list[Tensor]:
        """The encoder's taps, shallow first, and its neck's output, `(B·D, C_i, gh, gw)` each.

        Args:
            volume: `(B, M, D, H, W)`.

        Raises:
            ValueError: If the volume's depth or size is not what the network was built for.
        """
        self.check(volume)
        taps, neck = self.image_encoder(
            self.input_adapter(volume),
            depth=self.depth,
            adapters=self.adapter,
            depth_pos=self.depth_pos_embed,
        )
        return [*taps, neck]

    def unfold(self, maps: Tensor) -> Tensor:
        """`(B·D, C, h, w)` to `(B, C, D, h, w)`."""
        return maps.reshape(-1, self.depth, *maps.shape[1:]).transpose(1, 2)
