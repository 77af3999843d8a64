"""The interface of executors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from spsam.studies.backend import Backend
from spsam.studies.execution.queued_run import QueuedRun, RunEnd

Hear = Callable[..., None]
"""Called with a run's id, an event (`begins`, `progress`, `epoch`, `warn`) and its details."""


class Executor(ABC):
    """Base class of executors, which compute each run once, with the same results and folders.

    An error in a run is recorded in its folder and does not affect other runs. Subclasses call
    `attempt` for every run, in any process, and return its outcome from `wait`.

    Args:
        backend: The engine.
    """

    detached = False
    """Whether runs continue without this process, which need not wait for them."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._hear: Hear = lambda run_id, what, *details: None

    def prepare(self) -> None:  # noqa: B027 - optional for subclasses
        """Starts time-consuming preparations in the background, before the first run."""

    def listen(self, hear: Hear) -> None:
        """Sets the function that receives the events of runs."""
        self._hear = hear

    @abstractmethod
    def room(self) -> bool:
        """Whether another run can be started now."""

    def has(self, queued: QueuedRun) -> bool:
        """Whether the run is already in progress, since an earlier call of the study."""
        return False

    @abstractmethod
    def start(self, queued: QueuedRun) -> None:
        """Starts a run; returns immediately."""

    @abstractmethod
    def wait(self, seconds: float) -> list[RunEnd]:
        """Returns the runs that have ended; waits up to the given time for an event."""

    @abstractmethod
    def stop(self) -> None:
        """Stops all runs, which keep their checkpoints; none is running afterwards."""

    def tell(self, run_id: str) -> Callable[..., None]:
        """Returns the function to which `attempt` passes the events of a run in this process."""

        def tell(what: str, *details: Any) -> None:
            self._hear(run_id, what, *details)

        return tell
