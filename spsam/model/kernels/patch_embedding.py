"""SAM's patch embedding as a matrix product: replaces the convolution on every device."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class PatchEmbedding(nn.Module):
    """Tokens of adjacent patches that do not overlap.

    The convolution is equivalent to a linear layer on a patch's pixels. The output of a convolution
    is not contiguous along the channels, and neither is any residual sum that follows, so that
    every norm would have to reorder it. On a CPU, the convolution's gradient would also take five
    times as long.

    Args:
        convolution: The convolution that provides the weights; its stride equals its kernel size.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.proj = convolution

    def forward(self, slices: Tensor) -> Tensor:
        """Embeds slices `(n, C, h, w)` as contiguous tokens `(n, gh, gw, E)`."""
        n, channels, height, width = slices.shape
        rows, columns = self.proj.kernel_size
        grid = (height // rows, width // columns)
        split = slices.reshape(n, channels, grid[0], rows, grid[1], columns)
        patches = split.permute(0, 2, 4, 1, 3, 5).reshape(n, *grid, -1)
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)
