from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from numpy.typing import NDArray
from scipy import ndimage

from spsam.errors import InputError
from spsam.metrics.hausdorff import hd95

SPACING = (5.0, 1.5, 1.25)


def cube(start: int, shape: tuple[int, int, int] = (8, 16, 20)) -> NDArray[np.uint8]:
    labels = np.zeros(shape, np.uint8)
    labels[2:6, 4:10, start : start + 6] = 1
    return labels


def surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edge: NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask)
    return edge


def test_a_shift_is_measured_in_mm() -> None:
    assert hd95(cube(4), cube(6), 2, SPACING)[1] == pytest.approx(2 * 1.25)
    assert hd95(cube(4), cube(4), 2, SPACING)[1] == 0


def masks(kind: str) -> list[NDArray[np.int64]]:
    """Two label maps of three classes: smooth ones, and those at which implementations differ."""
    rng = np.random.default_rng(0)
    first, second = (np.zeros((9, 18, 17), np.int64) for _ in range(2))
    if kind == "smooth":
        fields = rng.normal(size=(2, 4, 9, 18, 17))
        return list(ndimage.gaussian_filter(fields, (0, 0, 2, 2, 2)).argmax(axis=1))
    if kind == "noise":
        return list(rng.integers(0, 4, (2, 9, 18, 17)))
    if kind == "voxels":
        # 1 and 3 are a voxel each, of 2 one lies far from the others.
        first[4, 5, 5], second[4, 9, 5], first[2, 2, 2], second[2, 2, 3] = 1, 1, 3, 3
        first[6, 3:6, 3:6], second[6, 3:6, 3:6], second[0, 17, 16] = 2, 2, 2
    elif kind == "border":
        first[:, :, :3], second[:, :, :4], first[:, 8:, 5:], second[:, 9:, 6:] = 1, 1, 2, 2
        first[0, 0, 4:], second[8, 0, 4:] = 3, 3
    else:
        # Shells around each other, and a slab of one slice.
        first[1:8, 2:12, 2:12], first[3:6, 4:8, 4:8], first[4, 14:, :] = 1, 2, 3
        second[1:8, 3:13, 2:11], second[2:6, 5:9, 4:9], second[5, 15:, :] = 1, 2, 3
    return [first, second]


@pytest.mark.parametrize("kind", ["smooth", "noise", "voxels", "border", "shells"])
def test_it_is_monais(kind: str) -> None:
    labels = masks(kind)
    # What lies around an organ, and how far, changes nothing but what a missed one costs.
    padded = [np.pad(label, ((1, 2), (3, 0), (0, 7))).astype(np.uint8) for label in labels]
    one_hot = [
        torch.nn.functional.one_hot(torch.from_numpy(p).long(), 4).movedim(3, 0) for p in padded
    ]
    with warnings.catch_warnings():
        # MONAI calls a function of its own with an argument that it has deprecated.
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        wanted = compute_hausdorff_distance(
            one_hot[0][None], one_hot[1][None], percentile=95, spacing=list(SPACING)
        )
    for pair in (padded, labels):
        got = hd95(pair[0], pair[1], 4, SPACING)
        np.testing.assert_allclose(got[1:], wanted[0].numpy(), rtol=1e-5)


def test_full_abdominal_volumes_take_seconds() -> None:
    prediction, reference = (np.zeros((300, 512, 512), np.uint8) for _ in range(2))
    for k in range(1, 16):
        low = 20 * k
        prediction[low - 15 : low, low : low + 100, 60:160] = k
        reference[low - 14 : low, low : low + 100, 62:160] = k
    began = time.process_time()
    found = hd95(prediction, reference, 16, (5.0, 0.8, 0.8))
    assert time.process_time() - began < 15
    assert found[1:] == pytest.approx([5.0] * 15)


@pytest.mark.parametrize("seed", range(5))
def test_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [ndimage.gaussian_filter(rng.normal(size=(9, 18, 17)), 2) > 0.02 for _ in range(2)]
    edges = [surface(mask) for mask in masks]
    away = [ndimage.distance_transform_edt(~edge, sampling=SPACING) for edge in edges]
    wanted = max(np.percentile(away[1][edges[0]], 95), np.percentile(away[0][edges[1]], 95))
    got = hd95(masks[0].astype(np.uint8), masks[1].astype(np.uint8), 2, SPACING)[1]
    assert got == pytest.approx(wanted, rel=1e-5)


def test_a_missed_and_an_invented_organ_are_as_far_off_as_the_volume_is_long() -> None:
    nothing, diagonal = np.zeros((8, 16, 20), np.uint8), np.hypot(np.hypot(40, 24), 25)
    assert hd95(nothing, cube(4), 2, SPACING)[1] == pytest.approx(diagonal)
    assert hd95(cube(4), nothing, 2, SPACING)[1] == pytest.approx(diagonal)


def test_what_neither_has_and_the_background_are_left_out() -> None:
    assert np.isnan(hd95(cube(4), cube(4), 3, SPACING)[[0, 2]]).all()


def test_wrong_input() -> None:
    with pytest.raises(InputError, match=r"\(8, 16, 20\) and \(8, 16, 21\)"):
        hd95(cube(4), cube(4, (8, 16, 21)), 2, SPACING)
    with pytest.raises(InputError, match="spacing for each of 3 axes"):
        hd95(cube(4), cube(4), 2, (1.0, 1.0))
