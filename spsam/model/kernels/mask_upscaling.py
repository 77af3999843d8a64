"""SAM's masks from image tokens by matrix products: replaces its transposed convolutions."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional


def masks_of_tokens(upscaling: Any, keys: Tensor, weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Masks at four times the grid, as SAM's `output_upscaling` and hypernetworks make them.

    A transposed convolution whose kernel is its stride makes four pixels of every token and none of
    two. So the layers are linear ones, the norm over channels is over the last axis, and pixels
    are put in their places once, at the end, when there is one channel left.

    Args:
        upscaling: The package's `output_upscaling`: doubling, norm, GELU, doubling, GELU.
        keys: `(n, N, C)`, image tokens.
        weights: `(n, m, C / 8)`, of m masks.
        grid: (gh, gw), N = gh · gw.

    Returns:
        `(n, m, 4gh · 4gw)`.
    """
    first, norm, activation, second, last_activation = upscaling
    x = _four_of_each(first, keys)
    x = functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
    x = last_activation(_four_of_each(second, activation(x)))  # (n, N · 4 · 4, C / 8)
    masks: Tensor = weights @ x.transpose(1, 2)
    count, (height, width) = masks.shape[1], grid
    # (n, m, gh, gw, row and column of the first doubling, of the second)
    split = masks.reshape(-1, count, height, width, 2, 2, 2, 2)
    return split.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(-1, count, 16 * height * width)


def _four_of_each(doubling: Any, x: Tensor) -> Tensor:
    """A doubling of `(n, P, C)` pixels to `(n, P · 4, C')`, the four of one next to each other."""
    weight = doubling.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 · 2 · C', C)
    wide = functional.linear(x, weight, doubling.bias.repeat(4))
    return wide.reshape(x.shape[0], -1, doubling.out_channels)
