"""SegResNet, from MONAI."""

from __future__ import annotations

from torch import Tensor

from spsam.errors import require
from spsam.model.networks.base import Output
from spsam.model.networks.convolutional import ConvolutionalNetwork


class SegResNet(ConvolutionalNetwork):
    """Myronenko's residual encoder and small decoder (arXiv 1810.11654), without its autoencoder.

    Args:
        in_channels: M, image modalities.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), pixels.
        filters: Channels of the finest level; a multiple of 8, the groups of its norms.
        blocks_down: Residual blocks of each level, finest first; each further one halves.
        blocks_up: Residual blocks of each level on the way back, deepest first.
        dropout: Share of the input's channels that are left out in training.
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
            (filters >= 8 and filters % 8 == 0, f"filters is a multiple of 8, got {filters}"),
            (
                len(blocks_up) == len(blocks_down) - 1 >= 1,
                "blocks_up has one entry less than blocks_down, which has two or more: got "
                f"{len(blocks_up)} and {len(blocks_down)}",
            ),
            (
                all(count >= 1 for count in (*blocks_down, *blocks_up)),
                "every level has at least one block",
            ),
            (0 <= dropout < 1, f"dropout is at least 0 and below 1, got {dropout}"),
        )
        # MONAI takes seconds to import; no other network needs it.
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
        """See `Network`; there are no phases, `decode` changes nothing."""
        return self.segment(self.net, volume)
