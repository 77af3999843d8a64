from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.cases import Case, DataSet
from spsam.data.dataset import open_dataset
from spsam.data.split import Split, split_cases, split_of_hash
from spsam.data.volume import Geometry, Volume
from spsam.errors import InputError


def never() -> Volume:
    raise AssertionError("a split reads no image")


def dataset(patients: list[str], frames: int = 2, folder: Path | None = None) -> DataSet:
    cases = tuple(
        Case(f"{patient}_frame{frame}", patient, never, partial(Geometry, (1, 1, 1), (1, 1, 1)))
        for patient in patients
        for frame in range(frames)
    )
    return DataSet(
        "some", cases, ("background", "a"), (0, 1), ("MR",), "MR", "f" * 16, folder=folder
    )


def write(path: Path, **parts: object) -> Path:
    path.write_text(json.dumps(parts))
    return path


def patients_of(data: DataSet, ids: tuple[str, ...]) -> set[str]:
    return {data.case(each).patient for each in ids}


@given(
    names=st.lists(
        st.text("abcdef0123", min_size=1, max_size=6), min_size=5, max_size=40, unique=True
    ),
    frames=st.integers(1, 3),
    validate=st.booleans(),
)
def test_five_folds_are_by_patient_and_cover_everything(
    names: list[str], frames: int, validate: bool
) -> None:
    """Trap 6: both frames of a patient lie on one side, and validation is not the test."""
    data = dataset([f"p{name}" for name in names], frames)
    tested: list[str] = []
    for fold in range(5):
        split = split_cases(data, fold=fold, validate=validate)
        parts = [patients_of(data, ids) for ids in (split.train, split.val, split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(names)
        train, val, test = parts
        assert train
        assert test
        assert bool(val) == validate
        assert len(split.train) + len(split.val) + len(split.test) == len(data.cases)
        tested += split.test
    assert sorted(tested) == sorted(case.id for case in data.cases)


def test_five_folds_do_not_depend_on_order_or_time() -> None:
    names = [f"patient{number:03d}" for number in range(40)]
    split = split_cases(dataset(names), fold=2)
    assert split_cases(dataset(names[::-1]), fold=2) == split
    assert split.name == "five_fold"
    assert [len(ids) for ids in (split.train, split.val, split.test)] == [64, 0, 16]
    assert split_cases(dataset(names), fold=3).hash != split.hash
    held_back = split_cases(dataset(names), fold=2, validate=True)
    assert [len(ids) for ids in (held_back.train, held_back.val, held_back.test)] == [56, 8, 16]
    assert held_back.test == split.test
    # Pinned: results of record name this hash.
    assert held_back.hash == "389415e8698f93ee"


def test_amos_has_160_to_train_and_40_to_test() -> None:
    data = dataset([f"amos_{number:04d}" for number in range(200)], frames=1)
    splits = [split_cases(data, "five_fold", fold) for fold in range(5)]
    assert {(len(s.train), len(s.val), len(s.test)) for s in splits} == {(160, 0, 40)}


def test_all_trains_on_everything() -> None:
    data = dataset(list("abcdefghi"))
    split = split_cases(data, "all")
    assert set(split.train) == {case.id for case in data.cases}
    assert (split.name, split.val, split.test) == ("all", (), ())
    assert any("none is scored" in note for note in split.notes)
    held_back = split_cases(data, "all", validate=True)
    assert held_back.val
    assert sorted((*held_back.train, *held_back.val)) == list(split.train)
    with pytest.raises(InputError, match="has no folds"):
        split_cases(data, "all", 1)


def test_validation_cases_that_a_split_names_are_the_ones(tmp_path: Path) -> None:
    """Only a split without any has some held back, and only where something reads them."""
    data = dataset(list("abcdef"), folder=tmp_path)
    write(tmp_path / "split.json", train=["a", "b"], val=["c"], test=["d"])
    assert split_cases(data, validate=True) == split_cases(data)
    without = write(tmp_path / "without.json", train=["a", "b"], test=["d"])
    assert split_cases(data, without).val == ()
    split = split_cases(data, without, validate=True)
    assert (len(split.train), len(split.val), len(split.test)) == (2, 2, 2)
    one = write(tmp_path / "one.json", train=["a"], test=["d"])
    with pytest.raises(InputError, match="one training patient is too few to hold any out"):
        split_cases(data, one, validate=True)


def test_the_split_of_a_run_is_known_by_its_hash(tmp_path: Path) -> None:
    data = dataset(list("abcdefgh"), folder=tmp_path)
    for validate in (False, True):
        split = split_cases(data, "five_fold", 1, validate=validate)
        assert split_of_hash(data, "five_fold", 1, split.hash) == split
    assert split_of_hash(data, "five_fold", 1, "0" * 16) == split_cases(data, "five_fold", 1)


PARTS = {"train": ("a", "b"), "val": ("c",), "test": ("d",)}


def test_the_protocols_split_comes_before_the_file_beside_the_data(tmp_path: Path) -> None:
    data = replace(dataset(list("abcdef"), folder=tmp_path), splits={"own": PARTS})
    write(tmp_path / "split.json", train=["a"], test=["e"])
    split = split_cases(data, protocol="own")
    assert split.name == "own"
    assert any("use --split file to select it" in note for note in split.notes)
    assert split_cases(data, "file", protocol="own").name == "file"
    assert split_cases(data).name == "file"
    # A file that has the same cases is no other split.
    write(tmp_path / "split.json", train=["a", "b"], val=["c"], test=["d"])
    assert not any("split.json" in n for n in split_cases(data, protocol="own").notes)
    assert split_cases(data, protocol="five_fold").name == "five_fold"


def test_a_protocols_split_that_this_copy_lacks_is_replaced_aloud(tmp_path: Path) -> None:
    lacking = {"train": ("a",), "val": (), "test": ("x",)}
    data = replace(dataset(list("abcdef")), splits={"own": lacking})
    for protocol in ("own", "published"):
        split = split_cases(data, protocol=protocol)
        assert split.name == "five_fold"
        assert any(note.endswith("five folds instead") for note in split.notes)
    assert "no test patient of split 'own' is present" in split_cases(data, protocol="own").notes[0]
    data = replace(dataset(list("abcdef")), splits={"other": PARTS})
    split = split_cases(data, protocol="published")
    assert split.name == "other"
    assert split.notes[0] == (
        "split 'published' does not exist for data in this layout: using other instead"
    )


@pytest.mark.parametrize("fold", [-1, 5])
def test_folds_are_numbered_0_to_4(fold: int) -> None:
    with pytest.raises(InputError, match="from 0 to 4"):
        split_cases(dataset([f"p{number}" for number in range(9)]), fold=fold)


def test_too_few_patients_for_five_folds() -> None:
    with pytest.raises(InputError, match="at least 5 patients, some has 4"):
        split_cases(dataset(["a", "b", "c", "d"]))


def test_the_file_beside_the_data_comes_before_the_folds(tmp_path: Path) -> None:
    data = dataset(list("abcdef"), folder=tmp_path)
    write(tmp_path / "split.json", train=["a", "b"], val=["c"], test=["d", "e"], source="x")
    split = split_cases(data)
    assert split.name == "file"
    assert patients_of(data, split.train) == {"a", "b"}
    assert patients_of(data, split.val) == {"c"}
    assert patients_of(data, split.test) == {"d", "e"}
    assert split.notes == ("1 patients are in no part of split 'file' and are not used",)
    assert split_cases(data, "five_fold").name == "five_fold"


def test_a_named_file_comes_first(tmp_path: Path) -> None:
    data = dataset(list("abcdef"), folder=tmp_path)
    write(tmp_path / "split.json", train=["a"], val=[], test=["b"])
    mine = write(tmp_path / "mine.json", train=["b_frame0", "b_frame1"], test=["a_frame1"])
    split = split_cases(data, mine)
    assert split.name == "mine"
    assert split.train == ("b_frame0", "b_frame1")
    assert split.val == ()
    assert split.test == ("a_frame1",)


def test_what_is_missing_is_said_and_the_rest_used(tmp_path: Path) -> None:
    data = dataset(list("abc"), folder=tmp_path)
    write(tmp_path / "split.json", train=["a", "x"], val=["b"], test=["c", "y", "z"])
    split = split_cases(data)
    assert patients_of(data, split.test) == {"c"}
    assert split.notes == (
        "1 of 2 train entries of split 'file' are not in this copy of some: x",
        "2 of 3 test entries of split 'file' are not in this copy of some: y, z",
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"train": ["a", "b"], "val": [], "test": ["b"]},
        {"train": ["a", "b_frame0"], "val": [], "test": ["b_frame1"]},
        {"train": ["a"], "val": ["b"], "test": ["b_frame0"]},
        {"train": ["a"], "val": ["a"], "test": ["b"]},
        # Nobody can say whether an absent patient's volumes were used: refused as well.
        {"train": ["a", "absent"], "val": [], "test": ["b", "absent"]},
    ],
)
def test_a_patient_on_both_sides_is_refused(tmp_path: Path, parts: dict[str, list[str]]) -> None:
    """Trap 6."""
    data = dataset(list("abc"), folder=tmp_path)
    write(tmp_path / "split.json", **parts)
    with pytest.raises(InputError, match="a patient belongs to one part"):
        split_cases(data)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["a", "a"], "test": ["c"]}, "a: listed more than once in train"),
        ({"train": ["a"], "test": ["c", "absent", "absent"]}, "absent: listed more than once in"),
        # Its patient's entry is its own, too.
        ({"train": ["b", "b_frame1"], "test": ["c"]}, "b_frame1: listed more than once in train"),
        (
            {"train": ["a", "b_frame1"], "test": ["b_frame1"]},
            r"in both train and test: b \(cases listed in both: b_frame1\)",
        ),
    ],
)
def test_a_case_is_listed_once(tmp_path: Path, parts: dict[str, list[str]], message: str) -> None:
    data = dataset(list("abc"), folder=tmp_path)
    path = write(tmp_path / "split.json", **parts)
    with pytest.raises(InputError, match=message) as caught:
        split_cases(data)
    assert all(problem.file == path for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["x"], "val": [], "test": ["a"]}, "no train case"),
        ({"train": ["a"], "val": [], "test": ["x"]}, "no test case"),
        ({"train": "a", "test": ["b"]}, "expected 'train' to be a list"),
        ({"train": ["a"]}, "expected 'test' to be a list"),
        ({"train": ["a"], "test": [1]}, "expected 'test' to be a list"),
    ],
)
def test_files_that_make_no_split(tmp_path: Path, parts: dict[str, object], message: str) -> None:
    data = dataset(list("abc"), folder=tmp_path)
    path = write(tmp_path / "split.json", **parts)
    with pytest.raises(InputError, match=message) as caught:
        split_cases(data)
    assert all(problem.file == path for problem in caught.value.problems)


def test_splits_that_do_not_exist(tmp_path: Path) -> None:
    data = dataset(list("abcdef"), folder=tmp_path)
    with pytest.raises(InputError, match=r"no split\.json and no splits_final\.json in the"):
        split_cases(data, "file")
    with pytest.raises(InputError, match="did you mean 'five_fold'"):
        split_cases(data, "fivefold")
    (tmp_path / "bad.json").write_text("{\n\n]")
    with pytest.raises(InputError, match=r"bad\.json:3"):
        split_cases(data, tmp_path / "bad.json")
    write(tmp_path / "split.json", train=["a"], test=["b"])
    with pytest.raises(InputError, match="has no folds"):
        split_cases(data, fold=1)


def test_the_hash_is_of_the_cases_alone(tmp_path: Path) -> None:
    data = dataset(list("abc"), folder=tmp_path)
    by_patient = write(tmp_path / "one.json", train=["b", "a"], test=["c"])
    by_case = write(
        tmp_path / "two.json",
        test=["c_frame1", "c_frame0"],
        train=["a_frame0", "a_frame1", "b_frame0", "b_frame1"],
    )
    first, second = split_cases(data, by_patient), split_cases(data, by_case)
    assert first.hash == second.hash
    assert replace(first, name="") == replace(second, name="")


def test_the_phantom_brings_its_own() -> None:
    data = open_dataset("phantom")
    split = split_cases(data)
    assert split.name == "phantom"
    assert isinstance(split, Split)
    assert [len(ids) for ids in (split.train, split.val, split.test)] == [30, 6, 12]
    assert split_cases(data, "phantom") == split
    assert split_cases(data, "five_fold", 1).name == "five_fold"


def test_the_real_split_file(shared_data: Path) -> None:
    data = open_dataset(shared_data / "acdc")
    split = split_cases(data)
    assert [len(ids) for ids in (split.train, split.val, split.test)] == [140, 20, 20]
    assert split_cases(open_dataset(shared_data / "acdc" / "training")) == split
