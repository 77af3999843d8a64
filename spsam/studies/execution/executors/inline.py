"""Execution of runs one after the other in this process, e.g. for debugging."""

from __future__ import annotations

import time

from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.queued_run import QueuedRun, RunEnd, attempt


class InlineExecutor(Executor):
    """Computes each run within `wait`. A crash ends the study, and the next call resumes it."""

    _next: QueuedRun | None = None

    def room(self) -> bool:
        """Whether no run is pending."""
        return self._next is None

    def start(self, queued: QueuedRun) -> None:
        """Stores the run for `wait`."""
        self._next = queued

    def wait(self, seconds: float) -> list[RunEnd]:
        """Computes the run.

        Raises:
            KeyboardInterrupt: If the user or a signal stopped it.
        """
        queued, self._next = self._next, None
        if queued is None:
            time.sleep(seconds)
            return []
        return [attempt(queued, self.backend, self.tell(queued.run_id))]

    def stop(self) -> None:
        """Discards a pending run; nothing runs in the background."""
        self._next = None
