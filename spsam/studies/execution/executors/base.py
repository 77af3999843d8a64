"""What every executor does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from spsam.studies.backend import Backend
from spsam.studies.execution.queued_run import QueuedRun, RunEnd

Hear = Callable[..., None]
"""Called with a run's id, what happens in it (`begins`, `progress`, `epoch`, `warn`), details."""


class Executor(ABC):
    """Computes runs, each once; results and folders are the same whichever it is.

    A run that goes wrong is recorded in its folder and touches no other. A subclass calls `attempt`
    for every run, wherever that may be, and hands on what becomes of it.

    Args:
        backend: The engine.
    """

    detached = False
    """Whether runs go on without this process, which need not wait for them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._hear: Hear = lambda run_id, what, *details: None

    def prepare(self) -> None:  # noqa: B027 - not every one has something to begin
        """Begins what takes time before the first run, and goes on beside the caller."""

    def listen(self, hear: Hear) -> None:
        """Tells from now on what happens in runs."""
        self._hear = hear

    @abstractmethod
    def room(self) -> bool:
        """Whether another run may be given now."""

    def has(self, queued: QueuedRun) -> bool:
        """Whether it is at work on the run already, since an earlier start of the study."""
        return False

    @abstractmethod
    def start(self, queued: QueuedRun) -> None:
        """Takes a run; returns at once."""

    @abstractmethod
    def wait(self, seconds: float) -> list[RunEnd]:
        """What has ended; waits so long for something to happen."""

    @abstractmethod
    def stop(self) -> None:
        """Ends what is at work, which keeps what it has; nothing runs afterwards."""

    def tell(self, run_id: str) -> Callable[..., None]:
        """What `attempt` tells of a run in this process."""

        def tell(what: str, *details: Any) -> None:
            self._hear(run_id, what, *details)

        return tell
