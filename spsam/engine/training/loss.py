"""The training objective: cross-entropy + soft Dice, deep supervision, two phases."""

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
# The least denominator of a Dice term; what any voxel adds to one is larger.
_TINY = 1e-30
Gather = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Objective:
    """What the loss takes of the labels, beside the weights of the configuration.

    Attributes:
        ignores: Whether labels have `IGNORED` voxels, which enter neither term. Without any such
            voxel in a batch, the loss has the same bits as where this is False.
        regions: The classes of each region. Dice is then over regions, not over classes; the
            cross-entropy stays over classes.
    """

    ignores: bool = False
    regions: tuple[tuple[int, ...], ...] = ()


EVERY_VOXEL = Objective()
WholeBatch = Callable[[Tensor, tuple[int, ...]], Tensor]
"""From the labels of a piece at a size `(D, h, w)` to its weight among the pieces: 1 on average,
in proportion to its voxels that count."""


def alone(sums: Tensor) -> Tensor:
    """A batch computed in one piece: its sums are its own."""
    return sums


def dice_sums(
    probabilities: Tensor, labels: Tensor, *, background: bool, counted: Tensor | None = None
) -> Tensor:
    """What the Dice of each patch is made of.

    Args:
        probabilities: `(B, K, D, h, w)` in 0..1.
        labels: `(B, D, h, w)` class indices; where nothing counts, any one.
        background: Whether class 0 counts.
        counted: `(B, D, h, w)`, 1 where a voxel counts and 0 elsewhere; None for all of them.

    Returns:
        `(2, B, k)`: overlap, and the sum of both, over all voxels of a patch; k is K or K - 1.
    """
    # Of a voxel only its own class's probability overlaps. Line by line: sums over all voxels at
    # once would make the threads of a GPU wait for each other.
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
    """As `dice_sums`, of regions.

    A region has the sum of its classes' probabilities if classes exclude each other; of masks that
    are independent, the probability that at least one of them has the voxel.

    Args:
        probabilities: `(B, K, D, h, w)` in 0..1.
        labels: `(B, D, h, w)` class indices; where nothing counts, any one.
        regions: The classes of each of T regions.
        exclusive: Whether the probabilities of a voxel sum to one.
        background: Whether class 0 counts.
        counted: As in `dice_sums`.

    Returns:
        `(2, B, T)`, or `(2, B, 1 + T)` with the background first.
    """
    sums = []
    for classes in ((0,), *regions) if background else regions:
        # Slices of one class each: a list of indices would have to be copied to the device.
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
    """Of every voxel its own class's value: `(B, K, D, h, w)`, `(B, D, h, w)` to the latter."""
    return values.gather(1, labels[:, None])[:, 0]


def dice_of_sums(sums: Tensor, smooth: float) -> Tensor:
    """One minus the mean soft Dice over patches and classes.

    Args:
        sums: `(2, B, k)` sums over each patch, or `(2, k)` sums over the whole batch.
        smooth: Added to numerator and denominator: a class that is neither in a patch nor
            predicted there scores 1.
    """
    overlap, total = sums
    # Without a smoothing term, a patch of ignored voxels alone would be 0 / 0.
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
    """Cross-entropy, and the sums of the Dice; of binary masks where they are sigmoid ones.

    Args:
        logits: `(B, K, D, h, w)`.
        labels: `(B, D, h, w)` integer.
        activation: What turns the logits into probabilities.
        background: Whether Dice counts class 0.
        objective: What of the labels counts.

    Returns:
        A scalar, the mean over all voxels that count (0 where none does), and the `(2, B, k)` of
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
            # The mean over no voxel is NaN.
            entropy = torch.where(counted.any(), entropy, 0.0)
        probabilities = logarithms.exp()
    else:
        # -log sigmoid(x) is softplus(x) - x, and -log(1 - sigmoid(x)) is softplus(x).
        outside, own = functional.softplus(logits), _own(logits, known)
        if counted is not None:
            outside, own = outside * counted[:, None], own * counted
        entropy = (outside.sum() - own.sum()) / logits.numel()
        if counted is not None:
            # Over all voxels first: the factor is exactly one where all count.
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
    """Weights of the outputs, finest first, summing to one."""
    if config.weights is not None:
        weights = [*config.weights, *[0.0] * levels][:levels]
    else:
        weights = [config.decay**level for level in range(levels)]
    if config.drop_coarsest and levels > 1:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


def downsample_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Labels `(B, D, H, W)` at another `(D, h, w)`, by the nearest pixel's centre."""
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
    """The loss of one step, or of a piece of it, and its terms (paper's App. D, Eq. 3).

    The generator's deep-supervision loss alone in the first phase, in which the decoder was not
    run; that loss plus the final masks' loss after it. The latter alone for a network without a
    prompt generator. Deep supervision of final logits, where a network has that, has the same
    weights as the generator's.

    Args:
        output: Of the network.
        labels: `(B, D, H, W)`.
        config: Weights.
        activation: The mask head's.
        gather: From the piece's Dice sums `(n, 2, k)` to the whole batch's, where Dice is taken
            over the batch: the mean of all pieces' losses, and of their gradients, is then that of
            the batch. Dice per patch is such a mean by itself and calls nothing.
        objective: What of the labels counts.
        whole: Of a piece whose voxels may be ignored: how many voxels of the whole batch count, so
            that the mean of the pieces' cross-entropies is the batch's. None for a whole batch.

    Returns:
        `total`, `generator` where there is one and, in the second phase, `mask`: scalars.
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
    """The sum of the first losses, weighted; a single one is itself."""
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
