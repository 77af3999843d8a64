from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spsam.data.dataset
from spsam.studies.planning.plan import Ablation
from spsam.studies.planning.request import Request
from spsam.studies.tuning.plan import plan_study
from tests.studies.fakes import FakeBackend, tiny_dataset

Planner = Callable[..., Ablation]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    """Plans on the tiny data set, below a home of the test's own."""
    original = spsam.data.dataset.open_dataset
    monkeypatch.setattr(
        spsam.data.dataset,
        "open_dataset",
        lambda name: tiny_dataset() if name == "tiny" else original(name),
    )
    monkeypatch.chdir(tmp_path)

    def make(*arms: str, backend: FakeBackend | None = None, **options: Any) -> Ablation:
        usual: dict[str, Any] = {"data": "tiny", "home": tmp_path / "home", "preset": "smoke"}
        return plan_study(Request(arms=arms, **(usual | options)), backend or FakeBackend())

    return make
