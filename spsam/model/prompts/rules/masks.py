"""Mask prompts: their content, and the resize to SAM's mask input."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def binary(labels: Tensor, num_classes: int, values: tuple[float, float]) -> Tensor:
    """Encodes label maps as one-hot masks with given values outside and inside.

    Args:
        labels: `(B, D, H, W)` class indices.
        num_classes: K.
        values: (outside, inside).

    Returns:
        `(B, K, D, H, W)` float32, without gradient.
    """
    classes = torch.arange(num_classes, device=labels.device).view(1, -1, 1, 1, 1)
    outside, inside = values
    return torch.where(labels[:, None] == classes, inside, outside).float()


def log_odds(logits: Tensor) -> Tensor:
    """Computes log p / (1 - p) of every class's softmax probability p.

    This is the class's logit minus the log-sum-exp of the other classes' logits. A constant added
    to all logits has no effect. The result is also exact for probabilities near 0 and 1, where p
    itself is rounded.

    Args:
        logits: `(B, K, ...)`, K at least 2.

    Returns:
        The same shape, float32 or better, with gradient. NaN where any class's logit is NaN.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_p = functional.log_softmax(logits, dim=1)
    # If the class is not the most probable, p is at most 1/2, so that 1 - p keeps all digits.
    others = log_p - torch.log1p(-log_p.exp().clamp(max=0.5))
    first = logits.detach().argmax(dim=1, keepdim=True)
    rest = logits.scatter(1, first, -torch.inf).logsumexp(dim=1, keepdim=True)
    return others.scatter(1, first, logits.gather(1, first) - rest)


def reduced(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes every slice by area averaging without losing structures.

    The mean reflects the share of a pixel that the class fills. A structure thinner than the resize
    ratio can become negative everywhere. If a map with a positive pixel would have none after the
    resize, it is resized by the maximum of all pixels that an output pixel overlaps.

    Args:
        volume: `(B, C, D, H, W)`.
        size: (h, w), pixels, smaller or larger.

    Returns:
        `(B, C, D, h, w)`, float32 or better.
    """
    if tuple(volume.shape[3:]) == tuple(size):
        return volume
    volume = volume.to(torch.promote_types(volume.dtype, torch.float32))
    mean = mean_in_plane(volume, size)
    lost = _has_positive(volume) & ~_has_positive(mean)
    if volume.device.type == "cpu":
        return _with_largest(mean, volume, lost[..., 0, 0])
    # Selecting these maps would synchronise with a GPU.
    return torch.where(lost, largest_in_plane(volume, size), mean)


def _with_largest(mean: Tensor, volume: Tensor, lost: Tensor) -> Tensor:
    """Replaces the means by maxima in the maps selected by `lost`, `(B, C, D)`."""
    if not lost.any():
        return mean
    few = volume[lost][:, None, None]
    size = (mean.shape[3], mean.shape[4])
    return mean.masked_scatter(lost[..., None, None], largest_in_plane(few, size))


def mean_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes every slice; each pixel is the mean over its area.

    The resize is a product with two matrices. torch's adaptive pooling has no deterministic
    gradient on a GPU, and gives pixels that an area covers partly their full weight.

    Args:
        volume: `(B, C, D, H, W)`.
        size: (h, w), pixels, smaller or larger.

    Returns:
        `(B, C, D, h, w)`.
    """
    rows, columns = (
        _shares(length, count, volume) for length, count in zip(volume.shape[3:], size, strict=True)
    )
    # Half precision would round ratios that are not powers of two.
    kind = volume.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        return rows @ volume @ columns.T


def _shares(length: int, count: int, like: Tensor) -> Tensor:
    """Computes the share of each new pixel that each old pixel fills, `(count, length)`.

    Rows sum to 1.
    """
    options: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
    start = torch.arange(count, **options).mul(length / count)[:, None]
    pixel = torch.arange(length, **options)
    end = start + length / count
    overlap = torch.minimum(end, pixel + 1) - torch.maximum(start, pixel)
    return overlap.clamp(min=0) * (count / length)


def _has_positive(volume: Tensor) -> Tensor:
    """Checks whether a slice has a positive pixel, `(B, C, D, 1, 1)`."""
    return (volume > 0).any(dim=4, keepdim=True).any(dim=3, keepdim=True)


def largest_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes every slice; each pixel is the maximum of all pixels that it overlaps.

    A positive pixel stays positive at every ratio, and a structure of one pixel covers at least one
    pixel.

    The windows are those of torch's adaptive pooling, whose gradient is not deterministic on a GPU.
    In contrast to torch, equal maxima share the gradient.

    Args:
        volume: `(B, C, D, H, W)`.
        size: (h, w), pixels, smaller or larger.

    Returns:
        `(B, C, D, h, w)`.
    """
    for axis, count in ((4, size[1]), (3, size[0])):
        volume = _largest_along(volume, axis, count)
    return volume


def _largest_along(volume: Tensor, axis: int, count: int) -> Tensor:
    length = volume.shape[axis]
    if length == count:
        return volume
    if length % count == 0:
        shape = (*volume.shape[:axis], count, length // count, *volume.shape[axis + 1 :])
        return volume.reshape(shape).amax(dim=axis + 1)
    # Created on the device, because copying to it would synchronise with a GPU.
    number = torch.arange(count, device=volume.device)
    start, last = number * length // count, -(-(number + 1) * length // count) - 1
    # Each step reads one pixel of every window; shorter windows repeat their last pixel.
    result = volume.index_select(axis, start)
    for step in range(1, _widest(length, count)):
        place = torch.minimum(start + step, last)
        result = torch.maximum(result, volume.index_select(axis, place))
    return result


def _widest(length: int, count: int) -> int:
    """Computes the number of pixels in the widest of `count` windows over `length` pixels."""
    return max(-(-(at + 1) * length // count) - at * length // count for at in range(count))
