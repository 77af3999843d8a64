"""Label maps, and the names and numbers of their classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.broken_inputs.geometry import LABEL, ORGANS, label_maps, organs
from tests.broken_inputs.kinds import Command, Kind, Place, ablate, check, evaluate, prepare
from tests.data.layouts import blocks, truncate, write_amos, write_image, write_msd, write_nnunet

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
    Kind("a class that no case has", class_of_no_case, "no case has class 'spleen'", 0),
    Kind(
        "no foreground in any CT",
        nothing_labelled,
        "error: no training case of organs has any foreground",
    ),
    Kind(
        "regions in nnU-Net's labels",
        names(labels={"background": 0, "whole": [1, 2], "core": 1}),
        r"dataset\.json: 'labels' has regions \(whole\): .*; give each voxel one label",
    ),
    Kind(
        "nnU-Net's label to be ignored",
        names(labels={"background": 0, "core": 1, "edema": 2, "ignore": 3}),
        r"dataset\.json: 'labels' has 'ignore': partly annotated volumes cannot be trained here",
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
        r"dataset\.json: 'labels' has no id 0 for the background",
    ),
    Kind(
        "two numbers of one name",
        decathlon_names({"0": "background", "1": "liver", "2": "liver"}),
        r"dataset\.json: 'labels' has the same name twice: liver",
    ),
    Kind(
        "an organ that AMOS22 has not",
        strange_organs,
        r"dataset\.json: expected the fifteen organs of AMOS22 in 'labels'; wrong: .*milt.*spleen",
    ),
    Kind(
        "a prediction with an unknown number",
        label_maps(lambda p: write_image(p, blocks(values=(1, 9)))),
        r"made/a\.nii\.gz: label values \[9\] are no classes; expected 1 1, 2 2",
    ),
    Kind(
        "a prediction of fractions",
        label_maps(lambda p: write_image(p, halves())),
        r"made/a\.nii\.gz: expected whole numbers from 0: this is no label map",
    ),
    Kind(
        "a prediction below zero",
        label_maps(lambda p: write_image(p, below_zero())),
        r"made/a\.nii\.gz: expected whole numbers from 0",
    ),
    Kind(
        "a reference without its prediction",
        scored(spoil=lambda f: write_image(f / "wanted" / "b.nii.gz", ORGANS)),
        "made: 1 of 2 references have no prediction here: b",
    ),
    Kind(
        "two predictions of one name",
        scored(spoil=lambda f: write_image(f / "made" / "a.mha", ORGANS)),
        r"a\.nii\.gz: is a second label map of 'a', beside .*a\.mha: take one away",
    ),
    Kind(
        "classes that are no pairs",
        scored("--classes", "liver,spleen=2"),
        "--classes liver,spleen=2: expected NAME=ID,NAME=ID with ids from 1, each once",
    ),
    Kind(
        "a convention that is none",
        scored("--convention", "nnunnet"),
        "--convention nnunnet: expected one of .*nnunet",
    ),
)
