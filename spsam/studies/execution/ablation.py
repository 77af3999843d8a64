"""Execution of a planned ablation: each run once, regardless of failures, then the tables."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.engine.external_spec import ExternalSpec
from spsam.engine.run_spec import RunSpec
from spsam.errors import SpsamError
from spsam.results.run_folder import VALIDATION_DICE, RunFolder
from spsam.results.scored import scored_names
from spsam.studies.backend import Backend
from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.executors.inline import InlineExecutor
from spsam.studies.execution.externals import changed_externals, score_externals
from spsam.studies.execution.queued_run import QueuedRun
from spsam.studies.execution.run_queue import News, RunQueue
from spsam.studies.planning.plan import Ablation
from spsam.studies.progress_events import ProgressListener, run_labels
from spsam.studies.recording.mlflow_runs import Mirror, final_scores
from spsam.studies.recording.summary import Outcome, is_finished, summarise, write_plan
from spsam.tracking.mlflow import Ending, Tracker

if TYPE_CHECKING:
    from spsam.data.preparation.store import PreparedStore

_ENDINGS: dict[News, Ending] = {
    "epoch": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
_PATIENCE = 20.0
"""Maximum time in seconds to wait for MLflow before the first run."""

_SHARE_OF_TABLES = 0.05
"""Maximum fraction of the study's time spent on updating its tables while it runs."""


def run_ablation(
    ablation: Ablation,
    watch: ProgressListener | None = None,
    backend: Backend | None = None,
    *,
    executor: Executor | None = None,
    retry_failed: bool = False,
    shard: tuple[int, int] = (1, 1),
) -> Outcome:
    """Executes the runs that are not finished, records them, and updates the tables.

    A failed run is recorded and does not stop the others. An interrupted call (Ctrl-C) can be
    resumed by another one. Simultaneous calls share the work.

    Args:
        ablation: The planned ablation; of a study with tuning, what
            `spsam.studies.tuning.tune.tuned` returns.
        watch: Receives progress and messages.
        backend: The engine.
        executor: The executor of the runs; None: this process.
        retry_failed: Whether to retry runs that failed before.
        shard: (i, n): executes every n-th run starting from the i-th, counted from 1.

    Returns:
        The outcome, with the tables.

    Raises:
        InputError: If data or weights are invalid, before any run begins.
        KeyboardInterrupt: If the user interrupted it.
    """
    watch = watch or ProgressListener()
    backend = backend or (executor.backend if executor else Backend())
    executor = executor or InlineExecutor(backend)
    ablation.check_ready()
    check_weights(ablation, backend)
    executor.prepare()
    book = None
    try:
        stores = prepare(ablation, watch, backend)
        for note in changed_externals(ablation):
            watch.say(note)
        write_plan(ablation)
        book = _Book(ablation, Tracker(ablation.request.home, watch.warn))
        score_externals(ablation, stores, backend, watch, book.scored)
        runs = _queued_runs(ablation, stores, shard)
        RunQueue(runs, executor, watch, book, retry_failed=retry_failed).run()
        outcome = summarise(ablation)
    except BaseException as error:
        if book is not None:
            book.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", None)
        raise
    missing = executor.detached and not outcome.complete
    ending: Ending = "RUNNING" if missing else "FAILED" if outcome.failed else "FINISHED"
    return replace(outcome, tracked=book.close(ending, outcome))


def _queued_runs(
    ablation: Ablation, stores: dict[str, PreparedStore], shard: tuple[int, int]
) -> list[QueuedRun]:
    first, step = shard
    runs = ablation.runs[first - 1 :: step]
    labels = run_labels([run for _, run in runs], ablation.splits)
    return [
        QueuedRun(replace(run, store=stores[run.plan.key]), label)
        for label, (_, run) in zip(labels, runs, strict=True)
    ]


class _Book:
    """Keeps the tables and MLflow up to date while a study runs.

    Args:
        ablation: The study.
        tracker: A tracker that is not open yet.
    """

    def __init__(self, ablation: Ablation, tracker: Tracker) -> None:
        self._ablation = ablation
        self._tracker = tracker
        data = ablation.dataset
        tags = {"data": data.name, "data_fingerprint": data.fingerprint, "preset": ablation.preset}
        self._mirror = Mirror(tracker, lambda: tracker.open(ablation.name, ablation.name, tags))
        self._mirror.opened(_PATIENCE)
        self._due = 0.0

    def __call__(self, queued: QueuedRun, news: News) -> float | None:
        """See `spsam.studies.execution.run_queue.OnNews`."""
        folder, config = queued.folder, queued.spec.config.model_dump(mode="json")
        self._mirror.changed(folder, config, queued.label.arm, _ENDINGS[news])
        if news == "epoch":
            return None
        began = time.monotonic()
        if began >= self._due:
            summarise(self._ablation)
            now = time.monotonic()
            self._due = now + (now - began) / _SHARE_OF_TABLES
        if news != "finished":
            return None
        return final_scores(folder, scored_names(config["data"]))["dice/mean"]

    def scored(self, run: ExternalSpec) -> None:
        """Records a scored external in MLflow."""
        self._mirror.changed(run.folder, run.config(), run.name, "FINISHED")

    def close(self, ending: Ending, outcome: Outcome | None) -> bool:
        """Waits until MLflow is up to date; returns whether it recorded everything."""
        self._mirror.close()
        if outcome is None:
            return self._tracker.close(ending)
        summary = outcome.summary(self._ablation.describe())
        return self._tracker.close(ending, outcome.files, outcome.scores(), summary)


def prepare(
    ablation: Ablation, watch: ProgressListener, backend: Backend
) -> dict[str, PreparedStore]:
    """Prepares the data of every plan, once.

    Raises:
        InputError: With every problem in every file, or if nothing can be learnt from the data.
    """
    folder = ablation.request.home / "prepared"
    stores: dict[str, PreparedStore] = {}
    notes: list[str] = []
    for _, run in ablation.runs:
        if run.plan.key not in stores:
            stores[run.plan.key] = backend.prepare(
                ablation.dataset, run.plan, folder, watch.preparing
            )
    # Folds and patches can have different plans; the warnings are collected to appear only once.
    for key, fold in dict.fromkeys((r.plan.key, r.config.data.fold) for _, r in ablation.runs):
        split = ablation.splits[fold]
        validated = any(arm.arm.train.validate_every for arm in ablation.arms)
        notes += backend.training_notes(
            ablation.dataset, split, fold, stores[key], validated=validated
        )
    notes += [note for _, run in ablation.runs if (note := _without_curve(run))]
    for note in dict.fromkeys(notes):
        watch.warn(note)
    return stores


def _without_curve(run: RunSpec) -> str:
    """Returns a note if a finished run lacks the validation scores that are now requested."""
    if not run.config.arm.train.validate_every or not _done(run.folder):
        return ""
    with suppress(SpsamError):  # a damaged folder; the tables report it
        if any(VALIDATION_DICE in epoch for epoch in run.folder.read_metrics()):
            return ""
    return (
        f"{run.config.arm.name} seed {run.config.seed} was trained without scoring validation "
        f"cases, which does not affect the result; remove {run.folder.path} to train it with scores"
    )


def check_weights(ablation: Ablation, backend: Backend) -> None:
    """Loads the weights of the unfinished runs, to detect errors in advance.

    Raises:
        InputError: If they belong to another model.
    """
    seen: set[tuple[Path, str, int | tuple[int, int] | str | None]] = set()
    for arm in ablation.arms:
        if arm.checkpoint is None or all(_done(run.folder) for run in arm.runs):
            continue
        key = (arm.checkpoint, arm.arm.backbone.name, arm.arm.backbone.encoder_size)
        if key not in seen:
            backend.check_weights(arm.arm, ablation.dataset, arm.plan, arm.checkpoint)
            seen.add(key)


def _done(folder: RunFolder) -> bool:
    try:
        return is_finished(folder)
    except SpsamError:
        return False
