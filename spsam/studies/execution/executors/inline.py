"""One run after the other in this process: to look into, and where no process may be started."""

from __future__ import annotations

import time

from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.queued_run import QueuedRun, RunEnd, attempt


class InlineExecutor(Executor):
    """Computes a run when it is waited for. A crash ends the study; the next call goes on."""

    _next: QueuedRun | None = None

    def room(self) -> bool:
        """One run at a time."""
        return self._next is None

    def start(self, queued: QueuedRun) -> None:
        """Keeps it for `wait`."""
        self._next = queued

    def wait(self, seconds: float) -> list[RunEnd]:
        """Computes the run.

        Raises:
            KeyboardInterrupt: If the user, or a signal, stopped it.
        """
        queued, self._next = self._next, None
        if queued is None:
            time.sleep(seconds)
            return []
        return [attempt(queued, self.backend, self.tell(queued.run_id))]

    def stop(self) -> None:
        """Nothing is at work but the caller."""
        self._next = None
