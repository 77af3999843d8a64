"""A data set with regions and ignored voxels, from its files to tables and scored predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import yaml
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from spsam.data.labels import IGNORED
from tests.data.layouts import blocks, random_image, write_image, write_nnunet

CLASSES = {"background": 0, "core": 1, "edema": 2}
REGIONS = {"background": 0, "whole": [1, 2], "edema": 2}
FEW = ("train.epochs=1", "train.generator_epochs=0", "backbone.weights=random")


def spsam(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def write(folder: Path, labels: Mapping[str, Any], *, slab: bool = False, **more: Any) -> Path:
    write_nnunet(folder, labels=labels, **more)
    for number, file in enumerate(sorted((folder / "labelsTr").iterdir())):
        label = blocks(values=(1, 2))
        label[:, :, 12:] = np.where(random_image(number, label[:, :, 12:].shape) > 130, 2,
                                    label[:, :, 12:])  # fmt: skip
        if slab:
            label[2:4, 6:10] = 3
        write_image(file, label)
    return folder


def trained(folder: Path, home: Path, *more: str) -> Path:
    command = ["train", "S9", "--data", folder, "--preset", "smoke", "--out", home, "--json"]
    for value in (*FEW, *more):
        command += ["--set", value]
    said = json.loads(spsam(*command).stdout)
    assert said["status"] == "finished"
    return Path(said["folder"])


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]


def values(run: Path) -> dict[tuple[str, str, str], float]:
    return {(row["case"], row["class_name"], row["metric"]): row["value"] for row in rows_of(run)}


def read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def test_declared_but_absent_ignored_voxels_change_no_bit(tmp_path: Path) -> None:
    """Of training, predictions and scores; the runs are others, as their data sets are."""
    runs = [
        trained(write(tmp_path / name, labels), tmp_path / "home")
        for name, labels in (("plain", CLASSES), ("declared", {**CLASSES, "ignore": 3}))
    ]
    assert runs[0] != runs[1]
    assert values(runs[0]) == values(runs[1])
    texts = [(run / "metrics.jsonl").read_text() for run in runs]
    logs = [list(map(json.loads, text.splitlines())) for text in texts]
    measured = ("loss/total", "gradient_norm")
    logs = [[[line[key] for key in measured] for line in log] for log in logs]
    assert logs[0] == logs[1]
    for file in (runs[0] / "predictions").iterdir():
        np.testing.assert_array_equal(read(file), read(runs[1] / "predictions" / file.name))


def test_from_files_to_scores_with_an_ignored_slab(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", {**CLASSES, "ignore": 3}, slab=True)
    home = tmp_path / "home"
    checked = spsam("data", "check", folder).output
    assert "ignored      id 3:" in checked
    run = trained(folder, home)
    stored = next((home / "prepared").glob("*.lock")).with_suffix("")
    assert stored.is_dir()
    assert {name for _, name, _ in values(run)} == {"background", "core", "edema"}
    predictions = sorted((run / "predictions").glob("*.nii.gz"))
    assert all(read(file).max() <= 2 for file in predictions)

    # Whatever is in the slab, the scores are the same.
    scores = []
    for number in (0, 2):
        other = tmp_path / f"other{number}"
        other.mkdir()
        references = tmp_path / f"references{number}"
        references.mkdir()
        for file in predictions:
            reference = folder / "labelsTr" / file.name
            image = SimpleITK.ReadImage(str(file))
            made = SimpleITK.GetArrayFromImage(image)
            made[read(reference) == 3] = number
            changed = SimpleITK.GetImageFromArray(made)
            changed.CopyInformation(image)
            SimpleITK.WriteImage(changed, str(other / file.name))
            (references / file.name).write_bytes(reference.read_bytes())
        command = ["evaluate", other, references, "--classes", "core=1,edema=2", "--ignore", 3]
        said = json.loads(spsam(*command, "--json").stdout)
        assert said["ignore"] == 3
        scores.append(said["scores"])
    assert scores[0] == scores[1]
    own = values(run)
    for each in scores[0]:
        if each["metric"] in ("dice", "hd95"):
            assert own[each["case"], each["class_name"], each["metric"]] == each["value"]
    without = CliRunner().invoke(
        app, ["evaluate", str(other), str(references), "--classes", "core=1,edema=2"]
    )
    assert without.exit_code == 2
    assert "label values 3 are out of range" in without.output.replace("\n", " ")
    # A dataset.json beside the references declares it.
    (tmp_path / "dataset.json").write_bytes((folder / "dataset.json").read_bytes())
    declared = spsam("evaluate", other, references, "--classes", "core=1,edema=2", "--json")
    assert json.loads(declared.stdout)["scores"] == scores[0]


def test_regions_from_files_to_tables_and_scored_predictions(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "data", {**REGIONS, "ignore": 3}, slab=True, regions_class_order=[1, 2]
    )
    home = tmp_path / "home"
    assert "whole = label 1 + edema" in spsam("data", "check", folder).output
    run = trained(folder, home, "inference.keep_largest=[whole]")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["class_names"] == ["background", "label 1", "edema"]
    assert config["data"]["regions"] == [
        {"name": "whole", "classes": [1, 2]},
        {"name": "edema", "classes": [2]},
    ]
    own = values(run)
    assert {name for _, name, _ in own} == {"background", "whole", "edema"}

    test = sorted({case for case, _, _ in own})
    scans = tmp_path / "scans"
    scans.mkdir()
    for case in test:
        for file in (folder / "imagesTr").glob(f"{case}_*"):
            (scans / file.name).write_bytes(file.read_bytes())
    out = tmp_path / "out"
    spsam("predict", run, scans, "--save", out, "--out", home)
    record = json.loads((out / "predict.json").read_text())
    assert (record["regions"], record["ignore"]) == ({"whole": [1, 2], "edema": [2]}, 3)
    references = tmp_path / "references"
    references.mkdir()
    for case in test:
        file = folder / "labelsTr" / f"{case}.nii.gz"
        (references / file.name).write_bytes(file.read_bytes())
    spsam("evaluate", out, references, "--save", tmp_path / "scores")
    with (tmp_path / "scores" / "scores.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert {line["class_id"] for line in lines} == {"1+2", "2"}
    compared = 0
    for line in lines:
        value = own.get((line["case"], line["class_name"], line["metric"]))
        if value is not None:
            assert float(line["value"]) == pytest.approx(value, rel=1e-5)
            compared += 1
    assert compared >= 2 * len(test)


@pytest.mark.slow
def test_a_study_of_regions_reports_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", REGIONS)
    command = ["ablate", "S1", "S9", "--data", folder, "--preset", "smoke", "--seeds", 2]
    command += ["--out", tmp_path / "home", "--name", "regions"]
    for value in FEW:
        command += ["--set", value]
    spsam(*command)
    (study,) = (tmp_path / "home" / "ablations").glob("regions-*")
    with (study / "table.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    columns = [name for name in lines[0] if name.startswith("dice: ")]
    assert columns == ["dice: whole", "dice: edema"]
    for line in lines:
        mean = np.mean([float(line[name]) for name in columns])
        assert float(line["dice"]) == pytest.approx(mean)
    spsam("report", "--out", tmp_path / "home", "--format", "csv", "--no-pdf")
    for drawn in ("classes", "depth", "panels"):
        assert (study / "report" / "figures" / f"{drawn}.png").is_file()


def test_ignored_voxels_are_in_no_sample_and_survive_preparation(tmp_path: Path) -> None:
    from spsam.data.dataset import open_dataset
    from spsam.data.plan import plan
    from spsam.data.preparation.prepare import prepare
    from spsam.data.sampling.patches import PatchDataset

    folder = write(tmp_path / "data", {**CLASSES, "ignore": 3}, slab=True)
    # Another spacing, so that one case is resampled.
    first = sorted((folder / "labelsTr").iterdir())[0]
    for file in (first, *(folder / "imagesTr").glob("bt_000*")):
        write_image(file, read(file), spacing=(8.0, 1.2, 1.2))
    dataset = open_dataset(folder)
    ids = [case.id for case in dataset.cases]
    planned = plan(dataset, ids, max_depth=4, max_size=16, anisotropy=3.0)
    store = prepare(dataset, planned, tmp_path / "prepared", workers=1)
    for case in map(store.case, ids):
        label = np.asarray(case.label)
        assert (label == IGNORED).any()
        assert set(case.foreground) <= {1, 2}
        assert case.annotated is not None
        assert (label[tuple(case.annotated.T)] != IGNORED).all()
    options: dict[str, Any] = {"length": 20, "seed": 0, "augment": None}
    patches = PatchDataset(store, ids, (1, 1, 1), foreground=0.0, **options)
    assert all((patches[index]["label"] != IGNORED).all() for index in range(20))
