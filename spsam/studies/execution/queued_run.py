"""Runs that can be sent to another process or machine, and their execution there."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from spsam.config.yaml_file import to_yaml
from spsam.engine.run_spec import RunSpec
from spsam.errors import SpsamError
from spsam.files import clear_drafts, write_text
from spsam.results.environment import environment
from spsam.results.run_folder import RunBusyError, RunFolder
from spsam.studies.backend import Backend
from spsam.studies.progress_events import RunLabel
from spsam.studies.recording.summary import is_finished

End = Literal["finished", "failed", "skipped", "busy", "lost", "stopped"]

Tell = Callable[..., None]
"""Called with an event's name (`begins`, `progress`, `epoch`, `warn`) and its details."""


class RunStopped(SpsamError):  # noqa: N818 - this is not an error
    """A listener stopped the run, which can be resumed."""


@dataclass(frozen=True)
class QueuedRun:
    """One run in a queue; can be pickled.

    Attributes:
        spec: The specification for the engine, with prepared data.
        label: The description of the run in messages.
        failures: Number of recorded failures up to which the run is tried again. A run with more
            failures is skipped, since another process that shares the study may have retried it.
    """

    spec: RunSpec
    label: RunLabel
    failures: int = 0

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.spec.folder

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.spec.run_id

    def with_spec(self, **changes: Any) -> QueuedRun:
        """Returns the same run with changes of its specification."""
        return replace(self, spec=replace(self.spec, **changes))


@dataclass(frozen=True)
class RunEnd:
    """The outcome of a queued run.

    Attributes:
        run_id: The run's id.
        end: `skipped`: was finished before; `busy`: another process computes it; `lost`: its
            process died; `stopped`: was stopped and can be resumed.
        detail: A message.
    """

    run_id: str
    end: End
    detail: str = ""


def attempt(
    queued: QueuedRun,
    backend: Backend,
    tell: Tell,
    *,
    wait: bool = False,
    logged: bool = False,
) -> RunEnd:
    """Locks a run and computes it unless it is finished; all executors use this function.

    Args:
        queued: The run.
        backend: The engine.
        tell: Called with the events of the run.
        wait: Whether to wait for the lock; otherwise a run of another process is `busy`.
        logged: Whether to redirect the process's output to the run's log.

    Raises:
        KeyboardInterrupt: If the process was stopped.
        RunStopped: If a listener stopped the run.
    """
    folder = queued.folder
    try:
        with folder.lock(wait=wait):
            return settled(queued) or compute(queued, backend, tell, logged=logged)
    except RunBusyError as error:
        return RunEnd(folder.run_id, "busy", str(error))


def settled(queued: QueuedRun) -> RunEnd | None:
    """Returns the outcome of a run that is not to be computed; None if it is."""
    folder = queued.folder
    try:
        if is_finished(folder):
            return RunEnd(folder.run_id, "skipped")
        if folder.status == "failed" and folder.failures > queued.failures:
            said = f"failed before (see {folder.error}); use --retry-failed to retry it"
            return RunEnd(folder.run_id, "failed", said)
    except SpsamError as error:
        # Nothing is written: the remains of the folder may be worth inspecting.
        return RunEnd(folder.run_id, "failed", str(error))
    return None


def compute(queued: QueuedRun, backend: Backend, tell: Tell, *, logged: bool = False) -> RunEnd:
    """Trains and scores a run, or records its error; the caller holds the lock. See `attempt`."""
    folder = queued.folder
    try:
        with _into(folder) if logged else nullcontext():
            _execute(queued, backend, tell)
    except (KeyboardInterrupt, RunStopped):
        raise
    except Exception as error:  # boundary of the run: recorded here, other runs continue
        with suppress(OSError, SpsamError):
            folder.fail("".join(traceback.format_exception(error)))
        reason = (str(error).strip().splitlines() or [""])[0]
        if not isinstance(error, SpsamError):
            reason = f"{type(error).__name__}: {reason}"
        return RunEnd(folder.run_id, "failed", f"{reason} (see {folder.error})")
    return RunEnd(folder.run_id, "finished")


def _execute(queued: QueuedRun, backend: Backend, tell: Tell) -> None:
    folder, spec = queued.folder, queued.spec
    clear_drafts(folder.path, below=True)
    folder.error.unlink(missing_ok=True)
    resumed = folder.checkpoint.exists()
    write_text(folder.config, to_yaml(spec.config.model_dump(mode="json")))
    folder.note(
        status="running",
        files={},
        run_id=folder.run_id,
        **spec.describe(),
        environment=environment(spec.device),
    )
    tell("begins", resumed)
    before, began = float(folder.read().get("seconds", 0)), time.perf_counter()
    try:
        backend.execute(
            spec,
            on_epoch=lambda metrics: tell("epoch", metrics),
            on_progress=lambda *where: tell("progress", *where),
            on_note=lambda text: tell("warn", text),
        )
    finally:
        # On a full disk, the original error matters more than the duration.
        with suppress(OSError):
            folder.note(seconds=round(before + time.perf_counter() - began, 2))
    folder.read_rows()  # a run without scores is not finished
    folder.note(status="finished", files=folder.checksums())


@contextmanager
def _into(folder: RunFolder) -> Iterator[None]:
    """Redirects the process's output, including that of C libraries, to the run's log."""
    folder.path.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(number) for number in (1, 2)]
    with folder.log.open("ab") as log:
        try:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, before in zip((1, 2), kept, strict=True):
                os.dup2(before, number)
                os.close(before)
