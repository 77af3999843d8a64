from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spsam.data.dataset import open_dataset
from spsam.data.sources.known import SYNAPSE
from spsam.data.split import split_cases
from spsam.errors import InputError
from tests.data.layouts import SHAPE, write_synapse, write_synapse_slices

EIGHT = ("aorta", "gallbladder", "left_kidney", "right_kidney", "liver", "pancreas", "spleen",
         "stomach")  # fmt: skip


@pytest.mark.parametrize("above", ["", "Training", "RawData/Training"])
def test_the_eight_scored_organs_are_classes_by_name(tmp_path: Path, above: str) -> None:
    write_synapse(tmp_path / above)
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.modality, dataset.published) == ("synapse", "CT", "synapse")
    assert dataset.class_names == ("background", *EIGHT)
    assert dataset.raw_ids == (0, 8, 4, 3, 2, 6, 11, 1, 7)
    label = dataset.cases[0].load().label
    assert label is not None
    raw = np.repeat(np.arange(14), 20)
    found = label.ravel()[: len(raw)]
    for raw_id, name in ((1, "spleen"), (8, "aorta"), (11, "pancreas")):
        assert set(found[raw == raw_id]) == {dataset.class_names.index(name)}
    # Organs that nobody scores are background, not an error.
    assert set(found[np.isin(raw, [5, 9, 10, 12, 13])]) == {0}


def test_the_published_split_is_the_default(tmp_path: Path) -> None:
    dataset = open_dataset(write_synapse(tmp_path))
    split = split_cases(dataset)
    assert split.name == "synapse_18_12"
    assert split.test == ("case0001", "case0002")
    assert split.train == ("case0005", "case0006", "case0007", "case0009")
    assert split.val == ()
    parts = SYNAPSE.splits["synapse_18_12"]
    assert (len(parts["train"]), len(parts["test"])) == (18, 12)
    assert not set(parts["train"]) & set(parts["test"])


def test_mistakes_of_the_raw_layout(tmp_path: Path) -> None:
    write_synapse(tmp_path)
    (tmp_path / "img" / "img0002.nii.gz").unlink()
    with pytest.raises(InputError, match=r"label0002.*img0002\.nii\.gz is missing"):
        open_dataset(tmp_path)
    (tmp_path / "label" / "label0002.nii.gz").unlink()
    (tmp_path / "label" / "label0005.nii.gz").unlink()
    dataset = open_dataset(tmp_path)
    assert len(dataset.cases) == 4
    assert dataset.notes == ("1 images without a label are excluded",)


def test_preprocessed_slices_and_volumes(tmp_path: Path) -> None:
    dataset = open_dataset(write_synapse_slices(tmp_path))
    assert dataset.class_names == ("background", *EIGHT)
    assert dataset.raw_ids == tuple(range(9))
    assert [case.id for case in dataset.cases] == ["case0001", "case0005", "case0006"]
    for case in dataset.cases:
        volume = case.load()
        assert volume.image.shape == (1, *SHAPE)
        assert case.geometry() == volume.geometry
        assert volume.label is not None
        assert set(np.unique(volume.label)) == {0, 1, 2, 8}
        expected = np.random.default_rng(int(case.id[4:])).random(SHAPE).astype(np.float32)
        np.testing.assert_array_equal(volume.image[0], expected)
    split = split_cases(dataset)
    assert (split.train, split.test) == (("case0005", "case0006"), ("case0001",))


def test_mistakes_of_the_preprocessed_layout(tmp_path: Path) -> None:
    write_synapse_slices(tmp_path)
    (tmp_path / "train_npz" / "case0005_slice002.npz").unlink()
    with pytest.raises(InputError, match="slices 2 of case0005 are missing"):
        open_dataset(tmp_path)


def test_damaged_preprocessed_files_are_named(tmp_path: Path) -> None:
    write_synapse_slices(tmp_path)
    damaged = tmp_path / "train_npz" / "case0005_slice002.npz"
    damaged.write_bytes(damaged.read_bytes()[:300])
    np.savez(tmp_path / "train_npz" / "case0005_slice003.npz", image=np.zeros((3, 3)))
    volume = tmp_path / "test_vol_h5" / "case0001.npy.h5"
    volume.write_bytes(volume.read_bytes()[:100])
    first, second, _ = open_dataset(tmp_path).cases
    with pytest.raises(InputError, match=r"case0001\.npy\.h5: cannot be read"):
        first.load()
    with pytest.raises(InputError) as caught:
        second.load()
    assert "slice002.npz: cannot be read: the file is damaged" in str(caught.value)
    assert "slice003.npz: cannot be read: it lacks 'image' or 'label'" in str(caught.value)
