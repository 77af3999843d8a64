"""Losses of a small SAM's masks and of its encoder's image predictions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def picture_loss(found: Tensor, borders: Tensor, flat: Tensor) -> Tensor:
    """Computes cross-entropy and Dice loss of borders plus the squared error of the flat image.

    Args:
        found: `(B, 2, H, W)`, output of `PictureHead`.
        borders: `(B, H, W)`, 1 on borders.
        flat: `(B, H, W)`, the flat image.
    """
    logits = found[:, :1]
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], borders)
    overlap = dice_loss(logits, borders).mean()
    return entropy + overlap + functional.mse_loss(found[:, 1], flat)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Computes the focal loss (γ = 2, α = 0.25) of several masks per object.

    Args:
        logits: `(n, m, H, W)`.
        target: `(n, H, W)`, 0 or 1.

    Returns:
        `(n, m)`.
    """
    wanted = target[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    surprise = 1 - torch.exp(-entropy)
    weight = 0.25 * wanted + 0.75 * (1 - wanted)
    return (weight * surprise.square() * entropy).mean(dim=(2, 3))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Computes one minus the soft Dice of several masks per object.

    Args:
        logits: `(n, m, H, W)`.
        target: `(n, H, W)`, 0 or 1.

    Returns:
        `(n, m)`.
    """
    shares, wanted = logits.sigmoid(), target[:, None]
    overlap = (shares * wanted).sum(dim=(2, 3))
    return 1 - (2 * overlap + 1) / (shares.sum(dim=(2, 3)) + wanted.sum(dim=(2, 3)) + 1)


def iou(masks: Tensor, target: Tensor) -> Tensor:
    """Computes the intersection over union of several masks per object.

    Args:
        masks: `(n, m, H, W)` bool.
        target: `(n, H, W)` bool.

    Returns:
        `(n, m)`.
    """
    both = (masks & target[:, None]).sum(dim=(2, 3))
    either = (masks | target[:, None]).sum(dim=(2, 3))
    return both / either.clamp(min=1)
