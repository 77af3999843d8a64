"""Execution of each run in a process of this machine, in parallel as CPUs, GPUs, memory allow."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from spsam.signals import Stopped, stop
from spsam.studies.backend import Backend
from spsam.studies.execution.executors.base import Executor
from spsam.studies.execution.executors.memory import Memory
from spsam.studies.execution.queued_run import QueuedRun, RunEnd, attempt

_PATIENCE = 60.0
"""Time in seconds for stopped runs to complete their step and save their checkpoint."""
_SECONDS_BETWEEN_STEPS = 0.2
"""Minimum interval of progress events, so that they cost less than the steps themselves."""


@dataclass
class _Worker:
    queued: QueuedRun
    process: BaseProcess
    hears: connection.Connection
    slot: Mapping[str, str]
    ended: RunEnd | None = None


class LocalExecutor(Executor):
    """Computes every run in a process, forked from one that has already imported the engine.

    The imports take seconds and are done only once; each fork then takes some tens of milliseconds.
    Without fork (Windows), every process imports the engine. If a process dies, only its run is
    `lost`.

    Args:
        backend: The engine; must support pickling.
        slots: Environment variables of each of the simultaneous runs.
        threads: Number of threads of each run.
        memory: Determines whether another run fits into memory.
    """

    def __init__(
        self,
        backend: Backend,
        slots: Sequence[Mapping[str, str]] = ({},),
        threads: int = 1,
        memory: Memory | None = None,
    ) -> None:
        super().__init__(backend)
        self._free = list(reversed(slots))
        self._threads = threads
        self._memory = memory or Memory()
        self._workers: list[_Worker] = []
        forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")

    def prepare(self) -> None:
        """Starts the process from which runs are forked, and which imports the engine."""
        if self._context.get_start_method() == "forkserver":
            from multiprocessing.forkserver import ensure_running

            # Modules that planning has imported are also used by runs; forks inherit them.
            ours = [name for name in sys.modules if name.startswith("spsam.")]
            backend = type(self.backend).__module__
            self._context.set_forkserver_preload([*ours, backend, *self.backend.modules])
            with environment(self._threads):
                ensure_running()

    def room(self) -> bool:
        """Whether a slot is free and another run is expected to fit into memory."""
        at_work = [worker.process.pid for worker in self._workers if worker.process.pid]
        return bool(self._free) and self._memory.suffices(at_work)

    def start(self, queued: QueuedRun) -> None:
        """Starts the process of a run."""
        hears, says = self._context.Pipe(duplex=False)
        slot = self._free.pop()
        process = self._context.Process(
            target=_work, args=(queued, self.backend, says, slot, self._threads)
        )
        with environment(self._threads):
            process.start()
        says.close()
        self._workers.append(_Worker(queued, process, hears, slot))

    def wait(self, seconds: float) -> list[RunEnd]:
        """Passes on the events of all runs, and returns the runs that have ended."""
        if not self._workers:
            time.sleep(seconds)
            return []
        hears = [worker.hears for worker in self._workers if not worker.hears.closed]
        connection.wait([*hears, *(worker.process.sentinel for worker in self._workers)], seconds)
        return [ended for worker in list(self._workers) for ended in self._look(worker)]

    def stop(self) -> None:
        """Sends SIGTERM to all runs, which save their step; a second Ctrl-C kills them."""
        try:
            for worker in self._workers:
                worker.process.terminate()
            until = time.monotonic() + _PATIENCE
            while self._workers and time.monotonic() < until:
                self.wait(0.5)
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.join()
                worker.hears.close()
            self._workers.clear()

    def _look(self, worker: _Worker) -> Iterator[RunEnd]:
        """Passes on the events of a run, and yields its outcome if its process has ended."""
        # Checked first: after the process has ended, its pipe cannot receive further events.
        over = worker.process.exitcode is not None
        try:
            while not worker.hears.closed and worker.hears.poll():
                what, *details = worker.hears.recv()
                if what == "ended":
                    worker.ended = details[0]
                else:
                    self._hear(worker.queued.run_id, what, *details)
        except (EOFError, OSError):
            worker.hears.close()
        if over:
            worker.process.join()
            worker.hears.close()
            self._workers.remove(worker)
            self._free.append(worker.slot)
            yield worker.ended or _lost(worker)


def _lost(worker: _Worker) -> RunEnd:
    code = worker.process.exitcode or 0
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return RunEnd(worker.queued.run_id, "lost", f"its process died ({how})")


@contextmanager
def environment(threads: int) -> Iterator[None]:
    """Sets the environment of processes that start now: threads and import path.

    The main module is hidden from them, since each would otherwise run it again up to its guard.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    # A value of the first variable is meant for all; torch gives precedence to the second.
    share = os.environ.get(names[0], str(threads))
    new = {name: share for name in names if name not in os.environ}
    new["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    before = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(
    queued: QueuedRun,
    backend: Backend,
    says: connection.Connection,
    slot: Mapping[str, str],
    threads: int,
) -> None:
    """Main function of a run's process."""
    # Ctrl-C reaches all processes of a terminal; only the study's process handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    faulthandler.enable()
    os.environ.update(slot)
    if slot and ":" in queued.spec.device:
        # The slot makes only this GPU visible, so its index is 0.
        queued = queued.with_spec(device=queued.spec.device.partition(":")[0])
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    torch = sys.modules.get("torch")
    if torch is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    ended = RunEnd(queued.run_id, "stopped")
    told = 0.0

    def tell(what: str, *details: Any) -> None:
        nonlocal told
        if what == "progress":
            _, done, total = details
            if done != total and time.monotonic() - told < _SECONDS_BETWEEN_STEPS:
                return
            told = time.monotonic()
        # If the study's process has died, nobody reads the pipe; this process will also end.
        with suppress(OSError):
            says.send((what, *details))

    with suppress(Stopped):
        ended = attempt(queued, backend, tell, logged=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell("ended", ended)


def _end_with_the_study() -> None:
    """Stops the run when the study's process has died; the run saves its step."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
