"""The whole road, from files on disk to the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from tests.data.layouts import write_acdc

FEW = ["--preset", "smoke", "--set", "train.epochs=1", "--set", "train.generator_epochs=0"]


@pytest.fixture
def spsam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in a folder of its own, results below `out`."""
    for name in ("SPSAM_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(app, ["ablate", *words, "--out", str(tmp_path / "out")])

    return run


def test_two_arms_on_files_of_the_official_layout(
    tmp_path: Path, spsam: Callable[..., Result]
) -> None:
    data = write_acdc(tmp_path / "acdc")
    result = spsam("S1,S9", "--data", data, *FEW)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(next((tmp_path / "out" / "ablations").glob("*/table.csv")))
    assert list(table["arm"]) == ["S1", "S9"]
    runs = sorted((tmp_path / "out" / "runs").glob("[0-9a-f]*"))
    assert len(runs) == 2
    for run in runs:
        said = json.loads((run / "run.json").read_text())
        assert said["status"] == "finished"
        rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
        cases = {row["case"] for row in rows}
        # Dice of every class, and HD95 of those that are not background.
        assert len(rows) == (4 + 3) * len(cases)
        assert (run / "measures.npz").is_file()
        assert (run / "panels.npz").is_file()
        assert (run / "preview.png").stat().st_size > 10_000
        for case in cases:
            patient = case.split("_")[0]
            made = SimpleITK.ReadImage(str(run / "predictions" / f"{case}.nii.gz"))
            given = SimpleITK.ReadImage(str(data / patient / f"{case}_gt.nii.gz"))
            assert made.GetSize() == given.GetSize()
            assert made.GetSpacing() == given.GetSpacing()
            assert made.GetOrigin() == given.GetOrigin()
            assert made.GetDirection() == given.GetDirection()
    before = {run: (run / "rows.jsonl").stat().st_mtime_ns for run in runs}
    again = spsam("S1,S9", "--data", data, *FEW)
    assert again.exit_code == 0
    assert before == {run: (run / "rows.jsonl").stat().st_mtime_ns for run in runs}


def test_a_tenth_arm_is_one_file(tmp_path: Path, spsam: Callable[..., Result]) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: S9\ntitle: Thinner\nblocks: {adapter: {ratio: 0.125}}\n")
    result = spsam("S9", mine, "--preset", "smoke", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    arms = json.loads(result.output)["arms"]
    assert [arm["name"] for arm in arms] == ["S9", "mine"]
    assert arms[1]["parent"] == "S9"
    assert arms[1]["diff"] == [{"key": "blocks.adapter.ratio", "parent": 0.25, "value": 0.125}]
    assert arms[1]["trained_parameters"] < arms[0]["trained_parameters"]
