"""IoU, volume error and surface Dice against MONAI's definitions, on masks that are hard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spsam.metrics.dice import counts, dice_of_counts
from spsam.metrics.overlap import iou_of_counts, volume_error_of_counts
from spsam.metrics.surface import surface_dice

K = 3
LABELS = arrays.arrays(np.int64, (3, 5, 6), elements=st.integers(0, K - 1))


def one_hot(labels: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels), K).movedim(-1, 0)[None].float()


@given(LABELS, LABELS)
@settings(max_examples=40)
def test_dice_and_iou_are_monais_and_nnunets(first: np.ndarray, second: np.ndarray) -> None:
    from monai.metrics.meandice import compute_dice
    from monai.metrics.meaniou import compute_iou

    table = counts(first, second, K)
    both, made, wanted = table
    # Neither counts a class that the reference has not: there the conventions differ.
    there = wanted > 0
    for ours, theirs in ((dice_of_counts, compute_dice), (iou_of_counts, compute_iou)):
        reference = theirs(one_hot(first), one_hot(second), include_background=True)[0].numpy()
        np.testing.assert_allclose(ours(*table)[there], reference[there], rtol=1e-6)
    # nnU-Net: 2 tp / (2 tp + fp + fn), NaN where all are zero.
    false_positive, false_negative = made - both, wanted - both
    with np.errstate(invalid="ignore"):
        nnunet = 2 * both / (2 * both + false_positive + false_negative)
    np.testing.assert_allclose(dice_of_counts(*table), nnunet)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["random", "shells", "missed", "invented", "point", "border"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.8, 1.3)])
def test_surface_dice_is_monais(kind: str, spacing: tuple[float, float, float]) -> None:
    from monai.metrics.surface_dice import compute_surface_dice

    rng = np.random.default_rng(3)
    first = np.zeros((6, 12, 14), np.int16)
    second = np.zeros_like(first)
    if kind == "random":
        first, second = (rng.integers(0, K, first.shape, np.int16) for _ in range(2))
    elif kind == "shells":
        first[1:5, 2:10, 2:10], first[2:4, 4:8, 4:8] = 1, 2
        second[1:5, 3:11, 2:9], second[2:4, 5:9, 4:9] = 1, 2
    elif kind == "missed":
        second[2:4, 4:8, 4:8] = 1
    elif kind == "invented":
        first[2:4, 4:8, 4:8] = 1
    elif kind == "point":
        first[3, 5, 5], second[3, 5, 6] = 1, 1
    else:
        first[:, :, :3], second[:, :, :4] = 1, 1
    reference = compute_surface_dice(
        one_hot(first.astype(np.int64)),
        one_hot(second.astype(np.int64)),
        [1.5] * (K - 1),
        include_background=False,
        spacing=list(spacing),
    )[0].numpy()
    got = surface_dice(first, second, K, spacing, tolerance=1.5)
    assert np.isnan(got[0])
    np.testing.assert_allclose(got[1:], reference, rtol=1e-6)


def test_volume_error_has_a_sign_and_no_value_without_a_reference() -> None:
    made, wanted = np.array([5, 15, 0, 3, 0]), np.array([10, 10, 4, 0, 0])
    np.testing.assert_array_equal(
        volume_error_of_counts(made, wanted), [-0.5, 0.5, -1, np.nan, np.nan]
    )
