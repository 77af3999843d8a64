"""A model to give away: the same label maps elsewhere, and nothing of this machine or a patient."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import spsam
from spsam.checksums import from_sealed_json
from spsam.cli.main import app
from spsam.config.yaml_file import read_yaml
from spsam.engine.exchange.model import paths_in, read_model, shareable, write_model
from spsam.engine.recipe import Recipe, read_recipe
from spsam.errors import InputError
from spsam.results.rows import read_rows
from spsam.studies.export import plan_export
from tests.data.layouts import random_image, write_image


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both runs in one file, alone in a folder."""
    file = tmp_path_factory.mktemp("given") / "model.zip"
    result = run("export", "S9/all", file, "--out", two_runs, "--licence", "CC BY 4.0", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["bytes"] == file.stat().st_size
    # The optimiser's state alone is as large as the weights.
    assert said["bytes"] < 0.55 * said["bytes_of_checkpoints"]
    return file


@pytest.fixture
def recipe(two_runs: Path) -> Recipe:
    return read_recipe(two_runs / "run0" / "checkpoint.pt")


def test_label_maps_are_the_same_in_another_layout(
    model: Path, two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_image(tmp_path / "scans" / "a.nii.gz", random_image(4, (7, 33, 18)))
    here, there = tmp_path / "here", tmp_path / "there"
    asked = ["--save", here, "--out", two_runs, "--no-mirror"]
    assert run("predict", "S9/all", scan, *asked).exit_code == 0
    # Nothing but the file, and another working directory.
    away = tmp_path / "away" / "deep"
    away.mkdir(parents=True)
    shutil.copy(model, away / "mine.zip")
    monkeypatch.chdir(away)
    result = run("predict", "mine.zip", scan, "--save", there, "--no-mirror")
    assert result.exit_code == 0, result.output
    assert {file.name: file.read_bytes() for file in here.iterdir()} == {
        file.name: file.read_bytes() for file in there.iterdir()
    }
    loaded = spsam.load_run("mine.zip", device="cpu")
    made = loaded.predict(scan, mirror=False)
    one = spsam.load_run("S9/all", out=two_runs, device="cpu")
    np.testing.assert_array_equal(made.labels, one.predict(scan, mirror=False).labels)
    assert loaded.class_names == one.class_names
    assert [config.seed for config in loaded.configs] == [0, 1]
    for index in (0, 1):
        ours, theirs = (each.network(index).state_dict() for each in (loaded, one))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_model_holds_no_path_and_no_name_of_a_case(model: Path, two_runs: Path) -> None:
    rows = read_rows(two_runs / "run0" / "rows.jsonl")
    names = {row.case for row in rows} | {row.patient for row in rows}
    config = read_yaml(two_runs / "run0" / "config.yaml").data
    assert len(names) >= 2
    with zipfile.ZipFile(model) as archive:
        texts = {name: archive.read(name).decode("latin-1") for name in archive.namelist()}
    for name, text in texts.items():
        assert not any(case in text for case in names), name
        assert str(two_runs) not in text
        assert os.environ["HOME"] not in text or os.environ["HOME"] == "/"
    told = json.loads(texts["runs/0/run.json"])
    assert list(paths_in(told)) == []
    assert told["config"]["data"]["fingerprint"] == config["data"]["fingerprint"]
    assert told["run_id"] == (two_runs / "run0").resolve().name


def test_a_card_says_what_the_model_is_worth(model: Path, two_runs: Path) -> None:
    with zipfile.ZipFile(model) as archive:
        card = archive.read("README.md").decode("utf-8")
        manifest = from_sealed_json(archive.read("model.json"), required=True)
        assert "CC BY 4.0" in archive.read("LICENCE.txt").decode("utf-8")
    assert [each["name"] for each in manifest["classes"]] == ["background", "RV", "MYO", "LV"]
    assert all(each["colour"].startswith("#") for each in manifest["classes"])
    both = [row for k in (0, 1) for row in read_rows(two_runs / f"run{k}" / "rows.jsonl")]
    dice = [r.value for r in both if (r.class_name, r.metric) == ("LV", "dice")]
    wanted = (
        f"| LV | {100 * np.mean(dice):.2f} ± {100 * np.std(dice, ddof=1):.2f} (n = {len(dice)})"
    )
    assert wanted in card
    assert "Trained for 2 steps only, as a technical test: the results are meaningless." in card
    assert "sam_tiny: random weights, which spsam generates again." in card
    assert "CC BY 4.0." in card
    loaded = spsam.load_run(model, device="cpu")
    assert loaded.summary.set_index(["class_name", "metric"]).loc[
        ("LV", "dice"), "mean"
    ] == pytest.approx(np.mean(dice))
    with pytest.raises(InputError, match="an exported model contains mean scores"):
        loaded.scores  # noqa: B018 - the access is the test


def test_training_cases_of_ct_stay_at_home(recipe: Recipe, tmp_path: Path) -> None:
    plan = dataclasses.replace(recipe.plan, training=("john_doe_1", "john_doe_2"), modality="CT")
    statistics = [{"low": -5.0, "high": 5.0, "mean": 0.5, "std": 2.0}]
    given = dataclasses.replace(recipe, plan=plan, intensities=statistics)
    write_model(
        tmp_path / "a.zip", [given], card="", licence="", summary=[], weights=[None], plugins={}
    )
    assert b"john_doe" not in (tmp_path / "a.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert not any(b"john_doe" in archive.read(name) for name in archive.namelist())
    (back,) = read_model(tmp_path / "a.zip").recipes
    assert back.intensities == statistics
    assert back.plan == dataclasses.replace(plan, training=())
    assert back.sha256 == recipe.sha256


def test_paths_of_a_configuration_go_or_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    arm = recipe.config.arm
    backbone = arm.backbone.model_copy(update={"checkpoint": Path("/home/me/sam.pth")})
    own = recipe.config.model_copy(
        update={
            "arm": arm.model_copy(update={"backbone": backbone, "plugins": (Path("/home/me"),)}),
            "preset": "/home/me/mine.yaml",
        }
    )
    shared = shareable(own)
    assert list(paths_in(shared.model_dump(mode="json"))) == []
    assert shared.preset == "mine"
    params = {**arm.blocks.adapter.params, "file": "/home/me/table.npy"}
    block = arm.blocks.adapter.model_copy(update={"params": params})
    blocks = arm.blocks.model_copy(update={"adapter": block})
    config = recipe.config.model_copy(update={"arm": arm.model_copy(update={"blocks": blocks})})
    with pytest.raises(InputError, match=r"adapter\.params\.file: is a path of this machine"):
        write_model(
            tmp_path / "a.zip",
            [dataclasses.replace(recipe, config=config)],
            card="", licence="", summary=[], weights=[None], plugins={},
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_mistakes_write_nothing(model: Path, two_runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    for words, message in (
        (["S9/0", tmp_path / "a.tar"], "expected runs, then the model's file, which ends in"),
        ([target], "expected runs, then the model's file"),
        (["S99", target], "S99: there is no such trained run"),
        (["S9", target], "S9: has seeds 0, 1"),
        ([model, target], "is an exported model already: give runs"),
    ):
        result = run("export", *words, "--out", two_runs)
        assert result.exit_code == 2
        assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
    target.write_text("mine")
    refused = run("export", "S9/0", target, "--out", two_runs)
    assert "exists already; give another name, or replace it with --replace" in refused.stderr
    assert target.read_text() == "mine"
    assert run("export", "S9/0", target, "--out", two_runs, "--replace").exit_code == 0
    assert len(read_model(target).recipes) == 1
    # A run that is named twice is one run.
    twice = ["S9/0", str(two_runs / "run0"), str(tmp_path / "b.zip")]
    assert len(plan_export(twice, home=two_runs).recipes) == 1


def test_a_run_without_scores_is_told_of(two_runs: Path, tmp_path: Path) -> None:
    shutil.copy(two_runs / "run0" / "checkpoint.pt", tmp_path)
    result = run("export", tmp_path / "checkpoint.pt", tmp_path / "a.zip")
    assert result.exit_code == 0
    assert "there are no scores beside the checkpoint" in result.stderr
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert "None were recorded." in archive.read("README.md").decode()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"plan": {"spacing": ["x", 1, 1]}}, "wrong values: plan.spacing"),
        ({"plan": {"patch_size": [10**9, 1, 1]}}, "wrong values: plan.patch_size"),
        ({"plan": {"depth_axis": 7}}, "wrong values: plan.depth_axis"),
        ({"plan": {"strange": 7}}, "another version of spsam or is damaged"),
        ({"raw_ids": [0, 1, 1, 2]}, "wrong values: raw_ids"),
        ({"raw_ids": None}, "another version of spsam or is damaged"),
        ({"intensities": [{"low": 0}]}, "another version of spsam or is damaged"),
        ({"steps": -1}, "wrong values: steps"),
        ({"blocks": ["x"]}, "another version of spsam or is damaged"),
        ({"blocks_sha256": "0"}, "does not belong to"),
        ({"config": {}}, "another version of spsam or is damaged"),
        ({"config": 7}, "another version of spsam or is damaged"),
    ],
)
def test_a_sealed_file_of_wrong_values_is_refused(
    values: dict[str, object], message: str, model: Path, tmp_path: Path
) -> None:
    """Whoever makes such a file can seal it, too."""
    from spsam.engine.exchange.archive import Archive, write_archive

    archive = Archive(model)
    members = {name: archive.read(name) for name in archive.about["files"]}
    told = json.loads(members["runs/0/run.json"])
    for key, value in values.items():
        told[key] = {**told[key], **value} if isinstance(value, dict) and value else value
    members["runs/0/run.json"] = json.dumps(told).encode()
    write_archive(tmp_path / "a.zip", archive.about, members)
    with pytest.raises(InputError) as caught:
        read_model(tmp_path / "a.zip")
    assert message in str(caught.value)
    result = run("predict", tmp_path / "a.zip", tmp_path, "--save", tmp_path / "out")
    assert result.exit_code == 2
