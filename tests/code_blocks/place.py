"""A folder in which the names of the documents exist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spsam.cli.main import app
from tests import tutorials
from tests.code_blocks.pages import BLOCKS
from tests.data.layouts import write_acdc, write_amos, write_msd, write_nnunet

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "spsam" / "model" / "sam" / "weights" / "sam_tiny.safetensors"


def run(*words: str) -> str:
    """What a command of spsam prints on stdout; it ends with 0."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def _sets(folder: Path) -> None:
    """Data sets, scans and references."""
    acdc = write_acdc(folder / "path/to/ACDC", patients=6, first=8)
    write_msd(folder / "path/to/Task04_Hippocampus")
    write_nnunet(folder / "path/to/Dataset001_Mine")
    write_amos(folder / "path/to/AMOS22", numbers=(1, 4, 5, 6, 7, 8, 507))
    for part in ("scans", "labels"):
        (folder / part).mkdir()
    for number in (8, 9):
        name = f"patient{number:03d}_frame01"
        source = acdc / f"patient{number:03d}"
        shutil.copy(source / f"{name}.nii.gz", folder / "scans")
        shutil.copy(source / f"{name}_gt.nii.gz", folder / "labels" / f"{name}.nii.gz")
    shutil.copy(folder / "scans/patient008_frame01.nii.gz", folder / "scan.nii.gz")


def _label_maps(folder: Path) -> None:
    """Somebody's predictions of the split's test cases: here the references."""
    (single,) = (run for run in json.loads(_runs()) if run["arm"] == "S9")
    (folder / "path/to/label_maps").mkdir()
    for path in Path(single["folder"]).glob("predictions/*.nii.gz"):
        case = path.name.removesuffix(".nii.gz")
        reference = folder / "path/to/ACDC" / case.partition("_")[0] / f"{case}_gt.nii.gz"
        shutil.copy(reference, folder / "path/to/label_maps" / path.name)


def _runs() -> str:
    return run("runs", "--json")


def make(folder: Path) -> None:
    """Fills a folder; trains S9 by itself, and S3 to S6 as a study."""
    _sets(folder)
    presets = folder / "ablations" / "presets"
    presets.mkdir(parents=True)
    for name in ("cpu", "demo"):
        shutil.copy(ROOT / "ablations/presets/smoke.yaml", presets / f"{name}.yaml")
    shutil.copy(WEIGHTS, folder / "sam_tiny.safetensors")
    # A dry run wants a file, and tells that it is not the official one.
    (folder / "weights").mkdir()
    for part in (".", "weights"):
        (folder / part / "sam_vit_b_01ec64.pth").write_bytes(b"weights")
    tutorials.as_plugin(folder / "my_blocks")
    (block,) = (block for block in BLOCKS if block.file == "my_arm.yaml")
    (folder / "my_arm.yaml").write_text(block.text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small = ["--data", "path/to/ACDC", "--preset", "cpu"]
        run("train", "S9", *small)
        run("ablate", "S3..S6", *small, "--executor", "inline")
        _label_maps(folder)
    (folder / "runs").symlink_to("spsam-runs")


def placeholders() -> dict[str, str]:
    """Names of runs and of the study, for words that stand for one."""
    ids = {run["arm"]: run["run_id"] for run in json.loads(_runs())}
    (study,) = Path("spsam-runs/ablations").iterdir()
    return {"RUN": ids["S9"], "RUN0": ids["S3"], "RUN1": ids["S6"], "STUDY": study.name}
