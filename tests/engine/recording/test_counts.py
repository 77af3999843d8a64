from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spsam.data.preparation.restore import restore_labels
from spsam.data.preparation.store import PreparedCase
from spsam.data.volume import Geometry
from spsam.engine.recording.counts import CaseCounts, around, confidences, gather
from spsam.metrics.dice import dice, dice_of_counts


def case(
    prepared: tuple[int, ...], original: tuple[int, ...], axes: tuple[int, ...]
) -> PreparedCase:
    return PreparedCase(
        id="one",
        patient="p",
        image=np.zeros((1, *prepared), np.float32),
        label=np.zeros(prepared, np.uint8),
        foreground={},
        spacing=(1.0, 1.0, 1.0),
        original=Geometry(original, (3.0, 1.0, 1.0)),  # type: ignore[arg-type]
        axes=axes,  # type: ignore[arg-type]
        raw_ids=(0, 1, 2),
    )


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_case_in_pieces_is_the_case(axes: tuple[int, ...], activation: str) -> None:
    rng = np.random.default_rng(0)
    original = (40, 21, 38)
    shape = tuple(original[axis] for axis in axes)
    reference = np.zeros(original, np.uint8)
    reference[14:22, 8:12, 16:20] = rng.integers(0, 3, (8, 4, 4))
    logits = torch.from_numpy(rng.normal(size=(3, *shape)).astype(np.float32))
    one = case(shape, original, axes)
    counts = CaseCounts(one, reference, 3, activation)
    labels = restore_labels(logits, one, lambda some: some.argmax(dim=1), counts.add)
    whole = counts.counts.sum(axis=0)
    np.testing.assert_array_equal(
        dice_of_counts(whole[:, 0], whole[:, 1], whole[:, 2]), dice(labels, reference, 3)
    )
    assert len(counts.counts) == shape[0]
    # The same, at once and by definition, in the box that is 10 mm larger than the organs.
    grown = [slice(14 - 4, 22 + 4), slice(0, 21), slice(16 - 10, 20 + 10)]
    box = tuple(grown[axis] for axis in axes)
    named = np.transpose(labels, axes)[box]
    right = named == np.transpose(reference, axes)[box]
    sure = confidences(logits[(slice(None), *box)], torch.from_numpy(named), activation).numpy()
    assert counts.voxels.sum() == named.size
    assert counts.confidence.sum() == pytest.approx(sure.sum(), rel=1e-5)
    assert counts.correct.sum() == right.sum()
    edges = np.linspace(0, 1, 16)
    np.testing.assert_array_equal(counts.voxels, np.histogram(sure, edges)[0])
    measures = gather([counts, counts], 3, activation)
    assert measures.slice.tolist() == [*range(shape[0])] * 2
    assert measures.counts.shape == (2 * shape[0], 3, 3)


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=5))
def test_a_softmax_confidence_is_the_named_probability(values: list[float]) -> None:
    logits = torch.tensor(values)[:, None, None, None]
    labels = logits.argmax(dim=0)
    expected = torch.softmax(logits.double(), dim=0).amax()
    assert confidences(logits, labels, "softmax").item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_sigmoid_confidence_says_how_sure_the_background_is() -> None:
    logits = torch.tensor([[2.0, -1.0, -5.0], [1.0, -3.0, 1.0], [0.0, -2.0, 0.5]])[:, None, None]
    labels = torch.tensor([[[0, 0, 1]]])
    expected = torch.sigmoid(torch.tensor([2.0, 2.0, 1.0]))
    torch.testing.assert_close(confidences(logits, labels, "sigmoid").flatten(), expected)


def test_a_case_without_organs_has_no_neighbourhood() -> None:
    assert around(np.zeros((3, 4), bool), (1, 1), 10) is None
    one = case((2, 4, 4), (2, 4, 4), (0, 1, 2))
    counts = CaseCounts(one, np.zeros((2, 4, 4), np.uint8), 3, "softmax")
    restore_labels(torch.randn(3, 2, 4, 4), one, lambda some: some.argmax(dim=1), counts.add)
    assert counts.voxels.sum() == 0
    assert counts.counts[:, :, 2].sum(axis=0).tolist() == [32, 0, 0]


def test_classes_from_256_on_are_counted_as_themselves() -> None:
    reference = np.zeros((2, 3, 4), np.int16)
    reference[1, 1] = [1, 256, 257, 300]
    counts = CaseCounts(case((2, 3, 4), (2, 3, 4), (0, 1, 2)), reference, 301, "softmax")
    labels = torch.from_numpy(reference.astype(np.int64))
    logits = torch.nn.functional.one_hot(labels, 301).movedim(-1, 0).float()
    counts.add(0, logits, labels)
    assert np.flatnonzero(counts.counts.sum(axis=0)[1:].any(axis=1) > 0).tolist() == [
        *(0, 255, 256, 299)
    ]
    assert (counts.counts[..., 0] == counts.counts[..., 2]).all()
