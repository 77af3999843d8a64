"""One training step: a batch, computed in one or more pieces and processes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from spsam.config.schema import OptimizerConfig, TrainConfig
from spsam.data.labels import IGNORED
from spsam.data.sampling.patches import Patch
from spsam.engine.predict import autocast
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.loss import (
    EVERY_VOXEL,
    Gather,
    Objective,
    WholeBatch,
    downsample_labels,
    training_loss,
)
from spsam.model.networks.base import Network


class Stepper:
    """Updates the added blocks by one step.

    A batch in several pieces and processes is equivalent to one batch, up to rounding. The mean of
    all pieces' cross-entropy and Dice per patch is the batch's. For Dice over the batch, each loss
    receives the sums of the whole batch, in which only the piece's own part carries a gradient.
    With `accumulate`, these sums require a first pass without gradients.

    Args:
        network: The network, on its device.
        train: Losses, precision and number of pieces.
        group: Processes that share the batch.
        objective: Properties of the labels.

    Attributes:
        optimizer: Optimiser of the added blocks' parameters.
        scaler: Scales the loss in fp16; disabled in other precisions.
    """

    def __init__(
        self,
        network: Network,
        train: TrainConfig,
        group: ProcessGroup,
        objective: Objective = EVERY_VOXEL,
    ) -> None:
        self.objective = objective
        self.network = network
        self.train = train
        self.group = group
        self.device = next(network.parameters()).device
        self.parameters = [parameter for _, parameter in network.trained_parameters()]
        self.optimizer = make_optimizer(network, train)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=train.precision == "fp16")

    def __call__(self, batch: Patch, lr: float, *, decode: bool) -> dict[str, Tensor]:
        """Executes one step.

        Args:
            batch: This process's share of the patches.
            lr: Learning rate.
            decode: Whether the mask decoder is run, as in the second phase.

        Returns:
            The batch's loss, its terms, and the norm of the gradient before clipping, on the
            device.
        """
        for group in self.optimizer.param_groups:
            # Checkpoints from before blocks had separate rates contain groups without `lr_mult`.
            group["lr"] = lr * group.get("lr_mult", 1.0)
        pieces = self._pieces(batch)
        share = None
        if self.objective.ignores and len(pieces) * self.group.count > 1:
            share = _Share([piece["label"] for piece in pieces], self.group)
        over_batch = len(pieces) > 1 and self.train.loss.batch_dice
        whole = self._sums(pieces, decode, share) if over_batch else None
        self.optimizer.zero_grad(set_to_none=True)
        shown: dict[str, Tensor] = {}
        for piece in pieces:
            terms = self._loss(piece, decode, _Whole(len(pieces), self.group, whole), share)
            self.scaler.scale(terms["total"] / len(pieces)).backward()  # type: ignore[no-untyped-call]
            for name, value in terms.items():
                part = value.detach() / len(pieces)
                shown[name] = shown[name] + part if name in shown else part
        self.group.average_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.train.clip_norm or math.inf)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        means = self.group.sum(torch.stack(list(shown.values()))) / self.group.count
        # An overflow of the scaled loss skips a step and is not an error.
        shown["gradient"] = norm.nan_to_num(0, 0, 0) if self.scaler.is_enabled() else norm
        return dict(zip(shown, [*means, shown["gradient"]], strict=True))

    def _loss(
        self, piece: Patch, decode: bool, gather: Gather, share: WholeBatch | None
    ) -> dict[str, Tensor]:
        with autocast(self.device, self.train):
            output = self.network(piece["image"], decode=decode)
        activation = self.network.mask_head.activation
        return training_loss(
            output,
            piece["label"],
            self.train,
            activation,
            gather,
            objective=self.objective,
            whole=share,
        )

    @torch.no_grad()
    def _sums(self, pieces: list[Patch], decode: bool, share: WholeBatch | None) -> Tensor:
        """Computes the Dice sums of the whole batch; keeps the random state for the second pass."""
        found: list[Tensor] = []

        def keep(sums: Tensor) -> Tensor:
            found.append(sums)
            return sums

        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            for piece in pieces:
                self._loss(piece, decode, keep, share)
        return self.group.sum(torch.stack(found).sum(0))

    def _pieces(self, batch: Patch) -> list[Patch]:
        image = batch["image"].to(self.device, non_blocking=True)
        label = batch["label"].to(self.device, non_blocking=True)
        count = self.train.accumulate
        pairs = zip(image.chunk(count), label.chunk(count), strict=True)
        return [{"image": some, "label": its} for some, its in pairs]


class _Whole:
    """Converts a piece's Dice sums to the batch's."""

    def __init__(self, pieces: int, group: ProcessGroup, whole: Tensor | None) -> None:
        self.count = pieces * group.count
        self.group = group
        self.whole = whole

    def __call__(self, sums: Tensor) -> Tensor:
        if self.count == 1:
            return sums
        whole = self.group.sum(sums.detach()) if self.whole is None else self.whole
        # The gradients of all pieces are averaged, and only this piece's is available here.
        own = sums * self.count
        return own + (whole - own).detach()


class _Share:
    """A piece's share of the counted voxels in the batch, times the number of pieces.

    Args:
        labels: Labels of all pieces of this process, `(B, D, H, W)` each.
        group: Processes that share the batch.
    """

    def __init__(self, labels: list[Tensor], group: ProcessGroup) -> None:
        self.labels = labels
        self.group = group
        self._whole: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, own: Tensor, size: tuple[int, ...]) -> Tensor:
        if size not in self._whole:
            counts = [_counted(downsample_labels(each, size)) for each in self.labels]
            self._whole[size] = self.group.sum(torch.stack(counts).sum())
        pieces = len(self.labels) * self.group.count
        return _counted(own) * pieces / self._whole[size].clamp(min=1)


def _counted(labels: Tensor) -> Tensor:
    """Counts voxels that are not ignored; integers, so that the ratio of equal counts is one."""
    return (labels != IGNORED).sum()


def make_optimizer(network: Network, train: TrainConfig) -> torch.optim.Optimizer:
    """Builds the optimiser of the added blocks' parameters.

    Args:
        network: The network.
        train: Optimiser settings.
    """
    by_rate: dict[float, list[nn.Parameter]] = {}
    for block in network.blocks().values():
        by_rate.setdefault(getattr(block, "lr_mult", 1.0), []).extend(block.parameters())
    parameters: list[dict[str, Any]] = [
        {"params": held, "lr_mult": rate} for rate, held in by_rate.items() if held
    ]
    options = train.optimizer
    if options.name == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=options.lr,
            betas=options.betas,
            weight_decay=options.weight_decay,
            # One pass over a parameter instead of one per operation.
            fused=True,
        )
    # Only the fused optimiser skips fp16 steps without synchronising with a GPU. On a CPU, it stays
    # off, so that stored results are reproduced.
    held = [each for group in parameters for each in group["params"]]
    return make_sgd(parameters, options, fused=any(each.device.type != "cpu" for each in held))


def make_sgd(
    parameters: list[dict[str, Any]], options: OptimizerConfig, *, fused: bool
) -> torch.optim.SGD:
    """Builds SGD over groups of parameters.

    Args:
        parameters: Groups of parameters.
        options: Optimiser settings.
        fused: Whether each parameter is updated in one pass.
    """
    sgd = torch.optim.SGD(
        parameters,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
        fused=fused,
    )
    if fused and options.momentum:
        _give_momentum(sgd)
        # A checkpoint from another device may lack some momentum buffers.
        sgd.register_load_state_dict_post_hook(_give_momentum)
    return sgd


def _give_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Initialises missing momentum to zero, which is equivalent to none in the next step.

    torch's fused SGD fails if only some parameters have momentum, as at the first step of the
    second phase, when the decoder's parameters have none.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(
                    parameter, memory_format=torch.preserve_format
                )
