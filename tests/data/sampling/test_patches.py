from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from spsam.config.augment import AugmentConfig
from spsam.data.preparation.store import PreparedStore
from spsam.data.sampling.patches import PatchDataset, cut_out
from spsam.errors import SpsamError
from tests.data.stores import write_store

PATCH = (4, 16, 16)
DEFAULTS = AugmentConfig().model_dump()
PLAIN: dict[str, Any] = {"foreground": 1 / 3, "augment": None}
FULL: dict[str, Any] = DEFAULTS | {
    f"{name}_p": 1.0
    for name in (
        "rotation", "scale", "noise", "blur", "brightness", "contrast", "low_resolution", "gamma"
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    """Two cases larger than the patch; an image's voxel holds its own flat index."""
    rng = np.random.default_rng(0)
    cases = {}
    for name, shape in (("a", (6, 40, 44)), ("b", (9, 30, 50))):
        label = np.zeros(shape, np.uint8)
        label[2:4, 5:9, 6:10] = 1
        label[4, 20:22, 30:33] = 3
        image = rng.normal(size=(2, *shape))
        image[1] = np.arange(label.size).reshape(shape)
        cases[name] = (image, label)
    return write_store(tmp_path_factory.mktemp("store"), cases)


def patches(store: PreparedStore, **options: Any) -> PatchDataset:
    return PatchDataset(store, store.ids, PATCH, **{**PLAIN, "length": 40, "seed": 1, **options})


def equal(first: Any, second: Any) -> bool:
    return all(torch.equal(first[key], second[key]) for key in ("image", "label"))


def test_shapes_and_types(store: PreparedStore) -> None:
    for augment in (None, DEFAULTS):
        patch = patches(store, augment=augment)[3]
        assert set(patch) == {"image", "label"}
        assert patch["image"].shape == (2, *PATCH)
        assert patch["image"].dtype == torch.float32
        assert patch["label"].shape == PATCH
        assert patch["label"].dtype == torch.int64
        assert patch["image"].is_contiguous()


def test_a_patch_is_a_cut_of_the_volume(store: PreparedStore) -> None:
    dataset = patches(store)
    for index in range(len(dataset)):
        patch = dataset[index]
        flat = patch["image"][1].long()
        found = [
            name
            for name in store.ids
            if flat.max() < store.case(name).label.size
            and np.array_equal(store.case(name).label[...].ravel()[flat.numpy()], patch["label"])
            and np.array_equal(store.case(name).image[0].ravel()[flat.numpy()], patch["image"][0])
        ]
        assert len(found) == 1


@pytest.mark.parametrize("augment", [None, DEFAULTS, FULL])
def test_a_patch_depends_on_seed_and_number_alone(
    store: PreparedStore, augment: dict[str, Any] | None
) -> None:
    first, second = patches(store, augment=augment), patches(store, augment=augment)
    backwards = {index: first[index] for index in reversed(range(8))}
    torch.manual_seed(99)
    assert all(equal(backwards[index], second[index]) for index in range(8))
    other = patches(store, augment=augment, seed=2)
    assert not any(equal(backwards[index], other[index]) for index in range(8))
    assert not equal(backwards[0], backwards[1])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_change_nothing(store: PreparedStore, context: str) -> None:
    dataset = patches(store, augment=FULL, length=6)
    alone = list(DataLoader(dataset, batch_size=2))
    helped = list(DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context=context))
    assert len(alone) == 3
    assert all(equal(one, two) for one, two in zip(alone, helped, strict=True))


def test_global_random_state_is_left_alone(store: PreparedStore) -> None:
    dataset = patches(store, augment=FULL)
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(0)
    np.random.seed(0)
    dataset[0]
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


def test_a_third_is_centred_on_a_class_drawn_evenly(store: PreparedStore) -> None:
    """Without foreground centring few patches hold the rare class; with it a sixth and more do."""

    def share(foreground: float, value: int) -> float:
        dataset = patches(store, length=300, foreground=foreground)
        size = np.array(PATCH) // 2
        # The drawn voxel is the patch's centre unless a border pushed the patch.
        hits = [bool((dataset[index]["label"] == value).any()) for index in range(300)]
        assert size.all()
        return float(np.mean(hits))

    assert share(1.0, 3) > 0.45
    assert share(0.0, 3) < share(1 / 3, 3) < share(1.0, 3)


def test_foreground_patches_have_the_voxel_inside(tmp_path: Path) -> None:
    label = np.zeros((8, 60, 60), np.uint8)
    label[0, 0, 0], label[7, 59, 30], label[3, 30, 30] = 1, 2, 3
    store = write_store(tmp_path, {"a": (np.ones((1, *label.shape)), label)})
    seen = set()
    for index in range(60):
        dataset = PatchDataset(store, ["a"], PATCH, length=60, seed=0, foreground=1.0, augment=None)
        found = set(dataset[index]["label"].unique().tolist()) - {0}
        assert len(found) == 1
        seen |= found
    assert seen == {1, 2, 3}


def test_borders_are_seen_as_often_as_the_sliding_window_sees_them(tmp_path: Path) -> None:
    """About a patch in seven here; starts drawn evenly would show a border once in 45 patches."""
    label = np.zeros((8, 60, 60), np.uint8)
    label[:, 0], label[:, -1] = 1, 2
    store = write_store(tmp_path, {"a": (np.ones((1, *label.shape)), label)})
    dataset = PatchDataset(store, ["a"], PATCH, length=300, seed=0, foreground=0.0, augment=None)
    seen = Counter(value for n in range(300) for value in dataset[n]["label"].unique().tolist())
    assert seen[1] / 300 == pytest.approx(9 / 60, abs=0.06)
    assert seen[2] / 300 == pytest.approx(8 / 60, abs=0.06)


def test_a_case_without_foreground_is_cut_anywhere(tmp_path: Path) -> None:
    store = write_store(tmp_path, {"a": (np.ones((1, 5, 20, 20)), np.zeros((5, 20, 20)))})
    dataset = PatchDataset(store, ["a"], PATCH, length=3, seed=0, foreground=1.0, augment=None)
    assert dataset[0]["label"].sum() == 0


@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_small_volumes_are_padded_evenly_as_the_sliding_window_pads(
    tmp_path: Path, foreground: float
) -> None:
    label = np.full((1, 9, 40), 2, np.uint8)
    store = write_store(tmp_path, {"a": (np.ones((1, *label.shape)), label)})
    patch = PatchDataset(
        store, ["a"], PATCH, length=1, seed=0, foreground=foreground, augment=None
    )[0]
    expected = torch.zeros(PATCH)
    # As MONAI pads: half of what is missing before, the larger half behind.
    expected[1:2, 3:12, :] = 1
    torch.testing.assert_close(patch["image"][0], expected)
    torch.testing.assert_close(patch["label"], (2 * expected).long())


def test_numbers_end_at_the_length(store: PreparedStore) -> None:
    dataset = patches(store, length=2)
    assert len(dataset) == 2
    for index in (2, -1):
        with pytest.raises(IndexError):
            dataset[index]


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    size=st.tuples(*[st.integers(1, 6)] * 3),
    start=st.tuples(*[st.integers(-8, 8)] * 3),
)
def test_cutting_is_cutting_from_an_endless_array_of_zeros(
    shape: tuple[int, ...], size: tuple[int, ...], start: tuple[int, ...]
) -> None:
    array = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    endless = np.pad(array, 16)
    expected = endless[tuple(slice(16 + a, 16 + a + b) for a, b in zip(start, size, strict=True))]
    np.testing.assert_array_equal(cut_out(array, np.array(start), size), expected)
    np.testing.assert_array_equal(cut_out(array[None], np.array(start), size), expected[None])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_prepared_image_without_numbers_is_named(tmp_path: Path, value: float) -> None:
    """And not learnt from: the loss would be NaN, and the learning rate blamed."""
    image = np.zeros((1, *PATCH), np.float32)
    image[0, 2, 3, 4] = value
    spoilt = write_store(tmp_path, {"organ_7": (image, np.zeros(PATCH, np.uint8))})
    dataset = PatchDataset(spoilt, spoilt.ids, PATCH, length=1, seed=0, **PLAIN)
    with pytest.raises(SpsamError, match=f"organ_7: its prepared image contains NaN.*{tmp_path}"):
        dataset[0]
