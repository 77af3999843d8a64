"""What arms cost is measured once where they compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spsam.studies.planning.costs import costs
from spsam.studies.progress_events import ProgressListener
from tests.studies.conftest import Planner
from tests.studies.fakes import FakeBackend
from tests.studies.planning.test_recipes import study


class Measuring(FakeBackend):
    """Counts, and gives each measurement another number."""

    measured = 0

    def measure(self, *_: object) -> Any:
        self.measured += 1
        return {"peak": self.measured}


def test_a_recipe_of_another_rate_is_not_measured_again(plan: Planner, tmp_path: Path) -> None:
    backend = Measuring()
    found = costs(plan(study(tmp_path)), ProgressListener(), backend)
    assert found["S9:own"] == found["S9:shared"] != found["unet3d:own"]
    assert found["unet3d:own"] == found["unet3d:shared"]
    assert backend.measured == 2


def test_what_a_step_depends_on_is(plan: Planner, tmp_path: Path) -> None:
    for key in ("train.batch_size", "train.optimizer.momentum", "train.epochs"):
        value = 0.5 if key.endswith("momentum") else 4
        text = (
            Path(study(tmp_path)).read_text().replace("train.optimizer.lr: 0.5", f"{key}: {value}")
        )
        backend = Measuring()
        costs(plan(study(tmp_path, text)), ProgressListener(), backend)
        assert backend.measured == 4, key
