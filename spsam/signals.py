"""Signals that ask a process to end, taken at a place where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end, and what was done so far is safe.

    Args:
        signal: Its number; the command ends with 128 more.
    """

    def __init__(self, signal: int) -> None:
        self.exit_code = 128 + signal
        super().__init__(f"stopped by signal {signal}")


def stop(number: int, frame: Any) -> None:
    """A signal's handler that raises `Stopped`."""
    raise Stopped(number)


@contextmanager
def handling(number: int, handler: Any) -> Iterator[None]:
    """Takes a signal so for a while; only the main thread may, elsewhere nothing changes.

    Args:
        number: The signal's.
        handler: As `signal.signal` takes it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        # None is a handler that was not set by Python and cannot be.
        signal.signal(number, before or signal.SIG_DFL)
