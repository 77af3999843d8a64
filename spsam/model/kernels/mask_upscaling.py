"""SAM's masks from image tokens by matrix products: replaces its transposed convolutions."""

from __future__ import annotations

from typing import Any

from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional


def masks_of_tokens(upscaling: Any, keys: Tensor, weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Masks at 2^d times the grid, as `output_upscaling` and the hypernetworks of SAM compute them.

    A transposed convolution whose kernel is its stride makes four pixels of every token and none of
    two. So the layers are linear ones, the norm over channels is over the last axis, and pixels
    are put in their places once, at the end, when there is one channel left.

    Args:
        upscaling: The package's `output_upscaling`, or a longer one of the same kinds of layers: d
            doublings with norms and activations between them; SAM has d = 2.
        keys: `(n, N, C)`, image tokens.
        weights: `(n, m, C')`, of m masks; C' channels are left by the last doubling.
        grid: (gh, gw), N = gh · gw.

    Returns:
        `(n, m, 4^d · gh · gw)`.
    """
    x, doublings = keys, 0
    for layer in upscaling:
        if isinstance(layer, nn.ConvTranspose2d):
            x, doublings = _four_of_each(layer, x), doublings + 1
        elif isinstance(layer, LayerNorm2d):
            x = functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)
        else:
            x = layer(x)
    masks: Tensor = weights @ x.transpose(1, 2)
    count, (height, width) = masks.shape[1], grid
    # (n, m, gh, gw, row and column of the first doubling, of the second, ...)
    split = masks.reshape(-1, count, height, width, *[2, 2] * doublings)
    rows, columns = (range(first, split.ndim, 2) for first in (2, 3))
    return split.permute(0, 1, *rows, *columns).reshape(-1, count, 4**doublings * height * width)


def _four_of_each(doubling: Any, x: Tensor) -> Tensor:
    """A doubling of `(n, P, C)` pixels to `(n, P · 4, C')`, the four of one next to each other."""
    weight = doubling.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 · 2 · C', C)
    wide = functional.linear(x, weight, doubling.bias.repeat(4))
    return wide.reshape(x.shape[0], -1, doubling.out_channels)
