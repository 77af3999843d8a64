"""The study of prompts from the command line, on tiny files, with a real network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import segment_anything
import torch
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from spsam.engine.prompting.evaluator import PromptEvaluator
from tests.data.layouts import write_msd

FEW = ["--prompts", "box,point+box", "--point", "edt,random"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_msd(tmp_path_factory.mktemp("data") / "organs")


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It costs seconds; what is recorded is tested elsewhere."""
    for name in ("SPSAM_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spsam.tracking.mlflow.Tracker.open", lambda *_: None)


@pytest.fixture
def prompts(data: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        more = ["--data", str(data), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(app, ["prompts", *words, *more])

    return run


def test_plain_sam_from_the_command_line_to_tables_and_pictures(
    prompts: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = prompts(*FEW, "--source", "ground_truth,disturbed", "--seeds", "2", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    kinds = {(c["prompts"], c["point"], c["source"], c["disturbance"]) for c in told["cells"]}
    assert ("point+box", "random", "ground_truth", None) in kinds
    assert ("box", None, "disturbed", "box ±10%") in kinds
    assert ("box", None, "disturbed", "point 5 px off") not in kinds
    for cell in told["cells"]:
        assert 0 <= cell["mean_dice"] <= 100
        assert set(cell["per_class"]) == {"liver", "spleen"}
    seeds = {(c["prompts"], c["point"], c["disturbance"]): c["seeds"] for c in told["cells"]}
    assert seeds["point+box", "random", None] == 2
    assert seeds["point+box", "edt", None] == 1
    folder = tmp_path / "out" / "prompts" / told["name"]
    assert len(pd.read_csv(folder / "table.csv")) == len(told["cells"])
    for name in ("heat_map", "subsets", "points_with_box", "cases", "logits"):
        assert (folder / f"{name}.png").stat().st_size > 5_000
    # How much neighbouring slices agree (the paper's Fig. 1d), also of plain SAM.
    assert [row["of"] for row in told["neighbours"]] == [
        "reference",
        "plain SAM, box",
        "plain SAM, point+box (edt)",
    ]
    assert all(0 < row["dice"] <= 100 for row in told["neighbours"])
    assert (folder / "neighbours.png").stat().st_size > 5_000
    assert "input 128×128" in told["network"]
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    draws = sum(cell["seeds"] for cell in told["cells"])
    assert len(rows) == 2 * draws * len(told["cases"])  # two classes

    # Nothing is asked twice, neither by the same study nor by another that shares cells.
    monkeypatch.setattr(PromptEvaluator, "case", lambda *_, **__: pytest.fail("asked again"))
    again = prompts(*FEW, "--source", "ground_truth,disturbed", "--seeds", "2", "--json")
    assert json.loads(again.stdout)["cells"] == told["cells"]
    assert prompts("--prompts", "box", "--source", "ground_truth").exit_code == 0


def test_an_interrupted_study_goes_on_with_the_next_case(
    prompts: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = PromptEvaluator.case

    def until_the_second(self: PromptEvaluator, case: Any, *rest: Any, **named: Any) -> Any:
        if len(asked) == 1:
            asked.append("stop")
            raise KeyboardInterrupt
        asked.append(case.id)
        return whole(self, case, *rest, **named)

    monkeypatch.setattr(PromptEvaluator, "case", until_the_second)
    arguments = ["--prompts", "box", "--source", "ground_truth"]
    result = prompts(*arguments)
    assert result.exit_code == 130
    assert "rerun the same command to resume" in result.stderr
    assert prompts(*arguments).exit_code == 0
    done = [name for name in asked if name != "stop"]
    assert len(done) == len(set(done)) == 2


@pytest.mark.slow
def test_a_trained_run_is_asked_with_its_own_prompts(
    prompts: Callable[..., Result], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["ablate", "S1,S9", "--preset", "smoke", "--data", str(data), "--out"]
    trained = CliRunner().invoke(app, [*arguments, str(tmp_path / "out")])
    assert trained.exit_code == 0, trained.output
    first, second = sorted(path.parent.name for path in tmp_path.glob("out/runs/*/run.json"))
    result = prompts(
        *["--run", first, "--compare", second, "--prompts", "point+box+mask", "--point", "edt"],
        *["--source", "ground_truth,auxiliary", "--json"],
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["metric"] == "labels"
    cells = {cell["source"]: cell for cell in told["cells"]}
    # The study's own cell is the run's own way of prompting.
    mean = told["attribution"][-1]
    assert mean["own"] == pytest.approx(cells["auxiliary"]["mean_dice"])
    assert mean["oracle"] == pytest.approx(cells["ground_truth"]["mean_dice"])
    assert mean["own"] + mean["prompt_error"] + mean["decoder_error"] == pytest.approx(100)
    assert next(row["of"] for row in told["neighbours"]) == "reference"
    assert len(told["neighbours"]) == 3
    folder = tmp_path / "out" / "prompts" / told["name"]
    for name in ("attribution.md", "attribution.tex", "neighbours.png", "subsets_auxiliary.png"):
        assert (folder / name).is_file()
    # A run stands beside plain SAM with the number that it has in a study of its own.
    box = ["--prompts", "box", "--source", "ground_truth", "--json"]
    beside = prompts(*box, "--compare", first, "--compare", second)
    assert beside.exit_code == 0, beside.output
    rows = {row["of"]: row for row in json.loads(beside.stdout)["neighbours"]}
    assert len(rows) == 4
    assert "plain SAM, box" in rows
    for row in told["neighbours"]:
        assert rows[row["of"]] == row
    for path in (tmp_path / "out" / "runs" / second / "predictions").glob("*.nii.gz"):
        path.unlink()
    refused = prompts(*box, "--compare", second)
    assert refused.exit_code == 2
    assert "predicted none of the 2 test cases" in refused.stderr
    by_path = prompts("--run", tmp_path / "out" / "runs" / first, "--dry-run")
    assert by_path.exit_code == 0
    assert "auxiliary" in by_path.stdout
    assert f"weights   sam_tiny: {told['weights']['origin']}" in by_path.stdout
    assert f"SAM's weights: {told['weights']['origin']}." in told["caption"]
    # Volumes that are prepared otherwise would show its network other intensities.
    monkeypatch.setattr("spsam.data.plan.VERSION", {"MR": 99, "CT": 99})
    other = prompts("--run", first, "--dry-run")
    assert other.exit_code == 2
    assert "train it again" in other.stderr


def test_a_strategy_of_ones_own_joins_by_its_name(
    prompts: Callable[..., Result], tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    (plugin / "registry" / "prompt").mkdir(parents=True)
    (plugin / "registry" / "prompt" / "corner.yaml").write_text(
        "target: my_corner:CornerPrompt\nsummary: The box's first corner.\n"
    )
    (plugin / "my_corner.py").write_text(
        "from spsam.model.prompts.base import Prompt\n\n\n"
        "class CornerPrompt(Prompt):\n"
        "    def __init__(self, num_classes: int, *, inset: int = 0) -> None:\n"
        "        super().__init__(num_classes)\n"
        "        self.inset = inset\n\n"
        "    def points(self, labels, boxes, present):\n"
        "        return (boxes[..., :2] + self.inset) * present[..., None]\n"
    )
    study = tmp_path / "mine.yaml"
    study.write_text(
        "title: Corners\nprompts: [point]\nsource: [ground_truth]\n"
        "point: [edt, corner, {name: corner, inset: 2}]\n"
    )
    result = prompts(study, "--plugin", plugin, "--json")
    assert result.exit_code == 0, result.output
    points = [cell["point"] for cell in json.loads(result.stdout)["cells"]]
    assert points == ["edt", "corner", "corner(inset=2)"]
    listed = prompts("--plugin", plugin, "--dry-run")
    assert "point by corner" in listed.stdout


def test_every_mistake_at_once_and_nothing_is_written(
    prompts: Callable[..., Result], tmp_path: Path
) -> None:
    result = prompts(
        *["--prompts", "box,piont", "--point", "edt,rnadom", "--source", "auxiliary,disturbd"],
        *["--backbone", "sam_tniy", "--limit", "0", "--mask", "binary,logit"],
    )
    assert result.exit_code == 2
    errors = result.stderr.splitlines()
    assert all(line.startswith("error: ") for line in errors)
    for said in (
        "--prompts: prompts 'piont': unknown kind of prompt 'piont'; did you mean 'point'?",
        "--point: unknown point strategy 'rnadom'; did you mean 'random'?",
        "--source: source 'auxiliary' requires a trained run",
        "--source: unknown source 'disturbd'; did you mean 'disturbed'?",
        "--mask: unknown mask prompt 'logit'; did you mean 'logits'?",
        "did you mean 'sam_tiny'?",
        "--limit 0",
    ):
        assert any(said in line for line in errors), said
    assert not (tmp_path / "out").exists()


def test_mistakes_in_a_file_have_a_line(prompts: Callable[..., Result], tmp_path: Path) -> None:
    study = tmp_path / "mine.yaml"
    study.write_text("prompts: [box]\npoint:\n  - edt\n  - rnadom\nsource: [ground]\n")
    result = prompts(study)
    assert result.exit_code == 2
    assert "mine.yaml:4: unknown point strategy 'rnadom'" in result.stderr
    assert "mine.yaml:5: unknown source 'ground'" in result.stderr
    study.write_text("promts: [box]\n")
    assert "mine.yaml:1: promts: unknown key; did you mean 'prompts'?" in prompts(study).stderr


def test_an_unknown_run_is_a_mistake(prompts: Callable[..., Result]) -> None:
    result = prompts("--run", "0123", "--prompts", "bx", "--compare", "4567")
    assert result.exit_code == 2
    assert "--run 0123" in result.stderr
    assert "did you mean 'box'?" in result.stderr


def test_the_form_of_the_mask_is_an_axis(prompts: Callable[..., Result], tmp_path: Path) -> None:
    cells = ["--prompts", "box,box+mask", "--source", "ground_truth", "--dry-run", "--json"]
    every = json.loads(prompts(*cells).stdout)["cells"]
    assert [(cell["prompts"], cell["mask"]) for cell in every] == [
        ("box", None),
        ("box+mask", "binary"),
        ("box+mask", "logits"),
        ("box+mask", "log_odds"),
    ]
    study = tmp_path / "mine.yaml"
    study.write_text("mask: [{name: binary, values: [-4, 4]}, log_odds]\n")
    mine = json.loads(prompts(study, *cells).stdout)["cells"]
    assert [cell["mask"] for cell in mine] == [None, "binary [-4, 4]", "log_odds"]
    assert mine[0]["keys"] == every[0]["keys"]
    one = json.loads(prompts(study, *cells, "--mask", "logits").stdout)["cells"]
    assert [cell["mask"] for cell in one] == [None, "logits"]
    study.write_text("mask: log_odds\n")
    word = json.loads(prompts(study, *cells).stdout)["cells"]
    assert [cell["mask"] for cell in word] == [None, "log_odds"]


@pytest.mark.slow
def test_vit_b_is_asked_at_1024_pixels_with_a_file_in_the_official_format(
    prompts: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 × 64 tokens and 256 × 256 masks, though the patch is small; weights are random numbers."""
    with torch.device("meta"):
        official = segment_anything.sam_model_registry["vit_b"]().state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {
        name: 0.02 * torch.randn(value.shape, generator=generator)
        for name, value in official.items()
    }
    torch.save(state, tmp_path / "sam_vit_b_01ec64.pth")
    seen: list[tuple[int, ...]] = []
    masks, tiles = PromptEvaluator.masks, PromptEvaluator.tiles

    def watched(self: PromptEvaluator, piece: Any, questions: Any) -> Any:
        for answer, asked in masks(self, piece, questions):
            seen.extend([tuple(piece.embedding.shape), tuple(asked.masks.shape)])
            yield answer, asked

    monkeypatch.setattr(PromptEvaluator, "masks", watched)
    # One slice is enough to see it, and takes seconds.
    monkeypatch.setattr(PromptEvaluator, "tiles", lambda self, case: tiles(self, case).part(2, 3))
    monkeypatch.setattr("spsam.studies.prompts.study.draw_pictures", lambda *_: None)
    result = prompts(
        *["--backbone", "sam_vit_b", "--checkpoint", tmp_path / "sam_vit_b_01ec64.pth"],
        *["--prompts", "mask", "--mask", "binary", "--source", "ground_truth", "--limit", "1"],
    )
    assert result.exit_code == 0, result.output
    assert seen == [(1, 256, 64, 64), (1, 1, 2, 1, 256, 256)]
