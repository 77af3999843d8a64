"""Prompt generator that uses only the encoder's last feature map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from spsam.errors import InputError
from spsam.model.layers import Conv3d, conv_block, resize_in_plane
from spsam.model.prompt_generators.base import PromptGenerator


class StackedCNN(PromptGenerator):
    """Stacked in-plane convolutions on the neck's output, then a bilinear resize to the patch.

    Slices are processed independently, including in the norms: every slice is a separate volume.
    There is only one output and thus no deep supervision.

    Args:
        tap_dims: Channels of the encoder's feature maps (taps), shallow first; not used.
        neck_dim: C, channels of the neck's output.
        grid: (gh, gw), size of the token grid; not used.
        num_classes: K, number of classes including the background.
        image_size: (H, W), in-plane size of the patch, pixels.
        layers: Number of convolutions, each with instance norm and LeakyReLU.
        width: Channels of the convolutions; None: C.
        kernel: Odd in-plane size of the convolutions.
    """

    def __init__(
        self,
        tap_dims: tuple[int, ...],
        neck_dim: int,
        grid: tuple[int, int],
        num_classes: int,
        image_size: tuple[int, int],
        *,
        layers: int = 3,
        width: int | None = None,
        kernel: int = 3,
    ) -> None:
        super().__init__(tap_dims, neck_dim, grid, num_classes, image_size)
        width = neck_dim if width is None else width
        if layers < 1 or width < 1 or kernel < 1 or kernel % 2 == 0:
            raise InputError(
                "StackedCNN requires at least one layer, at least one channel and an odd kernel: "
                f"got layers {layers}, width {width}, kernel {kernel}"
            )
        self.stack = nn.Sequential(
            *(
                conv_block(width if layer else neck_dim, width, (1, kernel, kernel))
                for layer in range(layers)
            )
        )
        self.head = Conv3d(width, num_classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Predicts logits from the neck's output, the last of the maps.

        Args:
            maps: `(B, C_i, D, gh, gw)` each; only the last is used.

        Returns:
            `[(B, K, D, H, W)]`.
        """
        neck = maps[-1]
        batch, _, depth = neck.shape[:3]
        slices = neck.transpose(1, 2).flatten(0, 1).unsqueeze(2)  # (B·D, C, 1, gh, gw)
        logits = self.head(self.stack(slices)).squeeze(2)
        volume = logits.reshape(batch, depth, *logits.shape[1:]).transpose(1, 2)
        return [resize_in_plane(volume, self.image_size)]
