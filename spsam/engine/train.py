"""The training loop of one run."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from spsam.config.schema import ArmConfig, TrainConfig
from spsam.data.patches import Patch
from spsam.engine.checkpoint import load_checkpoint, save_checkpoint
from spsam.engine.loss import training_loss
from spsam.engine.predict import autocast
from spsam.errors import SpsamError
from spsam.model.segmenter import Segmenter

Metrics = dict[str, float]


def make_optimizer(network: Segmenter, train: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser over the added blocks' parameters, and over nothing else."""
    parameters = [parameter for _, parameter in network.trained_parameters()]
    options = train.optimizer
    if options.name == "adamw":
        return torch.optim.AdamW(parameters, lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )


def poly_lr(train: TrainConfig, epoch: int) -> float:
    """`lr · (1 − e/E)^power`."""
    return float(train.optimizer.lr * (1 - epoch / train.epochs) ** train.poly_power)


def fit(
    network: Segmenter,
    patches: Dataset[Patch],
    arm: ArmConfig,
    *,
    checkpoint: Path,
    log: Path,
    workers: int = 0,
    on_epoch: Callable[[Metrics], None],
    on_step: Callable[[int, int], None],
    measure: Callable[[int], Metrics] | None = None,
) -> None:
    """Trains the added blocks, from the last checkpoint if there is one.

    Patch number i is the same whatever was interrupted, so a resumed run ends with the weights of
    an uninterrupted one.

    Args:
        network: On the device it trains on.
        patches: At least epochs · iterations · batch_size patches.
        arm: Its `train` section is the schedule.
        checkpoint: Written after every `checkpoint_every` epochs and at the end.
        log: One JSON line an epoch.
        workers: Processes that make patches; 0 makes them in this one.
        on_epoch: Called with the epoch's metrics.
        on_step: Called with (steps done, steps in all).
        measure: Called with an epoch's number after it; what it returns joins the metrics.

    Raises:
        SpsamError: If the loss is no longer a finite number.
    """
    train = arm.train
    optimizer = make_optimizer(network, train)
    start = load_checkpoint(checkpoint, network, optimizer)
    _truncate(log, start)
    batches = iter(_loader(patches, train, start, workers))
    on_step(start * train.iterations, train.epochs * train.iterations)
    for epoch in range(start, train.epochs):
        began = time.perf_counter()
        lr = poly_lr(train, epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        decode = epoch >= train.generator_epochs
        sums: Metrics = {}
        steps: list[float] = []
        network.train()
        for iteration in range(train.iterations):
            batch = next(batches)
            stepped = time.perf_counter()
            # A step ends when its losses are read, so that a GPU's is measured too.
            terms = _step(network, batch, optimizer, train, decode=decode)
            steps.append(time.perf_counter() - stepped)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            on_step(epoch * train.iterations + iteration + 1, train.epochs * train.iterations)
        metrics = {f"loss/{name}": value / train.iterations for name, value in sums.items()}
        metrics |= {"epoch": epoch, "lr": lr, "seconds": time.perf_counter() - began}
        metrics["step_seconds"] = statistics.median(steps)
        if measure is not None:
            metrics |= measure(epoch)
        last = epoch + 1 == train.epochs
        if last or (epoch + 1) % train.checkpoint_every == 0:
            save_checkpoint(checkpoint, network, optimizer, epoch + 1)
        with log.open("a") as lines:
            lines.write(json.dumps(metrics) + "\n")
        on_epoch(metrics)


def _step(
    network: Segmenter,
    batch: Patch,
    optimizer: torch.optim.Optimizer,
    train: TrainConfig,
    *,
    decode: bool,
) -> Metrics:
    device = next(network.parameters()).device
    image = batch["image"].to(device, non_blocking=True)
    labels = batch["label"].to(device, non_blocking=True)
    with autocast(device, train):
        output = network(image, decode=decode)
    terms = training_loss(output, labels, train, network.mask_head.activation)
    if not torch.isfinite(terms["total"]):
        raise SpsamError(
            f"the loss became {terms['total'].item()} "
            f"(learning rate {optimizer.param_groups[0]['lr']:.2g}): lower train.optimizer.lr or "
            "train.clip_norm, or use --set train.precision=fp32"
        )
    optimizer.zero_grad(set_to_none=True)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    if train.clip_norm is not None:
        nn.utils.clip_grad_norm_(
            [parameter for _, parameter in network.trained_parameters()], train.clip_norm
        )
    optimizer.step()
    return {name: float(value.detach()) for name, value in terms.items()}


def _loader(
    patches: Dataset[Patch], train: TrainConfig, start: int, workers: int
) -> DataLoader[Patch]:
    per_epoch = train.iterations * train.batch_size
    todo = Subset(patches, range(start * per_epoch, train.epochs * per_epoch))
    return DataLoader(
        todo,
        batch_size=train.batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _truncate(log: Path, epochs: int) -> None:
    """Drops lines of epochs after the checkpoint: they will be run again."""
    if log.exists():
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(lines[:epochs]))
