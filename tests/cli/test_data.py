from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from spsam.cli.main import app
from tests.data.layouts import truncate, write_acdc, write_dicom, write_nnunet
from tests.data.sources.test_volumes import SLICES

runner = CliRunner()


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_list_names_data_sets_organs_and_splits() -> None:
    result = runner.invoke(app, ["data", "list", "--json"])
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    known = {each["name"]: each for each in content["known"]}
    assert known["synapse"]["ids"]["pancreas"] == 11
    assert len(known["synapse"]["classes"]) == 9
    assert known["acdc"]["splits"] == {"acdc_70_10_20": {"train": 70, "val": 10, "test": 20}}
    assert len(content["layouts"]) == 6
    text = runner.invoke(app, ["data", "list"]).stdout
    assert "synapse_18_12: 18 / 0 / 12 patients" in text
    assert "nnU-Net v2 raw" in text


def test_check_says_what_is_there_and_what_is_wrong(tmp_path: Path) -> None:
    folder = write_acdc(tmp_path / "acdc")
    result = runner.invoke(app, ["data", "check", str(folder), "--processes", "1"])
    assert result.exit_code == 0
    assert "12 cases of 6 patients" in result.stdout
    assert "no problem that prevents training" in result.stdout
    truncate(folder / "patient002" / "patient002_frame01.nii.gz")
    result = runner.invoke(app, ["data", "check", str(folder), "--processes", "1", "--json"])
    assert result.exit_code == 2
    content = json.loads(result.stdout)
    (error,) = content["errors"]
    assert "patient002_frame01.nii.gz: the file is truncated" in error
    assert len(content["geometry"]) == 11


def test_check_of_what_cannot_be_opened(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, labels={"background": 0, "both": [0, 1, 2]})
    result = runner.invoke(app, ["data", "check", str(folder), "--json"])
    assert result.exit_code == 2
    assert "region 'both'" in json.loads(result.stdout)["errors"][0]


def test_check_of_new_scans(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "scan", SLICES)
    result = runner.invoke(app, ["data", "check", str(folder)])
    assert result.exit_code == 0
    assert "scans: 1 case of 1 patient" in result.stdout


def test_prepare_once(tmp_path: Path) -> None:
    folder, out = write_acdc(tmp_path / "acdc"), tmp_path / "runs"
    arguments = ["data", "prepare", str(folder), "--out", str(out), "--processes", "1"]
    planned = runner.invoke(app, [*arguments, "--dry-run", "--json"])
    assert planned.exit_code == 0
    target = Path(json.loads(planned.stdout)["folder"])
    assert not out.exists()
    first = runner.invoke(app, arguments)
    assert first.exit_code == 0
    assert f"stored in {target}" in first.stdout
    again = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert again["was_prepared"]
    assert again["cases"] == 12


def test_none_of_it_needs_torch() -> None:
    code = (
        "import sys, spsam.cli.data, spsam.data.dataset, spsam.data.checking.examine;"
        "import spsam.data.preparation.prepare;"
        "assert 'torch' not in sys.modules;"
        "import spsam.data.preparation.store; print('ok')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "ok"


def test_a_store_is_read_without_the_image_library() -> None:
    code = "import sys, spsam.data.preparation.store; print('SimpleITK' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
