"""The next item is worked on while the current one is used, and no other."""

from __future__ import annotations

import threading
import time

import pytest

from spsam.data.ahead import ahead


def wait_for(begun: list[int], count: int) -> None:
    """Waits until so many items were begun, a little longer for one too many to show."""
    deadline = time.monotonic() + 20
    while len(begun) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)


def test_one_item_ahead_and_never_two() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item**2

    found = []
    for index, (item, taken) in enumerate(ahead(work, range(5))):
        wait_for(begun, min(index + 2, 5))
        assert len(begun) == min(index + 2, 5)
        found.append((item, taken()))
    assert found == [(item, item**2) for item in range(5)]
    assert begun == list(range(5))


def test_the_next_item_is_worked_on_while_the_current_one_is_used() -> None:
    """Neither of two that wait for each other would end otherwise."""
    used = [threading.Event() for _ in range(3)]
    worked = [threading.Event() for _ in range(3)]

    def work(item: int) -> None:
        if item:
            assert used[item - 1].wait(20)
        worked[item].set()

    for item, taken in ahead(work, range(3)):
        taken()
        used[item].set()
        assert item == 2 or worked[item + 1].wait(20)


def test_an_error_is_raised_for_its_item_and_the_others_follow() -> None:
    def work(item: int) -> int:
        if item % 2:
            raise ValueError(f"item {item}")
        return item

    seen: list[int | str] = []
    for _, taken in ahead(work, range(4)):
        try:
            seen.append(taken())
        except ValueError as error:
            seen.append(str(error))
    assert seen == [0, "item 1", 2, "item 3"]


def test_an_interruption_begins_nothing_else_and_leaves_no_thread() -> None:
    begun: list[int] = []
    reading = ahead(begun.append, range(9))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - raised while items are used
        for _, taken in reading:
            taken()
            raise KeyboardInterrupt
    reading.close()
    assert len(begun) <= 2
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_without_items_nothing_happens() -> None:
    assert list(ahead(int, [])) == []
