"""Execution of a single run in this process, as a trial of a sweep or for `spsam train`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from spsam.engine.run_spec import RunSpec
from spsam.errors import SpsamError
from spsam.results.scored import scored_names
from spsam.studies.backend import Backend
from spsam.studies.execution.queued_run import QueuedRun, RunStopped, compute, settled
from spsam.studies.progress_events import ProgressListener, RunLabel, told_dice
from spsam.studies.recording.mlflow_runs import begin, final_scores, finish
from spsam.tracking.mlflow import Tracker

__all__ = ["RunStopped", "SingleRun"]


class SingleRun:
    """Executes runs one after the other.

    Args:
        backend: The engine.
        tracker: An open tracker.
        watch: Receives progress and messages; may end a run by raising `RunStopped`.
        tags: Tags for MLflow in addition to those of every run.
    """

    def __init__(
        self,
        backend: Backend,
        tracker: Tracker,
        watch: ProgressListener,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._backend = backend
        self._tracker = tracker
        self._watch = watch
        self._tags = tags or {}

    def __call__(self, run: RunSpec, label: RunLabel) -> None:
        """Executes a run unless it is finished; the caller holds its lock and prepared its data.

        All errors of the run are recorded in its folder. Only interruptions and a listener's
        `RunStopped` are raised.
        """
        queued = QueuedRun(run, label)
        with suppress(SpsamError):
            # A single run was requested explicitly, so it is retried even if it failed before.
            queued = replace(queued, failures=run.folder.failures)
        folder, config = run.folder, run.config.model_dump(mode="json")

        def tell(what: str, *details: Any) -> None:
            if what == "begins":
                epochs = run.config.arm.train.epochs
                self._watch.run_begins(label, epochs=epochs, resumed=details[0])
                begin(self._tracker, folder, config, self._tags)
                return
            if what == "epoch":
                self._tracker.epoch(*details)
            getattr(self._watch, what)(*details)

        try:
            ended = settled(queued) or compute(queued, self._backend, tell)
        except (KeyboardInterrupt, RunStopped):
            self._tracker.finish("KILLED")
            raise
        if ended.end == "failed":
            self._tracker.finish("FAILED", files=[folder.error])
            self._watch.run_ends(label, "failed", ended.detail)
            return
        if ended.end == "finished" or not self._tracker.recorded(folder.run_id):
            begin(self._tracker, folder, config, self._tags)
            finish(self._tracker, folder, config)
        dice = final_scores(folder, scored_names(config["data"]))["dice/mean"]
        ending = "skipped" if ended.end == "skipped" else "finished"
        self._watch.run_ends(label, ending, told_dice(dice))  # type: ignore[arg-type]
