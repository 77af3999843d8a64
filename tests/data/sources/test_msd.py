from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spsam.data.dataset import open_dataset
from spsam.errors import InputError
from tests.data.layouts import blocks, write_msd


def change(folder: Path, **entries: Any) -> None:
    path = folder / "dataset.json"
    content = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_cases_channels_and_classes(tmp_path: Path) -> None:
    dataset = open_dataset(write_msd(tmp_path, 2, modality={"0": "T1", "1": "FLAIR"}))
    assert [case.id for case in dataset.cases] == ["organ_000", "organ_001"]
    assert [case.patient for case in dataset.cases] == ["organ_000", "organ_001"]
    assert dataset.class_names == ("background", "liver", "spleen")
    assert dataset.channel_names == ("T1", "FLAIR")
    assert dataset.modality == "MR"
    assert dataset.cases[0].load().image.shape[0] == 2


@pytest.mark.parametrize("name", ["CT", "ct", "CT scan"])
def test_ct_is_known_by_its_channel(tmp_path: Path, name: str) -> None:
    assert open_dataset(write_msd(tmp_path, 1, modality={"0": name})).modality == "CT"


@pytest.mark.parametrize(
    ("labels", "spleen_id", "liver_id"),
    [
        ({"0": "background", "1": "liver", "2": "spleen"}, 2, 1),
        ({"0": "background", "1": "spleen", "2": "liver"}, 1, 2),
        # The order in the file means nothing, and ids need not follow each other.
        ({"11": "spleen", "0": "background", "6": "liver"}, 11, 6),
    ],
)
def test_organs_are_keyed_by_name_whatever_their_number(
    tmp_path: Path, labels: dict[str, str], spleen_id: int, liver_id: int
) -> None:
    """Trap 8: copies of one data set number the organs differently."""
    spleen, liver = blocks(values=(1,)) == 1, blocks(values=(0, 1)) == 1
    label = (spleen * spleen_id + liver * liver_id).astype(np.uint8)
    dataset = open_dataset(write_msd(tmp_path, 1, labels=labels, label=label))
    read = dataset.cases[0].load().label
    assert read is not None
    np.testing.assert_array_equal(read == dataset.class_names.index("spleen"), spleen)
    np.testing.assert_array_equal(read == dataset.class_names.index("liver"), liver)
    assert dataset.raw_ids[dataset.class_names.index("spleen")] == spleen_id


def test_what_windows_writes_is_read(tmp_path: Path) -> None:
    """A mark of the byte order, and folders with backslashes."""
    folder = write_msd(tmp_path / "organs")
    file = folder / "dataset.json"
    content = json.loads(file.read_text())
    for entry in content["training"]:
        entry["image"] = entry["image"].replace("/", "\\")
    file.write_text(json.dumps(content), encoding="utf-8-sig")
    assert len(open_dataset(folder).cases) == 6


def test_json_mistakes_have_a_line(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{\n "name": "x",\n "labels": {,}\n}')
    with pytest.raises(InputError, match=r"dataset\.json:3: is not valid JSON"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(InputError, match="JSON object"):
        open_dataset(tmp_path)


def test_every_mistake_of_dataset_json_comes_at_once(tmp_path: Path) -> None:
    write_msd(tmp_path, 2)
    (tmp_path / "labelsTr" / "organ_001.nii.gz").unlink()
    change(tmp_path, modality=None, labels={"1": "liver", "2": "liver"})
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path)
    text = str(caught.value)
    for part in ("'modality'", "lacks the id 0", "same name twice: liver", "organ_001.nii.gz"):
        assert part in text


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"labels": ["background"]}, "expected 'labels'"),
        ({"labels": {"background": 0, "liver": 1}}, "expected 'labels'"),
        ({"training": []}, "expected 'training'"),
        ({"training": ["a.nii.gz"]}, "each entry of 'training'"),
        ({"training": [{"image": "a.nii.gz"}]}, "each entry of 'training'"),
    ],
)
def test_single_mistakes(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    write_msd(tmp_path, 1)
    change(tmp_path, **entries)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


def test_a_case_listed_twice_is_refused(tmp_path: Path) -> None:
    write_msd(tmp_path, 1)
    entry = json.loads((tmp_path / "dataset.json").read_text())["training"][0]
    change(tmp_path, training=[entry, entry])
    with pytest.raises(InputError, match="organ_000 twice"):
        open_dataset(tmp_path)


def test_the_real_data_set(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "Task04_Hippocampus")
    assert len(dataset.cases) == 220
    assert dataset.class_names == ("background", "Anterior", "Posterior")
    assert dataset.modality == "MR"
    assert dataset.name == "hippocampus"


@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        "../organ.nii.gz",
        "imagesTr/../../x.nii.gz",
        "C:\\x.nii.gz",
        "\\x.nii.gz",
        "a" * 300,
        "a/" * 3000 + "x",
        "a\0b",
    ],
)
def test_paths_stay_inside_the_folder(tmp_path: Path, image: str) -> None:
    folder = write_msd(tmp_path / "organs", 2)
    change(folder, training=[{"image": image, "label": "labelsTr/organ_000.nii.gz"}])
    with pytest.raises(InputError, match="inside the data set's folder"):
        open_dataset(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"labels": ' + "9" * 5000 + "}"])
def test_a_description_of_absurd_size_is_an_input_error(tmp_path: Path, text: str) -> None:
    folder = write_msd(tmp_path / "organs", 1)
    (folder / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=r"dataset\.json"):
        open_dataset(folder)
