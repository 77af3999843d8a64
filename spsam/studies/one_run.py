"""One run of a study: executed once, recorded wherever people look."""

from __future__ import annotations

import io
import math
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from spsam.config.schema import RunConfig
from spsam.errors import SpsamError
from spsam.results.environment import environment
from spsam.results.rows import write_text
from spsam.studies.backend import Backend, Task
from spsam.studies.plan import Ablation, PlannedArm, PlannedRun
from spsam.studies.summary import is_finished
from spsam.studies.watch import RunLabel, Watcher
from spsam.tracking.mlflow import Tracker

if TYPE_CHECKING:
    from spsam.data.store import PreparedStore


class RunStopped(SpsamError):  # noqa: N818 - nothing went wrong
    """A listener wants no more of the run, which can be gone on with."""


class Runner:
    """Takes a study's runs one after the other.

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
        try:
            finished = is_finished(run.folder)
        except SpsamError as error:
            # Nothing is written: what is left of the folder may be worth a look.
            self._watch.run_ends(label, "failed", str(error))
            return
        try:
            if not finished:
                resumed = run.folder.checkpoint.exists()
                self._watch.run_begins(label, epochs=arm.arm.train.epochs, resumed=resumed)
                self._execute(arm, run)
            dice = self._record(arm, run, fresh=not finished)
        except (KeyboardInterrupt, RunStopped):
            self._tracker.finish("KILLED")
            raise
        except Exception as error:  # the run's boundary: recorded here, the others go on
            self._watch.run_ends(label, "failed", self._failed(run, error))
        else:
            ending = "skipped" if finished else "finished"
            self._watch.run_ends(label, ending, f"Dice {100 * dice:.2f}")  # type: ignore[arg-type]

    def _execute(self, arm: PlannedArm, run: PlannedRun) -> None:
        folder = run.folder
        folder.error.unlink(missing_ok=True)
        write_text(folder.config, _yaml(run.config))
        folder.note(
            status="running",
            run_id=folder.run_id,
            arm=arm.arm.name,
            seed=run.config.seed,
            trained_parameters=arm.size.trained,
            total_parameters=arm.size.total,
            parameters=arm.size.blocks,
            plan=run.plan.to_dict(),
            environment=environment(self._ablation.device),
        )
        self._begin_tracking(arm, run)
        workers = self._ablation.request.workers
        task = Task(
            config=run.config,
            folder=folder,
            dataset=self._ablation.dataset,
            split=run.split,
            plan=run.plan,
            store=self._stores[run.plan.key],
            device=self._ablation.device,
            checkpoint=arm.checkpoint,
            workers=arm.arm.train.workers if workers is None else workers,
            devices=self._ablation.request.devices,
            validate_every=self._validate_every,
        )
        before, began = float(folder.read().get("seconds", 0)), time.perf_counter()
        try:
            self._backend.execute(
                task,
                on_epoch=self._on_epoch,
                on_progress=self._watch.progress,
                on_note=self._watch.warn,
            )
        finally:
            # On a full disk what went wrong is worth more than how long it took.
            with suppress(OSError):
                folder.note(seconds=round(before + time.perf_counter() - began, 2))
        folder.read_rows()  # a run without scores is not finished
        folder.note(status="finished")

    def _on_epoch(self, metrics: dict[str, float]) -> None:
        self._tracker.epoch(metrics)
        self._watch.epoch(metrics)

    def _failed(self, run: PlannedRun, error: Exception) -> str:
        folder = run.folder
        with suppress(OSError):
            folder.note(status="failed")
            write_text(folder.error, "".join(traceback.format_exception(error)))
        self._tracker.finish("FAILED", files=[folder.error])
        reason = (str(error).strip().splitlines() or [""])[0]
        if not isinstance(error, SpsamError):
            reason = f"{type(error).__name__}: {reason}"
        return f"{reason} (see {folder.error})"

    def _record(self, arm: PlannedArm, run: PlannedRun, *, fresh: bool) -> float:
        """Brings MLflow up to date with a finished run's folder; returns its mean Dice."""
        from spsam.reporting.means import class_means, mean_dice

        folder, names = run.folder, run.config.data.class_names
        rows = folder.read_rows()
        dice = mean_dice(rows, len(names))
        if not fresh:
            if self._tracker.recorded(folder.run_id):
                return dice
            self._begin_tracking(arm, run)
        for metrics in folder.read_metrics():
            self._tracker.epoch(metrics)
        means = class_means(rows, len(names)).tolist()
        scores = {"dice/mean": dice}
        scores |= {f"dice/{name}": mean for name, mean in zip(names[1:], means, strict=True)}
        self._tracker.finish(
            "FINISHED",
            {name: score for name, score in scores.items() if not math.isnan(score)},
            [folder.config, folder.record, folder.preview],
        )
        return dice

    def _begin_tracking(self, arm: PlannedArm, run: PlannedRun) -> None:
        config = run.config
        git = run.folder.read().get("environment", {}).get("git") or {}
        self._tracker.begin(
            run.folder.run_id,
            f"{arm.arm.name} seed {config.seed}",
            tags={
                "arm": arm.arm.name,
                "seed": str(config.seed),
                "data": config.data.name,
                "data_fingerprint": config.data.fingerprint,
                "preset": config.preset,
                "git_commit": str(git.get("commit", "")),
                **self._tags,
            },
            params=dict(_flat(config.model_dump(mode="json"))),
        )


def _flat(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{above}.{key}" if above else str(key))
    else:
        yield above, value


def _yaml(config: RunConfig) -> str:
    text = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(config.model_dump(mode="json"), text)
    return text.getvalue()
