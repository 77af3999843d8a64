"""The whole road, from files on disk to the table, and every wrong turn at its beginning."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK
import torch
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from tests.data.layouts import blocks, random_image, truncate, write_acdc, write_image, write_msd

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


def _arm(text: str) -> Callable[[Path], list[object]]:
    def write(folder: Path) -> list[object]:
        (folder / "mine.yaml").write_text(text)
        return [folder / "mine.yaml", "--preset", "smoke"]

    return write


def _case(change: Callable[[Path, Path], None]) -> Callable[[Path], list[object]]:
    def write(folder: Path) -> list[object]:
        data = write_msd(folder / "organs")
        name = "organ_002.nii.gz"
        change(data / "imagesTr" / name, data / "labelsTr" / name)
        return ["S1", "--preset", "smoke", "--data", data]

    return write


def _circle(folder: Path) -> list[object]:
    (folder / "one.yaml").write_text("base: two.yaml\n")
    (folder / "two.yaml").write_text("base: one.yaml\n")
    return [folder / "one.yaml", "--preset", "smoke"]


def _nan(image: Path, label: Path) -> None:
    pixels = random_image(2)
    pixels[2, 3, 4] = np.nan
    write_image(image, pixels)


def _other_model(folder: Path) -> list[object]:
    torch.save({"conv1.weight": torch.zeros(3)}, folder / "resnet.pth")
    return ["S1", "--preset", "smoke", "--checkpoint", folder / "resnet.pth"]


MISTAKES: dict[str, tuple[Callable[[Path], list[object]], str]] = {
    "misspelt key": (_arm("base: S1\ntrian: {epochs: 3}\n"), "mine.yaml:2.*did you mean 'train'"),
    "unknown component": (
        _arm("base: S3\nblocks: {adapter: dfusde}\n"),
        "mine.yaml:2.*did you mean 'dfused'",
    ),
    "wrong type": (_arm("base: S1\ntrain: {epochs: many}\n"), "mine.yaml:2.*train.epochs.*many"),
    "duplicate key": (_arm("base: S1\ntrain: {}\ntrain: {}\n"), "mine.yaml:3.*train"),
    "circular base": (_circle, "one.*two"),
    "missing folder": (lambda _: ["S1", "--data", "no/such/folder"], "no/such/folder"),
    "other size": (
        _case(lambda image, label: write_image(label, blocks((5, 20, 22), (1, 2))) and None),
        "organ_002.*20.*22|organ_002.*22.*20",
    ),
    "label out of range": (
        _case(lambda image, label: write_image(label, blocks(values=(1, 7))) and None),
        "organ_002.*7",
    ),
    "truncated file": (_case(lambda image, label: truncate(image)), "organ_002"),
    "NaN": (_case(_nan), "organ_002.*NaN"),
    "another model's checkpoint": (_other_model, "resnet.pth"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_input_is_a_sentence_and_leaves_nothing(
    mistake: str, tmp_path: Path, spsam: Callable[..., Result]
) -> None:
    write, said = MISTAKES[mistake]
    result = spsam(*write(tmp_path))
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert errors
    assert "Traceback" not in result.output
    assert any(_found(said, line) for line in errors), errors
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path for path in left if path.suffix != ".lock"] == []


def _found(pattern: str, line: str) -> bool:
    return re.search(pattern, line) is not None
