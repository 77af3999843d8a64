"""Answers put together to a label map on the original grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from spsam.config.schema import TrainConfig
from spsam.data.preparation.store import PreparedCase
from spsam.engine.evaluate import read_labels
from spsam.engine.prompting.evaluator import PromptEvaluator, PromptSpec
from spsam.engine.prompting.tiles import cut_tiles
from spsam.engine.prompting.volumes import AnsweredVolume
from spsam.model.prompts.edt import EdtPrompt

from ...data.stores import write_store
from ..networks import small

K, SIZE = 3, (2, 32, 32)
RAW_IDS = (0, 4, 9)


def prepared(folder: Path) -> PreparedCase:
    """Not a multiple of the patch: patches overlap, or reach beyond the volume."""
    label = np.zeros((5, 40, 20), dtype=np.uint8)
    label[1:4, 10:22, 8:20] = 1
    label[2:, 12:20, 2:7] = 2
    image = np.random.default_rng(0).normal(size=(1, *label.shape)) + label
    return write_store(folder, {"a": (image, label)}, raw_ids=RAW_IDS).case("a")


def test_a_pixel_has_the_class_of_its_owners_largest_positive_logit(tmp_path: Path) -> None:
    case = prepared(tmp_path)
    tiles = cut_tiles(case, SIZE)
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(len(tiles), K - 1, *SIZE, generator=generator)
    present = torch.rand(len(tiles), SIZE[0], K - 1, generator=generator) > 0.2
    volume = AnsweredVolume(case, K, 1)
    half = len(tiles) // 2
    volume.add(tiles.part(0, half), masks[:half], present[:half])
    volume.add(tiles.part(half, len(tiles)), masks[half:], present[half:])

    expected = np.full(case.label.shape, -1)
    for start, owned, logits, there in zip(tiles.starts, tiles.owned, masks, present, strict=True):
        for d, h, w in np.argwhere(owned.numpy()):
            values = [float(logits[k, d, h, w]) if there[d, k] else -1.0 for k in range(K - 1)]
            place = tuple(int(s + o) for s, o in zip(start, (d, h, w), strict=True))
            assert expected[place] == -1, "a pixel has one owner"
            expected[place] = 1 + int(np.argmax(values)) if max(values) > 0 else 0
    assert np.array_equal(volume.labels(), expected)


def test_an_examiner_keeps_what_it_counts(tmp_path: Path) -> None:
    """One class alone overlaps with nothing: its label map has the pixels that were counted."""
    case = prepared(tmp_path)
    network = small("S1", depth=SIZE[0], image_size=SIZE[1])
    asker = PromptEvaluator(network, TrainConfig(generator_epochs=0), K, 10.0, heads=False)
    questions = [PromptSpec(("box",), EdtPrompt(K)), PromptSpec(("point", "mask"), EdtPrompt(K))]
    found = asker.case(case, questions, keep=[1])
    assert set(found.volumes) == {1}
    found.volumes[1].write(tmp_path / "maps" / "a.nii.gz")
    labels = read_labels(tmp_path / "maps" / "a.nii.gz", RAW_IDS)
    assert labels.shape == case.label.shape
    assert set(np.unique(labels)) <= {0, 1, 2}
    counts = found.answers[1].masks[..., 1]
    named = np.stack([(labels == k).sum(axis=(1, 2)) for k in range(K)], axis=1)
    assert named[:, 1:].any()
    # Where both classes are said, one gives way.
    assert (named[:, 1:] <= counts[:, 1:]).all()
    alone = (counts[:, 1:] > 0).sum(axis=1) == 1
    assert np.array_equal(named[alone, 1:], counts[alone, 1:])
