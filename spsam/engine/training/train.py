"""The training loop of one run."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils.data import Dataset

from spsam.config.schema import ArmConfig, TrainConfig
from spsam.data.sampling.patches import Patch
from spsam.engine.checkpoint import load_trained_state, read_last, save_whole, trained_state
from spsam.engine.device import keep_memory
from spsam.engine.predict import precision
from spsam.engine.training.batches import DeadWorkerError, batches
from spsam.engine.training.best import BestWeights, better
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.loss import EVERY_VOXEL, Objective
from spsam.engine.training.progress import Metrics, Progress, random_state, set_random_state
from spsam.engine.training.step import Stepper
from spsam.errors import SpsamError
from spsam.files import write_text
from spsam.model.networks.base import Network
from spsam.signals import Stopped, handling

# Maximum number of times that a run returns to the same checkpoint after a killed data worker.
_PATIENCE = 3


def learning_rate(train: TrainConfig, epoch: int) -> float:
    """Computes an epoch's rate: `lr · (1 − e/E)^power`, half a cosine or constant, with warm-up.

    The polynomial is the paper's (App. D, Eq. 2).

    Args:
        train: Schedule.
        epoch: e, index of the epoch.
    """
    share = epoch / train.epochs
    factor = 1.0
    if train.schedule == "poly":
        factor = (1 - share) ** train.poly_power
    elif train.schedule == "cosine":
        factor = (1 + math.cos(math.pi * share)) / 2
    rise = (epoch + 1) / train.warmup_epochs if epoch < train.warmup_epochs else 1.0
    return float(train.optimizer.lr * factor * rise)


@dataclass(frozen=True)
class Training:
    """Everything that a training needs.

    Attributes:
        network: The network, on its device.
        patches: At least epochs · iterations · batch_size patches.
        arm: The arm; its `train` section is the schedule.
        checkpoint: File written at the start, after every `checkpoint_every` epochs, every
            `checkpoint_minutes`, and at the end.
        log: File with one JSON line per epoch.
        about: Plain values stored in every checkpoint.
        workers: Processes that generate patches; 0: this process.
        measure: Called with the index of a finished epoch; its result is added to the metrics.
        group: Processes that train together.
        objective: Properties of the labels.
        on_epoch: Called with the epoch's metrics.
        on_step: Called with (finished steps, all steps).
        on_note: Called with notes for the user.
    """

    network: Network
    patches: Dataset[Patch]
    arm: ArmConfig
    checkpoint: Path
    log: Path
    about: Mapping[str, Any]
    workers: int = 0
    measure: Callable[[int], Metrics] = lambda epoch: {}
    group: ProcessGroup = field(default_factory=ProcessGroup)
    objective: Objective = EVERY_VOXEL
    on_epoch: Callable[[Metrics], None] = lambda metrics: None
    on_step: Callable[[int, int], None] = lambda done, total: None
    on_note: Callable[[str], None] = lambda note: None


def fit(training: Training) -> BestWeights | None:
    """Trains the added blocks, resuming from the last checkpoint if there is one.

    Patch i is the same regardless of interruptions, and checkpoints contain all other states. A
    resumed run therefore ends bitwise identical to an uninterrupted one on the same machine.

    Returns:
        The weights selected on validation cases, which are loaded into the network; None if the
        result is the last step's weights.

    Raises:
        SpsamError: If the loss is not finite, a checkpoint cannot be written or read, data workers
            are killed repeatedly, or no validation score is available to select weights.
        Stopped: After SIGTERM; the checkpoint contains the last step.
    """
    execute_as(training.arm.train, training.network)
    deaths, death, steps = 0, "", -1
    while True:
        arguments = (training.arm.train, training.group, training.objective)
        stepper = Stepper(training.network, *arguments)
        progress = _restore(training, stepper)
        if death:
            deaths = deaths + 1 if progress.steps == steps else 1
            if deaths > _PATIENCE:
                raise SpsamError(
                    f"data workers died {deaths} times after step {steps}: {death}; "
                    "the machine may be out of memory: use fewer --workers, or 0"
                )
            training.on_note(f"a data worker died; resuming from step {progress.steps} ({death})")
        steps = progress.steps
        try:
            _loop(training, stepper, progress)
            return _chosen(training, progress)
        except DeadWorkerError as error:
            # Only the message, because the error would keep the failed attempt's memory alive.
            death = str(error)


def _loop(training: Training, stepper: Stepper, progress: Progress) -> None:
    train, group = training.arm.train, training.group
    total, saved = train.steps, time.monotonic()
    made = batches(training.patches, train, progress.steps, training.workers, group)
    training.network.train()
    with _stop_signal(group) as stop, made as patches:
        training.on_step(progress.steps, total)
        while progress.steps < total:
            epoch = progress.steps // train.iterations
            lr = learning_rate(train, epoch)
            began = time.perf_counter()
            batch = next(patches)
            progress.waited += time.perf_counter() - began
            progress.add(stepper(batch, lr, decode=epoch >= train.generator_epochs))
            training.on_step(progress.steps, total)
            ended = progress.steps % train.iterations == 0
            metrics = progress.end_epoch(train.iterations, lr) if ended else None
            if metrics is not None and group.rank == 0:
                # Before the checkpoint, which also contains the metrics.
                metrics.update(training.measure(epoch))
                if train.checkpoint == "best":
                    progress.best = better(progress.best, metrics, training.network)
                progress.leave_out()
            if stop.asked or _due(train, progress.steps, time.monotonic() - saved):
                _save(training, stepper, progress)
                saved = time.monotonic()
            if metrics is not None and group.rank == 0:
                with training.log.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(metrics) + "\n")
                training.on_epoch(metrics)
            if stop.asked:
                raise Stopped(stop.asked)


def _chosen(training: Training, progress: Progress) -> BestWeights | None:
    """Loads the best weights into the network if the arm selects them."""
    # Only process 0 has scores and uses the trained network.
    if training.arm.train.checkpoint == "last" or training.group.rank:
        return None
    if progress.best is None:
        raise SpsamError(
            "train.checkpoint=best: no validation had a Dice score; choose another "
            "evaluation.convention, or validation cases with labelled classes"
        )
    load_trained_state(training.network, progress.best.blocks)
    return progress.best


def _due(train: TrainConfig, steps: int, seconds: float) -> bool:
    epochs, inside = divmod(steps, train.iterations)
    if not inside and (epochs % train.checkpoint_every == 0 or epochs == train.epochs):
        return True
    return train.checkpoint_minutes is not None and seconds >= 60 * train.checkpoint_minutes


def _save(training: Training, stepper: Stepper, progress: Progress) -> None:
    state = {
        "about": dict(training.about),
        "progress": progress.state(),
        "blocks": trained_state(training.network),
        "optimizer": stepper.optimizer.state_dict(),
        "scaler": stepper.scaler.state_dict(),
        "random": random_state(),
        # In the same file, so that both are always consistent.
        **({} if progress.best is None else {"best": progress.best.state()}),
    }
    if training.group.rank == 0:
        save_whole(training.checkpoint, state, keep=True)
    progress.leave_out()


def _restore(training: Training, stepper: Stepper) -> Progress:
    """Loads the last checkpoint, or writes the first one to verify that the disk is writable."""
    state, note = read_last(training.checkpoint)
    if note:
        training.on_note(note)
    if state is None:
        progress = Progress()
        _save(training, stepper, progress)
    else:
        load_trained_state(training.network, state["blocks"])
        stepper.optimizer.load_state_dict(state["optimizer"])
        for group in stepper.optimizer.param_groups:
            # How a step is computed is not a part of the training's state.
            group["fused"] = stepper.optimizer.defaults["fused"]
        stepper.scaler.load_state_dict(state.get("scaler", {}))
        progress = Progress.restored(state, training.arm.train.iterations, training.log)
        progress.best = BestWeights(**state["best"]) if "best" in state else None
        if "random" in state:
            set_random_state(state["random"])
    if training.group.rank == 0:
        # Epochs after the checkpoint are repeated; lost lines are restored from the checkpoint.
        lines = [json.dumps(metrics) + "\n" for metrics in progress.history]
        write_text(training.log, "".join(lines))
    return progress


def execute_as(train: TrainConfig, network: Network) -> None:
    """Applies settings that change how a network is computed, but not its results.

    Args:
        train: Execution settings.
        network: Modified in place.
    """
    keep_memory()
    if train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(train.deterministic)
    network.recompute(train.checkpoint_activations)
    network.freeze_in(precision(train))
    if train.compile:
        for part in network.parts_to_compile():
            part.compile()


class _Stop:
    asked = 0


@contextmanager
def _stop_signal(group: ProcessGroup) -> Iterator[_Stop]:
    """Catches SIGTERM, so that the current step is finished and saved.

    Schedulers send SIGTERM before they kill a process. One of several processes ends immediately
    instead, as does every process on Ctrl-C. A run is then resumed from its last checkpoint.
    """
    stop = _Stop()
    if group.count > 1:
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.asked = number

    with handling(signal.SIGTERM, ask):
        yield stop
