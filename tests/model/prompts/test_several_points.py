"""Rules of several points, and points outside the class, against the plainest code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spsam.errors import InputError
from spsam.model.prompts.base import Prompt
from spsam.model.prompts.edt import EdtPrompt
from spsam.model.prompts.extract import extract_prompts
from spsam.model.prompts.farthest import FarthestPrompt

from .label_maps import CLASSES, label_maps

Labels = NDArray[np.int64]
Place = tuple[int, int]


def squared(one: Place, other: Place) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2


def places(mask: NDArray[np.bool_]) -> list[Place]:
    """(x, y) in row-major order."""
    return [(int(x), int(y)) for y, x in np.argwhere(mask)]


def spread(candidates: list[Place], away_from: list[Place], count: int) -> list[Place]:
    """Farthest-point order; `max` takes the first of equals."""
    chosen: list[Place] = []
    for _ in range(count):
        near = {p: min(squared(p, q) for q in [*away_from, *chosen]) for p in candidates}
        best = max(candidates, key=lambda p: near[p], default=None)
        if best is None or near[best] == 0:
            break
        chosen.append(best)
    return chosen


def extras(prompts: Any, n: int, k: int, kind: int) -> list[Place]:
    """The points of one kind; what is padding is zero and comes last."""
    labels = prompts.extra_labels[n, k].tolist()
    points = [tuple(point) for point in prompts.extra_points[n, k].tolist()]
    for label, point in zip(labels, points, strict=True):
        assert label in (1, 0, -1)
        assert label >= 0 or point == (0, 0)
    return [point for label, point in zip(labels, points, strict=True) if label == kind]


@given(labels=label_maps())
def test_medoid_is_the_pixel_nearest_to_the_centroid(labels: Labels) -> None:
    prompts = extract_prompts(labels, CLASSES, "medoid")
    assert prompts.points is not None
    for n, k in np.argwhere(prompts.present):
        pixels = places(labels[n] == k)
        c, sx, sy = len(pixels), sum(p[0] for p in pixels), sum(p[1] for p in pixels)
        wanted = min(pixels, key=lambda p: squared((c * p[0], c * p[1]), (sx, sy)))
        assert tuple(prompts.points[n, k].tolist()) == wanted


@given(labels=label_maps(), count=st.integers(1, 5))
def test_farthest_points(labels: Labels, count: int) -> None:
    prompts = extract_prompts(labels, CLASSES, "farthest", count=count)
    first = extract_prompts(labels, CLASSES, "edt")
    assert np.array_equal(prompts.points, first.points)
    if count == 1:
        assert prompts.extra_points is None
        assert prompts.extra_labels is None
        return
    for n, k in np.ndindex(prompts.present.shape):
        start = [tuple(first.points[n, k].tolist())]
        wanted = spread(places(labels[n] == k), start, count - 1)
        assert extras(prompts, n, k, 1) == wanted
        assert extras(prompts, n, k, 0) == []


@given(labels=label_maps(), count=st.integers(1, 4))
def test_points_outside(labels: Labels, count: int) -> None:
    prompts = extract_prompts(labels, CLASSES, negatives=count)
    height, width = labels.shape[1:]
    for n, k in np.ndindex(prompts.present.shape):
        if not prompts.present[n, k]:
            assert extras(prompts, n, k, -1) == [(0, 0)] * count
            continue
        x1, y1, x2, y2 = prompts.boxes[n, k].tolist()
        margin = max(1, (x2 - x1 + 1) // 10), max(1, (y2 - y1 + 1) // 10)
        mask = labels[n] == k
        near = np.zeros((height, width), dtype=bool)
        near[
            max(0, y1 - margin[1]) : y2 + margin[1] + 1, max(0, x1 - margin[0]) : x2 + margin[0] + 1
        ] = True
        assert extras(prompts, n, k, 0) == spread(places(near & ~mask), places(mask), count)
        assert extras(prompts, n, k, 1) == []


def test_a_class_that_fills_the_image_has_nothing_outside() -> None:
    prompts = extract_prompts(np.zeros((1, 5, 6), dtype=np.int64), 1, negatives=2)
    assert prompts.extra_labels is not None
    assert prompts.extra_labels.tolist() == [[[-1, -1]]]


def test_the_hole_of_a_ring_and_a_margin_around_a_full_box() -> None:
    labels = np.zeros((1, 40, 40), dtype=np.int64)
    labels[0, 5:35, 5:35] = 1
    around = extract_prompts(labels, 2, negatives=4)
    # The corners of the box, three pixels outside of it.
    assert extras(around, 0, 1, 0) == [(2, 2), (37, 2), (2, 37), (37, 37)]
    labels[0, 10:30, 10:30] = 0
    assert extras(extract_prompts(labels, 2, negatives=1), 0, 1, 0) == [(19, 19)]


def test_points_inside_come_before_points_outside_in_every_frame() -> None:
    logits = torch.zeros(1, 3, 2, 20, 30)
    logits[0, 1, :, 4:12, 6:16] = 1
    prompts = FarthestPrompt(3, count=3, negatives=2)(logits, (40, 60), (4, 4))
    pixels = extract_prompts(logits.argmax(1)[0], 3, "farthest", count=3, negatives=2)
    assert prompts.extra_points is not None
    assert prompts.extra_labels is not None
    assert pixels.extra_points is not None
    assert pixels.extra_labels is not None
    assert prompts.extra_points.shape == (1, 2, 3, 4, 2)
    assert prompts.extra_points.dtype == torch.float32
    assert not prompts.extra_points.requires_grad
    assert prompts.extra_labels[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [-1] * 4]
    assert torch.equal(prompts.extra_labels[0], pixels.extra_labels)
    there = prompts.extra_labels[0] >= 0
    doubled = (pixels.extra_points + 0.5) * 2 - 0.5
    assert torch.equal(prompts.extra_points[0][there], doubled[there])
    assert not prompts.extra_points[0][~there].any()


def test_without_the_prompt_point_there_are_no_points_at_all() -> None:
    prompts = FarthestPrompt(2, use=("box",), negatives=3)(
        torch.zeros(1, 2, 1, 6, 6), (6, 6), (4, 4)
    )
    assert prompts.points is None
    assert prompts.extra_points is None
    assert prompts.extra_labels is None


def test_a_strategy_of_ones_own_needs_its_class_only() -> None:
    class TopLeftPrompt(Prompt):
        """The corner of the box."""

        def __init__(self, num_classes: int, *, negatives: int = 0) -> None:
            super().__init__(num_classes, use=("point", "box"), negatives=negatives)

        def points(self, labels: Any, boxes: Any, present: Any) -> Any:
            return boxes[..., :2].copy()

    labels = np.zeros((1, 9, 9), dtype=np.int64)
    labels[0, 3:6, 4:6] = 1
    prompts = TopLeftPrompt(2, negatives=1).extract(labels)
    assert prompts.points is not None
    assert prompts.points.tolist() == [[[0, 0], [4, 3]]]
    assert prompts.extra_labels is not None
    assert prompts.extra_labels.tolist() == [[[0], [0]]]


def test_wrong_numbers() -> None:
    with pytest.raises(InputError, match="count must be at least 1: got 0"):
        FarthestPrompt(2, count=0)
    with pytest.raises(InputError, match="negatives must be at least 0: got -1"):
        EdtPrompt(2, negatives=-1)
