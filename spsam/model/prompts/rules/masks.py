"""Mask prompts: what stands in them, and how they come to the size of SAM's mask input."""

from __future__ import annotations

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


def largest_in_plane(volume: Tensor, size: tuple[int, int]) -> Tensor:
    """Every slice at another size, each pixel the largest of all that it touches.

    So nothing vanishes: whatever is positive anywhere stays positive, at every ratio, and a
    one-pixel structure covers at least one pixel. Bilinear and nearest resizing lose structures
    thinner than the ratio.

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
