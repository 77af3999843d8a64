from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

import spsam
from spsam.errors import InputError
from spsam.model.prompts.extract import RULES, Prompts, extract_prompts

from .label_maps import CLASSES, label_maps

every_rule = pytest.mark.parametrize("point", sorted(RULES))


def ring(size: int = 21) -> NDArray[np.int64]:
    y, x = np.mgrid[:size, :size] - size // 2
    radius = np.hypot(y, x)
    return ((radius < 9) & (radius > 5)).astype(np.int64)[None]


def squared_distance(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """SciPy's, with the outside of the image as background."""
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.rint(distance**2).astype(np.int64)


@given(labels=label_maps())
def test_points_are_the_first_exact_maximum(labels: NDArray[np.int64]) -> None:
    prompts = extract_prompts(labels, CLASSES)
    assert prompts.points is not None
    for n, image in enumerate(labels):
        for k in range(CLASSES):
            mask = image == k
            y, x = divmod(int(squared_distance(mask).argmax()), image.shape[1])
            wanted = [x, y] if mask.any() else [0, 0]
            assert prompts.points[n, k].tolist() == wanted


@given(labels=label_maps())
def test_boxes_are_tight_and_presence_is_right(labels: NDArray[np.int64]) -> None:
    prompts = extract_prompts(labels, CLASSES)
    assert prompts.boxes is not None
    for n, image in enumerate(labels):
        for k in range(CLASSES):
            y, x = np.nonzero(image == k)
            assert prompts.present[n, k] == (y.size > 0)
            wanted = [x.min(), y.min(), x.max(), y.max()] if y.size else [0, 0, 0, 0]
            assert prompts.boxes[n, k].tolist() == wanted


@every_rule
@given(labels=label_maps(), seed=st.integers(0, 5))
def test_arrays_and_tensors_agree_in_every_integer_type(
    point: str, labels: NDArray[np.int64], seed: int
) -> None:
    wanted = extract_prompts(labels, CLASSES, point, seed=seed)
    for kind in (np.uint8, np.int16, np.uint64):
        got = extract_prompts(labels.astype(kind), CLASSES, point, seed=seed)
        assert_equal(wanted, got)
    tensors = extract_prompts(torch.from_numpy(labels), CLASSES, point, seed=seed)
    assert isinstance(tensors.points, torch.Tensor)
    assert isinstance(tensors.present, torch.Tensor)
    assert tensors.points.dtype == torch.int64
    assert tensors.present.dtype == torch.bool
    assert_equal(wanted, tensors)


def assert_equal(wanted: Prompts[Any], got: Prompts[Any]) -> None:
    for name in ("points", "boxes", "present"):
        a, b = getattr(wanted, name), getattr(got, name)
        assert np.array_equal(a, np.asarray(b))


@every_rule
@given(labels=label_maps())
def test_slices_do_not_see_each_other(point: str, labels: NDArray[np.int64]) -> None:
    whole = extract_prompts(labels, CLASSES, point)
    for n in range(len(labels)):
        one = extract_prompts(labels[n : n + 1], CLASSES, point)
        assert whole.points is not None
        assert one.points is not None
        assert np.array_equal(whole.points[n], one.points[0])


@pytest.mark.parametrize("point", ["edt", "random"])
@given(labels=label_maps())
def test_point_lies_in_the_object(point: str, labels: NDArray[np.int64]) -> None:
    prompts = extract_prompts(labels, CLASSES, point)
    assert prompts.points is not None
    for n, k in np.argwhere(prompts.present):
        x, y = prompts.points[n, k]
        assert labels[n, y, x] == k


@every_rule
@given(labels=label_maps())
def test_absent_classes_are_zero(point: str, labels: NDArray[np.int64]) -> None:
    prompts = extract_prompts(labels, CLASSES + 1, point)
    assert prompts.points is not None
    assert prompts.boxes is not None
    assert not prompts.present[:, CLASSES].any()
    assert not prompts.points[~prompts.present].any()
    assert not prompts.boxes[~prompts.present].any()


def point_of(labels: NDArray[np.int64], k: int, point: str, **kw: Any) -> list[int]:
    prompts = extract_prompts(labels, int(labels.max()) + 1, point, **kw)
    assert prompts.points is not None
    result: list[int] = prompts.points[0, k].tolist()
    return result


def test_ties_go_to_the_first_in_row_major_order() -> None:
    labels = np.zeros((1, 6, 6), dtype=np.int64)
    labels[0, 4, 1] = labels[0, 2, 3] = labels[0, 2, 5] = 1
    assert point_of(labels, 1, "edt") == [3, 2]
    assert point_of(np.zeros((1, 4, 6), dtype=np.int64), 0, "edt") == [1, 1]


def test_a_map_of_ones_has_its_point_in_the_middle() -> None:
    assert point_of(np.ones((1, 5, 9), dtype=np.int64), 1, "edt") == [2, 2]


def test_a_large_object_is_exact() -> None:
    labels = np.zeros((1, 600, 700), dtype=np.int64)
    assert point_of(labels, 0, "edt") == [299, 299]


def test_centres_of_a_ring_lie_in_its_hole() -> None:
    labels = ring()
    assert point_of(labels, 1, "box_center") == [10, 10]
    assert point_of(labels, 1, "centroid") == [10, 10]
    assert labels[0, 10, 10] == 0
    x, y = point_of(labels, 1, "edt")
    assert labels[0, y, x] == 1


@given(labels=label_maps())
def test_centroids_are_rounded_means(labels: NDArray[np.int64]) -> None:
    prompts = extract_prompts(labels, CLASSES, "centroid")
    assert prompts.points is not None
    for n, k in np.argwhere(prompts.present):
        rows, columns = np.nonzero(labels[n] == k)
        mean = np.array([columns.mean(), rows.mean()])
        assert (abs(prompts.points[n, k] - mean) <= 0.5 + 1e-9).all()


def test_half_way_the_smaller_index_is_taken() -> None:
    labels = np.zeros((1, 4, 4), dtype=np.int64)
    labels[0, 1:3, 1:3] = 1
    for point in ("edt", "box_center", "centroid"):
        assert point_of(labels, 1, point) == [1, 1]


def test_random_points_are_reproducible_and_reach_every_pixel() -> None:
    labels = np.zeros((1, 8, 8), dtype=np.int64)
    labels[0, 2:4, 3:6] = 1
    drawn = [tuple(point_of(labels, 1, "random", seed=seed)) for seed in range(300)]
    assert drawn == [tuple(point_of(labels, 1, "random", seed=seed)) for seed in range(300)]
    counts = {place: drawn.count(place) for place in set(drawn)}
    assert len(counts) == 6
    assert min(counts.values()) > 20


def test_random_points_differ_between_label_maps() -> None:
    labels = np.zeros((1, 32, 32), dtype=np.int64)
    other = labels.copy()
    other[0, -1, -1] = 1
    assert point_of(labels, 0, "random") != point_of(other, 0, "random")


def test_more_classes_than_a_byte_holds() -> None:
    labels = np.arange(300).reshape(1, 15, 20)
    prompts = extract_prompts(labels, 300)
    assert prompts.points is not None
    assert prompts.points[0, 299].tolist() == [19, 14]
    full = extract_prompts(np.full((1, 3, 3), 255), 256)
    assert full.points is not None
    assert full.points[0, 255].tolist() == [1, 1]


def test_no_slices_no_prompts() -> None:
    prompts = extract_prompts(np.zeros((0, 4, 4), dtype=np.int64), 2)
    assert prompts.points is not None
    assert prompts.points.shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.full((1, 3, 3), 4), r"0 to 3, got values from 4 to 4"),
        (np.full((1, 3, 3), -1), r"0 to 3, got values from -1 to -1"),
        (np.zeros((1, 3, 3)), "integer type, got float64"),
        (np.zeros((1, 3, 3), dtype=bool), "integer type, got bool"),
        (np.zeros((3, 3), dtype=int), r"\(N, H, W\), got \(3, 3\)"),
        (np.zeros((1, 0, 3), dtype=int), r"\(N, H, W\), got \(1, 0, 3\)"),
        (torch.zeros(1, 3, 3), "integer type"),
    ],
)
def test_wrong_labels(labels: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        extract_prompts(labels, 4)


def test_wrong_rule_and_number_of_classes() -> None:
    labels = np.zeros((1, 2, 2), dtype=np.int64)
    with pytest.raises(InputError, match="did you mean 'edt'"):
        extract_prompts(labels, 2, "edtt")
    with pytest.raises(InputError, match="num_classes must be at least 1"):
        extract_prompts(labels, 0)


def test_public_name() -> None:
    assert spsam.extract_prompts is extract_prompts
