"""One run, new volumes, scores: the three verbs one after the other."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from spsam.files import draft_of
from spsam.text.colours import rgb
from tests.data.layouts import blocks, random_image, write_acdc, write_dicom, write_image


def spsam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def home(two_runs: Path) -> Path:
    """A folder with a small ACDC, and two runs (seeds 0 and 1) of the last arm."""
    return two_runs


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


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_a_runs_own_cases_are_segmented_to_the_same_voxels_and_scores(
    home: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["predict", home / "run0", images, "--save", out, "--out", home]
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
        held = nibabel.load(out / "probabilities" / name)
        np.testing.assert_array_equal(held.affine, nibabel.load(images / name).affine)
        chances = held.get_fdata().transpose(3, 2, 1, 0)
        assert chances.shape == (4, *read(made).shape)
        np.testing.assert_allclose(chances.sum(0), 1, atol=5e-4)
        # 12 bits may tie what float32 told apart.
        assert np.mean(chances.argmax(0) == read(made)) > 0.999
        lines = (out / f"{stem}_prompts.jsonl").read_text().splitlines()
        for line in map(json.loads, lines):
            low, high = np.array(line["box"])
            assert np.all(low <= np.array(line["point"]) + 0.01)
            assert np.all(np.array(line["point"]) <= high + 0.01)

    (run,) = json.loads((out / "predict.json").read_text())["runs"]
    assert run["weights"]["origin"] in ("random", "shipped with spsam (sha-256 matches)")
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
        result = spsam("predict", *named, name, "--save", out, "--probabilities", "--mirror")
        assert result.exit_code == 0, result.output
    logits = []
    for run in ("run0", "run1", "run0-run1"):
        (file,) = (tmp_path / run / "probabilities").iterdir()
        chances = nibabel.load(file).get_fdata().transpose(3, 2, 1, 0)
        logits.append(np.log(chances) - np.log(chances).mean(0))
    np.testing.assert_allclose(logits[2], (logits[0] + logits[1]) / 2, atol=0.02)
    assert np.abs(logits[0] - logits[1]).max() > 0.05


def test_runs_are_named_by_arm_and_seed(home: Path, images: Path, tmp_path: Path) -> None:
    name = next(images.iterdir())
    written = []
    for words in ([home / "run0", home / "run1"], ["S9/all"], ["single/S9/0", "S9/1/0"]):
        out = tmp_path / f"out{len(written)}"
        command = ["predict", *words, name, "--save", out, "--out", home, "--no-mirror"]
        result = spsam(*command)
        assert result.exit_code == 0, result.output
        assert "the mean of 2 runs: S9 seed 0 fold 0, S9 seed 1 fold 0" in result.stderr
        written.append({file.name: file.read_bytes() for file in out.iterdir()})
    assert written[0] == written[1] == written[2]
    refused = spsam("predict", "S9", name, "--save", tmp_path / "none", "--out", home)
    assert refused.exit_code == 2
    assert "S9: has seeds 0, 1: select one (single/S9/0), or single/S9/all" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_turned_short_and_lonely_volumes_keep_their_grid(home: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    write_image(scans / "one_slice_7.nii.gz", random_image(1, (1, 20, 24)))
    turned = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    write_image(scans / "turned_8.mha", random_image(2, (7, 33, 18)), direction=turned)
    out = tmp_path / "out"
    result = spsam("predict", home / "run0", scans, "--save", out, "--naming", "amos", "--prompts")
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


def test_a_series_is_segmented_as_dicom_seg(home: Path, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    turn = (1, 0, 0, 0, 0, 1, 0, -1, 0)
    pixels = np.random.default_rng(0).integers(0, 500, (6, 20, 24)).astype(np.int16)
    series = write_dicom(tmp_path / "scan", pixels, direction=turn)
    out = tmp_path / "out"
    result = spsam("predict", home / "run0", series, "--save", out, "--dicom-seg")
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in out.iterdir()) == [
        "itksnap-labels.txt",
        "predict.json",
        "scan.dcm",
        "scan.nii.gz",
    ]
    labels = read(out / "scan.nii.gz")
    assert labels.any()
    made = highdicom.seg.segread(out / "scan.dcm")
    names = [made.get_segment_description(k).segment_label for k in made.segment_numbers]
    assert names == ["RV", "MYO", "LV"]
    for k in made.segment_numbers:
        value = made.get_segment_description(k).RecommendedDisplayCIELabValue
        shown = highdicom.color.CIELabColor.from_dicom_value(tuple(value)).to_rgb()
        assert np.abs(np.subtract(shown, rgb(k))).max() <= 1, (k, shown, rgb(k))
    # By the place in mm that every frame says it has.
    volume = made.get_volume(combine_segments=True)
    image = SimpleITK.ReadImage(str(out / "scan.nii.gz"))
    # Rows and columns come in this order in a frame.
    for index in np.argwhere(volume.array):
        x, y, z = (volume.affine @ [*index, 1])[:3]
        at = image.TransformPhysicalPointToIndex((float(x), float(y), float(z)))
        assert volume.array[tuple(index)] == labels[at[::-1]]
    assert np.count_nonzero(volume.array) == np.count_nonzero(labels)


def test_a_volume_that_cannot_be_read_does_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    write_image(scans / "good.nii.gz", random_image(1))
    (scans / "bad.nii.gz").write_bytes(b"nothing")
    result = spsam("predict", home / "run0", scans, "--save", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.nii.gz" in result.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "good.nii.gz",
        "itksnap-labels.txt",
        "predict.json",
    ]


def test_problems_come_in_their_volumes_turn_though_volumes_are_read_ahead(
    home: Path, tmp_path: Path
) -> None:
    scans = tmp_path / "scans"
    for name in ("a", "c"):
        write_image(scans / f"{name}.nii.gz", random_image(1))
    for name in ("b", "d"):
        (scans / f"{name}.nii.gz").write_bytes(b"nothing")
    save = tmp_path / "out"
    result = spsam("predict", home / "run0", scans, "--save", save, "--tiles", 3, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [Path(file).name for file in told["files"]] == ["a.nii.gz", "c.nii.gz"]
    assert [name in line for line, name in zip(told["failed"], "bd", strict=True)] == [True, True]
    assert spsam("predict", home / "run0", scans, "--save", save, "--tiles", 0).exit_code == 2
    # The precision is part of a result, the number of tiles is not.
    done = ("predict", home / "run0", scans / "a.nii.gz", "--save", save)
    assert spsam(*done, "--tiles", "auto").exit_code == 0
    assert spsam(*done, "--precision", "bf16").exit_code == 2


def test_predictions_are_taken_up_by_scan_and_missing_files(home: Path, tmp_path: Path) -> None:
    """What is lost is made again to the same bytes; scans are added, and known by their content."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    for seed, name in enumerate("ab"):
        write_image(scans / f"{name}.nii.gz", random_image(seed))
    command = ["predict", home / "run0", scans, "--save", out, "--probabilities"]
    assert spsam(*command).exit_code == 0
    made = contents(out)
    assert sorted(made) == [
        *("a.nii.gz", "b.nii.gz", "itksnap-labels.txt", "predict.json"),
        *("probabilities/a.nii.gz", "probabilities/b.nii.gz"),
    ]
    chances = out / "probabilities"
    before = (chances / "b.nii.gz").stat().st_mtime_ns
    (chances / "a.nii.gz").unlink()
    (out / "b.nii.gz").unlink()
    # What a killed process leaves.
    dead = draft_of(out / "predict").name.replace(f"-{os.getpid()}-", "-4194303999-")
    (out / dead).mkdir()
    (out / dead / "b.nii.gz").write_bytes(b"half")
    (out / f"{dead}.json").write_text("{")
    (out / ".predict.lock").touch()
    again = spsam(*command)
    assert again.exit_code == 0, again.output
    assert contents(out) == made
    (out / dead).mkdir()
    write_image(scans / "new" / "c.nii.gz", random_image(7))
    # The same bytes, written anew and elsewhere, are the same scan.
    shutil.copy(scans / "a.nii.gz", tmp_path / "copy")
    shutil.move(tmp_path / "copy", scans / "a.nii.gz")
    assert spsam(*command).exit_code == 0
    assert sorted(contents(out)) == sorted([*made, "c.nii.gz", "probabilities/c.nii.gz"])
    assert before != (chances / "b.nii.gz").stat().st_mtime_ns
    spoilt = (out / "a.nii.gz").stat().st_mtime_ns
    write_image(scans / "a.nii.gz", random_image(8))
    refused = spsam(*command)
    assert refused.exit_code == 2
    assert "a.nii.gz: was segmented from another scan of this name" in refused.output
    assert (out / "a.nii.gz").stat().st_mtime_ns == spoilt


def test_a_run_of_corrected_labels_is_another_run(home: Path, tmp_path: Path) -> None:
    """The prepared labels are others, too; labels that change meanwhile fail the run."""
    data = write_acdc(tmp_path / "acdc", 5, frames=(1,))
    few = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]
    command = ["train", "S1", "--data", data, "--preset", "smoke", "--out", tmp_path / "home"]
    command += [word for value in few for word in ("--set", value)]
    first = json.loads(spsam(*command, "--json").stdout)
    assert first["status"] == "finished"
    for file in data.rglob("*_gt.nii.gz"):
        write_image(file, blocks(values=(2, 1, 3)))
    second = json.loads(spsam(*command, "--json").stdout)
    assert second["status"] == "finished"
    assert second["folder"] != first["folder"]
    stores = [file.parent for file in (tmp_path / "home" / "prepared").glob("*/store.json")]
    assert len(stores) == 2
    assert len({(store / "patient001_frame01.label.b2nd").read_bytes() for store in stores}) == 2


def test_labels_that_change_while_a_run_trains_are_noticed_when_it_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spsam.engine import run

    data = write_acdc(tmp_path / "acdc", 5, frames=(1,))
    few = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]
    command = ["train", "S1", "--data", data, "--preset", "smoke", "--out", tmp_path / "home"]
    command += [word for value in few for word in ("--set", value)]
    fit = run.fit

    def trains(training: object) -> None:
        fit(training)  # type: ignore[arg-type]
        for file in data.rglob("*_gt.nii.gz"):
            write_image(file, blocks(values=(2, 1, 3)))

    monkeypatch.setattr(run, "fit", trains)
    result = spsam(*command)
    assert result.exit_code == 1, result.output
    assert "_gt.nii.gz: has changed since this command opened it" in result.output
    assert not list((tmp_path / "home" / "runs").glob("*/rows.jsonl"))


def test_scores_are_files_with_a_line_a_number(tmp_path: Path) -> None:
    for name, values in (("a", (1, 2)), ("b", (1,))):
        write_image(tmp_path / "made" / f"{name}.nii.gz", blocks(values=(1, 2)))
        write_image(tmp_path / "wanted" / f"{name}.nii.gz", blocks(values=values))
    command = ["evaluate", tmp_path / "made", tmp_path / "wanted"]
    result = spsam(*command, "--classes", "liver=1,spleen=2", "--save", tmp_path / "scores")
    assert result.exit_code == 0, result.output
    assert "tolerance of the surface Dice: 2.0 mm" in result.stdout
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


def test_files_for_other_programs_have_names_colours_and_geometry(
    home: Path, images: Path, tmp_path: Path
) -> None:
    nrrd = pytest.importorskip("nrrd")
    name = min(images.iterdir())
    case, out = name.name.removesuffix(".nii.gz"), tmp_path / "out"
    options = ("--seg-nrrd", "--overlay", "--probabilities")
    command = ["predict", home / "run0", name, "--save", out, *options]
    result = spsam(*command)
    assert result.exit_code == 0, result.output
    labels = nibabel.load(out / f"{case}.nii.gz")
    voxels, header = nrrd.read(out / f"{case}.seg.nrrd")
    np.testing.assert_array_equal(voxels, np.asarray(labels.dataobj))
    assert header["space"] == "left-posterior-superior"
    affine = np.diag([-1, -1, 1]) @ labels.affine[:3]
    np.testing.assert_allclose(header["space directions"].T, affine[:, :3], atol=1e-5)
    np.testing.assert_allclose(header["space origin"], affine[:, 3], atol=1e-4)
    snap = [
        line.split(maxsplit=7)
        for line in (out / "itksnap-labels.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert snap[0] == ["0", "0", "0", "0", "0", "0", "0", '"Clear Label"']
    for k, class_name in enumerate(("RV", "MYO", "LV"), start=1):
        assert header[f"Segment{k - 1}_Name"] == class_name
        assert header[f"Segment{k - 1}_LabelValue"] == str(k)
        colour = [float(part) for part in header[f"Segment{k - 1}_Color"].split()]
        np.testing.assert_allclose(colour, np.divide(rgb(k), 255), atol=1e-5)
        assert snap[k] == [str(k), *map(str, rgb(k)), "1", "1", "1", f'"{class_name}"']
    assert "Segment3_Name" not in header
    # The classes' own colours are in the picture.
    picture = (imread(out / f"{case}_overlay.png")[..., :3] * 255).round().astype(int)
    seen = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
    present = set(np.unique(voxels).tolist()) - {0}
    assert present
    assert all(rgb(k) in seen for k in present)

    # What else lies there is no second prediction.
    references = tmp_path / "references"
    references.mkdir()
    shutil.copy(home / "acdc" / case.split("_")[0] / f"{case}_gt.nii.gz", references)
    scored = spsam("evaluate", out, references, "--json")
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["cases"] == 1
    made = contents(out)
    (out / f"{case}.seg.nrrd").unlink()
    (out / "itksnap-labels.txt").unlink()
    assert spsam(*command).exit_code == 0
    assert contents(out) == made
    for file in ("itksnap-labels.txt", f"{case}_overlay.png", f"{case}.seg.nrrd"):
        (out / file).write_bytes(made[file] + b" ")
        refused = spsam(*command)
        assert refused.exit_code == 2
        assert file in " ".join(refused.stderr.split())
        (out / file).write_bytes(made[file])
    assert spsam(*command).exit_code == 0
