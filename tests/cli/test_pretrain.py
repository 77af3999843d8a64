from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from spsam.cli.main import app

FEW = [f"--set={value}" for value in ("steps=2", "images=1", "masks=1", "precision=fp32")]


def test_weights_their_hash_and_their_quality(tmp_path: Path) -> None:
    file = tmp_path / "sam.safetensors"
    options = [*FEW, "--save", str(file), "--workers", "0", "--questions", "2", "--json"]
    result = CliRunner().invoke(app, ["pretrain", *options])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["file"] == str(file)
    assert len(said["sha256"]) == 64
    assert set(said["iou"]) == {"point", "box", "point+box", "point+box, corrected"}
    log = tmp_path / "sam.safetensors.metrics.jsonl"
    assert json.loads(log.read_text())["step"] == 2
    assert sorted(tmp_path.iterdir()) == [file, log]


def test_a_dry_run_shows_the_recipe_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sam.safetensors"
    result = CliRunner().invoke(app, ["pretrain", *FEW, "--save", str(file), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 2
    assert list(tmp_path.iterdir()) == []


def test_mistakes_in_values_are_said_at_once(tmp_path: Path) -> None:
    wrong = ["--set", "steps=many", "--set", "imagse=3", "--save", str(tmp_path / "sam")]
    result = CliRunner().invoke(app, ["pretrain", *wrong])
    assert result.exit_code == 2
    assert "--set steps=many" in result.stderr
    assert "did you mean 'images'" in result.stderr
    assert list(tmp_path.iterdir()) == []
