"""The run queue, which passes a study's runs to an executor until all have ended."""

from __future__ import annotations

import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from spsam.errors import SpsamError
from spsam.results.run_folder import RunBusyError
from spsam.signals import handling, stop
from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.queued_run import QueuedRun, RunEnd, settled
from spsam.studies.progress_events import ProgressListener, told_dice

News = Literal["epoch", "finished", "failed", "stopped"]
OnNews = Callable[[QueuedRun, News], float | None]
"""Called after an epoch of a run and at its end; returns the mean Dice of a finished run."""

_LOOK = 1.0
"""Interval in seconds between two checks of runs in other processes."""
_DEATHS = 3
"""Number of deaths of a run's process after which the run has failed."""


class RunQueue:
    """Schedules runs and handles their outcomes.

    Runs that another study or process computes are put at the end. A run whose process dies is
    retried from its checkpoint after the others; after the third death, it has failed. A run that
    failed in an earlier call is skipped, unless failed runs are to be retried.

    Args:
        runs: The runs, in their order.
        executor: Computes the runs.
        watch: Receives progress and messages.
        on_news: Called when a run's folder has changed.
        retry_failed: Whether to retry runs that failed in earlier calls.
    """

    def __init__(
        self,
        runs: Sequence[QueuedRun],
        executor: Executor,
        watch: ProgressListener,
        on_news: OnNews,
        *,
        retry_failed: bool = False,
    ) -> None:
        self._waiting: deque[QueuedRun] = deque()
        self._all = {queued.run_id: queued for queued in runs}
        self._at: set[str] = set()
        self._busy: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()
        self._executor = executor
        self._watch = watch
        self._on_news = on_news
        executor.listen(self._heard)
        for queued in runs:
            failures = 0
            if retry_failed:
                # Only failures up to now: another process that shares the study may add one more.
                with suppress(SpsamError):
                    failures = queued.folder.failures
            self._waiting.append(replace(queued, failures=failures))

    def run(self) -> None:
        """Executes the runs until all have ended, or are left to a detached executor.

        Raises:
            KeyboardInterrupt: If the user or a signal stopped it; current runs keep their
                checkpoints.
        """
        # SIGTERM ends the study as Ctrl-C does.
        with handling(signal.SIGTERM, stop):
            try:
                # Settled runs are removed first, so that they do not distort the remaining time.
                self._waiting = deque(each for each in self._waiting if not self._is_over(each))
                while self._waiting or self._at:
                    self._start()
                    for ended in self._executor.wait(_LOOK):
                        self._end(ended)
                    if self._executor.detached:
                        break
            except BaseException:
                self._executor.stop()
                for run_id in self._at:
                    self._on_news(self._all[run_id], "stopped")
                raise

    def _is_over(self, queued: QueuedRun) -> bool:
        """Whether a run need not be computed; its outcome is reported in that case."""
        done = settled(queued)
        if done is not None:
            self._end(done, queued)
        return done is not None

    def _start(self) -> None:
        """Starts runs while there is room, and checks each waiting run once."""
        for _ in range(len(self._waiting)):
            if not self._executor.room():
                return
            queued = self._waiting.popleft()
            if self._is_over(queued):
                continue
            if queued.run_id in self._at:
                # An equal arm's run is in progress; its result is shared.
                self._waiting.append(queued)
                continue
            if not self._executor.has(queued) and _is_locked(queued):
                self._put_back(queued)
            else:
                self._at.add(queued.run_id)
                # Of equal arms, progress is reported for the one that is computed.
                self._all[queued.run_id] = queued
                self._executor.start(queued)

    def _heard(self, run_id: str, what: str, *details: Any) -> None:
        """Handles an event of a run from the executor."""
        queued = self._all[run_id]
        self._watch.turn(queued.label)
        if what == "begins":
            epochs = queued.spec.config.arm.train.epochs
            self._watch.run_begins(queued.label, epochs=epochs, resumed=details[0])
            return
        getattr(self._watch, what)(*details)
        if what == "epoch":
            self._on_news(queued, "epoch")

    def _put_back(self, queued: QueuedRun) -> None:
        self._waiting.append(queued)
        run_id, label = queued.run_id, queued.label
        if run_id not in self._busy:
            self._busy[run_id] = "told"
            self._watch.say(f"{label}: another process is computing it; continuing with the next")
        elif self._busy[run_id] == "told" and not self._at:
            self._busy[run_id] = "waited for"
            self._watch.say(f"{label}: waiting for the other process")

    def _end(self, ended: RunEnd, queued: QueuedRun | None = None) -> None:
        queued = queued or self._all[ended.run_id]
        self._at.discard(ended.run_id)
        if ended.end == "busy":
            self._put_back(queued)
            return
        if ended.end in ("lost", "stopped"):
            # If a run was stopped by someone else's SIGTERM, the study continues.
            self._deaths[ended.run_id] += ended.end == "lost"
            if self._deaths[ended.run_id] < _DEATHS:
                self._watch.warn(f"{queued.label}: {ended.detail or 'was stopped'}; retrying later")
                self._waiting.append(queued)
                return
            with suppress(OSError), queued.folder.lock(wait=True):
                queued.folder.fail(f"{ended.detail}, {_DEATHS} times\n")
        self._watch.turn(queued.label)
        if ended.end in ("finished", "skipped"):
            dice = self._on_news(queued, "finished")
            said = "" if dice is None else told_dice(dice)
            self._watch.run_ends(queued.label, ended.end, said)
        else:
            self._on_news(queued, "failed")
            self._watch.run_ends(queued.label, "failed", ended.detail)


def _is_locked(queued: QueuedRun) -> bool:
    try:
        with queued.folder.lock():
            return False
    except RunBusyError:
        return True
