"""Computation of the next item's result while the current one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[tuple[Item, Callable[[], Result]], None, None]:
    """Call a function for each item in a background thread, at most one item ahead.

    A thread is sufficient, because file access, decompression and NumPy release Python's global
    interpreter lock.

    Args:
        function: The function; it is called in the order of the items, without concurrent calls.
        items: The items.

    Yields:
        Each item with a function that returns its result or raises its exception. Call this
        function once: it keeps no reference to the result.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > 1:
                yield _taken(*waiting.popleft())
        while waiting:
            yield _taken(*waiting.popleft())
    finally:
        # Wait for the current call and cancel the next.
        pool.shutdown(wait=True, cancel_futures=True)


def _taken(item: Item, future: Future[Result]) -> tuple[Item, Callable[[], Result]]:
    held = [future]
    return item, lambda: held.pop().result()
