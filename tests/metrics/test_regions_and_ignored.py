"""Scores with ignored voxels and of regions."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spsam.data import labels as data_labels
from spsam.metrics.continuity import neighbour_dice
from spsam.metrics.dice import IGNORED, dice
from spsam.metrics.hausdorff import hd95
from spsam.metrics.regions import of_regions
from spsam.metrics.surface import surface_dice

K = 4
SPACING = (2.0, 1.0, 1.0)
MEASURES: dict[str, Any] = {
    "dice": dice,
    "hd95": partial(hd95, spacing=SPACING),
    "surface": partial(surface_dice, spacing=SPACING, tolerance=1.0),
}
measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, K, (2, 2, 3, 3))
    one, other = np.kron(coarse, np.ones((2, 3, 3), int)).astype(np.int16)
    return one, other


def test_both_layers_name_one_number() -> None:
    assert data_labels.IGNORED == IGNORED


@measures
@given(seed=st.integers(0, 500), other=st.integers(0, 500))
@settings(max_examples=15, deadline=None)
def test_what_is_predicted_in_ignored_voxels_changes_no_score(
    measure: Any, seed: int, other: int
) -> None:
    prediction, reference = maps(seed)
    ignored = np.random.default_rng(other).random(reference.shape) < 0.3
    reference[ignored] = IGNORED
    changed = np.where(ignored, maps(other)[0], prediction)
    np.testing.assert_array_equal(measure(prediction, reference, K), measure(changed, reference, K))


@measures
def test_a_prediction_of_the_annotated_voxels_is_perfect(measure: Any) -> None:
    """Also where an organ is cut by the ignored voxels: their border is no surface of one map."""
    label = np.zeros((4, 12, 12), np.int16)
    label[:, 2:10, 2:10] = 1
    reference = label.copy()
    reference[:, :, 6:] = IGNORED
    best = 0.0 if measure is MEASURES["hd95"] else 1.0
    assert measure(label, reference, 2)[1] == best
    worse = label.copy()
    worse[:, 2:6, 2:6] = 0
    assert measure(worse, reference, 2)[1] != best


def test_dice_counts_the_annotated_voxels_alone() -> None:
    prediction, reference = maps(3)
    reference[:2] = IGNORED
    np.testing.assert_array_equal(
        dice(prediction, reference, K), dice(prediction[2:], reference[2:], K)
    )


def test_pairs_of_slices_lose_what_either_ignores() -> None:
    labels = np.zeros((2, 4, 4), np.int16)
    labels[:, :2] = 1
    labels[0, 1] = IGNORED
    assert neighbour_dice(labels, 2)[1] == 1.0


@measures
@given(seed=st.integers(0, 500))
@settings(max_examples=10, deadline=None)
def test_a_region_is_scored_as_the_merged_class(measure: Any, seed: int) -> None:
    prediction, reference = maps(seed)
    reference[0, :2] = IGNORED
    regions = ((1, 3), (2,), (1, 2, 3))
    found = of_regions(measure, prediction, reference, K, regions)
    assert found.shape == (4,)
    merged = [np.where(each == 3, 1, each) for each in (prediction, reference)]
    assert found[1] == pytest.approx(measure(*merged, 3)[1], nan_ok=True)
    assert found[2] == pytest.approx(measure(prediction, reference, K)[2], nan_ok=True)
    assert found[0] == pytest.approx(measure(prediction, reference, K)[0], nan_ok=True)


@measures
def test_without_regions_every_class_is_scored_to_the_bit(measure: Any) -> None:
    pair = maps(5)
    np.testing.assert_array_equal(of_regions(measure, *pair, K), measure(*pair, K))
