from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from spsam.config.prompt_study import PromptStudyConfig
from spsam.registry.catalogue import Card
from spsam.studies.prompts.cells import Form, PromptCell, PromptSource, Strategy
from spsam.studies.prompts.plan_prompts import PromptStudy
from spsam.studies.prompts.request import PromptRequest
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
    cells = [
        PromptCell(use, strategy, PromptSource("ground_truth")) for use in (("point",), ("box",))
    ]
    config = PromptStudyConfig(title="t", prompts=("box",), arm="base", preset="cpu", seeds=2)
    data = SimpleNamespace(class_names=("background", "left"))
    subject: Any = SimpleNamespace(identity="0123", run=None, config=SimpleNamespace(data=data))
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
    assert study.key(box, 0) == study.key(PromptCell(("box",), other, box.source), 0)
    assert study.key(point, 0) != study.key(PromptCell(("point",), other, point.source), 0)
    assert study.key(box, 0) != study.key(
        PromptCell(("box",), box.strategy, PromptSource("auxiliary")), 0
    )


def test_the_mask_is_part_of_a_key_where_there_is_one(study: PromptStudy) -> None:
    box = study.cells[1]
    values = {"mask": "binary", "mask_values": (0.0, 1.0)}
    strategy = Strategy(box.strategy.card, {}, values)
    other = Strategy(box.strategy.card, {}, {**values, "mask_values": (0.0, 2.0)})

    def key(use: tuple[str, ...], form: Form | None, strategy: Strategy = strategy) -> str:
        return study.key(PromptCell(use, strategy, box.source, form), 0)

    masks = [Form("binary"), Form("binary", (-4.0, 4.0)), Form("logits"), Form("log_odds")]
    assert len({key(("mask",), form) for form in masks}) == 4
    assert key(("mask",), Form("binary")) == key(("mask",), Form("binary", (0.0, 1.0)))
    assert key(("mask",), Form("binary")) == key(("mask",), None)
    assert key(("mask",), Form("binary")) != key(("mask",), Form("binary"), other)
    # Of logits the numbers of a binary mask are no part, nor of a box the mask's form.
    assert key(("mask",), Form("logits")) == key(("mask",), Form("logits"), other)
    assert key(("box",), None) == study.key(box, 0)
