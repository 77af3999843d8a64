"""SAM's patch embedding as a matrix product: replaces the convolution, on every device."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class PatchEmbedding(nn.Module):
    """Tokens of patches that touch and do not overlap.

    Such a convolution is a linear layer of a patch's pixels. As a convolution it would leave the
    values of a token far apart; every sum of residuals would too, for every norm to gather. And
    its gradient would take a CPU five times as long.

    Args:
        convolution: Whose weights these are; its kernel is its stride.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.proj = convolution

    def forward(self, slices: Tensor) -> Tensor:
        """`(n, C, h, w)` to `(n, gh, gw, E)`, contiguous."""
        n, channels, height, width = slices.shape
        rows, columns = self.proj.kernel_size
        grid = (height // rows, width // columns)
        split = slices.reshape(n, channels, grid[0], rows, grid[1], columns)
        patches = split.permute(0, 2, 4, 1, 3, 5).reshape(n, *grid, -1)
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)
