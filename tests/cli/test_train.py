from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from spsam.config.schema import RunConfig
from spsam.data.plan import Plan
from spsam.errors import InputError
from spsam.results.run_folder import RunFolder
from spsam.signals import Stopped
from tests.studies.fakes import FakeBackend, tiny_dataset

COST = {
    "weights": 24_000_000,
    "training": 12_000_000,
    "activations": 13_000_000,
    "peak": 180_000_000,
    "free": 19_700_000_000,
    "generator_step": 0.25,
    "joint_step": 0.5,
    "steps": 3,
    "seconds": 7200.0,
}
ACT: dict[str, Any] = {}
RANDOM = ["--set", "backbone.weights=random"]


class Engine(FakeBackend):
    def __init__(self) -> None:
        super().__init__(lambda arm, epoch: ACT["act"](arm, epoch))

    def measure(self, *_: object) -> dict[str, Any] | None:
        return ACT["cost"]

    def fit(
        self, config: RunConfig, plan: Plan, device: str, devices: int, memory: float | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if memory is not None and memory < 0.1:
            raise InputError("--fit: does not fit")
        return {"accumulate": 1, "checkpoint_activations": True}, COST


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ACT["act"], ACT["cost"] = lambda arm, epoch: None, COST
    monkeypatch.chdir(tmp_path)
    for module in ("planning.planner", "planning.costs", "execution.ablation", "execution.train"):
        monkeypatch.setattr(f"spsam.studies.{module}.Backend", Engine)
    monkeypatch.setattr("spsam.data.dataset.open_dataset", lambda name: tiny_dataset())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nothing://there")


def spsam(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", "tiny", "--preset", "smoke", *RANDOM])


def test_dry_run_tells_memory_and_time_and_writes_nothing(tmp_path: Path) -> None:
    result = spsam("train", "S9", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "memory: 180 MB at most (weights 24 MB" in result.stdout
    assert "0.250 s per step of the generator alone, 0.500 s per step of both" in result.stdout
    assert "training 2 h 0 min" in result.stdout
    plan = json.loads(spsam("train", "S9", "--dry-run", "--json").stdout)
    assert plan["arms"][0]["cost"] == COST
    plain = spsam("train", "S9", "--dry-run", "--no-measure")
    assert "memory" not in plain.stdout
    ACT["cost"] = None
    assert "more than is free" in spsam("train", "S9", "--dry-run").stdout
    assert list(tmp_path.iterdir()) == []


def test_an_ablation_tells_it_where_it_is_asked() -> None:
    assert "cost" not in spsam("ablate", "S1,S2", "--dry-run", "--json").stdout
    plan = json.loads(spsam("ablate", "S1,S2", "--dry-run", "--measure", "--json").stdout)
    assert [arm["cost"] for arm in plan["arms"]] == [COST, COST]


def test_fit_says_what_it_chose_and_keeps_the_run(tmp_path: Path) -> None:
    plain = json.loads(spsam("train", "S9", "--dry-run", "--json").stdout)
    fitted = spsam("train", "S9", "--fit", "--dry-run", "--json")
    assert "train.accumulate 1, train.checkpoint_activations true: 0.18 GB" in fitted.stderr
    assert json.loads(fitted.stdout)["arms"][0]["run_id"] == plain["arms"][0]["run_id"]
    assert spsam("train", "S9", "--fit", "--memory", "0.01").exit_code == 2
    done = spsam("train", "S9", "--fit", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["run_id"] == plain["arms"][0]["run_id"]
    assert "checkpoint_activations: true" in (Path(said["folder"]) / "config.yaml").read_text()


def test_a_run_is_trained_once_whatever_the_tracking_server_does() -> None:
    first = spsam("train", "S3")
    assert first.exit_code == 0, first.output
    assert "continuing without it" in first.stderr
    assert "left" in first.stdout
    assert "mean" in first.stdout
    again = spsam("train", "S3")
    assert again.exit_code == 0
    assert "already finished" in again.stderr


def test_a_signal_ends_the_command_with_its_code() -> None:
    def stop(arm: str, epoch: int) -> None:
        raise Stopped(15)

    ACT["act"] = stop
    result = spsam("train", "S1")
    assert result.exit_code == 143
    assert "rerun the same command to resume" in result.stderr


def test_a_full_disk_is_one_sentence_even_where_nothing_can_be_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/metrics.jsonl")
    note = RunFolder.note

    def fill(arm: str, epoch: int) -> None:
        def no_room(self: RunFolder, **values: Any) -> None:
            raise full

        monkeypatch.setattr(RunFolder, "note", no_room)
        raise full

    ACT["act"] = fill
    result = spsam("train", "S1")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setattr(RunFolder, "note", note)
    ACT["act"] = lambda arm, epoch: None
    assert spsam("train", "S1").exit_code == 0


def test_the_folds_of_an_arm_are_trained_in_turn() -> None:
    words = ("train", "S1", "--split", "five_fold", "--fold", "0..1")
    told = spsam(*words)
    assert told.exit_code == 0, told.output
    assert "[2/2] S1 seed 0 fold 1: finished" in told.stderr
    assert "fold 1" in told.stdout
    runs = json.loads(spsam(*words, "--json").stdout)
    alone = json.loads(spsam(*words[:-1], "1", "--json").stdout)
    assert [run["status"] for run in runs] == ["finished"] * 2
    assert alone["run_id"] == runs[1]["run_id"]
    assert spsam(*words[:-1], "0,0").exit_code == 2


def test_a_local_arm_that_hides_a_shipped_one_is_noted(tmp_path: Path) -> None:
    assert "hides" not in spsam("train", "S9", "--dry-run", "--no-measure").stdout
    (tmp_path / "ablations").mkdir()
    file = tmp_path / "ablations" / "S9.yaml"
    file.write_text("title: Mine\nbase: S8\n")
    told = spsam("train", "S9", "--dry-run", "--no-measure").stdout
    assert "ablations/S9.yaml replaces the shipped S9.yaml" in told
    assert "hides" not in spsam("train", "S3", "--dry-run", "--no-measure").stdout


def test_missing_weights_are_one_sentence() -> None:
    wanted = ["--set", "backbone.weights=checkpoint", "--set", "backbone.name=sam_vit_b"]
    result = CliRunner().invoke(
        app, ["ablate", "S1..S9", "--data", "tiny", "--preset", "smoke", *wanted]
    )
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "S8, S9 require official weights of sam_vit_b" in line
    assert "sam_vit_b_01ec64.pth (375 MB) is published by" in line
    assert "facebookresearch/segment-anything" in line
