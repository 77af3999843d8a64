"""Execution of one run, from prepared data to rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from spsam.engine.evaluate import evaluate, preview, score_rows
from spsam.engine.recording.cost import PeakMemory, gigaflops, larger, step_seconds
from spsam.engine.run_spec import RunSpec
from spsam.engine.training.distributed import train_as_member, train_distributed
from spsam.engine.training.progress import Metrics
from spsam.engine.training.run_training import network_of, training_of
from spsam.engine.training.train import fit
from spsam.model.networks.base import Network
from spsam.results.measures import write_measures
from spsam.results.panels import write_panels
from spsam.results.rows import write_rows


def execute(
    spec: RunSpec,
    *,
    on_epoch: Callable[[Metrics], None],
    on_progress: Callable[[str, float, int], None],
    on_note: Callable[[str], None],
) -> None:
    """Trains and scores a run; an interrupted run is resumed.

    `metrics.jsonl` and `checkpoint.pt` are written during training; then `predictions/`,
    `preview.png`, `measures.npz`, `panels.npz`, the cost in `run.json` and, last, `rows.jsonl` in
    the run's folder.

    Args:
        spec: The run; its data are prepared.
        on_epoch: Called with every epoch's metrics.
        on_progress: Called with (stage, done, total); stages are `train` and `evaluate`.
        on_note: Called with notes for the user.
    """
    device = torch.device(spec.device)
    memory = PeakMemory(device)
    network = network_of(spec, device)
    told: dict[str, Any] = {
        "on_epoch": on_epoch,
        "on_step": lambda done, total: on_progress("train", done, total),
        "on_note": on_note,
    }
    if spec.devices > 1:
        train_distributed(spec, **told)
    if spec.member is not None and train_as_member(spec, **told) > 0:
        return  # only process 0 scores
    # After distributed training, this only loads the weights from the finished checkpoint.
    best = fit(training_of(spec, network, **told))
    if best is not None:
        of = spec.config.arm.train.validations
        spec.folder.note(best={"epoch": best.epoch, "dice": best.dice, "of": of})
    score(spec, network, memory, lambda done, total: on_progress("evaluate", done, total))


def score(
    spec: RunSpec, network: Network, memory: PeakMemory, on_case: Callable[[float, int], None]
) -> None:
    """Scores the test cases and writes predictions, cost, figures, measures and, last, rows.

    For a split without test cases, only the cost and an empty file of rows are written.

    Args:
        spec: The run.
        network: The trained network.
        memory: Peak memory since the start of the run.
        on_case: Called with (done, total); the finished share of a case counts.
    """
    began = time.perf_counter()
    if not spec.split.test:
        _note_cost(spec, network, memory, 0.0)
        write_rows(spec.folder.rows, [])
        return
    found = evaluate(
        network,
        spec.prepared,
        [spec.dataset.case(case) for case in spec.split.test],
        spec.config,
        predictions=spec.folder.predictions,
        on_progress=lambda done: on_case(done, len(spec.split.test)),
    )
    _note_cost(spec, network, memory, time.perf_counter() - began)
    preview(spec.folder.preview, found.scores, spec.dataset, predictions=spec.folder.predictions)
    write_measures(spec.folder.measures, found.measures)
    write_panels(spec.folder.panels, found.panels)
    rows = score_rows(
        found.scores,
        spec.config.data,
        spec.folder.run_id,
        spec.config.seed,
        spec.config.arm.evaluation.convention,
    )
    write_rows(spec.folder.rows, rows)


def _note_cost(spec: RunSpec, network: Network, memory: PeakMemory, evaluation: float) -> None:
    """Records the run's cost; after an interruption, only the peak memory can be too low."""
    before = spec.folder.read().get("cost", {})
    epochs = spec.folder.read_metrics()
    train, data = spec.config.arm.train, spec.config.data
    spec.folder.note(
        cost={
            # First, because counting operations allocates memory.
            **larger(before, memory.read()),
            "gflops": gigaflops(network, data.in_channels, train),
            "step_seconds": step_seconds(epochs, train.generator_epochs),
            "training_seconds": round(sum(epoch["seconds"] for epoch in epochs), 2),
            "evaluation_seconds": round(evaluation, 2),
        }
    )
