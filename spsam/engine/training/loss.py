"""Training objective: cross-entropy and soft Dice, deep supervision, two phases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from spsam.config.schema import DeepSupervisionConfig, TrainConfig
from spsam.data.labels import IGNORED
from spsam.model.networks.base import Output

Activation = Literal["sigmoid", "softmax"]
# Minimum denominator of a Dice term, smaller than the contribution of any voxel.
_TINY = 1e-30
Gather = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Objective:
    """Properties of the labels that affect the loss, in addition to the configured weights.

    Attributes:
        ignores: Whether labels contain `IGNORED` voxels, which are excluded from both terms. For a
            batch without such voxels, the loss is bitwise the same as with False.
        regions: Classes of each region. Dice is then computed over regions instead of classes; the
            cross-entropy is computed over classes in any case.
    """

    ignores: bool = False
    regions: tuple[tuple[int, ...], ...] = ()


EVERY_VOXEL = Objective()
WholeBatch = Callable[[Tensor, tuple[int, ...]], Tensor]
"""Computes the weight of a piece from its labels at a size `(D, h, w)`: 1 on average, in
proportion to its counted voxels."""


def alone(sums: Tensor) -> Tensor:
    """Returns the sums unchanged, for a batch that is computed in one piece."""
    return sums


def dice_sums(
    probabilities: Tensor, labels: Tensor, *, background: bool, counted: Tensor | None = None
) -> Tensor:
    """Computes the sums from which each patch's Dice is computed.

    Args:
        probabilities: `(B, K, D, h, w)` in 0..1.
        labels: `(B, D, h, w)` class indices; any index at voxels that do not count.
        background: Whether class 0 is included.
        counted: `(B, D, h, w)`, 1 for voxels that count, otherwise 0; None if all count.

    Returns:
        `(2, B, k)`: overlap, and the sum of probabilities and labels, over all voxels of a patch; k
        is K or K - 1.
    """
    # Only the probability of a voxel's own class contributes to the overlap. Sums are computed line
    # by line, because one sum over all voxels would make the threads of a GPU wait for each other.
    lines = labels.flatten(1, -2)
    if counted is not None:
        probabilities = probabilities * counted[:, None]
    own = _own(probabilities, labels).flatten(1, -2)
    ones = torch.ones_like(own) if counted is None else counted.flatten(1, -2)
    zeros = own.new_zeros(*lines.shape[:2], probabilities.shape[1])
    overlap = zeros.scatter_add(2, lines, own).sum(1)
    voxels = zeros.scatter_add(2, lines, ones).sum(1)
    sums = torch.stack((overlap, probabilities.sum((2, 3, 4)) + voxels))
    return sums if background else sums[..., 1:]


def region_sums(
    probabilities: Tensor,
    labels: Tensor,
    regions: Sequence[Sequence[int]],
    *,
    exclusive: bool,
    background: bool,
    counted: Tensor | None = None,
) -> Tensor:
    """Computes the sums of `dice_sums` for regions.

    If classes are exclusive, the probability of a region is the sum of its classes' probabilities.
    If masks are independent, it is the probability that at least one of them contains the voxel.

    Args:
        probabilities: `(B, K, D, h, w)` in 0..1.
        labels: `(B, D, h, w)` class indices; any index at voxels that do not count.
        regions: Classes of each of T regions.
        exclusive: Whether the probabilities of a voxel sum to one.
        background: Whether class 0 is included.
        counted: As in `dice_sums`.

    Returns:
        `(2, B, T)`, or `(2, B, 1 + T)` with the background first.
    """
    sums = []
    for classes in ((0,), *regions) if background else regions:
        # Class by class, because a list of indices would have to be copied to the device.
        chosen = [probabilities[:, k] for k in classes]
        if exclusive:
            region = torch.stack(chosen).sum(0)
        else:
            region = 1 - torch.stack([1 - each for each in chosen]).prod(0)
        inside = torch.stack([labels == k for k in classes]).any(0).to(region.dtype)
        if counted is not None:
            region, inside = region * counted, inside * counted
        dims = (1, 2, 3)
        overlap = (region * inside).sum(dims)
        sums.append(torch.stack((overlap, region.sum(dims) + inside.sum(dims))))
    return torch.stack(sums, dim=-1)


def _own(values: Tensor, labels: Tensor) -> Tensor:
    """Selects the value of each voxel's own class: `(B, K, D, h, w)` to `(B, D, h, w)`."""
    return values.gather(1, labels[:, None])[:, 0]


def dice_of_sums(sums: Tensor, smooth: float) -> Tensor:
    """Computes one minus the mean soft Dice over patches and classes.

    Args:
        sums: `(2, B, k)` sums over each patch, or `(2, k)` sums over the whole batch.
        smooth: Added to numerator and denominator. With it, a class that is neither in a patch nor
            predicted there scores 1.
    """
    overlap, total = sums
    # Without a smoothing term, a patch that contains only ignored voxels would be 0 / 0.
    loss: Tensor = 1 - ((2 * overlap + smooth) / (total + smooth).clamp(min=_TINY)).mean()
    return loss


def loss_parts(
    logits: Tensor,
    labels: Tensor,
    *,
    activation: Activation,
    background: bool,
    objective: Objective = EVERY_VOXEL,
) -> tuple[Tensor, Tensor]:
    """Computes the cross-entropy and the sums of the Dice; for a sigmoid, both of binary masks.

    Args:
        logits: `(B, K, D, h, w)`.
        labels: `(B, D, h, w)` integer.
        activation: Function that converts logits to probabilities.
        background: Whether Dice includes class 0.
        objective: Properties of the labels.

    Returns:
        A scalar, the mean over all counted voxels (0 if there are none), and `(2, B, k)` of
        `dice_sums` or `region_sums`.
    """
    logits = logits.float()
    counted = (labels != IGNORED).to(logits.dtype) if objective.ignores else None
    known = labels if counted is None else labels.clamp(min=0)
    if activation == "softmax":
        logarithms = logits.log_softmax(1)
        if counted is None:
            entropy = functional.nll_loss(logarithms, labels)
        else:
            entropy = functional.nll_loss(logarithms, labels, ignore_index=IGNORED)
            # The mean over no voxels is NaN.
            entropy = torch.where(counted.any(), entropy, 0.0)
        probabilities = logarithms.exp()
    else:
        # -log sigmoid(x) is softplus(x) - x, and -log(1 - sigmoid(x)) is softplus(x).
        outside, own = functional.softplus(logits), _own(logits, known)
        if counted is not None:
            outside, own = outside * counted[:, None], own * counted
        entropy = (outside.sum() - own.sum()) / logits.numel()
        if counted is not None:
            # First the mean over all voxels, so that the factor is exactly one if all count.
            entropy = entropy * (labels.numel() / (labels != IGNORED).sum().clamp(min=1))
        probabilities = logits.sigmoid()
    if objective.regions:
        sums = region_sums(
            probabilities,
            known,
            objective.regions,
            exclusive=activation == "softmax",
            background=background,
            counted=counted,
        )
    else:
        sums = dice_sums(probabilities, known, background=background, counted=counted)
    return entropy, sums


def supervision_weights(levels: int, config: DeepSupervisionConfig) -> list[float]:
    """Computes the weights of the outputs, finest first; they sum to one.

    Args:
        levels: Number of outputs.
        config: Weights or their decay.
    """
    if config.weights is not None:
        weights = [*config.weights, *[0.0] * levels][:levels]
    else:
        weights = [config.decay**level for level in range(levels)]
    if config.drop_coarsest and levels > 1:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


def downsample_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resamples labels by the nearest pixel centre.

    Args:
        labels: `(B, D, H, W)`.
        size: (D, h, w).

    Returns:
        `(B, D, h, w)`.
    """
    if tuple(labels.shape[1:]) == tuple(size):
        return labels
    resized = functional.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")
    return resized[:, 0].to(labels.dtype)


def training_loss(
    output: Output,
    labels: Tensor,
    config: TrainConfig,
    activation: Activation,
    gather: Gather = alone,
    *,
    objective: Objective = EVERY_VOXEL,
    whole: WholeBatch | None = None,
) -> dict[str, Tensor]:
    """Computes the loss of a step, or of a piece of it, and its terms (paper's App. D, Eq. 3).

    In the first phase, the decoder is not run, and the loss is the generator's deep-supervision
    loss. In the second phase, the loss of the final masks is added. A network without a prompt
    generator has only the latter. Deep supervision of final logits, if any, has the same weights as
    the generator's.

    Args:
        output: Output of the network.
        labels: `(B, D, H, W)`.
        config: Weights of the terms.
        activation: Activation of the mask head.
        gather: Converts a piece's Dice sums `(n, 2, k)` to the whole batch's if Dice is computed
            over the batch. The mean of all pieces' losses, and of their gradients, is then that of
            the batch. It is not called if Dice is computed per patch, which has this property
            anyway.
        objective: Properties of the labels.
        whole: Computes a piece's share of the counted voxels in the batch, so that the mean of the
            pieces' cross-entropies is the batch's. None for a whole batch.

    Returns:
        `total`, `generator` if the network has a prompt generator and, in the second phase, `mask`:
        scalars.
    """
    finals = [] if output.logits is None else [output.logits, *output.deeper]
    pairs: list[tuple[Tensor, Activation]] = []
    counts: list[list[float]] = []
    softmax: Activation = "softmax"
    for levels, kind in ((output.auxiliary, softmax), (finals, activation)):
        weights = supervision_weights(len(levels), config.deep_supervision)
        counts.append([weight for weight in weights if weight > 0])
        pairs += [(x, kind) for x, weight in zip(levels, weights, strict=True) if weight > 0]
    background = config.loss.dice_background
    parts = []
    for logits, kind in pairs:
        size = tuple(logits.shape[2:])
        own = downsample_labels(labels, size)
        entropy, sums = loss_parts(
            logits, own, activation=kind, background=background, objective=objective
        )
        if whole is not None:
            entropy = entropy * whole(own, size)
        parts.append((entropy, sums))
    losses = _losses(parts, config, gather)
    of_generator, of_mask = counts
    terms: dict[str, Tensor] = {}
    if of_generator:
        terms["generator"] = terms["total"] = _weighted(of_generator, losses)
    if of_mask:
        terms["mask"] = _weighted(of_mask, losses[len(of_generator) :])
        terms["total"] = terms["mask"]
    if of_generator and of_mask:
        terms["total"] = (
            config.loss.generator * terms["generator"] + config.loss.mask * terms["mask"]
        )
    return terms


def _weighted(weights: Sequence[float], losses: Sequence[Tensor]) -> Tensor:
    """Computes the weighted sum of the first losses; a single loss is returned unchanged."""
    pairs = zip(weights, losses, strict=False)
    return losses[0] if len(weights) == 1 else torch.stack([w * x for w, x in pairs]).sum()


def _losses(
    parts: Sequence[tuple[Tensor, Tensor]], config: TrainConfig, gather: Gather
) -> list[Tensor]:
    options = config.loss
    sums = torch.stack([own for _, own in parts])
    if options.batch_dice:
        sums = gather(sums.sum(-2))
    return [
        options.cross_entropy * entropy + options.dice * dice_of_sums(whole, options.smooth)
        for (entropy, _), whole in zip(parts, sums, strict=True)
    ]
