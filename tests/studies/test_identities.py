"""Identities do not change unnoticed: what a run, a cell or a trial is known by, held by a file.

A finished run is found again by its id. A default that changes, a value that is read otherwise or
a key that is new gives other ids, and results of before are computed again.

`SPSAM_WRITE_IDENTITIES=1 python -m pytest tests/studies/test_identities.py` writes the file anew,
where identities change on purpose.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spsam.config.places import shipped
from spsam.studies.backend import Backend
from spsam.studies.planning.plan import PlannedArm
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request
from spsam.studies.planning.space import suggest
from spsam.studies.prompts.plan_prompts import plan_prompts
from spsam.studies.prompts.request import PromptRequest
from spsam.studies.sweep.plan_sweep import SweepRequest, plan_sweep
from spsam.studies.sweep.search import make_sampler
from spsam.studies.sweep.storage import open_study
from tests.studies.fakes import FakeBackend

FILE = Path(__file__).parent / "identities.json"
TRIALS = 4

Identities = dict[str, dict[str, list[str]]]
"""By the command, the ids of each arm, cell or trial."""


class PlanningBackend(FakeBackend):
    """Counts no parameters, but knows weights by their content, as a run does."""

    def file_sha256(self, path: Path) -> str:
        return Backend().file_sha256(path)


def of_arms(*arms: str) -> Callable[[Path], dict[str, list[str]]]:
    def ids(home: Path) -> dict[str, list[str]]:
        request = Request(arms, home, preset="smoke", seeds=(0, 1), device="cpu")
        return {
            arm.arm.name: run_ids(arm) for arm in plan_ablation(request, PlanningBackend()).arms
        }

    return ids


def run_ids(arm: PlannedArm) -> list[str]:
    return [run.folder.run_id for run in arm.runs]


def of_prompts(home: Path) -> dict[str, list[str]]:
    request = PromptRequest(
        home, prompts=["point", "mask"], overrides={"backbone.weights": "random"}, device="cpu"
    )
    study = plan_prompts(request, PlanningBackend())
    return {
        f"{cell.prompts}, {cell.point}, {cell.mask}, {cell.source.kind}, "
        f"{cell.source.disturbance and cell.source.disturbance.name}": [
            study.key(cell, seed) for seed in study.seeds(cell)
        ]
        for cell in study.cells
    }


def of_a_sweep(home: Path) -> dict[str, list[str]]:
    sweep = plan_sweep(
        SweepRequest("adapter", home, preset="smoke", device="cpu"), PlanningBackend()
    )
    study, ids = open_study(sweep), {"base": run_ids(sweep.base)}
    for number in range(TRIALS):
        study.sampler = make_sampler(sweep.config.sampler, number)
        trial = study.ask()
        ids[str(number)] = run_ids(sweep.plan_trial(number, suggest(sweep.space, trial)))
        study.tell(trial, 0.5)
    return ids


COMMANDS: dict[str, Callable[[Path], dict[str, list[str]]]] = {
    "ablate S1..S9 unet2d unet3d": of_arms("S1..S9", "unet2d", "unet3d"),
    "ablate factorial": of_arms("factorial"),
    "ablate leave_one_out": of_arms("leave_one_out"),
    "ablate one_at_a_time": of_arms("one_at_a_time"),
    "prompts": of_prompts,
    "sweep adapter": of_a_sweep,
}


def as_text(identities: Identities) -> str:
    """JSON with a line for each arm, cell or trial, so that a change is read line by line."""
    parts = [
        f"{json.dumps(command)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(ids)}" for name, ids in entries.items())
        + "\n }"
        for command, entries in identities.items()
    ]
    return "{\n " + ",\n ".join(parts) + "\n}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_identities_are_as_the_file_has_them(command: str, tmp_path: Path) -> None:
    found = COMMANDS[command](tmp_path)
    if os.environ.get("SPSAM_WRITE_IDENTITIES"):
        written = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
        FILE.write_text(as_text({**written, command: found}), encoding="utf-8")
    held: Identities = json.loads(FILE.read_text(encoding="utf-8"))
    assert found == held[command], "if it is meant: see this file's docstring"


def test_the_file_has_no_other_command() -> None:
    held: Identities = json.loads(FILE.read_text(encoding="utf-8"))
    assert list(held) == list(COMMANDS)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        ("lr: 0.01", "lr: 0.02"),
        ("generator: 1.0", "generator: 2.0"),
        ("sigma: 0.125", "sigma: 0.25"),
    ],
)
def test_another_default_gives_another_identity(
    value: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (shipped("ablations") / "base.yaml").read_text(encoding="utf-8")
    assert text.count(f" {value}\n") == 1
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations/base.yaml").write_text(text.replace(value, other), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    held: Identities = json.loads(FILE.read_text(encoding="utf-8"))
    for name, ids in of_arms("S9")(tmp_path).items():
        assert not set(ids) & set(held["ablate S1..S9 unet2d unet3d"][name])
