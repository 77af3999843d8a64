"""One run: prepared data in, rows out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spsam.config.schema import RunConfig
from spsam.data.cases import DataSet
from spsam.data.patches import PatchDataset
from spsam.data.plan import Plan
from spsam.data.split import Split
from spsam.data.store import PreparedStore
from spsam.engine.assemble import network_for
from spsam.engine.evaluate import CaseScore, evaluate, preview
from spsam.engine.recording.cost import PeakMemory, gigaflops, larger, step_seconds
from spsam.engine.training.progress import Metrics
from spsam.engine.training.train import Training, fit
from spsam.engine.validate import validation_dice
from spsam.metrics.hausdorff import CONVENTION as DIAGONAL
from spsam.model.segmenter import Segmenter
from spsam.results.measures import write_measures
from spsam.results.panels import write_panels
from spsam.results.rows import Row, write_rows
from spsam.results.run_folder import VALIDATION_DICE, RunFolder


@dataclass(frozen=True)
class Job:
    """Everything that one run needs.

    Attributes:
        config: What is run; its hash is the run's identity.
        dataset: The data.
        split: Which cases train and which are scored.
        plan: Patch size and spacing.
        store: The prepared data.
        folder: Where the run's files go.
        device: `cpu`, `cuda` or `cuda:1`.
        checkpoint: SAM's weights; None for random ones.
        workers: Processes that make training patches.
        devices: How many of its kind train together.
        validate_every: Epochs between two scores of the validation cases; 0: none. They change
            nothing of the run.
        member: Of `Together`, where a cluster has started several processes for the run and this
            is one of them.
    """

    config: RunConfig
    dataset: DataSet
    split: Split
    plan: Plan
    store: PreparedStore
    folder: RunFolder
    device: str = "cpu"
    checkpoint: Path | None = None
    workers: int = 0
    devices: int = 1
    validate_every: int = 0
    member: Mapping[str, Any] | None = None


def execute(
    job: Job,
    *,
    on_epoch: Callable[[Metrics], None],
    on_progress: Callable[[str, int, int], None],
    on_note: Callable[[str], None],
) -> None:
    """Trains and scores a run; goes on where it stopped if it was interrupted.

    Writes `metrics.jsonl` and `checkpoint.pt` while training, then `predictions/`, `preview.png`,
    `measures.npz`, `panels.npz`, the cost in `run.json` and last `rows.jsonl` in the run's folder.

    Args:
        job: The run.
        on_epoch: Called with every epoch's metrics.
        on_progress: Called with (stage, done, total); stages are `train` and `evaluate`.
        on_note: Called with what the user should know.
    """
    device = torch.device(job.device)
    memory = PeakMemory(device)
    network = build(job, device)
    told: dict[str, Any] = {
        "on_epoch": on_epoch,
        "on_step": lambda done, total: on_progress("train", done, total),
        "on_note": on_note,
    }
    if job.devices > 1:
        from spsam.engine.training.together import train_together

        train_together(job, **told)
    if job.member is not None:
        from spsam.engine.training.together import train_as_member

        if train_as_member(job, **told) > 0:
            return  # the first one scores
    # After several processes it finds the work done, and takes their weights.
    fit(training(job, network, **told))
    score(job, network, memory, lambda done, total: on_progress("evaluate", done, total))


def build(job: Job, device: torch.device) -> Segmenter:
    """The run's network as it starts."""
    torch.manual_seed(job.config.seed)
    return network_for(job.config, job.plan.patch_size, job.checkpoint).to(device)


def training(job: Job, network: Segmenter, **options: Any) -> Training:
    """The run's training; `options` are further attributes of `Training`."""
    return Training(
        network,
        training_patches(job),
        job.config.arm,
        checkpoint=job.folder.checkpoint,
        log=job.folder.metrics,
        about=about(job),
        workers=job.workers,
        measure=lambda epoch: _validate(job, network, epoch),
        **options,
    )


def _validate(job: Job, network: Segmenter, epoch: int) -> Metrics:
    """Dice of the validation cases, where it is due: masks train in the joint phase only."""
    train = job.config.arm.train
    due = job.validate_every and (epoch + 1) % job.validate_every == 0
    if not due or epoch < train.generator_epochs:
        return {}
    cases = [job.dataset.case(case) for case in job.split.val]
    return {VALIDATION_DICE: validation_dice(network, job.store, cases, job.config)}


def about(job: Job) -> Mapping[str, Any]:
    """What a checkpoint says of its run: enough to segment a new volume with it."""
    return {
        "config": job.config.model_dump_json(),
        "plan": job.plan.to_dict(),
        "raw_ids": list(job.dataset.raw_ids),
        "channel_names": list(job.dataset.channel_names),
        "intensities": job.store.index["statistics"],
    }


def training_patches(job: Job) -> PatchDataset:
    """Every patch that the run trains on, in its order."""
    train = job.config.arm.train
    return PatchDataset(
        job.store,
        job.split.train,
        job.plan.patch_size,
        length=train.epochs * train.iterations * train.batch_size,
        seed=job.config.seed,
        foreground=train.foreground,
        augment=job.config.arm.augment.model_dump(),
    )


def score(
    job: Job, network: Segmenter, memory: PeakMemory, on_case: Callable[[int, int], None]
) -> None:
    """Scores the test cases and writes predictions, cost, pictures, measures and, last, rows.

    Of a split without test cases there is the cost alone, and rows that are none.
    """
    began = time.perf_counter()
    if not job.split.test:
        _note_cost(job, network, memory, 0.0)
        write_rows(job.folder.rows, [])
        return
    found = evaluate(
        network,
        job.store,
        [job.dataset.case(case) for case in job.split.test],
        job.config,
        predictions=job.folder.predictions,
        on_case=lambda done: on_case(done, len(job.split.test)),
    )
    _note_cost(job, network, memory, time.perf_counter() - began)
    preview(job.folder.preview, found.scores, job.dataset, predictions=job.folder.predictions)
    write_measures(job.folder.measures, found.measures)
    write_panels(job.folder.panels, found.panels)
    write_rows(job.folder.rows, _rows(job, found.scores))


def _note_cost(job: Job, network: Segmenter, memory: PeakMemory, evaluation: float) -> None:
    """Writes what the run cost; an interruption has lost nothing of it but a lower peak."""
    before = job.folder.read().get("cost", {})
    epochs = job.folder.read_metrics()
    train, data = job.config.arm.train, job.config.data
    job.folder.note(
        cost={
            # First, since counting takes memory of its own.
            **larger(before, memory.read()),
            "gflops": gigaflops(network, data.in_channels, train),
            "step_seconds": step_seconds(epochs, train.generator_epochs),
            "training_seconds": round(sum(epoch["seconds"] for epoch in epochs), 2),
            "evaluation_seconds": round(evaluation, 2),
        }
    )


def _rows(job: Job, scores: list[CaseScore]) -> list[Row]:
    data, convention = job.config.data, job.config.arm.evaluation.convention
    return [
        Row(
            run_id=job.folder.run_id,
            seed=job.config.seed,
            fold=data.fold,
            case=score.case,
            patient=score.patient,
            class_id=k,
            class_name=data.class_names[k],
            metric=metric,
            convention=rule,
            value=float(values[k]),
        )
        for score in scores
        for metric, rule, values in (
            ("dice", convention, score.dice),
            ("hd95", DIAGONAL, score.hd95),
        )
        for k in range(metric != "dice", data.num_classes)
    ]
