"""Folders for results, disks that are full or protected, and results that are damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.broken_inputs.kinds import (
    PIECES,
    PREDICTED,
    RECORDS,
    Command,
    Kind,
    Place,
    ablate,
    evaluate,
    predict,
    prepare,
    train,
)
from tests.data.layouts import blocks, random_image, truncate, write_acdc, write_image
from tests.reporting.prompts.study import make_prompt_study
from tests.reporting.store import make_study

Make = Callable[[Place], Sequence[Command]]
FEW = ["--set", "train.epochs=1", "--set", "train.generator_epochs=0"]
FEW += ["--set", "backbone.weights=random"]


def scan(place: Place, shape: tuple[int, ...] = (5, 20, 24)) -> Path:
    return write_image(place.folder / "a.nii.gz", random_image(1, shape))


def label_maps(place: Place) -> None:
    for part in ("made", "wanted"):
        write_image(place.folder / part / "a.nii.gz", blocks(values=(1, 2)))


def file_for_results(place: Place) -> Sequence[Command]:
    """Every command is given a file where a folder of results should be."""
    place.out.write_text("mine")
    data = write_acdc(place.folder / "acdc", 5, frames=(1,))
    label_maps(place)
    make_study(place.folder / "results")
    return [
        prepare(place, data),
        train(place, "--data", data),
        ablate(place, "S1", "--data", data),
        predict(place, place.home / "run0", scan(place)),
        evaluate(place),
        ["prompts", "--out", place.out],
        ["sweep", "adapter", "--out", place.out],
        ["report", "--out", place.folder / "results", "--save", place.out],
    ]


def below_a_file(place: Place) -> Sequence[Command]:
    file = place.write("notes.txt", "mine")
    place = Place(file, place.patch, place.request)
    return [prepare(place, "phantom"), train(place)]


def home_that_is_a_file(place: Place) -> Sequence[Command]:
    place.patch.setenv("SPSAM_HOME", str(place.write("notes.txt", "mine")))
    return [["ablate", "S1", "--preset", "smoke"]]


def protected(*which: str) -> Make:
    def make(place: Place) -> Sequence[Command]:
        data = write_acdc(place.folder / "acdc", 5, frames=(1,))
        label_maps(place)
        commands = {
            "prepare": lambda: prepare(place, data),
            "train": lambda: train(place, *FEW, "--data", data),
            "evaluate": lambda: evaluate(place),
            "predict": lambda: predict(place, place.home / "run0", scan(place)),
        }
        chosen = [commands[name]() for name in which]
        place.protected = True
        return chosen

    return make


def full_while_preparing(place: Place) -> Sequence[Command]:
    data = write_acdc(place.folder / "acdc", 5, frames=(1,))
    place.room = 700
    return [prepare(place, data)]


def full_while_scoring(place: Place) -> Sequence[Command]:
    label_maps(place)
    place.room = 300
    return [evaluate(place)]


def full_while_segmenting(*more: object, room: int) -> Make:
    def make(place: Place) -> Sequence[Command]:
        file = scan(place, (8, 48, 48))
        place.room = room
        return [[*predict(place, place.home / "run0", file), *more]]

    return make


def full_while_training(place: Place) -> Sequence[Command]:
    """The data are prepared; the first checkpoint finds no room."""
    shutil.copytree(place.home / "prepared", place.out / "prepared")
    place.room = 20_000
    return [train(place, *FEW, "--seed", 3, "--data", place.home / "acdc", arm="S9")]


def with_other_predictions(place: Place) -> Sequence[Command]:
    place.write("out/predict.json", '{"runs": []}')
    write_image(place.out / "b.nii.gz", blocks(values=(1, 2)))
    return [predict(place, place.home / "run0", scan(place))]


def predicted(spoil: Callable[[Place, Path], object], *words: object) -> Make:
    """A folder of predictions, then something else in it or in the input, then the same again."""

    def make(place: Place) -> Sequence[Command]:
        from typer.testing import CliRunner

        from spsam.cli.main import app

        file = scan(place)
        command = [*predict(place, place.home / "run0", file), *words]
        result = CliRunner().invoke(app, [str(word) for word in command])
        assert result.exit_code == 0, result.output
        spoil(place, file)
        return [command]

    return make


def into(write: Callable[[Place], Path]) -> Make:
    """An input, and the folder that its results are asked to go to."""

    def make(place: Place) -> Sequence[Command]:
        for name in ("a", "b"):
            write_image(place.folder / "scans" / f"{name}.nii.gz", random_image(1))
        return [["predict", place.home / "run0", place.folder / "scans", "--save", write(place)]]

    return make


def linked(place: Place) -> Path:
    (place.folder / "link").symlink_to("scans")
    return place.folder / "link"


def with_links_to_results(place: Place) -> Path:
    """Scans that are links into the folder for results."""
    (place.folder / "scans").rename(place.folder / "true")
    (place.folder / "scans").mkdir()
    for file in (place.folder / "true").iterdir():
        (place.folder / "scans" / file.name).symlink_to(file)
    return place.folder / "true"


def with_references(place: Place) -> Path:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(place.folder / "wanted" / name, blocks(values=(1, 2)))
    return place.folder / "wanted"


def hard_link(place: Place) -> Path:
    place.out.mkdir()
    (place.out / "a.nii.gz").hardlink_to(place.folder / "scans" / "a.nii.gz")
    return place.out


def dangling(place: Place) -> Path:
    place.out.mkdir()
    (place.out / "a.nii.gz").symlink_to("nowhere")
    return place.out


def folder_as_result(place: Place) -> Path:
    (place.out / "a.nii.gz").mkdir(parents=True)
    return place.out


def of_another_tool(place: Place) -> Path:
    write_image(place.out / "c.nrrd", blocks(values=(1, 2)))
    return place.out


def scored_by_itself(place: Place) -> Sequence[Command]:
    label_maps(place)
    (place.folder / "wanted" / "a.nii.gz").unlink()
    (place.folder / "wanted" / "a.nii.gz").symlink_to(place.folder / "made" / "a.nii.gz")
    return [evaluate(place)]


def scored_in_one_folder(place: Place) -> Sequence[Command]:
    label_maps(place)
    return [["evaluate", "made", place.folder / "made"]]


def with_a_damaged_record(place: Place) -> Sequence[Command]:
    place.write("out/predict.json", '{"runs": [')
    return [predict(place, place.home / "run0", scan(place))]


def scored_by_a_damaged_record(place: Place) -> Sequence[Command]:
    label_maps(place)
    commands = []
    for text in ('{"classes": {', '{"runs": []}', "[]", '{"classes": {"liver": 1}}'):
        place.write("made/predict.json", text)
        commands.append(evaluate(place))
    return commands


def scored(spoil: Callable[[Path], object]) -> Make:
    def make(place: Place) -> Sequence[Command]:
        label_maps(place)
        spoil(place.folder / "wanted")
        return [evaluate(place)]

    return make


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def damaged_store(place: Place) -> Sequence[Command]:
    shutil.copytree(place.home / "prepared", place.out / "prepared")
    (index,) = (place.out / "prepared").glob("*/store.json")
    index.write_text(index.read_text()[:40])
    return [train(place, *FEW, "--seed", 3, "--data", place.home / "acdc", arm="S9")]


def damaged_array(place: Place) -> Sequence[Command]:
    shutil.copytree(place.home / "prepared", place.out / "prepared")
    for file in (place.out / "prepared").glob("*/*.image.b2nd"):
        file.write_bytes(b"nothing")
    return [train(place, *FEW, "--seed", 3, "--data", place.home / "acdc", arm="S9")]


def damaged_record(place: Place) -> Sequence[Command]:
    """A finished run whose run.json was cut off is not run over."""
    shutil.copytree(place.home / "prepared", place.out / "prepared")
    named = (place.home / "run0").resolve().name
    shutil.copytree(place.home / "runs" / named, place.out / "runs" / named)
    (place.out / "runs" / named / "run.json").write_text('{"status": "fin')
    return [train(place, *FEW, "--data", place.home / "acdc", arm="S9")]


def studies(spoil: Callable[[Path], object]) -> Make:
    """A report of a results folder that is not as it was left."""

    def make(place: Place) -> Sequence[Command]:
        results = place.folder / "results"
        results.mkdir()
        spoil(results)
        return [["report", "--out", results, "--save", place.out]]

    return make


def damaged_study(results: Path) -> None:
    (make_study(results) / "ablation.json").write_text('{"name": "study-01", "arms"')


def damaged_prompt_study(results: Path) -> None:
    (make_prompt_study(results) / "study.json").write_text("{")


def record(spoil: Callable[[Path], object]) -> Make:
    """A result of record, spoilt, computed again."""

    def make(place: Place) -> Sequence[Command]:
        from spsam.reporting.records.write import write_record

        folder = place.folder / "records" / "mine"
        write_record(make_study(place.folder / "results"), folder)
        spoil(folder)
        return [["report", "verify", folder]]

    return make


def better_scores(folder: Path) -> None:
    file = folder / "tables" / "ablation.csv"
    file.write_text(file.read_text().replace("finished", "failed", 1))


def other_rows(folder: Path) -> None:
    (folder / "rows.csv.gz").write_bytes(b"nothing")


def segmented_twice(place: Place) -> Sequence[Command]:
    """Two volumes whose results would be one file."""
    for name in ("case_7.nii.gz", "other_7.nii.gz"):
        write_image(place.folder / "scans" / name, random_image(1))
    return [[*predict(place, place.home / "run0", "scans"), "--naming", "amos"]]


def unnumbered(place: Place) -> Sequence[Command]:
    return [[*predict(place, place.home / "run0", scan(place)), "--naming", "amos"]]


KINDS = (
    Kind(
        "a file where results should go",
        file_for_results,
        r"out: expected a folder for (results|--save), (this is|got) a file",
    ),
    Kind(
        "a folder for results below a file",
        below_a_file,
        r"notes\.txt: expected a folder for results, (this is|got) a file",
    ),
    Kind(
        "a file as SPSAM_HOME",
        home_that_is_a_file,
        r"notes\.txt: expected a folder for results, (this is|got) a file",
    ),
    Kind(
        "a read-only folder for the prepared form",
        protected("prepare", "train"),
        "failed: .*out.*: Read-only file system: choose a folder you can write to",
        1,
    ),
    Kind(
        "a read-only folder for scores",
        protected("evaluate"),
        "failed: .*out: Read-only file system: choose a folder you can write to",
        1,
    ),
    Kind(
        "a read-only folder for label maps",
        protected("predict"),
        "failed: .*out: Read-only file system: choose a folder you can write to",
        1,
    ),
    Kind(
        "a full disk while preparing",
        full_while_preparing,
        r"failed: .*(File too large|No space)",
        1,
        PIECES,
    ),
    Kind("a full disk while scoring", full_while_scoring, "failed: .*File too large", 1),
    Kind(
        "a full disk while segmenting",
        full_while_segmenting(room=600),
        r"failed: .*a\.nii\.gz: cannot write the label map: the disk is full",
        1,
        PREDICTED,
    ),
    Kind(
        "a full disk while keeping probabilities",
        full_while_segmenting("--probabilities", room=20_000),
        "failed: .*File too large",
        1,
        PREDICTED,
    ),
    Kind(
        "a full disk while training",
        full_while_training,
        r"checkpoint\.pt: the checkpoint cannot be written: File too large; .*free disk space",
        1,
        RECORDS,
    ),
    Kind(
        "predictions of other runs",
        with_other_predictions,
        "out: the folder contains predictions of other runs or options: choose another --save",
    ),
    Kind(
        "results into the folder of scans",
        into(lambda place: Path("scans")),
        "scans: --save scans is, or is in, this folder of inputs",
    ),
    Kind("results into a link to the scans", into(linked), "is, or is in, this folder of inputs"),
    Kind(
        "results into a folder below the scans",
        into(lambda place: place.folder / "scans" / "new" / "deep"),
        "scans: --save .* is, or is in, this folder of inputs",
    ),
    Kind(
        "results into a folder above the scans",
        into(lambda place: place.folder),
        "scans: --save .* contains these inputs: choose another",
    ),
    Kind(
        "results into a folder that scans are linked from",
        into(with_links_to_results),
        "true: --save .* contains these inputs: choose another",
    ),
    Kind(
        "results into the folder of references",
        into(with_references),
        r"(?s)a\.nii\.gz: was not written by spsam predict.*b\.nii\.gz: was not written by",
    ),
    Kind("a scan linked into its results", into(hard_link), r"a\.nii\.gz: was not written by"),
    Kind(
        "a dead link as a result", into(dangling), r"a\.nii\.gz: was not written by spsam predict"
    ),
    Kind("a folder as a result", into(folder_as_result), r"a\.nii\.gz: was not written by"),
    Kind(
        "another tool's label map among results",
        into(of_another_tool),
        r"c\.nrrd: was not written by spsam predict: choose another --save, or move it away",
    ),
    Kind(
        "a result that was changed",
        predicted(lambda p, _: write_image(p.out / "a.nii.gz", blocks(values=(1, 2)))),
        r"a\.nii\.gz: was changed after spsam predict wrote it: choose another --save",
    ),
    Kind(
        "probabilities that were changed",
        predicted(lambda p, _: truncate(p.out / "probabilities" / "a.nii.gz"), "--probabilities"),
        r"probabilities/a\.nii\.gz: was changed after spsam predict wrote it",
    ),
    Kind(
        "a scan that was changed after its segmentation",
        predicted(lambda _, file: write_image(file, random_image(5))),
        r"a\.nii\.gz: was segmented from another scan of this name, or the scan was chang",
    ),
    Kind(
        "results of a changed scan of which some were taken away",
        predicted(
            lambda p, file: (write_image(file, random_image(5)), (p.out / "a.nii.gz").unlink()),
            "--prompts",
        ),
        r"a_prompts\.jsonl: was segmented from another scan of this name",
    ),
    Kind(
        "results whose record was taken away",
        predicted(lambda p, _: (p.out / "predict.json").unlink()),
        r"a\.nii\.gz: was not written by spsam predict",
    ),
    Kind(
        "results whose record is damaged",
        predicted(lambda p, _: truncate(p.out / "predict.json")),
        "the folder contains predictions of other runs or options",
    ),
    Kind(
        "a prediction that is its reference",
        scored_by_itself,
        r"made/a\.nii\.gz: is its own reference; give predictions",
    ),
    Kind(
        "predictions in the folder of references",
        scored_in_one_folder,
        "made: the predictions are in the folder of the references: use separate folders",
    ),
    Kind(
        "a damaged record of predictions",
        with_a_damaged_record,
        "out: the folder contains predictions of other runs or options: choose another --save",
    ),
    Kind(
        "scores by a damaged record",
        scored_by_a_damaged_record,
        r"made/predict\.json: is not a valid record of spsam predict: .* --classes",
    ),
    Kind(
        "references that are not there",
        scored(shutil.rmtree),
        "wanted: expected a folder of label maps",
    ),
    Kind(
        "references of which there are none",
        scored(emptied),
        r"wanted: the folder contains no label map \(\.nii\.gz, \.nrrd, \.mha\)",
    ),
    Kind(
        "a prepared form without its index",
        damaged_store,
        r"failed: .*store\.json: the prepared data are damaged: remove .*store\.json and rerun",
        1,
    ),
    Kind(
        "prepared arrays that are damaged",
        damaged_array,
        r"(?s)failed.*image\.b2nd.*damaged",
        1,
        (*RECORDS, "out/runs/*/checkpoint.pt"),
    ),
    Kind(
        "a run whose record is damaged",
        damaged_record,
        r"run\.json: is damaged; remove the folder to run it again",
        1,
        RECORDS,
    ),
    Kind(
        "no results to report",
        studies(lambda results: None),
        "results: contains no study; run `spsam ablate S1..S9` or `spsam prompts` first",
    ),
    Kind(
        "a study cut off",
        studies(damaged_study),
        r"ablation\.json: is not a study's description; rerun spsam ablate",
    ),
    Kind("a study of prompts cut off", studies(damaged_prompt_study), r"study\.json"),
    Kind(
        "a record with better scores",
        record(better_scores),
        "row S1, column state: stored failed, computed finished",
        1,
    ),
    Kind("a record without its scores", record(other_rows), r"rows\.csv\.gz", 1),
    Kind(
        "a DICOM-SEG of what is no series",
        lambda place: [[*predict(place, place.home / "run0", scan(place)), "--dicom-seg"]],
        r"a\.nii\.gz: a DICOM-SEG requires a DICOM series",
    ),
    Kind(
        "two results of one name",
        segmented_twice,
        "several volumes would be named amos_0007: predict them separately",
    ),
    Kind(
        "a leaderboard's name without a number",
        unnumbered,
        "--naming amos: a does not end in a number",
    ),
)
