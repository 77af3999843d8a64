"""The training objective: cross-entropy + soft Dice, deep supervision, two phases."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from spsam.config.schema import TrainConfig
from spsam.model.segmenter import Output

Activation = Literal["sigmoid", "softmax"]


def soft_dice_loss(
    probabilities: Tensor, target: Tensor, *, background: bool, smooth: float
) -> Tensor:
    """One minus the mean soft Dice over classes, sums taken over the whole batch.

    Args:
        probabilities: `(B, K, D, h, w)` in 0..1.
        target: `(B, K, D, h, w)` one-hot, same type.
        background: Whether class 0 counts.
        smooth: Added to numerator and denominator.
    """
    first = 0 if background else 1
    axes = (0, 2, 3, 4)
    probabilities, target = probabilities[:, first:], target[:, first:]
    overlap = (probabilities * target).sum(axes)
    total = probabilities.sum(axes) + target.sum(axes)
    return 1 - ((2 * overlap + smooth) / (total + smooth)).mean()


def segmentation_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    activation: Activation = "softmax",
    dice_background: bool = False,
    smooth: float = 1e-5,
) -> Tensor:
    """Cross-entropy + soft Dice; binary cross-entropy + Dice per class for sigmoid masks.

    Args:
        logits: `(B, K, D, h, w)`.
        labels: `(B, D, h, w)` integer.
        activation: What turns the logits into probabilities.
        dice_background: Whether Dice counts class 0.
        smooth: Dice's smoothing term.
    """
    logits = logits.float()
    target = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    if activation == "softmax":
        entropy = functional.cross_entropy(logits, labels)
        probabilities = logits.softmax(1)
    else:
        entropy = functional.binary_cross_entropy_with_logits(logits, target)
        probabilities = logits.sigmoid()
    dice = soft_dice_loss(probabilities, target, background=dice_background, smooth=smooth)
    return entropy + dice


def supervision_weights(levels: int, decay: float, drop_coarsest: bool) -> list[float]:
    """Weights 1, decay, decay², … of the outputs, finest first, summing to one."""
    weights = [decay**level for level in range(levels)]
    if drop_coarsest and levels > 1:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


def downsample_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Labels `(B, D, H, W)` at another `(D, h, w)`, by the nearest pixel's centre."""
    if tuple(labels.shape[1:]) == tuple(size):
        return labels
    resized = functional.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")
    return resized[:, 0].to(labels.dtype)


def training_loss(
    output: Output, labels: Tensor, config: TrainConfig, activation: Activation
) -> dict[str, Tensor]:
    """The loss of one step and its terms.

    The generator's deep-supervision loss alone in the first phase, in which the decoder was not
    run; that loss plus the final masks' loss after it. The latter alone for a network without a
    prompt generator.

    Returns:
        `total`, `generator` where there is one and, in the second phase, `mask`: scalars.
    """
    loss = partial(
        segmentation_loss,
        dice_background=config.loss.dice_background,
        smooth=config.loss.smooth,
    )
    supervision = config.deep_supervision
    weights = supervision_weights(
        len(output.auxiliary), supervision.decay, supervision.drop_coarsest
    )
    if not output.auxiliary:
        assert output.logits is not None
        mask = loss(output.logits, labels, activation=activation)
        return {"mask": mask, "total": mask}
    generator = torch.stack(
        [
            weight * loss(logits, downsample_labels(labels, logits.shape[2:]))
            for weight, logits in zip(weights, output.auxiliary, strict=True)
            if weight > 0
        ]
    ).sum()
    terms = {"generator": generator, "total": generator}
    if output.logits is not None:
        terms["mask"] = loss(output.logits, labels, activation=activation)
        terms["total"] = generator + terms["mask"]
    return terms
