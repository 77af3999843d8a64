"""Base class of networks with SAM's image encoder."""

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
    """A network that starts with SAM's frozen image encoder and its trained blocks.

    Args:
        image_encoder: SAM's image encoder, frozen.
        input_adapter: Converts `(B, M, D, H, W)` to three-channel slices at the encoder's size.
        depth_pos_embed: Encodes the position of each slice in the patch.
        adapter: The adapters of every transformer block, by place.
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
        """Returns SAM's image encoder."""
        return (self.image_encoder,)

    def maps(self, volume: Tensor) -> list[Tensor]:
        """Computes the encoder's feature maps.

        Args:
            volume: `(B, M, D, H, W)`.

        Returns:
            `(B·D, C_i, gh, gw)` each: the taps, shallow first, then the neck's output.

        Raises:
            ValueError: If the network was built for another depth or in-plane size.
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
        """Unfolds slices from the batch: `(B·D, C, h, w)` to `(B, C, D, h, w)`."""
        return maps.reshape(-1, self.depth, *maps.shape[1:]).transpose(1, 2)
