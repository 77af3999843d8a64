from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from spsam.config.prompt_study import PromptStudyConfig
from spsam.registry.catalogue import Card
from spsam.studies.prompts.axes import Cell, Source, Strategy
from spsam.studies.prompts.plan import PromptRequest, PromptStudy
from spsam.studies.prompts.tracking import record_cells


class FakeTracker:
    """Has one cell already."""

    on = True

    def __init__(self, has: str = "") -> None:
        self.has = has
        self.begun: list[tuple[str, dict[str, Any]]] = []
        self.finished: list[dict[str, float]] = []

    def recorded(self, key: str) -> bool:
        return key == self.has

    def begin(self, key: str, name: str, *, tags: Any, params: Any) -> None:
        self.begun.append((key, {"name": name, **tags, **params}))

    def finish(self, ending: str, scores: dict[str, float]) -> None:
        self.finished.append(scores)


@pytest.fixture
def study(tmp_path: Path) -> PromptStudy:
    card = Card("prompt", "random", "a:B", "", {}, tmp_path)
    strategy = Strategy(card, {}, {"seed": 0, "mask": "logits"})
    cells = [Cell(use, strategy, Source("ground_truth")) for use in (("point",), ("box",))]
    config = PromptStudyConfig(title="t", prompts=("box",), arm="base", preset="cpu", seeds=2)
    subject: Any = SimpleNamespace(identity="0123", run=None)
    return PromptStudy(PromptRequest(tmp_path), config, subject, cells, ["a", "b"])


TABLE = pd.DataFrame({"dice": [50.0, None], "dice: left": [40.0, None]})


def test_every_cell_is_one_run_with_its_means(study: PromptStudy) -> None:
    tracker = FakeTracker()
    record_cells(tracker, study, SimpleNamespace(table=TABLE))  # type: ignore[arg-type]
    (first, said), (second, _) = tracker.begun
    assert first != second
    assert said["name"] == "point by random, ground truth"
    assert said["seeds"] == 2
    assert tracker.finished == [{"dice/mean": 0.5, "dice/left": 0.4}, {}]
    odd = pd.DataFrame({"dice": [50.0, None], "dice: class 1 - mean": [40.0, 1], "dice: 😀": 2.0})
    record_cells(odd_tracker := FakeTracker(), study, SimpleNamespace(table=odd))  # type: ignore[arg-type]
    assert list(odd_tracker.finished[0])[:2] == ["dice/mean", "dice/class 1 - mean"]
    assert len(odd_tracker.finished[0]) == 3
    again = FakeTracker(has=first)
    record_cells(again, study, SimpleNamespace(table=TABLE))  # type: ignore[arg-type]
    assert [key for key, _ in again.begun] == [second]


def test_a_key_is_made_of_what_answers_depend_on(study: PromptStudy) -> None:
    point, box = study.cells
    assert study.key(point, 0) != study.key(point, 1)
    other = Strategy(box.strategy.card, {"seed": 3}, {"seed": 3, "mask": "logits"})
    # Without a point it does not matter what chooses it; with one it does.
    assert study.key(box, 0) == study.key(Cell(("box",), other, box.source), 0)
    assert study.key(point, 0) != study.key(Cell(("point",), other, point.source), 0)
    assert study.key(box, 0) != study.key(Cell(("box",), box.strategy, Source("auxiliary")), 0)
