"""Prompts of a ground truth with ignored pixels, and what counts of the answers."""

from __future__ import annotations

import numpy as np
import torch

from spsam.config.prompt_study import Disturbance
from spsam.data.labels import IGNORED
from spsam.engine.prompting.sources import (
    NO_POINT,
    disturbed_labels,
    label_logits,
    without_ignored_points,
)
from spsam.engine.prompting.tiles import Tiles
from spsam.model.prompts.box_center import BoxCenterPrompt
from spsam.model.prompts.types import Prompts

SIZE, FRAME = 16, 64


def reference() -> torch.Tensor:
    labels = torch.zeros(1, 2, SIZE, SIZE, dtype=torch.long)
    labels[:, :, 4:12, 4:12] = 1
    labels[:, :, :, 8:] = IGNORED
    return labels


def prompts(negatives: int) -> Prompts:
    component = BoxCenterPrompt(2, negatives=negatives)
    made = component(label_logits(reference(), 2, 10.0), (FRAME, FRAME), (SIZE, SIZE))
    assert isinstance(made, Prompts)
    return made


def test_boxes_end_where_the_annotation_ends() -> None:
    boxes = prompts(0).boxes
    assert boxes is not None
    x1, _, x2, _ = boxes[0, 0, 1].tolist()
    assert x1 < x2 < FRAME / 2


def test_negative_points_are_taken_from_ignored_pixels_alone() -> None:
    labels, made = reference(), prompts(12)
    scale = (FRAME / SIZE, FRAME / SIZE)
    kept = without_ignored_points(made, labels, scale).extra_labels
    places, before = made.extra_points, made.extra_labels
    assert places is not None
    assert before is not None
    assert kept is not None
    pixels = ((places + 0.5) / scale[0] - 0.5).round().long()
    removed = 0
    for index in np.ndindex(*before.shape):
        x, y = pixels[index].tolist()
        ignored = bool(labels[index[0], index[1], y, x] == IGNORED)
        assert kept[index] == (NO_POINT if ignored else before[index])
        removed += ignored and bool(before[index] != NO_POINT)
    assert removed


def test_ignored_pixels_are_owned_and_not_counted() -> None:
    labels = reference()
    tiles = Tiles(labels[:, None].float(), labels, torch.ones_like(labels, dtype=torch.bool), ())
    assert torch.equal(tiles.counted, labels != IGNORED)


def test_a_class_never_grows_from_ignored_pixels() -> None:
    labels = np.full((1, 8, 8), IGNORED)
    labels[0, :, :4] = 0
    grown = disturbed_labels(labels, Disturbance(name="wide", dilate=3))
    assert (grown == 0).all()
