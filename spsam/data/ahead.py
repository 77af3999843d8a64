"""Work on the next item while the current one is used."""

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
    """Calls a function for each item in a thread, one item ahead of its use and never further.

    A thread suffices: reading, unpacking and numpy's arithmetic do not hold Python's lock.

    Args:
        function: Called in the items' order, one call after the other.
        items: The items.

    Yields:
        Each item with a function that returns its result, or raises what was raised for it. It can
        be called once: the result then belongs to the caller alone.
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
        # The current call ends; no other one begins.
        pool.shutdown(wait=True, cancel_futures=True)


def _taken(item: Item, future: Future[Result]) -> tuple[Item, Callable[[], Result]]:
    held = [future]
    return item, lambda: held.pop().result()
