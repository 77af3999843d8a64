from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.cases import Case, DataSet
from spsam.data.split import split_cases, split_of_hash, title
from spsam.data.split_folds import read_folds
from spsam.data.volume import Geometry, Volume
from spsam.errors import InputError


def never() -> Volume:
    raise AssertionError("a split reads no image")


def dataset(names: str, folder: Path | None = None) -> DataSet:
    geometry = partial(Geometry, (1, 1, 1), (1, 1, 1))
    cases = tuple(Case(name, name, never, geometry) for name in names)
    return DataSet(
        "some", cases, ("background", "a"), (0, 1), ("MR",), "MR", "f" * 16, folder=folder
    )


def fold(train: str, val: str) -> dict[str, list[str]]:
    return {"train": list(train), "val": list(val)}


THREE = [fold("cdef", "ab"), fold("abef", "cd"), fold("abcd", "ef")]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_each_fold_trains_on_its_train_and_is_scored_on_its_val(tmp_path: Path) -> None:
    data, file = dataset("abcdef"), write(tmp_path / "mine.json", THREE)
    for number, lists in enumerate(THREE):
        split = split_cases(data, file, number)
        assert (split.name, split.folds) == ("mine", 3)
        assert (list(split.train), split.val, list(split.test)) == (
            lists["train"],
            (),
            lists["val"],
        )
    assert title(split_cases(data, file, 1), 1) == "fold 1 of split 'mine'"


def test_a_fold_is_the_split_of_the_same_lists(tmp_path: Path) -> None:
    """The hash, and so a run's id, is that of the lists, not of the file they stand in."""
    data, file = dataset("abcdef"), write(tmp_path / "splits_final.json", THREE)
    lists = {"train": list("abef"), "test": list("cd")}
    one = split_cases(data, write(tmp_path / "one.json", lists))
    assert split_cases(data, file, 1).hash == one.hash != split_cases(data, file, 0).hash
    held_back = split_cases(data, file, 1, validate=True)
    assert held_back.test == ("c", "d")
    assert sorted((*held_back.train, *held_back.val)) == list("abef")
    assert held_back.val


def test_the_file_beside_the_data_is_found_after_split_json(tmp_path: Path) -> None:
    data = dataset("abcdef", tmp_path)
    assert split_cases(data, fold=1).name == "five_fold"
    write(tmp_path / "splits_final.json", THREE)
    split = split_cases(data, fold=1)
    assert (split.name, split.test) == ("file", ("c", "d"))
    assert split_cases(data, "file", 1) == split == split_of_hash(data, "file", 1, split.hash)
    # What a run records of a file elsewhere is its hash alone.
    assert split_of_hash(data, None, 1, split.hash) == split
    own = {"train": tuple("cdef"), "val": (), "test": ("a", "b")}
    notes = split_cases(replace(data, splits={"own": own}), protocol="own").notes
    assert any("splits_final.json in the data folder is not used" in note for note in notes)
    write(tmp_path / "split.json", {"train": ["a"], "test": ["b"]})
    assert split_cases(data).test == ("b",)
    with pytest.raises(InputError, match="split 'file' has no folds, got fold 1"):
        split_cases(data, fold=1)


@pytest.mark.parametrize("number", [3, 5])
def test_a_fold_that_is_not_there_is_refused_with_the_number(tmp_path: Path, number: int) -> None:
    file = write(tmp_path / "splits_final.json", THREE)
    with pytest.raises(InputError, match=f"has 3 folds, got fold {number}; .*folds 0 to 2"):
        split_cases(dataset("abcdef"), file, number)


def test_all_mistakes_of_all_folds_are_told_at_once(tmp_path: Path) -> None:
    folds = [fold("abc", "cd"), {"train": ["a"]}, fold("ab", "cd"), {"train": "a", "val": [1]}, 7]
    with pytest.raises(InputError) as caught:
        split_cases(dataset("abcdef"), write(tmp_path / "splits_final.json", folds), 2)
    said = str(caught.value)
    assert "fold 0: 1 cases are in both train and val: c;" in said
    assert "fold 1: expected 'val' to be a list of cases" in said
    assert "fold 2" not in said
    assert all(f"fold 3: expected '{part}'" in said for part in ("train", "val"))
    assert len(caught.value.problems) == 6
    with pytest.raises(InputError, match="expected a list of folds"):
        split_cases(dataset("abcdef"), write(tmp_path / "empty.json", []))


def test_what_a_fold_lacks_is_told_with_the_fold(tmp_path: Path) -> None:
    file = write(tmp_path / "splits_final.json", [fold("ab", "xy"), fold("aab", "c")])
    with pytest.raises(InputError, match=r"fold 0, whose val is the test part: no test case"):
        split_cases(dataset("abcdef"), file, 0)
    with pytest.raises(InputError, match=r"fold 1, .*a: listed more than once in train"):
        split_cases(dataset("abcdef"), file, 1)


def test_frames_of_one_patient_on_both_sides_are_refused(tmp_path: Path) -> None:
    """Where the layout knows patients, nnU-Net's folds by case may mix them."""
    data = dataset("abcd")
    data = replace(data, cases=tuple(replace(each, patient="p") for each in data.cases))
    file = write(tmp_path / "splits_final.json", [fold("ab", "cd")])
    with pytest.raises(InputError, match="1 patients are in both train and test: p"):
        split_cases(data, file)


@given(
    names=st.lists(st.text("abc012", min_size=1, max_size=4), min_size=4, unique=True),
    folds=st.integers(2, 4),
)
def test_folds_made_as_nnunet_makes_them_come_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], folds: int
) -> None:
    made = [
        {
            "train": [each for n, each in enumerate(names) if n % folds != k],
            "val": names[k::folds],
        }
        for k in range(folds)
    ]
    file = write(tmp_path_factory.mktemp("folds") / "splits_final.json", made)
    assert [(list(f["train"]), list(f["test"])) for f in read_folds(file)] == [
        (each["train"], each["val"]) for each in made
    ]
