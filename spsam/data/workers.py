"""Running one function over many cases in a few processes."""

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

Result = TypeVar("Result")
Progress = Callable[[int, int], None]

MAX_WORKERS = 8


def run_all(
    function: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    workers: int | None,
    progress: Progress | None,
) -> list[Result]:
    """Calls `function(*job)` for every job, results in the jobs' order.

    Processes are spawned, not forked: a fork of a process whose libraries run threads may hang.

    Args:
        function: Importable by name.
        jobs: Picklable arguments.
        workers: Processes; None takes the cores, at most 8; 1 or less runs here.
        progress: Called with (done, all), first with 0 done.

    Raises:
        SpsamError: If a process died.
    """
    report = progress or (lambda done, total: None)
    if workers is None:
        workers = min(_cores(), MAX_WORKERS)
    report(0, len(jobs))
    if min(workers, len(jobs)) <= 1:
        results = []
        for job in jobs:
            results.append(function(*job))
            report(len(results), len(jobs))
        return results
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
            "a process that prepares volumes died, perhaps for lack of memory; try workers=1"
        ) from error
    finally:
        # What has not begun is dropped, so that Ctrl-C does not wait for the whole data set.
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """A worker keeps to one thread, and does not outlive a parent that was killed."""
    one_thread()
    end_with_parent()


def end_with_parent() -> None:
    """This process ends when the one that started it does, however that came about."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Its queue tells a worker nothing: each of its siblings keeps the other end open.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
