"""`spsam doctor` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from spsam.cli.main import app


def test_a_sound_machine_ends_with_0_and_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["doctor", "--data", "phantom", "--out", str(tmp_path / "results"), "--json"]
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["healthy"] is True
    assert report["mend"] is None
    assert {"python", "packages", "torch", "mlflow", "optuna", "data", "steps cpu"} <= {
        finding["check"] for finding in report["findings"]
    }
    assert list(tmp_path.iterdir()) == []


def test_a_fault_ends_with_1_and_stands_last(tmp_path: Path) -> None:
    missing = tmp_path / "sam_vit_b.pth"
    result = CliRunner().invoke(app, ["doctor", "--checkpoint", str(missing), "--data", "nowhere"])
    assert result.exit_code == 1
    lines = result.output.strip().splitlines()
    assert lines[-1].startswith("fix first: checkpoint: ")
    assert lines[-1].endswith("(1 more above)")
    assert any(line.startswith("WRONG data") for line in lines)
