"""`spsam view`: from runs and folders of predictions to pages that a browser shows."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from spsam import extras
from spsam.api.view import view
from spsam.cli.main import app

pytest.importorskip("ipyniivue")


def spsam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def data_of(page: Path) -> dict[str, Any]:
    (text,) = re.findall(
        r'type="application/json" id="data">(.*?)</script>', page.read_text("utf-8")
    )
    found: dict[str, Any] = json.loads(text)
    return found


def voxels(data: dict[str, Any], number: int) -> np.ndarray:
    content = gzip.decompress(base64.b64decode(data["layers"][number]["voxels"]))
    return np.frombuffer(content, np.uint8).reshape(data["shape"][::-1])


def in_ras(file: Path) -> np.ndarray:
    """An independent reader's voxels (z, y, x), x to the right, y to the front, z upwards."""
    image = nibabel.as_closest_canonical(nibabel.load(file))
    return np.asarray(image.dataobj).T


def test_a_runs_cases_are_shown_as_its_files_have_them(two_runs: Path, tmp_path: Path) -> None:
    command = ["view", two_runs / "run0", two_runs / "run1", "--data", two_runs / "acdc"]
    result = spsam(*command, "--save", tmp_path / "pages", "--json")
    assert result.exit_code == 0, result.output
    pages = json.loads(result.stdout)["pages"]
    rows = [json.loads(x) for x in (two_runs / "run1" / "rows.jsonl").read_text().splitlines()]
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row["metric"] == "dice" and row["class_id"] and row["value"] is not None:
            scores.setdefault(row["case"], []).append(row["value"])
    order = sorted(scores, key=lambda case: (np.mean(scores[case]), case))
    assert list(pages) == list(dict.fromkeys((order[0], order[len(order) // 2], order[-1])))
    for case, page in pages.items():
        data = data_of(Path(page))
        names = [each["name"] for each in data["layers"]]
        assert names == ["reference", "S9 seed 0 fold 0", "S9 seed 1 fold 0"]
        folder = two_runs / "acdc" / case.split("_")[0]
        np.testing.assert_array_equal(voxels(data, 0), in_ras(folder / f"{case}_gt.nii.gz"))
        for run in (0, 1):
            stored = two_runs / f"run{run}" / "predictions" / f"{case}.nii.gz"
            np.testing.assert_array_equal(voxels(data, 1 + run), in_ras(stored))
        raw = nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(data["image"])))
        shown = raw.get_fdata().T
        near = np.ptp(shown) / 6e4
        np.testing.assert_allclose(shown, in_ras(folder / f"{case}.nii.gz"), atol=near)
        assert [each["name"] for each in data["classes"]] == ["background", "RV", "MYO", "LV"]
        # The network's own prompts, in the page's voxels.
        for asked in data["prompts"]:
            for _, low, high in asked["boxes"]:
                assert np.all(np.less_equal(low, high))
        assert sum(len(asked["boxes"]) + len(asked["points"]) for asked in data["prompts"]) > 0
        text = Path(page).read_text("utf-8")
        assert str(two_runs) not in text
        assert str(tmp_path) not in text


def test_a_folder_of_predictions_is_shown_with_its_prompts(two_runs: Path, tmp_path: Path) -> None:
    case = sorted((two_runs / "run0" / "predictions").iterdir())[0].name.removesuffix(".nii.gz")
    patient = two_runs / "acdc" / case.split("_")[0]
    scans, references, made = (tmp_path / each for each in ("scans", "references", "made"))
    for folder, name in ((scans, f"{case}.nii.gz"), (references, f"{case}_gt.nii.gz")):
        folder.mkdir()
        shutil.copy(patient / name, folder)
    command = ["predict", two_runs / "run0", scans, "--save", made, "--prompts"]
    assert spsam(*command).exit_code == 0
    command = ["view", made, "--images", scans]
    result = spsam(*command, "--references", references)
    assert result.exit_code == 0, result.output
    data = data_of(made / "view" / f"{case}.html")
    assert [each["name"] for each in data["layers"]] == ["reference", "made"]
    np.testing.assert_array_equal(voxels(data, 1), in_ras(made / f"{case}.nii.gz"))
    lines = [json.loads(x) for x in (made / f"{case}_prompts.jsonl").read_text().splitlines()]
    wanted = [line for line in lines if line["class"]]
    (asked,) = data["prompts"]
    assert len(asked["points"]) == len(wanted) > 0
    # Back through what the page has of the file's axes.
    turned = [data[key] for key in ("axes", "flips", "shape")]
    for (k, at), line in zip(asked["points"], wanted, strict=True):
        file = [0.0, 0.0, 0.0]
        for axis, flip, size, value in zip(*turned, at, strict=True):
            file[axis] = size - 1 - value if flip else value
        assert k == line["class"]
        np.testing.assert_allclose(file, line["point"], atol=0.02)
    # The folder stays one that predict goes on with.
    assert spsam("predict", two_runs / "run0", scans, "--save", made, "--prompts").exit_code == 0

    # A notebook shows the same page.
    shown = view(made, images=scans, references=references, case=case)
    text = (made / "view" / f"{case}.html").read_text("utf-8")
    assert shown.save(tmp_path / "saved.html").read_text("utf-8") == text
    (framed,) = re.findall('srcdoc="(.*)"></iframe>', shown._repr_html_(), re.DOTALL)
    assert html.unescape(framed) == text
    assert '"' not in framed

    refused = spsam("view", made)
    assert refused.exit_code == 2
    assert "add their scans with --images" in refused.stderr
    refused = spsam(*command, "nobody")
    assert refused.exit_code == 2
    assert "there is no case 'nobody' to show" in refused.stderr
    image = nibabel.load(scans / f"{case}.nii.gz")
    other = np.asarray(image.dataobj) + 1
    nibabel.save(nibabel.Nifti1Image(other, image.affine), scans / f"{case}.nii.gz")
    refused = spsam(*command)
    assert refused.exit_code == 2
    assert "is not the scan that was segmented" in refused.stderr


def test_a_case_without_a_label_map_is_segmented(two_runs: Path, tmp_path: Path) -> None:
    stored = {file.name for file in (two_runs / "run0" / "predictions").iterdir()}
    case = next(
        file.name.removesuffix(".nii.gz")
        for file in sorted((two_runs / "acdc").rglob("*_frame??.nii.gz"))
        if file.name not in stored
    )
    command = ["view", two_runs / "run0", case, "--data", two_runs / "acdc", "--no-prompts"]
    result = spsam(*command, "--save", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"segmenting {case}, since no label map is stored" in result.stderr
    data = data_of(tmp_path / f"{case}.html")
    assert data["prompts"] == []
    scan = next((two_runs / "acdc").rglob(f"{case}.nii.gz"))
    spsam("predict", two_runs / "run0", scan, "--save", tmp_path / "made")
    np.testing.assert_array_equal(voxels(data, 1), in_ras(tmp_path / "made" / f"{case}.nii.gz"))


def test_what_cannot_be_shown_is_refused(
    two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = spsam("view", two_runs / "run0")
    assert refused.exit_code == 2
    assert "give it with --data" in refused.stderr
    refused = spsam("view", "nothing", "--out", two_runs)
    assert refused.exit_code == 2
    assert "nothing: there is no such trained run" in refused.stderr
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    refused = spsam(
        "view", two_runs / "run0", "--data", two_runs / "acdc", "--save", tmp_path / "p"
    )
    assert refused.exit_code == 2
    assert "pip install 'spsam[view]'" in refused.stderr
    assert not (tmp_path / "p").exists()
