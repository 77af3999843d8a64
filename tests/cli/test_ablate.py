from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spsam.cli.main import app
from spsam.cli.options import parse_folds, parse_seeds
from spsam.errors import InputError
from tests.studies.fakes import FakeBackend, tiny_dataset
from tests.studies.label_maps import write_map

ACT: dict[str, Any] = {}


class Engine(FakeBackend):
    def __init__(self) -> None:
        super().__init__(lambda arm, epoch: ACT["act"](arm, epoch))


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine and MLflow cost seconds; neither is what is tested here."""
    ACT["act"] = lambda arm, epoch: None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spsam.studies.planning.planner.Backend", Engine)
    monkeypatch.setattr("spsam.studies.execution.ablation.Backend", Engine)
    monkeypatch.setattr("spsam.studies.execution.executors.choose.Backend", Engine)
    monkeypatch.setattr("spsam.data.dataset.open_dataset", lambda name: tiny_dataset())
    monkeypatch.setattr("spsam.studies.execution.ablation.Tracker.open", lambda *_: None)


def ablate(*arguments: str) -> Any:
    executor = [] if "--executor" in arguments else ["--executor", "inline"]
    words = ["ablate", *arguments, "--preset", "smoke", *executor]
    return CliRunner().invoke(app, words)


def test_the_table_is_shown_and_its_files_named(tmp_path: Path) -> None:
    result = ablate("S1..S3", "--out", "results")
    assert result.exit_code == 0, result.stderr
    for text in ("data      tiny", "two patients are missing", "60.00", "+5.00 (S2)", "table.tex"):
        assert text in result.stdout
    assert "[3/3] S3 seed 0: finished" in result.stderr
    (folder,) = (tmp_path / "results" / "ablations").iterdir()
    assert folder.name.startswith("tiny-smoke-")
    again = ablate("S1..S3", "--out", "results")
    assert again.exit_code == 0
    assert "[1/3] S1 seed 0: already finished" in again.stderr


@pytest.mark.parametrize("takes", [True, False])
def test_mlflow_is_named_only_if_it_has_the_runs(
    takes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spsam.studies.execution.ablation.Tracker.close", lambda *_: takes)
    result = ablate("S1", "--out", "results")
    assert result.exit_code == 0
    assert ("in MLflow" in result.stdout) == takes


def test_json_is_all_that_stdout_has() -> None:
    result = ablate("S1", "S2", "--json", "--seeds", "2")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [arm["result"]["dice"] for arm in told["arms"]] == pytest.approx([55.5, 60.5])
    assert told["arms"][0]["result"]["change"] is None
    assert len(told["arms"][0]["run_ids"]) == 2
    assert all(Path(path).is_file() for path in told["files"])


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = ablate("S1..S9", "--dry-run", "--json")
    assert result.exit_code == 0
    arms = json.loads(result.stdout)["arms"]
    wanted = {"name", "parent", "diff", "run_id", "trained_parameters", "total_parameters"}
    assert [arm["name"] for arm in arms] == [f"S{n}" for n in range(1, 10)]
    assert all(wanted <= set(arm) for arm in arms)
    text = ablate("S1..S9", "--dry-run").stdout
    assert "blocks.adapter: vanilla -> dfused" in text
    assert arms[3]["run_id"] in text
    # S7 has no such block: nothing of it changes.
    slower = "components.input_adapter={madapter: {lr_mult: 0.1}}"
    text = ablate("S8", "--set", slower, "--dry-run").stdout
    assert "blocks.input_adapter.lr_mult: 0.1 (default: 1.0)" in text
    assert list(tmp_path.iterdir()) == []


def test_the_header_lists_every_size_of_the_encoder(tmp_path: Path) -> None:
    line = "patch 2×32×32, encoder 2x the patch, as the patch;"
    fine = tmp_path / "fine.yaml"
    fine.write_text("base: S9\ntitle: Fine\nbackbone: {encoder_size: 2x}\n")
    same = "backbone: {encoder_size: null}\n"
    (tmp_path / "same.yaml").write_text(f"base: S9\ntitle: The same\n{same}")
    assert line in ablate(str(fine), "same.yaml", "--dry-run").stdout


def test_a_file_of_weights_is_told_by_its_content(tmp_path: Path) -> None:
    """An official name on other numbers is a warning, whatever else is printed."""
    Path("sam_vit_b_01ec64.pth").write_bytes(b"random numbers")
    words = ["S1", "--set", "backbone.name=sam_vit_b", "--checkpoint", "sam_vit_b_01ec64.pth"]
    result = ablate(*words, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "weights   sam_vit_b: not an official file" in result.stdout
    assert "warning: sam_vit_b_01ec64.pth: not an official file of sam_vit_b" in result.stderr
    as_json = ablate(*words, "--dry-run", "--json")
    assert "not an official file" in json.loads(as_json.stdout)["arms"][0]["weights"]["origin"]
    assert "warning: sam_vit_b_01ec64.pth" in as_json.stderr


def test_random_weights_are_named_without_a_warning() -> None:
    result = ablate("S1", "--set", "backbone.weights=random", "--dry-run")
    assert "weights   sam_tiny: random\n" in result.stdout
    assert "warning" not in result.stderr


def test_a_failed_run_ends_with_1_after_the_others() -> None:
    def fail(arm: str, epoch: int) -> None:
        if arm == "S1":
            raise RuntimeError("out of memory")

    ACT["act"] = fail
    result = ablate("S1", "S2")
    assert result.exit_code == 1
    assert "failed" in result.stdout
    assert "60.00" in result.stdout
    assert "out of memory" in result.stderr
    assert "error.txt" in result.stderr

    ACT["act"] = lambda arm, epoch: None
    assert ablate("S1", "S2").exit_code == 1  # the hole stays
    again = ablate("S1", "S2", "--retry-failed")
    assert again.exit_code == 0
    assert "55.00" in again.stdout


def test_an_interruption_ends_with_130_and_can_be_gone_on_with() -> None:
    def stop(arm: str, epoch: int) -> None:
        raise KeyboardInterrupt

    ACT["act"] = stop
    result = ablate("S1")
    assert result.exit_code == 130
    assert "rerun the same command to resume" in result.stderr
    ACT["act"] = lambda arm, epoch: None
    again = ablate("S1")
    assert again.exit_code == 0
    assert "resumes where it stopped" in again.stderr


def test_every_mistake_of_the_command_line_at_once(tmp_path: Path) -> None:
    result = ablate("S1", "--set", "train.epochs", "--set", "=1", "--seeds", "many")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 3
    assert result.stdout == ""
    result = ablate("S1", "S77", "--set", "train.epochz=3")
    assert result.exit_code == 2
    assert "S77" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", (0,)), ("3", (0, 1, 2)), ("0,1,4", (0, 1, 4)), ("7,", (7,))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "a", "1,a", "1,1", "1.5", ","])
def test_wrong_seeds(text: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        parse_seeds(text)


STUDY = """\
title: Two blocks
shape: factorial
base: S9
factors:
  blocks.adapter: [none, dfused]
  blocks.mask_head: [argmax, mc_adapter]
seeds: 2
"""


def test_a_study_is_shown_run_and_its_effects_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    points = {"dfused": 0.1, "mc_adapter": 0.05}
    monkeypatch.setattr(
        "tests.studies.fakes.score",
        lambda arm, seed: 0.5 + sum(gain for name, gain in points.items() if name in arm),
    )
    cost = {"weights": 1e6, "training": 1e6, "activations": 1e6, "peak": 3e6, "free": 1e9}
    cost |= {"generator_step": 0.5, "joint_step": 1.0, "steps": 3, "seconds": 60.0}
    monkeypatch.setattr("spsam.studies.planning.costs.Backend.measure", lambda *_: cost)
    shown = ablate("s.yaml", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert "runs      8: arms × seeds 4 × 2" in shown.stdout
    assert "study     Two blocks (factorial)" in shown.stdout
    assert "all 8 runs: training 8 min one after the other, 3 MB at most" in shown.stdout
    result = ablate("s.yaml")
    assert result.exit_code == 0, result.stderr
    assert "adapter × mask_head" in result.stdout
    told = json.loads(ablate("s.yaml", "--json").stdout)
    assert [line["effect"] for line in told["effects"]] == pytest.approx([10, 5, 0])


def test_folds_on_the_command_line() -> None:
    assert parse_folds("2") == (2,)
    assert parse_folds("0,2..4") == (0, 2, 3, 4)
    for text in ("", "a", "3..1", "0,0", "1..", "0..1,1"):
        with pytest.raises(InputError, match="--fold"):
            parse_folds(text)
    result = ablate("S1", "--fold", "0..1", "--split", "five_fold", "--seeds", "2", "--dry-run")
    assert "runs      4: arms × seeds × folds 1 × 2 × 2" in result.stdout, result.stderr


def test_externals_are_named_folders() -> None:
    result = ablate("S9", "--external", "nnUNet", "--external", "a=b", "--external", "a=c")
    assert result.exit_code == 2
    assert "--external nnUNet: expected NAME=FOLDER" in result.stderr
    assert "--external a=c: 'a' is repeated" in result.stderr
    result = ablate("S9", "--external", "nnUNet=nowhere", "--reference", "S8", "--data", "tiny")
    assert result.exit_code == 2
    assert "no arm of the study is named 'S8'" in result.stderr


def test_a_dry_run_names_externals_and_what_tuning_costs(tmp_path: Path) -> None:
    for case in ("case3", "case6"):
        write_map(tmp_path / "maps", case)
    text = ablate("S9", "--dry-run", "--external", "nnUNet=maps").stdout
    assert "external  nnUNet: 2 label maps in maps, compared with S9" in text
    (tmp_path / "tuned.yaml").write_text(
        "title: T\nshape: arms\narms: [S9, unet3d]\n"
        "tune: {train.optimizer.lr: [0.001, 0.01], trials: 3}\n"
    )
    text = ablate("tuned.yaml", "--dry-run", "--no-measure").stdout
    assert "tuning    6 trials before the runs, 24 steps in total: train.optimizer.lr" in text
    assert "no test case is used" in text
    for words in (("--fit",), ("--executor", "slurm")):
        result = ablate("tuned.yaml", *words)
        assert result.exit_code == 2, result.stdout
        assert "a study with tuning" in result.stderr
