"""One run, new volumes, scores: the three verbs one after the other, and their wrong turns."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from tests.data.layouts import blocks, random_image, write_acdc, write_image

FEW = ["--preset", "smoke", "--set", "train.epochs=1", "--set", "train.generator_epochs=0"]
FEW += ["--set", "backbone.weights=random"]


def spsam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ACDC, and two runs (seeds 0 and 1) of the last arm."""
    folder = tmp_path_factory.mktemp("home")
    data = write_acdc(folder / "acdc")
    for seed in (0, 1):
        result = spsam(
            "train", "S9", "--data", data, *FEW, "--seed", seed, "--out", folder, "--json"
        )
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert said["status"] == "finished"
        assert set(said["dice_by_class"]) == {"RV", "MYO", "LV"}
        (folder / f"run{seed}").symlink_to(said["folder"])
    return folder


@pytest.fixture
def images(home: Path, tmp_path: Path) -> Path:
    """The images that the runs have scored, alone in a folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    for made in (home / "run0" / "predictions").glob("*.nii.gz"):
        shutil.copy(home / "acdc" / made.name.split("_")[0] / made.name, folder)
    return folder


def read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def test_a_runs_own_cases_are_segmented_to_the_same_voxels_and_scores(
    home: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["predict", home / "run0", images, "-o", out, "--out", home]
    result = spsam(*command, "--probabilities", "--prompts")
    assert result.exit_code == 0, result.output
    names = sorted(file.name for file in images.iterdir())
    assert sorted(file.name for file in out.glob("*.nii.gz")) == names
    for name in names:
        made, theirs = out / name, home / "run0" / "predictions" / name
        np.testing.assert_array_equal(read(made), read(theirs))
        one, other = (SimpleITK.ReadImage(str(file)) for file in (made, images / name))
        assert (one.GetSize(), one.GetSpacing()) == (other.GetSize(), other.GetSpacing())
        assert (one.GetOrigin(), one.GetDirection()) == (other.GetOrigin(), other.GetDirection())
        stem = name.removesuffix(".nii.gz")
        chances = np.load(out / f"{stem}_probabilities.npy", mmap_mode="r")
        assert chances.dtype == np.float16
        assert chances.shape == (4, *read(made).shape)
        np.testing.assert_allclose(chances.sum(0, dtype=np.float32), 1, atol=5e-3)
        # Half precision may tie what float32 told apart.
        assert np.mean(chances.argmax(0) == read(made)) > 0.99
        lines = (out / f"{stem}_prompts.jsonl").read_text().splitlines()
        for line in map(json.loads, lines):
            low, high = np.array(line["box"])
            assert np.all(low <= np.array(line["point"]) + 0.01)
            assert np.all(np.array(line["point"]) <= high + 0.01)

    before = {file: file.stat().st_mtime_ns for file in out.glob("*.nii.gz")}
    again = spsam(*command, "--probabilities", "--prompts")
    assert again.exit_code == 0
    assert before == {file: file.stat().st_mtime_ns for file in out.glob("*.nii.gz")}

    scored = spsam("evaluate", out, home / "acdc" / names[0].split("_")[0], "--json")
    assert scored.exit_code == 0, scored.output
    ours = {
        (each["case"], each["class_name"], each["metric"]): each["value"]
        for each in json.loads(scored.stdout)["scores"]
    }
    rows = [json.loads(x) for x in (home / "run0" / "rows.jsonl").read_text().splitlines()]
    compared = 0
    for row in rows:
        key = (row["case"], row["class_name"], row["metric"])
        if row["class_id"] and key in ours:
            assert ours[key] == row["value"]
            compared += 1
    assert compared >= 6


def test_several_runs_are_averaged(home: Path, images: Path, tmp_path: Path) -> None:
    name = next(images.iterdir())
    for runs in (["run0"], ["run1"], ["run0", "run1"]):
        out = tmp_path / "-".join(runs)
        named = [home / run / "checkpoint.pt" for run in runs]
        result = spsam("predict", *named, name, "-o", out, "--probabilities", "--mirror")
        assert result.exit_code == 0, result.output
    logits = []
    for run in ("run0", "run1", "run0-run1"):
        (file,) = (tmp_path / run).glob("*.npy")
        chances = np.load(file).astype(np.float64)
        logits.append(np.log(chances) - np.log(chances).mean(0))
    np.testing.assert_allclose(logits[2], (logits[0] + logits[1]) / 2, atol=0.02)
    assert np.abs(logits[0] - logits[1]).max() > 0.05


def test_turned_short_and_lonely_volumes_keep_their_grid(home: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    write_image(scans / "one_slice_7.nii.gz", random_image(1, (1, 20, 24)))
    turned = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    write_image(scans / "turned_8.mha", random_image(2, (7, 33, 18)), direction=turned)
    out = tmp_path / "out"
    result = spsam("predict", home / "run0", scans, "-o", out, "--naming", "amos", "--prompts")
    assert result.exit_code == 0, result.output
    for number, source in ((7, "one_slice_7.nii.gz"), (8, "turned_8.mha")):
        made = SimpleITK.ReadImage(str(out / f"amos_{number:04d}.nii.gz"))
        given = SimpleITK.ReadImage(str(scans / source))
        assert made.GetSize() == given.GetSize()
        assert made.GetDirection() == given.GetDirection()
        size = np.array(given.GetSize())
        lines = (out / f"amos_{number:04d}_prompts.jsonl").read_text().splitlines()
        for line in map(json.loads, lines):
            # A tile's padding lies outside the volume by half a tile at most.
            assert np.all(np.array(line["point"]) > -40)
            assert np.all(np.array(line["point"]) < size + 40)


def test_a_volume_that_cannot_be_read_does_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    write_image(scans / "good.nii.gz", random_image(1))
    (scans / "bad.nii.gz").write_bytes(b"nothing")
    result = spsam("predict", home / "run0", scans, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.nii.gz" in result.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "good.nii.gz",
        "predict.json",
    ]


def _other_runs(home: Path, folder: Path) -> list[object]:
    (folder / "out").mkdir()
    (folder / "out" / "predict.json").write_text('{"runs": []}')
    return [home / "run0", write_image(folder / "a.nii.gz", random_image(1))]


def _damaged(home: Path, folder: Path) -> list[object]:
    (folder / "checkpoint.pt").write_bytes(b"nothing")
    return [folder / "checkpoint.pt", write_image(folder / "a.nii.gz", random_image(1))]


MISTAKES: dict[str, tuple[Callable[[Path, Path], list[object]], str]] = {
    "no run": (lambda home, folder: ["no/run", folder], "expected a trained run first"),
    "no volume": (lambda home, folder: [home / "run0"], "expected volumes after the runs"),
    "no such volume": (lambda home, folder: [home / "run0", folder / "no"], "no such file"),
    "no checkpoint": (lambda home, folder: [folder / "no.pt", folder], "no such checkpoint"),
    "damaged": (_damaged, "checkpoint.pt"),
    "other runs": (_other_runs, "other runs or options"),
    "a GPU that is none": (
        lambda home, folder: [
            *_other_runs(home, folder)[:2],
            "--device",
            "cuda:9",
        ],
        "expected auto or one of",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_predictions_are_a_sentence(mistake: str, home: Path, tmp_path: Path) -> None:
    write, said = MISTAKES[mistake]
    before = sorted((tmp_path / "out").rglob("*"))
    result = spsam("predict", *write(home, tmp_path), "-o", tmp_path / "out")
    assert result.exit_code in (1, 2), result.output
    assert re.search(said, result.stderr), result.stderr
    assert "Traceback" not in result.output
    assert before == [] or sorted((tmp_path / "out").rglob("*")) == before


def test_scores_are_files_with_a_line_a_number(tmp_path: Path) -> None:
    for name, values in (("a", (1, 2)), ("b", (1,))):
        write_image(tmp_path / "made" / f"{name}.nii.gz", blocks(values=(1, 2)))
        write_image(tmp_path / "wanted" / f"{name}.nii.gz", blocks(values=values))
    command = ["evaluate", tmp_path / "made", tmp_path / "wanted"]
    result = spsam(*command, "--classes", "liver=1,spleen=2", "--save", tmp_path / "scores")
    assert result.exit_code == 0, result.output
    assert "surface Dice within 2.0 mm" in result.stdout
    lines = (tmp_path / "scores" / "scores.csv").read_text().splitlines()
    assert lines[0] == "case,class_id,class_name,metric,value,convention"
    assert len(lines) == 1 + 2 * 2 * 5
    assert "a,1,liver,dice,1,nnunet" in lines
    assert "b,2,spleen,dice,0,nnunet" in lines
    assert "b,2,spleen,volume_error,,nnunet" in lines
    said = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert said["means"]["spleen"]["dice"] == 0.5
    kind = json.loads(spsam(*command, "--convention", "transunet", "--json").stdout)
    assert kind["means"]["2"]["dice"] == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: (f / "made" / "a.nii.gz").unlink(),
            "1 of 1 references have no prediction here: a",
        ),
        (
            lambda f: write_image(f / "made" / "a.nii.gz", blocks((5, 20, 22), (1, 2))),
            r"a\.nii\.gz: expected the grid",
        ),
        (lambda f: write_image(f / "made" / "a.nii.gz", blocks(values=(1, 9))), r"\[9\] are no"),
        (lambda f: write_image(f / "made" / "a.nii.gz", random_image(1)), "no label map"),
        (lambda f: (f / "made" / "a.nii.gz").write_bytes(b"x"), r"a\.nii\.gz"),
        (lambda f: shutil.rmtree(f / "wanted"), "expected a folder"),
    ],
)
def test_wrong_scorings_are_a_sentence(
    change: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    for folder in ("made", "wanted"):
        write_image(tmp_path / folder / "a.nii.gz", blocks(values=(1, 2)))
    write_image(tmp_path / "made" / "z.nii.gz", blocks(values=(1, 2)))
    change(tmp_path)
    result = spsam("evaluate", tmp_path / "made", tmp_path / "wanted", "--save", tmp_path / "s")
    assert result.exit_code == 2, result.output
    assert re.search(said, result.stderr), result.stderr
    assert not (tmp_path / "s").exists()
