"""A run in Python gives what the command line writes, voxel for voxel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from typer.testing import CliRunner

import spsam
from spsam.cli.main import app
from spsam.results.rows import read_rows
from tests.data.layouts import random_image, write_image

TURN = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A turned volume of another grid than the training's."""
    folder = tmp_path_factory.mktemp("scans")
    return write_image(folder / "turned.nii.gz", random_image(2, (7, 33, 18)), direction=TURN)


def predicted(home: Path, scan: Path, out: Path, *words: str) -> Path:
    command = ["predict", *words, str(scan), "--save", str(out), "--out", str(home)]
    result = CliRunner().invoke(app, [*command, "--prompts", "--no-mirror"])
    assert result.exit_code == 0, result.output
    return out / scan.name


@pytest.mark.parametrize("ref", ["S9/1/0", "S9/all"])
def test_labels_are_those_of_predict(ref: str, two_runs: Path, scan: Path, tmp_path: Path) -> None:
    file = predicted(two_runs, scan, tmp_path / "out", ref)
    written = SimpleITK.ReadImage(str(file))
    run = spsam.load_run(ref, out=two_runs, device="cpu")
    assert len(run) == (2 if ref.endswith("all") else 1)
    image = SimpleITK.ReadImage(str(scan))
    array = SimpleITK.GetArrayFromImage(image)
    place = {"origin": image.GetOrigin(), "direction": image.GetDirection()}
    before = sorted(two_runs.rglob("*"))
    made = [
        run.predict(scan, mirror=False, probabilities=True, prompts=True),
        run.predict(image, mirror=False),
        run.predict(array, image.GetSpacing()[::-1], mirror=False, **place),
    ]
    assert sorted(two_runs.rglob("*")) == before
    for each in made:
        np.testing.assert_array_equal(each.labels, SimpleITK.GetArrayFromImage(written))
        assert each.labels.dtype == SimpleITK.GetArrayFromImage(written).dtype
        assert each.class_names == {0: "background", 1: "RV", 2: "MYO", 3: "LV"}
        again = each.to_sitk()
        assert again.GetSize() == image.GetSize()
        np.testing.assert_allclose(again.GetSpacing(), image.GetSpacing())
        np.testing.assert_allclose(again.GetOrigin(), image.GetOrigin())
        np.testing.assert_allclose(again.GetDirection(), image.GetDirection())
    first = made[0]
    assert first.probabilities is not None
    assert first.probabilities.shape == (4, 7, 33, 18)
    np.testing.assert_allclose(first.probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(first.probabilities.argmax(0), first.labels)
    lines = (file.parent / "turned_prompts.jsonl").read_text().splitlines()
    assert first.prompts is not None
    assert json.loads(first.prompts.to_json(orient="records")) == [json.loads(x) for x in lines]
    assert set(first.prompts["member"]) == set(range(len(run)))
    assert (made[1].probabilities, made[1].prompts) == (None, None)
    voxels = {name: (first.labels == k).sum() for k, name in first.class_names.items() if k}
    assert first.volumes == pytest.approx({k: n * 8 * 1.5 * 1.5 / 1000 for k, n in voxels.items()})


def test_a_run_has_its_scores_and_its_network(two_runs: Path) -> None:
    run = spsam.load_run("S9/all", out=two_runs, device="cpu")
    rows = [
        row
        for config in run.configs
        for row in read_rows(two_runs / f"run{config.seed}" / "rows.jsonl")
    ]
    assert len(run.scores) == len(rows)
    assert list(run.scores["value"].dropna()) == [r.value for r in rows if r.value == r.value]
    assert set(run.scores["arm"]) == {"S9"}
    dice = run.summary.set_index(["class_name", "metric"])
    wanted = [row.value for row in rows if (row.class_name, row.metric) == ("LV", "dice")]
    assert dice.loc[("LV", "dice"), "mean"] == pytest.approx(np.mean(wanted))
    assert dice.loc[("LV", "dice"), "n"] == len(wanted)
    network = run.network(1)
    assert not network.training
    assert network is run.network(1) is not run.network()
    with torch.inference_mode():
        output = network(torch.zeros(1, 1, network.depth, *network.image_size))
    assert output.logits is not None
    torch.testing.assert_close(output.labels, network.mask_head.labels(output.logits))
    assert repr(run).startswith("<spsam.Run S9 seed 0 fold 0, S9 seed 1 fold 0; ")


def test_a_checkpoint_alone_has_no_scores(two_runs: Path, tmp_path: Path) -> None:
    shutil.copy(two_runs / "run0" / "checkpoint.pt", tmp_path)
    run = spsam.load_run(tmp_path / "checkpoint.pt", device="cpu")
    with pytest.raises(spsam.InputError, match="there are no scores beside the checkpoint"):
        run.scores  # noqa: B018 - the access is the test
    shutil.copy(two_runs / "run0" / "rows.jsonl", tmp_path)
    assert len(spsam.load_run(tmp_path / "checkpoint.pt", device="cpu").scores)


def test_mistakes_are_sentences(two_runs: Path) -> None:
    with pytest.raises(spsam.InputError, match="S99: there is no such trained run"):
        spsam.load_run("S99", out=two_runs)
    with pytest.raises(spsam.InputError, match="S9: has seeds 0, 1"):
        spsam.load_run("S9", out=two_runs)
    run = spsam.load_run("S9/0", out=two_runs, device="cpu")
    with pytest.raises(spsam.InputError, match="expected 1 channels, the image has 2"):
        run.predict(np.random.default_rng(0).normal(size=(2, 5, 20, 24)), (8, 1.5, 1.5))


def test_notes_on_a_volume_are_warnings(two_runs: Path) -> None:
    run = spsam.load_run("S9/0", out=two_runs, device="cpu")
    with pytest.warns(UserWarning, match="spacing"):
        run.predict(random_image(1), (8, 9, 9), mirror=False)
