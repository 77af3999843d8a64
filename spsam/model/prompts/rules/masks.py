"""Mask prompts: their content, and the resize to SAM's mask input."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def binary(labels: Tensor, num_classes: int, values: tuple[float, float]) -> Tensor:
    """The one-hot encoding of label maps, with two numbers for outside and inside.

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
    """Log p / (1 - p) of every class's softmax probability p; a common shift changes nothing.

    That is the class's logit less the log of the sum of the other classes' exponentials. It is
    exact for probabilities near 0 and near 1 too, where p itself is rounded.

    Args:
        logits: `(B, K, ...)`, K at least 2.

    Returns:
        The same shape, float32 or better, with the gradient. NaN where any class's logit is NaN.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_p = functional.log_softmax(logits, dim=1)
    # Of a class that is not the first p is at most a half, so that 1 - p has all its digits.
    others = log_p - torch.log1p(-log_p.exp().clamp(max=0.5))
    first = logits.detach().argmax(dim=1, keepdim=True)
    rest = logits.scatter(1, first, -torch.inf).logsumexp(dim=1, keepdim=True)
    return others.scatter(1, first, logits.gather(1, first) - rest)


def reduced(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Every slice at another size by its area's mean, and no positive map becomes empty.

    The mean says how much of a pixel the class fills. A structure thinner than the ratio can be
    below zero everywhere then: where a map had a positive pixel and would have none, its pixels
    are the largest of all that they touch instead.

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
    # A GPU would have to be waited for to know which maps these are.
    return torch.where(lost, largest_in_plane(volume, size), mean)


def _with_largest(mean: Tensor, volume: Tensor, lost: Tensor) -> Tensor:
    """The means with the largest values in the few maps `lost`, `(B, C, D)`, alone."""
    if not lost.any():
        return mean
    few = volume[lost][:, None, None]
    size = (mean.shape[3], mean.shape[4])
    return mean.masked_scatter(lost[..., None, None], largest_in_plane(few, size))


def mean_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Every slice at another size, each pixel the mean over its area.

    Products with two matrices: torch's adaptive pooling has no deterministic gradient on a GPU,
    and weighs pixels that an area cuts as if they were whole.

    Args:
        volume: `(B, C, D, H, W)`.
        size: (h, w), pixels, smaller or larger.

    Returns:
        `(B, C, D, h, w)`.
    """
    rows, columns = (
        _shares(length, count, volume) for length, count in zip(volume.shape[3:], size, strict=True)
    )
    # Half precision would round ratios that are no powers of two.
    kind = volume.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        return rows @ volume @ columns.T


def _shares(length: int, count: int, like: Tensor) -> Tensor:
    """`(count, length)`: how much of each new pixel an old one fills; rows sum to 1."""
    options: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
    start = torch.arange(count, **options).mul(length / count)[:, None]
    pixel = torch.arange(length, **options)
    end = start + length / count
    overlap = torch.minimum(end, pixel + 1) - torch.maximum(start, pixel)
    return overlap.clamp(min=0) * (count / length)


def _has_positive(volume: Tensor) -> Tensor:
    """`(B, C, D, 1, 1)`."""
    return (volume > 0).any(dim=4, keepdim=True).any(dim=3, keepdim=True)


def largest_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Every slice at another size, each pixel the largest of all that it touches.

    Whatever is positive anywhere stays positive, at every ratio, and a one-pixel structure covers
    at least one pixel.

    The windows are those of torch's adaptive pooling, whose gradient has no deterministic form on
    a GPU; of equal values all get a share of the gradient here.

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
    # Made on the device: what is copied to it makes a GPU wait.
    number = torch.arange(count, device=volume.device)
    start, last = number * length // count, -(-(number + 1) * length // count) - 1
    # Each step takes one place of every window; shorter windows have their last pixel again.
    result = volume.index_select(axis, start)
    for step in range(1, _widest(length, count)):
        place = torch.minimum(start + step, last)
        result = torch.maximum(result, volume.index_select(axis, place))
    return result


def _widest(length: int, count: int) -> int:
    """Pixels of the largest of `count` windows on `length` pixels."""
    return max(-(-(at + 1) * length // count) - at * length // count for at in range(count))
