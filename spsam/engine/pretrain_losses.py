"""What a small SAM's answers, and its encoder's pictures, are compared by."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def picture_loss(found: Tensor, borders: Tensor, flat: Tensor) -> Tensor:
    """Cross-entropy + Dice of borders, squared error of the flat picture; both `(B, H, W)`."""
    logits = found[:, :1]
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], borders)
    overlap = dice_loss(logits, borders).mean()
    return entropy + overlap + functional.mse_loss(found[:, 1], flat)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss (γ 2, α 0.25) of `(n, m, H, W)` logits against `(n, H, W)`, `(n, m)`."""
    wanted = target[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    surprise = 1 - torch.exp(-entropy)
    weight = 0.25 * wanted + 0.75 * (1 - wanted)
    return (weight * surprise.square() * entropy).mean(dim=(2, 3))


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus soft Dice of `(n, m, H, W)` logits against `(n, H, W)`, `(n, m)`."""
    shares, wanted = logits.sigmoid(), target[:, None]
    overlap = (shares * wanted).sum(dim=(2, 3))
    return 1 - (2 * overlap + 1) / (shares.sum(dim=(2, 3)) + wanted.sum(dim=(2, 3)) + 1)


def iou(masks: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of `(n, m, H, W)` masks with `(n, H, W)`, `(n, m)`."""
    both = (masks & target[:, None]).sum(dim=(2, 3))
    either = (masks | target[:, None]).sum(dim=(2, 3))
    return both / either.clamp(min=1)
