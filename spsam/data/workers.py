"""Parallel execution of a function for many cases in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from spsam.data.volume import one_thread
from spsam.errors import SpsamError
from spsam.script import check_not_imported

Result = TypeVar("Result")
Progress = Callable[[int, int], None]

MAX_WORKERS = 8


def run_all(
    function: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    workers: int | None,
    progress: Progress | None,
) -> list[Result]:
    """Call `function(*job)` for every job and return the results in the order of the jobs.

    Processes are spawned, because a fork of a process with running threads may hang.

    Args:
        function: A function that can be imported by name.
        jobs: Picklable arguments.
        workers: Number of processes; default: the number of cores, at most 8. With 1 or less, the
            jobs run in this process.
        progress: Called with the numbers of finished jobs and all jobs, first with 0 finished.

    Raises:
        SpsamError: If a process died.
    """
    report = progress or (lambda done, total: None)
    if workers is None:
        workers = min(cores(), MAX_WORKERS)
    report(0, len(jobs))
    if min(workers, len(jobs)) <= 1:
        results = []
        for job in jobs:
            results.append(function(*job))
            report(len(results), len(jobs))
        return results
    check_not_imported("the preparation of data")
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_begin)
    try:
        futures = [pool.submit(function, *job) for job in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            report(done, len(jobs))
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise SpsamError(
            "a process that prepares volumes died: its error is printed above; without an error, "
            "memory was probably too small: try workers=1"
        ) from error
    finally:
        # Pending jobs are cancelled, so that Ctrl-C does not wait for the whole data set.
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Initialise a worker: limit it to one thread and end it with its parent."""
    one_thread()
    end_with_parent()


def end_with_parent() -> None:
    """Make this process exit when its parent process ends for any reason."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # The job queue cannot signal this: the siblings of a worker keep its other end open.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
