"""Label maps, and the names and numbers of their classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.broken_inputs.geometry import LABEL, ORGANS, label_maps, organs
from tests.broken_inputs.kinds import Command, Kind, Place, ablate, check, evaluate, prepare
from tests.data.layouts import (
    blocks,
    random_image,
    truncate,
    write_amos,
    write_image,
    write_msd,
    write_nnunet,
)

Make = Callable[[Place], Sequence[Command]]


def label(array: np.ndarray) -> Make:
    """The Decathlon's layout with one label map instead of another."""
    return organs(lambda data: write_image(data / LABEL, array))


def names(**changes: Any) -> Make:
    """nnU-Net's layout with other entries of `dataset.json`."""

    def make(place: Place) -> Sequence[Command]:
        data = write_nnunet(place.folder / "data", **changes)
        return [check(data), prepare(place, data)]

    return make


def decathlon_names(labels: dict[str, str]) -> Make:
    return organs(lambda data: None, labels=labels)


def strange_organs(place: Place) -> Sequence[Command]:
    data = write_amos(place.folder / "data")
    file = data / "dataset.json"
    file.write_text(file.read_text().replace('"spleen"', '"milt"'))
    return [check(data), prepare(place, data)]


def nothing_labelled(place: Place) -> Sequence[Command]:
    empty = np.zeros_like(ORGANS)
    data = write_msd(place.folder / "organs", 5, modality={"0": "CT"}, label=empty)
    return [prepare(place, data)]


def one_label_empty(place: Place) -> Sequence[Command]:
    data = write_msd(place.folder / "organs", 5)
    write_image(data / LABEL, np.zeros_like(ORGANS))
    return [check(data)]


def class_of_no_case(place: Place) -> Sequence[Command]:
    return [check(write_msd(place.folder / "organs", 5, label=blocks(values=(1,))))]


def many_classes(place: Place) -> Sequence[Command]:
    """More than class indices of 16 bits can tell apart; the names alone are enough."""
    data = write_nnunet(place.folder / "data")
    many = {"background": 0, **{f"r{k}": k for k in range(1, 32768)}}
    edit(data, labels=many)
    return [check(data), prepare(place, data)]


def edit(data: Path, **entries: Any) -> None:
    file = data / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def atlas_as_float(place: Place) -> Sequence[Command]:
    """Ids of an atlas in numbers that have no room for all of their digits."""
    data = write_nnunet(place.folder / "data")
    edit(data, labels={"background": 0, "core": 1089, "edema": 312782546})
    for file in (data / "labelsTr").iterdir():
        ids = np.array([0, 1089, 312782546], np.float32)[blocks(values=(1, 2))]
        write_image(file, ids)
    return [check(data), prepare(place, data)]


def trained_on(*values: int, modality: str = "MRI") -> Make:
    """Training cases whose references have these ids only, where the test cases have both."""

    def make(place: Place) -> Sequence[Command]:
        data = write_msd(place.folder / "organs", 6, modality={"0": modality})
        names = [f"organ_{number:03d}" for number in range(6)]
        for name in names[:4]:
            write_image(data / "labelsTr" / f"{name}.nii.gz", blocks(values=values))
        parts = {"train": names[:3], "val": names[3:4], "test": names[4:]}
        (data / "split.json").write_text(json.dumps(parts))
        return [check(data)]

    return make


def class_of_one_case(place: Place) -> Sequence[Command]:
    """In the fold that tests it, no training case has it."""
    data = write_msd(place.folder / "organs", 5)
    for number in range(4):
        write_image(data / "labelsTr" / f"organ_{number:03d}.nii.gz", blocks(values=(1,)))
    return [check(data)]


def shifted_ct(offset: int, labelled: bool = True) -> Make:
    """One CT of six that is higher than the others, all with air and organs."""

    def make(place: Place) -> Sequence[Command]:
        values = (1, 2) if labelled else (1,)
        data = write_msd(
            place.folder / "organs", 6, modality={"0": "CT"}, label=blocks(values=values)
        )
        for number in range(6):
            image = random_image(number) - 60 + offset * (number == 2)
            image[:, :3] -= 1000
            if not labelled and number == 2:
                write_image(data / LABEL, np.zeros_like(ORGANS))
            write_image(data / "imagesTr" / f"organ_{number:03d}.nii.gz", image)
        return [check(data)]

    return make


def foreground_of_one_value(place: Place) -> Sequence[Command]:
    data = write_msd(place.folder / "organs", 5, modality={"0": "CT"}, label=ORGANS)
    for number in range(5):
        image = random_image(number)
        image[ORGANS > 0] = 40
        write_image(data / "imagesTr" / f"organ_{number:03d}.nii.gz", image)
    return [prepare(place, data)]


def shifted_mr(place: Place) -> Sequence[Command]:
    """One MR of five without the zeros around it that the others have."""
    data = write_msd(place.folder / "organs", 5)
    for number in range(5):
        image = random_image(number)
        image[:, :10] = 0
        write_image(data / "imagesTr" / f"organ_{number:03d}.nii.gz", image + 40 * (number == 2))
    return [check(data)]


def unknown_in_ablation(place: Place) -> Sequence[Command]:
    data = write_msd(place.folder / "organs", 5)
    write_image(data / LABEL, blocks(values=(1, 7)))
    return [ablate(place, "S1", "--data", data)]


def scored(*more: object, spoil: Callable[[Path], object] = lambda folder: None) -> Make:
    """Predictions and references, scored with further options."""

    def make(place: Place) -> Sequence[Command]:
        for part in ("made", "wanted"):
            write_image(place.folder / part / "a.nii.gz", ORGANS)
        spoil(place.folder)
        return [evaluate(place, *more)]

    return make


def halves() -> np.ndarray:
    return ORGANS.astype(np.float32) * 0.5


def below_zero() -> np.ndarray:
    return -ORGANS.astype(np.int16)


KINDS = (
    Kind(
        "a label cut off",
        organs(lambda data: truncate(data / LABEL)),
        f"{LABEL}: the file is truncated or damaged.*copy it again",
    ),
    Kind(
        "fractions", label(halves()), f"{LABEL}: label values 0.5 are out of range; expected 0, 1"
    ),
    Kind(
        "numbers below zero", label(below_zero()), f"{LABEL}: label values -2, -1 are out of range"
    ),
    Kind(
        "NaN in a label",
        label(np.where(ORGANS == 2, np.nan, ORGANS).astype(np.float32)),
        rf"{LABEL}: .* \d+ voxels that are NaN or infinite",
    ),
    Kind(
        "an unknown number",
        label(blocks(values=(1, 7))),
        f"{LABEL}: label values 7 are out of range; expected 0, 1, 2",
    ),
    Kind(
        "an unknown number in an ablation's data",
        unknown_in_ablation,
        f"error: .*{LABEL}: label values 7 are out of range",
    ),
    Kind(
        "several maps in one file",
        label(np.stack([ORGANS, ORGANS])),
        f"{LABEL}: expected one label map, got 2",
    ),
    Kind(
        "a label that is all background",
        one_label_empty,
        f"{LABEL}: organ_002: the label is all background",
        0,
    ),
    Kind(
        "more classes than there are indices",
        many_classes,
        "data: expected at most 32767 classes, got 32768",
    ),
    Kind(
        "an id beyond 32 bits",
        names(labels={"background": 0, "core": 1, "edema": 2**32}),
        "data: the id of 'edema' is 4294967296; expected whole numbers from 0 to 4294967295",
    ),
    Kind(
        "an id below zero",
        names(labels={"background": 0, "core": 1, "edema": -1}),
        r"dataset\.json: expected a number for label 'edema', got -1",
    ),
    Kind(
        "an atlas's ids as floating-point numbers",
        atlas_as_float,
        r"bt_000\.nii\.gz: contains label values up to 312782560 as float32, which represents "
        "every integer only up to 16777216",
    ),
    Kind(
        "labels that are off by more than rounding",
        label(ORGANS * np.float32(0.99)),
        f"{LABEL}: label values 0.99, 1.98 are out of range; expected 0, 1, 2",
    ),
    Kind(
        "no foreground in any training case",
        trained_on(),
        "no training case of split 'file' contains any foreground: there is nothing to learn",
    ),
    Kind(
        "no foreground in any training CT",
        trained_on(modality="CT"),
        "no training case of split 'file' contains any foreground: there is nothing to learn",
    ),
    Kind(
        "a class that no training case has",
        trained_on(1),
        "no training case of split 'file' has class 'spleen': it is not learnt",
        0,
    ),
    Kind(
        "a class that no training case of a fold has",
        class_of_one_case,
        r"no training case of fold \d of five_fold has class 'spleen': it is not learnt",
        0,
    ),
    Kind(
        "a CT that is 1024 higher",
        shifted_ct(1024),
        r"organ_002\.nii\.gz: organ_002: its intensities are not those of the other cases \(its "
        r"foreground has a median of 10\d\d, of the other cases \d\d\)",
        0,
    ),
    Kind(
        "a CT that is 1200 higher and has no foreground",
        shifted_ct(1200, labelled=False),
        r"organ_002: its intensities .* \(no value is below zero, but the usual minimum is -\d+\)",
        0,
    ),
    Kind(
        "a CT whose foreground has one intensity",
        foreground_of_one_value,
        "the foreground of organs's training cases has one intensity, 40, to which every image",
    ),
    Kind(
        "an MR without zeros around it",
        shifted_mr,
        "organ_002: almost no voxel is zero, but the background of the other cases is",
        0,
    ),
    Kind("a class that no case has", class_of_no_case, "no case has class 'spleen'", 0),
    Kind(
        "no foreground in any CT",
        nothing_labelled,
        "error: no training case of organs contains any foreground",
    ),
    Kind(
        "a region of nnU-Net's labels with the background",
        names(labels={"background": 0, "whole": [0, 1, 2], "core": 1}),
        r"dataset\.json: region 'whole' contains the background: list only the ids of its classes",
    ),
    Kind(
        "nnU-Net's ignore label below another",
        names(labels={"background": 0, "core": 1, "edema": 3, "ignore": 2}),
        r"dataset\.json: expected 'ignore' to have one id, above 3, .*, as in nnU-Net; got 2",
    ),
    Kind(
        "two names of one number",
        names(labels={"background": 0, "core": 1, "edema": 1}),
        r"dataset\.json: labels 'core' and 'edema' have the same number 1",
    ),
    Kind(
        "a name for a number",
        names(labels={"background": 0, "core": "one", "edema": 2}),
        r"dataset\.json: expected a number for label 'core', got 'one'",
    ),
    Kind(
        "no background",
        decathlon_names({"1": "liver", "2": "spleen"}),
        r"dataset\.json: 'labels' lacks the id 0 for the background",
    ),
    Kind(
        "two numbers of one name",
        decathlon_names({"0": "background", "1": "liver", "2": "liver"}),
        r"dataset\.json: 'labels' contains the same name twice: liver",
    ),
    Kind(
        "an organ that AMOS22 has not",
        strange_organs,
        r"dataset\.json: expected the fifteen organs of AMOS22 in 'labels'; wrong: .*milt.*spleen",
    ),
    Kind(
        "a prediction with an unknown number",
        label_maps(lambda p: write_image(p, blocks(values=(1, 9)))),
        r"made/a\.nii\.gz: label values 9 are out of range; expected 0, 1, 2",
    ),
    Kind(
        "a prediction of fractions",
        label_maps(lambda p: write_image(p, halves())),
        r"made/a\.nii\.gz: label values 0\.5 are out of range; expected 0, 1, 2",
    ),
    Kind(
        "a prediction below zero",
        label_maps(lambda p: write_image(p, below_zero())),
        r"made/a\.nii\.gz: label values -2, -1 are out of range; expected 0, 1, 2",
    ),
    Kind(
        "a reference without its prediction",
        scored(spoil=lambda f: write_image(f / "wanted" / "b.nii.gz", ORGANS)),
        "made: 1 of 2 references have no prediction here: b",
    ),
    Kind(
        "two predictions of one name",
        scored(spoil=lambda f: write_image(f / "made" / "a.mha", ORGANS)),
        r"a\.nii\.gz: is a second label map of 'a', beside .*a\.mha: remove one",
    ),
    Kind(
        "classes that are no pairs",
        scored("--classes", "liver,spleen=2"),
        "--classes liver,spleen=2: expected NAME=ID,NAME=ID with ids from 1, each id and each "
        "name once",
    ),
    Kind(
        "a convention that is none",
        scored("--convention", "nnunnet"),
        "--convention nnunnet: expected one of .*nnunet",
    ),
)
