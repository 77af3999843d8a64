"""Folders for results, disks that are full or protected, and results that are damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.broken_inputs.kinds import (
    PIECES,
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
from tests.data.layouts import blocks, random_image, write_acdc, write_image
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
        ["report", "--studies", place.folder / "results", "--output", place.out],
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
        return [["report", "--studies", results, "--output", place.out]]

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
        r"out: expected a folder for (results|--output), this is a file",
    ),
    Kind(
        "a folder for results below a file",
        below_a_file,
        r"notes\.txt: expected a folder for results, this is a file",
    ),
    Kind(
        "a file as SPSAM_HOME",
        home_that_is_a_file,
        r"notes\.txt: expected a folder for results, this is a file",
    ),
    Kind(
        "a read-only folder for the prepared form",
        protected("prepare", "train"),
        "failed: .*out.*: Read-only file system: name a folder that is yours",
        1,
    ),
    Kind(
        "a read-only folder for scores",
        protected("evaluate"),
        "failed: .*out: Read-only file system: name a folder that is yours",
        1,
    ),
    Kind(
        "a read-only folder for label maps",
        protected("predict"),
        "failed: .*out: Read-only file system: name a folder that is yours",
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
        full_while_segmenting(room=1200),
        r"failed: .*a\.nii\.gz: the label map cannot be written: the disk is full",
        1,
        ("out/predict.json",),
    ),
    Kind(
        "a full disk while keeping probabilities",
        full_while_segmenting("--probabilities", room=20_000),
        "failed: .*File too large",
        1,
        ("out/predict.json",),
    ),
    Kind(
        "a full disk while training",
        full_while_training,
        r"checkpoint\.pt: the checkpoint cannot be written: File too large; .*make room",
        1,
        RECORDS,
    ),
    Kind(
        "predictions of other runs",
        with_other_predictions,
        "out: the folder holds predictions of other runs or options: choose another --output",
    ),
    Kind(
        "a damaged record of predictions",
        with_a_damaged_record,
        "out: the folder holds predictions of other runs or options: choose another --output",
    ),
    Kind(
        "scores by a damaged record",
        scored_by_a_damaged_record,
        r"made/predict\.json: is no record of spsam predict, .*: name the classes by --classes",
    ),
    Kind(
        "references that are not there",
        scored(shutil.rmtree),
        "wanted: expected a folder of label maps",
    ),
    Kind(
        "references of which there are none",
        scored(emptied),
        r"wanted: there is no label map \(\.nii\.gz, \.nrrd, \.mha\) in it",
    ),
    Kind(
        "a prepared form without its index",
        damaged_store,
        r"failed: .*store\.json: the prepared data are damaged: remove .*store\.json and give",
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
        "results: holds no study; run `spsam ablate S1..S9` or `spsam prompts` first",
    ),
    Kind(
        "a study cut off",
        studies(damaged_study),
        r"ablation\.json: is no study's description; run spsam ablate again",
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
        r"a\.nii\.gz: expected a DICOM series, a DICOM-SEG refers to one",
    ),
    Kind(
        "two results of one name",
        segmented_twice,
        "two volumes would be called amos_0007: predict them apart",
    ),
    Kind(
        "a leaderboard's name without a number",
        unnumbered,
        "--naming amos: a does not end in a number",
    ),
)
