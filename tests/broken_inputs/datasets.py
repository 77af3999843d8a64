"""Folders whose layout, `dataset.json` or split is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.broken_inputs.kinds import Command, Kind, Place, check, predict, prepare, train
from tests.data.layouts import (
    random_image,
    write_acdc,
    write_image,
    write_msd,
    write_nnunet,
    write_synapse,
    write_synapse_slices,
)

JSON = r"dataset\.json"
Make = Callable[[Place], Sequence[Command]]


def described(change: Callable[[dict[str, Any]], object]) -> Make:
    """The Decathlon's layout with a changed `dataset.json`."""

    def make(place: Place) -> Sequence[Command]:
        data = write_msd(place.folder / "organs", 5)
        content = json.loads((data / "dataset.json").read_text())
        change(content)
        (data / "dataset.json").write_text(json.dumps(content))
        return [check(data), prepare(place, data)]

    return make


def rewritten(content: bytes) -> Make:
    """The Decathlon's layout with other bytes as `dataset.json`."""

    def make(place: Place) -> Sequence[Command]:
        data = write_msd(place.folder / "organs", 5)
        (data / "dataset.json").write_bytes(content)
        return [check(data), prepare(place, data)]

    return make


def nnunet(**changes: Any) -> Make:
    def make(place: Place) -> Sequence[Command]:
        data = write_nnunet(place.folder / "data", **changes)
        return [check(data), prepare(place, data)]

    return make


def shifted(place: Place) -> Sequence[Command]:
    data = write_nnunet(place.folder / "data")
    for file in sorted((data / "imagesTr").iterdir(), reverse=True):
        number = int(file.name[-11:-7]) + 1
        file.rename(file.with_name(f"{file.name[:-11]}{number:04d}.nii.gz"))
    return [check(data)]


def split(**parts: Any) -> Make:
    """A small ACDC with a split of its own."""

    def make(place: Place) -> Sequence[Command]:
        data = write_acdc(place.folder / "acdc", 5, frames=(1,))
        (data / "split.json").write_text(json.dumps(parts))
        return [check(data), prepare(place, data)]

    return make


def named_split(*more: object, patients: int = 5) -> Make:
    def make(place: Place) -> Sequence[Command]:
        data = write_acdc(place.folder / "acdc", patients, frames=(1,))
        place.write("half.json", '{\n "train": [],\n]')
        return [prepare(place, data, *more)]

    return make


def same_image_on_both_sides(place: Place) -> Sequence[Command]:
    data = write_acdc(place.folder / "acdc", 4, frames=(1,))
    for end in ("", "_gt"):
        shutil.copy(
            data / "patient001" / f"patient001_frame01{end}.nii.gz",
            data / "patient004" / f"patient004_frame01{end}.nii.gz",
        )
    parts = {"train": ["patient001", "patient002"], "test": ["patient003", "patient004"]}
    (data / "split.json").write_text(json.dumps(parts))
    return [check(data)]


def patient_twice(place: Place) -> Sequence[Command]:
    for part in ("training", "testing"):
        write_acdc(place.folder / "acdc" / part, 5, frames=(1,))
    return [check(place.folder / "acdc"), prepare(place, place.folder / "acdc")]


def nothing_labelled(place: Place) -> Sequence[Command]:
    data = write_acdc(place.folder / "acdc", 2, frames=(1,))
    for file in data.rglob("*_gt.nii.gz"):
        file.unlink()
    return [prepare(place, data)]


def case_in_both_folders(place: Place) -> Sequence[Command]:
    data = write_synapse_slices(place.folder / "data")
    volumes = data / "test_vol_h5"
    shutil.copy(volumes / "case0001.npy.h5", volumes / "case0005.npy.h5")
    return [check(data)]


def strangers(place: Place) -> Sequence[Command]:
    """A folder of what no reader knows."""
    place.write("data/notes.txt", "nothing of interest")
    return [check("data"), prepare(place, "data"), train(place, "--data", "data")]


def named_data(name: str) -> Make:
    return lambda place: [prepare(place, name), train(place, "--data", name)]


def file_as_data(place: Place) -> Sequence[Command]:
    return [train(place, "--data", place.write("data.txt", "x"))]


def scans(write: Callable[[Path], object]) -> Make:
    def make(place: Place) -> Sequence[Command]:
        write(place.folder / "scans")
        return [predict(place, place.home / "run0", place.folder / "scans")]

    return make


def layouts(place: Place) -> Sequence[Command]:
    """Whole data sets, in each layout that has images and label maps in files of their own."""
    commands: list[Command] = []
    for write in (write_acdc, write_msd, write_nnunet, write_synapse):
        data = write(place.folder / write.__name__)
        commands.append(predict(place, place.home / "run0", data))
    return commands


def two_of_one_name(folder: Path) -> None:
    for ending in (".nii.gz", ".mha"):
        write_image(folder / f"a{ending}", random_image(1))


def beside(write: Callable[[Path], Path], file: str, other: str) -> Make:
    """A data set in which a file lies a second time under another name, with other content."""

    def make(place: Place) -> Sequence[Command]:
        data = write(place.folder / "data")
        if other.endswith(".npz"):
            shutil.copy(data / file, data / other)
        else:
            made = write_image(place.folder / f"made{Path(other.lower()).suffix}", random_image(77))
            made.replace(data / other)
        return [check(data), prepare(place, data)]

    return make


def label_is_image(content: dict[str, Any]) -> None:
    content["training"][1]["label"] = content["training"][1]["image"]


FRAME = "patient001/patient001_frame01"
SLICE = "train_npz/case0005_slice000"
TRAIN = ["patient001", "patient002"]
KINDS = (
    Kind(
        "a whole data set to segment",
        layouts,
        r"write_\w+: is a data set \(.*\) that contains label maps: give its folder of images",
    ),
    Kind(
        "a reference both packed and not",
        beside(write_acdc, f"{FRAME}_gt.nii.gz", f"{FRAME}_gt.nii"),
        r"patient001_frame01_gt\.nii\.gz: is a duplicate of patient001_frame01_gt\.nii",
    ),
    Kind(
        "an image under an ending in capitals, too",
        beside(write_acdc, f"{FRAME}.nii.gz", f"{FRAME}.NII"),
        r"patient001_frame01\.nii\.gz: is a duplicate of patient001_frame01\.NII",
    ),
    Kind(
        "an image of Synapse both packed and not",
        beside(write_synapse, "img/img0001.nii.gz", "img/img0001.nii"),
        r"img0001\.nii\.gz: is a duplicate of img0001\.nii: remove one",
    ),
    Kind(
        "a label of Synapse both packed and not",
        beside(write_synapse, "label/label0001.nii.gz", "label/label0001.nii"),
        r"label0001\.nii\.gz: is a duplicate of label0001\.nii: remove one",
    ),
    Kind(
        "a slice under two numbers",
        beside(write_synapse_slices, f"{SLICE}.npz", "train_npz/case0005_slice0000.npz"),
        r"case0005_slice0000\.npz: is a duplicate of case0005_slice000\.npz",
    ),
    Kind(
        "a label of nnU-Net both packed and not",
        beside(write_nnunet, "labelsTr/bt_001.nii.gz", "labelsTr/bt_001.nii"),
        r"labelsTr/bt_001\.nii: expected the suffix \.nii\.gz \(file_ending of dataset\.json\)",
    ),
    Kind(
        "an image of nnU-Net under an ending in capitals",
        beside(write_nnunet, "imagesTr/bt_001_0000.nii.gz", "imagesTr/bt_001_0001.NII"),
        r"bt_001_0001\.NII: expected the suffix \.nii\.gz \(file_ending of dataset\.json\): rename",
    ),
    Kind(
        "an image that is its own label",
        described(label_is_image),
        r"organ_001\.nii\.gz: dataset\.json lists it as an image and as its label",
    ),
    Kind(
        "a folder that no reader knows",
        strangers,
        "data: the folder's layout is not recognised; expected .*ACDC.*Synapse.*nnU-Net",
    ),
    Kind(
        "a folder that is not there",
        named_data("no/such/folder"),
        "no/such/folder: the data folder does not exist; expected",
    ),
    Kind(
        "a misspelt data set",
        named_data("phantm"),
        "no data set and no folder 'phantm'; did you mean 'phantom'?",
    ),
    Kind("a file for a folder", file_as_data, r"data\.txt: expected a folder, got a file"),
    Kind(
        "a dataset.json cut off",
        rewritten(b'{\n "name": "Organs",\n "modal'),
        rf"{JSON}:3: is not valid JSON",
    ),
    Kind("a dataset.json with a list", rewritten(b"[]"), rf"{JSON}: expected a JSON object"),
    Kind(
        "a dataset.json in another encoding",
        rewritten('{"name": "Größe"}'.encode("latin-1")),
        rf"{JSON}: is not a text file in UTF-8",
    ),
    Kind(
        "a dataset.json with the folders of Windows",
        rewritten(b'{"training": [{"image": "images\\Tr\\a.nii"}]}'),
        rf"{JSON}:1: is not valid JSON: Invalid .escape; write folders with / or ",
    ),
    Kind(
        "a dataset.json without labels",
        described(lambda c: c.pop("labels")),
        rf"{JSON}: expected 'labels' to be an object of names by id",
    ),
    Kind(
        "a dataset.json without cases",
        described(lambda c: c.update(training=[])),
        rf"{JSON}: expected 'training' to be a list of images and labels",
    ),
    Kind(
        "an entry without its label",
        described(lambda c: c["training"][1].pop("label")),
        rf"{JSON}: expected 'image' and 'label' in each entry of 'training', got",
    ),
    Kind(
        "a case that is listed twice",
        described(lambda c: c["training"].append(c["training"][0])),
        rf"{JSON}: 'training' lists organ_000 twice",
    ),
    Kind(
        "two classes of one name",
        described(lambda c: c["labels"].update({"7": c["labels"]["1"]})),
        rf"{JSON}: 'labels' contains the same name twice: ",
    ),
    Kind(
        "a class's id in two spellings",
        described(lambda c: c["labels"].update({"01": "another"})),
        rf"{JSON}: 'labels' contains the id 1 twice",
    ),
    Kind(
        "a key twice, of which JSON's readers keep the last",
        rewritten(b'{"labels": {"background": 0, "LV": 1, "LV": 2}, "channel_names": {}}'),
        rf"{JSON}: contains the key 'LV' twice in one object",
    ),
    Kind(
        "a wrong numTraining",
        lambda place: described(lambda c: c.update(numTraining=20))(place)[:1],
        rf"{JSON} has numTraining 20, but 5 labelled volumes exist: are all copied\?",
        code=0,
    ),
    Kind(
        "channels that are counted from 0001",
        shifted,
        r"bt_000_0002\.nii\.gz: channels start at 0001, expected 0000: rename",
    ),
    Kind(
        "channels that are not counted from 0",
        nnunet(channel_names={"0": "T1", "2": "T2"}),
        rf"{JSON}: expected 'channel_names' 0, 1, …, got 0, 2",
    ),
    Kind(
        "more channels than files",
        nnunet(channel_names={"0": "T1", "1": "T2", "2": "FLAIR"}),
        r"bt_000_0002\.nii\.gz: the image does not exist, but its label does",
    ),
    Kind(
        "an ending that is unknown",
        nnunet(file_ending=".png"),
        rf"{JSON}: expected 'file_ending' to be one of \.nii\.gz, .*, got '\.png'",
    ),
    Kind(
        "an ending that no label has",
        nnunet(file_ending=".mha"),
        r"data: there is no label \(labelsTr/\*\.mha\)",
    ),
    Kind(
        "frames without a reference",
        nothing_labelled,
        r"acdc: no frame has a reference \(\*_gt\.nii\.gz\)",
    ),
    Kind("a patient in two folders", patient_twice, "patient001: the patient is also in"),
    Kind(
        "a case as slices and as a volume",
        case_in_both_folders,
        r"case0005\.npy\.h5: case0005 is also in train_npz",
    ),
    Kind(
        "a patient on both sides of a split",
        split(train=TRAIN, test=["patient002", "patient003"]),
        r"split\.json: 1 patients are in both train and test: patient002 .*; a patient belongs",
    ),
    Kind(
        "one image on both sides of a split",
        same_image_on_both_sides,
        "patient001_frame01, patient004_frame01 are the same image, in train and test of split",
    ),
    Kind(
        "a split of unknown patients",
        split(train=["p1", "p2"], test=["patient003"]),
        r"split\.json: no train case of split 'file' is in the data set",
    ),
    Kind(
        "a split that tests nothing",
        split(train=TRAIN, test=[]),
        r"split\.json: no test case of split 'file'",
    ),
    Kind(
        "a split without its test",
        split(train=TRAIN),
        r"split\.json: expected 'test' to be a list of patients or cases",
    ),
    Kind(
        "a split of numbers",
        split(train=[1, 2], test=["patient003"]),
        r"split\.json: expected 'train' to be a list of patients or cases",
    ),
    Kind(
        "a split that is no JSON",
        named_split("--split", "half.json"),
        r"half\.json:3: is not valid JSON",
    ),
    Kind(
        "a misspelt split",
        named_split("--split", "fivefold"),
        "no split and no file 'fivefold'; did you mean 'five_fold'",
    ),
    Kind(
        "a fold that there is not",
        named_split("--split", "five_fold", "--fold", 5),
        "expected a fold from 0 to 4, got 5",
    ),
    Kind(
        "a fold of a split without folds",
        named_split("--split", "acdc_70_10_20", "--fold", 1),
        "split 'acdc_70_10_20' has no folds, got fold 1; use fold 0 or five_fold",
    ),
    Kind(
        "too few patients for five folds",
        named_split("--split", "five_fold", patients=3),
        r"five folds require at least 5 patients, acdc has 3; put a split\.json",
    ),
    Kind(
        "a split with patients that are not here",
        lambda place: split(train=[*TRAIN, "patient099"], test=["patient003"])(place)[:1],
        r"1 of 3 train entries of split 'file' are not in this copy of acdc: patient099",
        code=0,
    ),
    Kind(
        "scans of which there are none",
        scans(lambda folder: folder.mkdir()),
        "scans: there is no volume in the folder; expected an image",
    ),
    Kind(
        "scans that are pictures",
        scans(lambda folder: folder.write_bytes(b"\x89PNG")),
        r"scans: expected an image \(\.nii, \.nii\.gz, \.nrrd, \.mha\)",
    ),
    Kind(
        "two scans of one name",
        scans(two_of_one_name),
        "scans: two volumes are named 'a'",
    ),
    Kind(
        "a scan that is not there",
        scans(lambda folder: None),
        "scans: there is no such file or folder",
    ),
)
