"""One run in this process, recorded wherever people look: of a sweep, or by itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spsam.errors import SpsamError
from spsam.studies.assignment import RunStopped, assign, compute, settled
from spsam.studies.backend import Backend
from spsam.studies.plan import Ablation, PlannedArm, PlannedRun
from spsam.studies.tracked import begin, final_scores, finish
from spsam.studies.watch import RunLabel, Watcher, told_dice
from spsam.tracking.mlflow import Tracker

if TYPE_CHECKING:
    from spsam.data.store import PreparedStore

__all__ = ["RunStopped", "Runner"]


class Runner:
    """Takes runs one after the other.

    Args:
        ablation: The study.
        stores: Prepared data by the plan's key.
        backend: The engine.
        tracker: Open.
        watch: Told what happens; may end a run by `RunStopped`.
        tags: For MLflow, besides those that every run has.
        validate_every: Epochs between two scores of the validation cases; 0: none.
    """

    def __init__(  # noqa: PLR0917 - what a run needs, named by its callers
        self,
        ablation: Ablation,
        stores: Mapping[str, PreparedStore],
        backend: Backend,
        tracker: Tracker,
        watch: Watcher,
        tags: Mapping[str, str] | None = None,
        validate_every: int = 0,
    ) -> None:
        self._ablation = ablation
        self._stores = stores
        self._backend = backend
        self._tracker = tracker
        self._watch = watch
        self._tags = tags or {}
        self._validate_every = validate_every

    def __call__(self, arm: PlannedArm, run: PlannedRun, label: RunLabel) -> None:
        """Runs what is not finished; the caller holds the run's lock.

        Whatever goes wrong in the run is written into its folder. Only an interruption comes out,
        and a listener's `RunStopped`.
        """
        assignment = assign(self._ablation, self._stores, arm, run, label, self._validate_every)
        with suppress(SpsamError):
            # Who asks for one run wants it, whether it failed before or not.
            assignment = replace(assignment, failures=run.folder.failures)
        folder, config = run.folder, run.config.model_dump(mode="json")

        def tell(what: str, *details: Any) -> None:
            if what == "begins":
                epochs = arm.arm.train.epochs
                self._watch.run_begins(label, epochs=epochs, resumed=details[0])
                begin(self._tracker, folder, config, self._tags)
                return
            if what == "epoch":
                self._tracker.epoch(*details)
            getattr(self._watch, what)(*details)

        try:
            ended = settled(assignment) or compute(assignment, self._backend, tell)
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
        dice = final_scores(folder, config["data"]["class_names"])["dice/mean"]
        ending = "skipped" if ended.end == "skipped" else "finished"
        self._watch.run_ends(label, ending, told_dice(dice))  # type: ignore[arg-type]
