from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spsam.config.schema import TrainConfig
from spsam.data.preparation.store import PreparedCase
from spsam.engine.prompting.evaluator import PromptEvaluator, PromptSpec
from spsam.engine.prompting.quality import border_distance
from spsam.engine.prompting.rows import slice_dice, slice_means
from spsam.engine.prompting.scenes import scenes
from spsam.model.prompts.edt import EdtPrompt

from ...data.stores import write_store
from ..networks import small

K, ALL = 3, ("point", "box", "mask")


@pytest.fixture
def case(tmp_path: Path) -> PreparedCase:
    label = np.zeros((5, 40, 44), dtype=np.uint8)
    label[1:4, 10:22, 8:20] = 1
    label[2:, 12:20, 26:36] = 2
    image = np.random.default_rng(0).normal(size=(1, *label.shape)) + label
    return write_store(tmp_path, {"a": (image, label)}, raw_ids=(0, 1, 2)).case("a")


def examiner(heads: bool = True, name: str = "S9") -> PromptEvaluator:
    network = small(name, noise=0.1, depth=2, image_size=32)
    return PromptEvaluator(network, TrainConfig(generator_epochs=0), K, 10.0, heads=heads)


def test_own_prompts_give_what_the_network_gives(case: PreparedCase) -> None:
    asker = examiner()
    network = asker.network
    (piece, *_) = asker.pieces(case)
    question = PromptSpec(ALL, network.prompt, auxiliary=True)
    ((masks, prompts),) = asker.masks(piece, [question])
    with torch.inference_mode():
        whole = network(piece.tiles.images)
        logits = network.mask_head(masks)
    assert torch.equal(logits, whole.logits)
    assert torch.equal(prompts.boxes, whole.prompts.boxes)


def test_counts_are_those_of_the_masks(case: PreparedCase) -> None:
    """Patches overlap here; every pixel is counted once all the same."""
    asker = examiner()
    questions = [PromptSpec(("box",), EdtPrompt(K)), PromptSpec(ALL, EdtPrompt(K))]
    answered: list[int] = []
    found = asker.case(case, questions, on_answer=answered.append)
    assert sum(answered) == len(questions) * len(asker.tiles(case))
    for answer in found.answers:
        reference = [[(piece == k).sum() for k in range(K)] for piece in case.label]
        assert answer.masks[..., 2].tolist() == reference
        assert (answer.masks[..., 0] <= answer.masks[..., 1:].min(axis=-1)).all()
        assert answer.labels is not None
        # A label map names every pixel once.
        assert answer.labels[:, 1].sum() == case.label.size == answer.labels[:, 2].sum()
        # No prompt in a slice, no mask in it: the reference has the class nowhere there.
        empty = answer.masks[..., 2] == 0
        assert not answer.masks[..., 1][empty].all()


def test_without_heads_foreground_answers_are_the_same(case: PreparedCase) -> None:
    question = PromptSpec(ALL, EdtPrompt(K))
    (whole,) = examiner().case(case, [question]).answers
    (part,) = examiner(heads=False).case(case, [question]).answers
    assert part.labels is None
    assert not part.masks[:, 0].any()
    # The classes are decoded in batches of another size: the last bit may differ.
    assert np.abs(part.masks[:, 1:] - whole.masks[:, 1:]).max() <= 2


def test_a_dice_of_slices() -> None:
    counts = np.array([[[0, 0, 0], [5, 5, 5]], [[0, 9, 0], [0, 0, 5]], [[0, 0, 0], [2, 4, 4]]])
    assert np.isnan(slice_dice(counts)[:, 0]).all()
    assert slice_means(counts)[1] == pytest.approx(0.5)


def test_quality_of_own_prompts(case: PreparedCase) -> None:
    found = examiner().case(case, [], quality=True)
    counts = np.sum([piece.counts for piece in found.quality], axis=0)
    assert counts[1:, 2].tolist() == [(case.label == k).sum() for k in (1, 2)]
    for piece in found.quality:
        there = ~np.isnan(piece.distance)
        assert ((piece.distance[there] > 0) == (piece.inside[there] == 1)).all()
        assert ((piece.box_iou >= 0) & (piece.box_iou <= 1) | np.isnan(piece.box_iou)).all()


def test_border_distance_is_signed() -> None:
    mask = np.zeros((9, 9), dtype=np.bool_)
    mask[:, :5] = True
    assert border_distance(mask, 0, 4) == 1  # beyond the image is outside
    assert border_distance(mask, 2, 4) == 3
    assert border_distance(mask, 6, 4) == -2


def test_a_scene_is_in_pixels_of_the_image(case: PreparedCase) -> None:
    for heads in (True, False):
        asker = examiner(heads)
        (scene,) = scenes(asker, case, [PromptSpec(ALL, EdtPrompt(K))])
        assert scene.image.shape == scene.reference.shape == (32, 32)
        assert (scene.labels is not None) == heads
        assert scene.present.shape == (K,)
        assert scene.boxes is not None
        for k, x, y, positive in scene.points:
            assert positive
            assert scene.reference[round(y), round(x)] == k
        k = int(scene.points[-1][0])
        rows, columns = np.nonzero(scene.reference == k)
        assert scene.boxes[k] == pytest.approx(
            [columns.min(), rows.min(), columns.max(), rows.max()], abs=1e-3
        )
        assert 0 <= scene.dice() <= 1
