"""SegResNet, from MONAI."""

from __future__ import annotations

from torch import Tensor

from spsam.errors import require
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork


class SegResNet(ConvolutionalNetwork):
    """Myronenko's residual encoder and small decoder (arXiv 1810.11654), without its autoencoder.

    Args:
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: (H, W), in-plane size of the patch, pixels.
        filters: Channels of the finest level; a multiple of 8, the number of groups of its norms.
        blocks_down: Residual blocks of each encoder level, finest first; each further level halves
            the size.
        blocks_up: Residual blocks of each decoder level, deepest first.
        dropout: Dropout probability of channels after the first convolution.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int,
        image_size: tuple[int, int],
        *,
        filters: int = 32,
        blocks_down: tuple[int, ...] = (1, 2, 2, 4),
        blocks_up: tuple[int, ...] = (1, 1, 1),
        dropout: float = 0.2,
    ) -> None:
        require(
            (filters >= 8 and filters % 8 == 0, f"filters must be a multiple of 8, got {filters}"),
            (
                len(blocks_up) == len(blocks_down) - 1 >= 1,
                "blocks_up must have one entry less than blocks_down, which needs two or more: got "
                f"{len(blocks_up)} and {len(blocks_down)}",
            ),
            (
                all(count >= 1 for count in (*blocks_down, *blocks_up)),
                "every level must have at least one block",
            ),
            (0 <= dropout < 1, f"dropout must be at least 0 and below 1, got {dropout}"),
        )
        # Importing MONAI takes seconds, and no other network needs it.
        from monai.networks.nets.segresnet import SegResNet as Net

        super().__init__(num_classes, depth, image_size, (2 ** len(blocks_up),) * 3)
        self.net = Net(
            in_channels=in_channels,
            out_channels=num_classes,
            init_filters=filters,
            blocks_down=blocks_down,
            blocks_up=blocks_up,
            dropout_prob=dropout or None,
        )

    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        """Segments a batch of patches; see `Network.forward`. `decode` has no effect."""
        return self.segment(self.net, volume)
