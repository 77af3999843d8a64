"""Runs a planned ablation: every run once, whatever happens to the others, then the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spsam.errors import SpsamError
from spsam.results.run_folder import RunBusyError, RunFolder
from spsam.studies.backend import Backend
from spsam.studies.one_run import Runner
from spsam.studies.plan import Ablation
from spsam.studies.summary import Outcome, is_finished, summarise
from spsam.studies.watch import RunLabel, Watcher
from spsam.tracking.mlflow import Tracker

if TYPE_CHECKING:
    from spsam.data.store import PreparedStore


def run_ablation(
    ablation: Ablation, watch: Watcher | None = None, backend: Backend | None = None
) -> Outcome:
    """Runs what is not finished yet, records it, and makes the table anew.

    A failed run is recorded and does not stop the others; the next call tries it again. An
    interrupted call (Ctrl-C) leaves everything so that the next one goes on. Two calls at once
    share the work.

    Args:
        ablation: Of `plan_ablation`.
        watch: Told what happens.
        backend: The engine.

    Raises:
        InputError: If data or weights turn out to be wrong, before any run is begun.
        KeyboardInterrupt: If the user stopped it.
    """
    watch, backend = watch or Watcher(), backend or Backend()
    check_weights(ablation, backend)
    stores = prepare(ablation, watch, backend)
    tracker = Tracker(ablation.request.home, watch.warn)
    data = ablation.dataset
    tags = {"data": data.name, "data_fingerprint": data.fingerprint, "preset": ablation.preset}
    tracker.open(ablation.name, ablation.name, tags)
    try:
        _run_all(ablation, Runner(ablation, stores, backend, tracker, watch), watch)
        outcome = summarise(ablation)
    except KeyboardInterrupt:
        tracker.close("KILLED")
        raise
    tracker.close("FAILED" if outcome.failed else "FINISHED", outcome.files)
    return outcome


def _run_all(ablation: Ablation, runner: Runner, watch: Watcher) -> None:
    """Takes the runs in order; those in another process's hands come last."""
    runs = ablation.runs
    busy = []
    for number, (arm, run) in enumerate(runs, start=1):
        label = RunLabel(number, len(runs), arm.arm.name, run.config.seed, run.folder.run_id)
        try:
            with run.folder.lock():
                runner(arm, run, label)
        except RunBusyError:
            watch.say(f"{label}: another process is at it; going on with the next")
            busy.append((arm, run, label))
            continue
        # The table grows while the study runs.
        summarise(ablation)
    for arm, run, label in busy:
        watch.say(f"{label}: waiting for the other process")
        with run.folder.lock(wait=True):
            runner(arm, run, label)


def prepare(ablation: Ablation, watch: Watcher, backend: Backend) -> dict[str, PreparedStore]:
    """The data of every plan, prepared once.

    Raises:
        InputError: With every problem in every file.
    """
    folder = ablation.request.home / "prepared"
    stores: dict[str, PreparedStore] = {}
    for _, run in ablation.runs:
        if run.plan.key not in stores:
            stores[run.plan.key] = backend.prepare(
                ablation.dataset, run.plan, folder, watch.preparing
            )
    return stores


def check_weights(ablation: Ablation, backend: Backend) -> None:
    """Loads the weights that unfinished runs will want.

    Raises:
        InputError: If they are of another model.
    """
    seen: set[tuple[Path, str, int | None]] = set()
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
