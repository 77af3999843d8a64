"""A worker of a sweep, which runs trials until their number is reached.

A worker takes a trial while it holds the sweep's lock, and then holds the trial's own lock until
its result is stored. Workers that share a folder of results therefore never take more trials than
planned. A journal has no heartbeat, but if a running trial's lock is free, its worker has died.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from spsam.errors import SpsamError
from spsam.results.run_folder import VALIDATION_DICE, RunFolder
from spsam.studies.backend import Backend
from spsam.studies.execution.single_run import RunStopped, SingleRun
from spsam.studies.planning.plan import PlannedArm
from spsam.studies.planning.space import suggest
from spsam.studies.progress_events import Ending, ProgressListener, RunLabel
from spsam.studies.recording.summary import is_finished
from spsam.studies.sweep.address import is_database
from spsam.studies.sweep.plan_sweep import Sweep
from spsam.studies.sweep.retry import RETRY_OF, retry
from spsam.studies.sweep.search import make_pruner, make_sampler
from spsam.studies.sweep.storage import open_study
from spsam.tracking.mlflow import Tracker

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from spsam.config.schema import RunConfig
    from spsam.data.preparation.store import PreparedStore

OnTrial = Callable[["Study", "FrozenTrial"], None]


class Worker:
    """Runs trials of a sweep, one after the other.

    Args:
        sweep: The sweep.
        backend: The engine.
        tracker: An open tracker.
        watch: Receives the events within trials.
        on_trial: Called with every trial that has ended.
    """

    def __init__(
        self,
        sweep: Sweep,
        backend: Backend,
        tracker: Tracker,
        watch: ProgressListener,
        on_trial: OnTrial,
    ) -> None:
        self._sweep = sweep
        self._backend = backend
        self._tracker = tracker
        self._watch = watch
        self._on_trial = on_trial
        self._study = open_study(sweep, watch.warn)
        self._study.pruner = make_pruner(sweep.config.pruner)
        self._taking = FileLock(sweep.folder / "take.lock")
        self._held: FileLock | None = None
        self._number = 0
        self._stores: dict[str, PreparedStore] = {}

    def work(self) -> None:
        """Runs trials until the sweep has all of them.

        Raises:
            KeyboardInterrupt: If the user interrupted it; the current trial is enqueued again.
        """
        while self._take():
            pass

    def _take(self) -> bool:
        study = self._study
        self._taking.acquire()
        try:
            trials = study.get_trials(deepcopy=False)
            if not is_database(self._sweep.request.storage):
                self._retry_dead(trials)
                trials = study.get_trials(deepcopy=False)
            if not _wanted(trials, self._sweep.trials):
                return False
            study.sampler = make_sampler(self._sweep.config.sampler, len(trials))
            with warnings.catch_warnings():
                # Optuna warns about its own experimental features.
                warnings.simplefilter("ignore")
                study.optimize(self._trial, n_trials=1, catch=(Exception,))
            self._on_trial(study, study.get_trials(deepcopy=False)[self._number])
        finally:
            if self._held is not None:
                self._held.release()
                self._held = None
            self._taking.release()
        return True

    def _retry_dead(self, trials: list[FrozenTrial]) -> None:
        from optuna.trial import TrialState

        for trial in trials:
            if trial.state == TrialState.RUNNING:
                lock = self._lock(trial.number)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                lock.release()
                # The lock may be free because the worker has just stored the trial's result.
                now = self._study.get_trials(deepcopy=False)[trial.number]
                if now.state != TrialState.RUNNING:
                    continue
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._watch.say(f"trial {trial.number}: its worker died; retrying")
                retry(self._study, trial)

    def _trial(self, trial: Trial) -> tuple[float, ...]:
        """Computes Optuna's objective for a trial."""
        from optuna import TrialPruned

        self._number = trial.number
        self._held = self._lock(trial.number)
        self._held.acquire()
        values = suggest(self._sweep.space, trial)
        self._taking.release()
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        try:
            return self._run(trial, self._sweep.plan_trial(trial.number, values))
        except KeyboardInterrupt:
            retry(self._study, frozen)
            raise
        except TrialPruned:
            raise
        except Exception as error:  # boundary of the trial: Optuna records it, others continue
            trial.set_user_attr("error", str(error) or type(error).__name__)
            raise

    def _position(self, number: int) -> int:
        """Returns a trial's position among those of the sweep; a retry has that of its trial."""
        trials = self._study.get_trials(deepcopy=False)
        while (retried := trials[number].user_attrs.get(RETRY_OF)) is not None:
            number = retried
        return count_begun(trials[: number + 1])

    def _run(self, trial: Trial, arm: PlannedArm) -> tuple[float, ...]:
        from optuna import TrialPruned

        sweep, run = self._sweep, arm.runs[0]
        trial.set_user_attr("run_id", run.folder.run_id)
        pruned_by = sweep.config.prune_by if sweep.config.pruner.name != "none" else None
        watch = _TrialWatcher(trial, self._watch, arm, pruned_by, sweep.config.prune_every)
        tags = {"optuna_study": sweep.name, "optuna_trial": str(trial.number)}
        runner = SingleRun(self._backend, self._tracker, watch, tags)
        run = replace(run, store=self._store(arm))
        if pruned_by == "dice" and run.config.arm.train.checkpoint == "last":
            run = replace(run, config=_scored(run.config, sweep.config.prune_every))
        label = RunLabel(
            self._position(trial.number), sweep.trials, f"trial {trial.number}", run.config.seed,
            run.folder.run_id,
        )  # fmt: skip
        # Another trial may be computing the same run, if its values are equal.
        with run.folder.lock(wait=True):
            try:
                runner(run, label)
            except RunStopped as stopped:
                raise TrialPruned(str(stopped)) from stopped
            if not is_finished(run.folder):
                raise SpsamError(watch.failure or f"{run.folder.path}: did not finish")
        trial.set_user_attr("mlflow_run", self._tracker.address(run.folder.run_id))
        measured = measure(run.folder, len(run.config.data.scored_names))
        for name, value in measured.items():
            trial.set_user_attr(name, value)
        found = tuple(measured[name] for name in sweep.config.objectives)
        missing = [n for n, v in zip(sweep.config.objectives, found, strict=True) if math.isnan(v)]
        if missing:
            raise SpsamError(f"{run.folder.path}: has no {missing[0]}")
        return found

    def _store(self, arm: PlannedArm) -> PreparedStore:
        if arm.plan.key not in self._stores:
            self._stores[arm.plan.key] = self._backend.prepare(
                self._sweep.context.dataset,
                arm.plan,
                self._sweep.request.home / "prepared",
                self._watch.preparing,
            )
        return self._stores[arm.plan.key]

    def _lock(self, number: int) -> FileLock:
        folder = self._sweep.folder / ".trials"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{number}.lock")


def _scored(config: RunConfig, every: int) -> RunConfig:
    """Adds scores of validation cases for the pruner, if the training is long enough for one."""
    train = config.arm.train.model_copy(update={"validate_every": every})
    if not train.validations:
        return config
    arm = config.arm.model_copy(update={"train": train})
    return config.model_copy(update={"arm": arm})


def measure(folder: RunFolder, num_classes: int) -> dict[str, float]:
    """Returns the value of every objective for a finished run; NaN if the run lacks it."""
    from spsam.reporting.means import mean_dice

    record = folder.read()
    steps = record.get("cost", {}).get("step_seconds", {})
    return {
        "dice": mean_dice(folder.read_rows(), num_classes),
        "trained_parameters": float(record["trained_parameters"]),
        "step_seconds": float(steps.get("joint") or math.nan),
    }


def count_begun(trials: list[FrozenTrial]) -> int:
    """Returns the number of trials that have begun; retries are not counted."""
    from optuna.trial import TrialState

    return sum(
        trial.state != TrialState.WAITING and RETRY_OF not in trial.user_attrs for trial in trials
    )


def _wanted(trials: list[FrozenTrial], total: int) -> bool:
    from optuna.trial import TrialState

    return count_begun(trials) < total or any(t.state == TrialState.WAITING for t in trials)


class _TrialWatcher(ProgressListener):
    """Reports a trial's progress to Optuna, and stops the trial if the pruner decides so."""

    def __init__(
        self, trial: Trial, outer: ProgressListener, arm: PlannedArm, by: str | None, every: int
    ) -> None:
        self._trial = trial
        self._outer = outer
        self._arm = arm
        self._by = by
        self._every = every
        self._known: set[int] = set()
        self.failure: str | None = None

    def run_begins(self, run: RunLabel, *, epochs: int, resumed: bool) -> None:
        self._outer.run_begins(run, epochs=epochs, resumed=resumed)
        # Epochs of the run in an earlier trial are reported as well.
        if resumed:
            for metrics in self._arm.runs[0].folder.read_metrics():
                self._report(metrics)

    def progress(self, stage: str, done: float, total: int) -> None:
        self._outer.progress(stage, done, total)

    def epoch(self, metrics: dict[str, float]) -> None:
        self._outer.epoch(metrics)
        if self._report(metrics) and self._trial.should_prune():
            raise RunStopped(f"pruned after epoch {int(metrics['epoch']) + 1}")

    def warn(self, text: str) -> None:
        self._outer.warn(text)

    def say(self, text: str) -> None:
        self._outer.say(text)

    def run_ends(self, run: RunLabel, ending: Ending, detail: str) -> None:
        if ending == "failed":
            self.failure = detail

    def _report(self, metrics: dict[str, float]) -> bool:
        """Reports an epoch to Optuna; returns whether there was a new value."""
        epoch = int(metrics["epoch"])
        value = self._seen(metrics, epoch)
        # Epochs after the last checkpoint are repeated, but must be reported only once.
        if value is None or math.isnan(value) or epoch in self._known:
            return False
        self._known.add(epoch)
        self._trial.report(value, epoch)
        return True

    def _seen(self, metrics: dict[str, Any], epoch: int) -> float | None:
        """Returns the pruner's value of an epoch; higher is better, as for the objective."""
        if self._by == "dice":
            return metrics.get(VALIDATION_DICE)
        # Before the joint phase, the loss has another meaning.
        due = (epoch + 1) % self._every == 0 and epoch >= self._arm.arm.train.generator_epochs
        return -float(metrics["loss/total"]) if self._by == "loss" and due else None
