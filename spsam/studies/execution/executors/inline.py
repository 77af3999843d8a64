"""One run after the other in this process: to look into, and where no process may be started."""

from __future__ import annotations

import time

from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.queued_run import Assignment, Ended, attempt


class InlineExecutor(Executor):
    """Computes a run when it is waited for. A crash ends the study; the next call goes on."""

    _next: Assignment | None = None

    def room(self) -> bool:
        """One run at a time."""
        return self._next is None

    def start(self, assignment: Assignment) -> None:
        """Keeps it for `wait`."""
        self._next = assignment

    def wait(self, seconds: float) -> list[Ended]:
        """Computes the run.

        Raises:
            KeyboardInterrupt: If the user, or a signal, stopped it.
        """
        assignment, self._next = self._next, None
        if assignment is None:
            time.sleep(seconds)
            return []
        return [attempt(assignment, self.backend, self.tell(assignment.run_id))]

    def stop(self) -> None:
        """Nothing is at work but the caller."""
        self._next = None
