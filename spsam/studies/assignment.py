"""A run that can be sent to another process or machine, and what is done with it there."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spsam.config.yaml_file import to_yaml
from spsam.errors import SpsamError
from spsam.files import clear_drafts, write_text
from spsam.results.environment import environment
from spsam.results.run_folder import RunBusyError, RunFolder
from spsam.studies.backend import Backend, Task
from spsam.studies.plan import Ablation, PlannedArm, PlannedRun
from spsam.studies.summary import is_finished
from spsam.studies.watch import RunLabel

if TYPE_CHECKING:
    from spsam.data.store import PreparedStore

End = Literal["finished", "failed", "skipped", "busy", "lost", "stopped"]

Tell = Callable[..., None]
"""Called with what happens (`begins`, `progress`, `epoch`, `warn`) and its details."""


class RunStopped(SpsamError):  # noqa: N818 - nothing went wrong
    """A listener wants no more of the run, which can be gone on with."""


@dataclass(frozen=True)
class Assignment:
    """One run, complete. Survives pickling.

    Attributes:
        task: What the engine executes.
        label: The run as people see it.
        about: Goes into run.json before the run begins.
        failures: How often the run may have failed before. One that has failed more often is left
            alone: a hole stays, and whoever shares the study may have tried it in the meantime.
    """

    task: Task
    label: RunLabel
    about: Mapping[str, Any]
    failures: int = 0

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.task.folder

    @property
    def run_id(self) -> str:
        """The run's identity."""
        return self.task.folder.run_id


@dataclass(frozen=True)
class Ended:
    """What became of an assignment.

    Attributes:
        run_id: Of the run.
        end: `skipped`: was finished before; `busy`: another process is at it; `lost`: its process
            died; `stopped`: it was asked to and can be gone on with.
        detail: What there is to say.
    """

    run_id: str
    end: End
    detail: str = ""


def assign(  # noqa: PLR0917 - what makes a run
    ablation: Ablation,
    stores: Mapping[str, PreparedStore],
    arm: PlannedArm,
    run: PlannedRun,
    label: RunLabel,
    validate_every: int = 0,
) -> Assignment:
    """A planned run with all that it needs.

    Args:
        ablation: The study.
        stores: Prepared data by the plan's key.
        arm: Of the study.
        run: Of the arm.
        label: The run as people see it.
        validate_every: Epochs between two scores of the validation cases; 0: none.
    """
    workers = ablation.request.workers
    task = Task(
        config=run.config,
        folder=run.folder,
        dataset=ablation.dataset,
        split=run.split,
        plan=run.plan,
        store=stores[run.plan.key],
        device=ablation.device,
        checkpoint=arm.checkpoint,
        workers=arm.arm.train.workers if workers is None else workers,
        devices=ablation.request.devices,
        validate_every=validate_every,
    )
    about = {
        "arm": arm.arm.name,
        "seed": run.config.seed,
        "trained_parameters": arm.size.trained,
        "total_parameters": arm.size.total,
        "parameters": arm.size.blocks,
        "plan": run.plan.to_dict(),
    }
    return Assignment(task, label, about)


def attempt(
    assignment: Assignment,
    backend: Backend,
    tell: Tell,
    *,
    wait: bool = False,
    logged: bool = False,
) -> Ended:
    """Takes the run's lock and computes what is not finished: what every executor does.

    Args:
        assignment: The run.
        backend: The engine.
        tell: Told what happens.
        wait: For the lock; else a run in another process's hands is `busy`.
        logged: Send what the process prints into the run's log.

    Raises:
        KeyboardInterrupt: If the process was asked to stop.
        RunStopped: If a listener wants no more.
    """
    folder = assignment.folder
    try:
        with folder.lock(wait=wait):
            return settled(assignment) or compute(assignment, backend, tell, logged=logged)
    except RunBusyError as error:
        return Ended(folder.run_id, "busy", str(error))


def settled(assignment: Assignment) -> Ended | None:
    """What became of a run that is not to be computed; None for one that is."""
    folder = assignment.folder
    try:
        if is_finished(folder):
            return Ended(folder.run_id, "skipped")
        if folder.status == "failed" and folder.failures > assignment.failures:
            said = f"failed before (see {folder.error}); --retry-failed tries it again"
            return Ended(folder.run_id, "failed", said)
    except SpsamError as error:
        # Nothing is written: what is left of the folder may be worth a look.
        return Ended(folder.run_id, "failed", str(error))
    return None


def compute(assignment: Assignment, backend: Backend, tell: Tell, *, logged: bool = False) -> Ended:
    """Trains and scores a run, or records why not; the caller holds its lock. See `attempt`."""
    folder = assignment.folder
    try:
        with _into(folder) if logged else nullcontext():
            _execute(assignment, backend, tell)
    except (KeyboardInterrupt, RunStopped):
        raise
    except Exception as error:  # the run's boundary: recorded here, the others go on
        with suppress(OSError, SpsamError):
            folder.fail("".join(traceback.format_exception(error)))
        reason = (str(error).strip().splitlines() or [""])[0]
        if not isinstance(error, SpsamError):
            reason = f"{type(error).__name__}: {reason}"
        return Ended(folder.run_id, "failed", f"{reason} (see {folder.error})")
    return Ended(folder.run_id, "finished")


def _execute(assignment: Assignment, backend: Backend, tell: Tell) -> None:
    folder, task = assignment.folder, assignment.task
    clear_drafts(folder.path, below=True)
    folder.error.unlink(missing_ok=True)
    resumed = folder.checkpoint.exists()
    write_text(folder.config, to_yaml(task.config.model_dump(mode="json")))
    folder.note(
        status="running",
        files={},
        run_id=folder.run_id,
        **assignment.about,
        environment=environment(task.device),
    )
    tell("begins", resumed)
    before, began = float(folder.read().get("seconds", 0)), time.perf_counter()
    try:
        backend.execute(
            task,
            on_epoch=lambda metrics: tell("epoch", metrics),
            on_progress=lambda *where: tell("progress", *where),
            on_note=lambda text: tell("warn", text),
        )
    finally:
        # On a full disk what went wrong is worth more than how long it took.
        with suppress(OSError):
            folder.note(seconds=round(before + time.perf_counter() - began, 2))
    folder.read_rows()  # a run without scores is not finished
    folder.note(status="finished", files=folder.checksums())


@contextmanager
def _into(folder: RunFolder) -> Iterator[None]:
    """Sends the process's output, that of libraries in C included, into the run's log."""
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
