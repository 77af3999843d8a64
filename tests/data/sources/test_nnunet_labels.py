"""`labels` of nnU-Net: classes, regions, the ignore label, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spsam.data.dataset import open_dataset
from spsam.data.labels import IGNORED
from spsam.data.sources.nnunet_labels import read_labels
from spsam.errors import InputError, Problem
from tests.data.layouts import blocks, write_image, write_nnunet

BRATS = {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "enhancing": [3]}


def read(**content: Any) -> Any:
    problems: list[Problem] = []
    found = read_labels(content, Path("dataset.json"), problems)
    return found, [str(each) for each in problems]


def test_regions_are_unions_of_the_ids_and_scored_in_the_files_order() -> None:
    found, problems = read(labels=BRATS, regions_class_order=[1, 2, 3])
    assert not problems
    assert found.names == {0: "background", 1: "label 1", 2: "label 2", 3: "enhancing"}
    assert [tuple(each) for each in found.regions] == [
        ("whole tumour", (1, 2, 3)),
        ("core", (2, 3)),
        ("enhancing", (3,)),
    ]


def test_indices_are_those_of_classes_whatever_the_ids() -> None:
    found, problems = read(labels={"background": 0, "both": [7, 4], "b": 7, "ignore": 9})
    assert not problems
    assert list(found.names) == [0, 4, 7]
    assert [tuple(each) for each in found.regions] == [("both", (1, 2)), ("b", (2,))]
    assert found.ignore_id == 9


def test_regions_may_overlap_partially() -> None:
    found, problems = read(labels={"background": 0, "a": [1, 2], "b": [2, 3]})
    assert not problems
    assert [each.classes for each in found.regions] == [(1, 2), (2, 3)]


def test_a_list_of_one_id_is_an_ordinary_class() -> None:
    found, problems = read(labels={"background": 0, "a": [2], "b": 1}, regions_class_order="x")
    assert not problems
    assert found == read(labels={"background": 0, "b": 1, "a": 2})[0]
    assert found.regions == ()


@pytest.mark.parametrize(
    ("labels", "order", "said"),
    [
        ({"a": [1, 0]}, None, "region 'a' contains the background"),
        ({"a": [1, 2], "ignore": 2}, None, "'ignore' to have one id, above 2"),
        ({"a": [1, 2], "ignore": [3, 4]}, None, "'ignore' to have one id"),
        ({"a": 3, "ignore": 2}, None, "above 3, the highest of the others, as in nnU-Net; got 2"),
        ({"a": []}, None, "region 'a' has no id"),
        ({"a": [1, "x"]}, None, "expected a number for label 'a', got 'x'"),
        ({"a": [1, [2]]}, None, "expected a number"),
        ({"a": [1, 1]}, None, "region 'a' lists an id twice"),
        ({"a": [1, 2], "b": [2, 1]}, None, "labels 'a' and 'b' have the same ids"),
        ({"a": [1], "b": 1}, None, "labels 'a' and 'b' have the same number 1"),
        ({"label 1": [1, 2], "b": 2}, None, "rename the region"),
        ({"a": [1, 2], "b": 2}, [1], "'regions_class_order' to list 2 ids"),
        ({"a": [1, 2], "b": 2}, "1, 2", "'regions_class_order' to list 2 ids"),
        ({"a": [1, 2], "b": 2}, [1, [2]], "'regions_class_order' contains [2], which"),
        ({"a": [1, 2], "b": 2}, [1, True], "'regions_class_order' contains True, which"),
        ({"a": [1, 2], "b": 2}, [1, 5], "'regions_class_order' contains 5, which no region lists"),
    ],
)
def test_mistakes(labels: dict[str, Any], order: Any, said: str) -> None:
    more = {} if order is None else {"regions_class_order": order}
    _, problems = read(labels={"background": 0, **labels}, **more)
    assert any(said in each for each in problems), problems


def test_ignored_voxels_are_read_as_such_and_an_id_of_no_entry_is_refused(tmp_path: Path) -> None:
    labels = {"background": 0, "both": [1, 2], "ignore": 5}
    folder = write_nnunet(tmp_path, cases=2, labels=labels)
    label = blocks(values=(1, 2, 5))
    write_image(folder / "labelsTr" / "bt_000.nii.gz", label)
    dataset = open_dataset(folder)
    assert (dataset.num_classes, dataset.ignore_id) == (3, 5)
    read_label = dataset.cases[0].load().label
    assert read_label is not None
    np.testing.assert_array_equal(read_label == IGNORED, label == 5)
    write_image(folder / "labelsTr" / "bt_001.nii.gz", blocks(values=(1, 2, 3)))
    with pytest.raises(InputError, match="label values 3 are out of range"):
        open_dataset(folder).cases[1].load()


def test_a_case_without_any_annotated_voxel_is_refused(tmp_path: Path) -> None:
    from spsam.data.check import load_checked

    folder = write_nnunet(tmp_path, cases=1, labels={"background": 0, "a": 1, "ignore": 2})
    write_image(folder / "labelsTr" / "bt_000.nii.gz", np.full((5, 20, 24), 2, np.uint8))
    with pytest.raises(InputError, match="every voxel has the ignore label"):
        load_checked(open_dataset(folder).cases[0], 2)


def test_fingerprints_tell_them_apart_and_others_keep_theirs(tmp_path: Path) -> None:
    prints = []
    for number, labels in enumerate(
        (
            {"background": 0, "a": 1, "b": 2},
            {"background": 0, "a": 1, "b": 2, "ignore": 3},
            {"background": 0, "a": 1, "b": 2, "all": [1, 2]},
            {"background": 0, "all": [1, 2], "a": 1, "b": 2},
        )
    ):
        dataset = open_dataset(write_nnunet(tmp_path / str(number), cases=1, labels=labels))
        prints.append(dataset.fingerprint)
    assert len(set(prints)) == 4
