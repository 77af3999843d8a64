from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from spsam.data.sampling.imaging import painted
from spsam.data.sampling.noise import Order, resampled, smooth_noise
from spsam.data.sampling.questions import Questions
from spsam.data.sampling.scenes import SMALLEST, scene


@pytest.mark.parametrize("number", range(30))
def test_a_scene_is_a_normalised_picture_with_masks(number: int) -> None:
    made = scene(3, number, 64)
    assert made.image.shape == (64, 64)
    assert made.image.dtype == np.float32
    assert abs(made.image.mean()) < 1e-3
    assert made.image.std() == pytest.approx(1, abs=1e-2)
    assert made.masks.shape[1:] == (64, 64)
    assert len(made.masks) >= 1
    assert (made.masks.sum(axis=(1, 2)) >= SMALLEST).all()


def test_scenes_depend_on_seed_and_number_alone() -> None:
    one = scene(0, 5, 32)
    scene(0, 6, 32)
    assert np.array_equal(one.image, scene(0, 5, 32).image)
    assert not np.array_equal(one.image, scene(1, 5, 32).image)
    assert not np.array_equal(one.image, scene(0, 6, 32).image)


def test_masks_lie_apart_and_in_each_other() -> None:
    scenes = [scene(0, number, 64) for number in range(60)]
    assert sum(len(made.masks) > 3 for made in scenes) > 20
    overlapping = sum((made.masks.sum(axis=0) > 1).any() for made in scenes)
    assert 0 < overlapping < len(scenes)


def test_an_object_is_one_piece_and_the_rest_of_it_is_no_mask() -> None:
    for number in range(40):
        pieces = [ndimage.label(mask)[1] for mask in scene(1, number, 64).masks]
        # The ground, the last mask where it is one, may be cut.
        assert set(pieces[:-1]) <= {1}


def test_padding_is_black_and_in_no_mask() -> None:
    padded = 0
    for number in range(40):
        made = scene(2, number, 64)
        for image, masks in (
            (made.image, made.masks),
            (made.image.T, made.masks.transpose(0, 2, 1)),
        ):
            if (image[0] == image.min()).all() and (image[-1] == image.min()).all():
                padded += 1
                assert not masks[:, 0].any()
                assert not masks[:, -1].any()
    assert padded >= 5


def test_pictures_differ_in_sharpness_and_noise() -> None:
    fine = []
    for number in range(40):
        image = scene(4, number, 64).image
        fine.append(float((image - ndimage.gaussian_filter(image, 1)).std()))
    assert min(fine) < 0.1
    assert max(fine) > 3 * min(fine)


@pytest.mark.parametrize(("size", "order"), [(20, 1), (64, 3), (90, 3)])
def test_a_resampled_picture_is_as_scipy_has_it(size: int, order: Order) -> None:
    image = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    expected = ndimage.zoom(image, size / 64, order=order, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(resampled(image, size, order), expected, atol=1e-4)


def test_kinds_of_contrast() -> None:
    labels = np.zeros((64, 64), np.int16)
    labels[16:48, 16:48] = 1
    nowhere = np.zeros(labels.shape, np.bool_)
    contrasts = []
    for seed in range(60):
        image = painted(np.random.default_rng(seed), labels, nowhere)
        assert abs(image.mean()) < 1e-3
        assert image.std() == pytest.approx(1, abs=1e-2)
        inside = image[20:44, 20:44]
        around = np.concatenate([image[:12].ravel(), image[-12:].ravel()])
        contrasts.append((inside.mean() - around.mean()) / (inside.std() + around.std()))
    assert min(contrasts) < -1  # darker than its ground,
    assert max(contrasts) > 1  # brighter,
    assert min(np.abs(contrasts)) < 0.3  # and with hardly a border.


@pytest.mark.parametrize("scale", [2.0, 7.0, 40.0, 200.0])
def test_smooth_noise_is_standardised(scale: float) -> None:
    noise = smooth_noise(np.random.default_rng(0), 64, scale)
    assert noise.shape == (64, 64)
    assert noise.std() == pytest.approx(1, abs=1e-3)


def questions(jitter: float = 0.1) -> Questions:
    return Questions(seed=1, length=20, size=64, masks=3, rough_size=32, box_jitter=jitter)


def test_points_lie_in_their_masks_and_boxes_around_them() -> None:
    for question in [questions(jitter=0.0)[index] for index in range(20)]:
        assert question["image"].shape == (3, 64, 64)
        assert question["rough"].shape == (3, 1, 32, 32)
        for mask, point, box in zip(
            question["masks"], question["points"], question["boxes"], strict=True
        ):
            assert mask[int(point[1]), int(point[0])] == 1
            rows, columns = torch.nonzero(mask, as_tuple=True)
            tight = [columns.min(), rows.min(), columns.max(), rows.max()]
            assert box.tolist() == [float(side) for side in tight]


def test_a_rough_mask_is_mostly_right() -> None:
    right = [
        ((q["rough"][:, 0] > 0).float() == q["masks"][:, ::2, ::2]).float().mean()
        for q in (questions()[index] for index in range(20))
    ]
    assert torch.stack(right).mean() > 0.8


def test_moved_boxes_stay_boxes_in_the_picture() -> None:
    for index in range(20):
        x1, y1, x2, y2 = questions(jitter=1.0)[index]["boxes"].T
        assert (x1 <= x2).all()
        assert (y1 <= y2).all()
        assert min(x1.min(), y1.min()) >= 0
        assert max(x2.max(), y2.max()) <= 63


def test_questions_end() -> None:
    with pytest.raises(IndexError):
        questions()[20]
