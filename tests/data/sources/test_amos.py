from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spsam.data.dataset import open_dataset
from spsam.data.split import split_cases
from spsam.errors import InputError
from tests.data.layouts import write_amos


def test_ct_volumes_with_organs_by_their_plain_names(tmp_path: Path) -> None:
    dataset = open_dataset(write_amos(tmp_path))
    assert (dataset.name, dataset.modality, dataset.published) == ("amos22", "CT", "amos22")
    assert [case.id for case in dataset.cases] == [f"amos_000{n}" for n in (1, 4, 5, 6, 7)]
    assert dataset.notes == ("1 MR volumes (amos_0500 …) are excluded",)
    assert len(dataset.class_names) == 16
    assert [dataset.class_names[k] for k in (4, 8, 9, 15)] == [
        "gallbladder", "aorta", "inferior_vena_cava", "prostate_uterus"
    ]  # fmt: skip
    label = dataset.cases[0].load().label
    assert set(np.unique(label)) == {0, 1, 8, 15}
    assert split_cases(dataset, fold=2).name == "five_fold"


def test_organs_go_by_name_where_a_copy_numbers_them_otherwise(tmp_path: Path) -> None:
    path = write_amos(tmp_path) / "dataset.json"
    content = json.loads(path.read_text())
    content["labels"]["1"], content["labels"]["8"] = "arota", "spleen"
    path.write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert dataset.raw_ids[dataset.class_names.index("aorta")] == 1
    assert dataset.raw_ids[dataset.class_names.index("spleen")] == 8
    label = dataset.cases[0].load().label
    assert label is not None
    # The block that the file calls 1 is the aorta here.
    assert label[2, 5, 4] == dataset.class_names.index("aorta")


def test_mistakes_come_at_once(tmp_path: Path) -> None:
    path = write_amos(tmp_path, numbers=(507,)) / "dataset.json"
    content = json.loads(path.read_text())
    content["labels"]["3"] = "left lung"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path)
    assert "wrong: left_kidney, left_lung" in str(caught.value)
    assert "lists no CT volume" in str(caught.value)
