"""SAM's masks from image tokens by matrix products: replaces its transposed convolutions."""

from __future__ import annotations

from typing import Any

from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional


def masks_of_tokens(upscaling: Any, keys: Tensor, weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Computes masks like SAM's `output_upscaling` and hypernetworks, at 2^d times the grid size.

    A transposed convolution whose stride equals its kernel size computes four output pixels from
    each token, without overlap. The layers are therefore linear, the norm over channels is applied
    to the last axis, and pixels are reordered only once, at the end, when a single channel remains.

    Args:
        upscaling: The package's `output_upscaling`, or a longer one with the same kinds of layers:
            d doublings with norms and activations in between; d = 2 in SAM.
        keys: `(n, N, C)`, image tokens.
        weights: `(n, m, C')`, hypernetwork outputs of m masks; C' channels remain after the last
            doubling.
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
    """Doubles `(n, P, C)` pixels to `(n, 4P, C')`; the four pixels of an input are adjacent."""
    weight = doubling.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 · 2 · C', C)
    wide = functional.linear(x, weight, doubling.bias.repeat(4))
    return wide.reshape(x.shape[0], -1, doubling.out_channels)
