"""Execution of a planned sweep, in this process or in several that share its storage."""

from __future__ import annotations

import multiprocessing
import queue
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from spsam.data.workers import cores
from spsam.errors import SpsamError
from spsam.files import clear_drafts
from spsam.studies.backend import Backend
from spsam.studies.execution.executors.local import environment
from spsam.studies.progress_events import ProgressListener
from spsam.studies.sweep.plan_sweep import Sweep, SweepRequest, plan_sweep
from spsam.studies.sweep.retry import retry_failed
from spsam.studies.sweep.storage import open_study
from spsam.studies.sweep.summary import SweepOutcome, summarise, trial_line
from spsam.studies.sweep.trials import Worker, count_begun
from spsam.tracking.mlflow import Tracker

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_PATIENCE = 20.0
"""Time in seconds for interrupted workers to enqueue their trials again."""


def run_sweep(
    sweep: Sweep, watch: ProgressListener | None = None, backend: Backend | None = None
) -> SweepOutcome:
    """Runs trials until their number is reached, and writes the results.

    Every trial is an ordinary run, so equal values are not trained twice. An interrupted call
    (Ctrl-C) enqueues its trials again. Simultaneous and later calls share the sweep.

    Args:
        sweep: The planned sweep, from `plan_sweep`.
        watch: Receives progress and messages.
        backend: The engine.

    Returns:
        The outcome of all trials so far.

    Raises:
        InputError: If data, weights or storage are invalid, before any trial begins.
        KeyboardInterrupt: If the user interrupted it.
    """
    watch, backend = watch or ProgressListener(), backend or Backend()
    base, context = sweep.base, sweep.context
    _try_again(sweep, watch)
    if base.checkpoint is not None:
        backend.check_weights(base.arm, context.dataset, base.plan, base.checkpoint)
    folder = sweep.request.home / "prepared"
    store = backend.prepare(context.dataset, base.plan, folder, watch.preparing)
    for fold, split in context.splits.items():
        for note in backend.training_notes(context.dataset, split, fold, store):
            watch.warn(note)
    tracker = _tracker(sweep, watch)
    try:
        if sweep.request.jobs == 1:
            Worker(sweep, backend, tracker, watch, _teller(sweep, watch)).work()
        else:
            _share(sweep, backend, watch)
        outcome = summarise(sweep)
    except BaseException as error:
        tracker.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    tracker.close("FINISHED", outcome.files)
    return outcome


def _try_again(sweep: Sweep, watch: ProgressListener) -> None:
    """Opens the study, and enqueues the trials that failed in earlier calls."""
    clear_drafts(sweep.folder, below=True)
    study = open_study(sweep, watch.warn)
    # Excludes simultaneous calls, whose trials may be failing now.
    with FileLock(sweep.folder / "take.lock"):
        again = retry_failed(study)
    if again:
        numbers = ", ".join(map(str, again))
        watch.say(f"retrying trials that failed before: {numbers}")


def _tracker(sweep: Sweep, watch: ProgressListener) -> Tracker:
    tracker = Tracker(sweep.request.home, watch.warn)
    data = sweep.context.dataset
    tags = {
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "preset": sweep.context.preset,
        "optuna_study": sweep.name,
    }
    tracker.open(sweep.name, f"sweep {sweep.folder.resolve()}", tags)
    return tracker


def _teller(sweep: Sweep, watch: ProgressListener) -> Callable[[Study, FrozenTrial], None]:
    def tell(study: Study, trial: FrozenTrial) -> None:
        watch.say(trial_line(sweep, study, trial))
        begun = count_begun(study.get_trials(deepcopy=False))
        watch.stage("trials", begun, max(begun, sweep.trials))

    return tell


def _share(sweep: Sweep, backend: Backend, watch: ProgressListener) -> None:
    """Starts the workers, and passes on their events until all have ended."""
    context = multiprocessing.get_context("spawn")
    said: Any = context.Queue()
    workers = [
        context.Process(target=_serve, args=(sweep.request, backend, said))
        for _ in range(sweep.request.jobs)
    ]
    try:
        with environment(max(1, cores() // len(workers))):
            for worker in workers:
                worker.start()
        while any(worker.is_alive() for worker in workers):
            _pass_on(said, watch, 0.5)
    finally:
        for worker in workers:
            if worker.pid is not None:
                # After Ctrl-C they are already stopping, since the terminal signals them as well.
                worker.join(_PATIENCE)
                if worker.is_alive():
                    worker.terminate()
        _pass_on(said, watch, 0.1)
    died = [worker for worker in workers if worker.exitcode]
    if len(died) == len(workers):
        raise SpsamError("all workers of the sweep died; rerun the same command to resume it")
    if died:
        watch.warn(f"{len(died)} of {len(workers)} workers died; rerun the same command to retry")


def _pass_on(said: Any, watch: ProgressListener, timeout: float) -> None:
    try:
        while True:
            what, *details = said.get(timeout=timeout)
            getattr(watch, what)(*details)
    except queue.Empty:
        pass


def _serve(request: SweepRequest, backend: Backend, said: Any) -> None:
    """Main function of a worker's process; plans the sweep again, as data sets are not pickled."""
    from spsam.data.workers import end_with_parent

    end_with_parent()
    watch = _Distant(said)
    try:
        sweep = plan_sweep(request, backend)
        tracker = _tracker(sweep, watch)
        Worker(sweep, backend, tracker, watch, _teller(sweep, watch)).work()
    except KeyboardInterrupt:
        sys.exit(130)
    except SpsamError as error:
        watch.warn(f"a worker ended: {error}")
        sys.exit(1)


class _Distant(ProgressListener):
    """Sends events to the process that started the worker."""

    def __init__(self, said: Any) -> None:
        self._said = said

    def say(self, text: str) -> None:
        self._said.put(("say", text))

    def warn(self, text: str) -> None:
        self._said.put(("warn", text))

    def stage(self, name: str, done: int, total: int) -> None:
        self._said.put(("stage", name, done, total))
