"""The batches of a training."""

from __future__ import annotations

from typing import Any

import pytest

from spsam.config.schema import TrainConfig
from spsam.engine.training import batches as module
from spsam.engine.training.batches import batches
from spsam.engine.training.group import ProcessGroup


@pytest.mark.parametrize(("wanted", "taken"), [(0, 0), (2, 2), (8, 3)])
def test_there_is_at_most_one_worker_per_core(
    wanted: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preset `paper` has eight workers, a laptop may have two cores."""
    seen: list[int] = []

    class Loader:
        def __init__(self, *_: Any, num_workers: int, **__: Any) -> None:
            seen.append(num_workers)

        def __iter__(self) -> Any:
            return iter(())

    monkeypatch.setattr(module, "cores", lambda: 3)
    monkeypatch.setattr(module, "DataLoader", Loader)
    with batches([], TrainConfig(), 0, wanted, ProcessGroup()):  # type: ignore[arg-type]
        assert seen == [taken]
