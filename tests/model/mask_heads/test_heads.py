from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spsam.errors import InputError
from spsam.model.mask_heads.argmax import ArgmaxHead
from spsam.model.mask_heads.mc_adapter import MCAdapterHead
from spsam.model.mask_heads.softmax import SoftmaxHead

from ..components import components, count

logits_of_pixels = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 12)),
    elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0]),
)


@given(logits=logits_of_pixels)
def test_argmax_takes_the_largest_positive_logit(logits: np.ndarray) -> None:
    classes, pixels = logits.shape
    tensor = torch.from_numpy(logits).view(1, classes, 1, 1, pixels)
    labels = ArgmaxHead(classes).labels(tensor)
    assert labels.dtype == torch.int64
    for pixel in range(pixels):
        said = [k for k in range(classes) if logits[k, pixel] > 0]
        wanted = max(said, key=lambda k: (logits[k, pixel], -k), default=0)
        assert labels[0, 0, 0, pixel] == wanted


@given(logits=logits_of_pixels)
def test_softmax_names_a_class_whatever_they_say(logits: np.ndarray) -> None:
    classes, pixels = logits.shape
    tensor = torch.from_numpy(logits).view(1, classes, 1, 1, pixels)
    for head in (SoftmaxHead(classes), MCAdapterHead(classes)):
        assert head.labels(tensor).flatten().tolist() == logits.argmax(axis=0).tolist()


def test_only_the_multi_class_adapter_changes_masks() -> None:
    masks = torch.randn(1, 3, 2, 4, 5)
    assert torch.equal(ArgmaxHead(3)(masks), masks)
    assert torch.equal(SoftmaxHead(3)(masks), masks)
    assert not torch.equal(MCAdapterHead(3)(masks), masks)


@pytest.mark.parametrize("k", [1, 4, 16])
@pytest.mark.parametrize(("expansion", "kernel"), [(4, 3), (1, 1), (2, 5)])
def test_parameters(k: int, expansion: int, kernel: int) -> None:
    e, area = expansion * k, kernel**2
    head = MCAdapterHead(k, expansion=expansion, kernel=kernel, init="default")
    assert count(head) == k * e * area + e + e * k * area + k
    assert count(ArgmaxHead(k)) == count(SoftmaxHead(k)) == 0


@torch.no_grad()
def test_the_multi_class_adapter_mixes_classes_not_slices() -> None:
    head, masks = MCAdapterHead(3, init="default"), torch.randn(1, 3, 3, 4, 4)
    changed = masks.clone()
    changed[0, 2, 1] += 1
    moved = (head(changed) - head(masks)).abs().amax(dim=(0, 3, 4)) > 1e-7
    assert moved.tolist() == [[False, True, False]] * 3


@pytest.mark.parametrize(("slot", "component"), components("mask_head"))
def test_every_head_says_its_activation(slot: str, component: type) -> None:
    assert getattr(component, "activation", None) in ("sigmoid", "softmax")


@pytest.mark.parametrize("wrong", [{"expansion": 0}, {"kernel": 2}])
def test_wrong_values(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="got expansion"):
        MCAdapterHead(3, **wrong)


@pytest.mark.parametrize("k", [1, 2, 16])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_multi_class_adapter_starts_with_the_masks_as_they_are(k: int, kernel: int) -> None:
    masks = 10 * torch.randn(2, k, 3, 6, 5)
    found = MCAdapterHead(k, expansion=2, kernel=kernel)(masks)
    torch.testing.assert_close(found, masks, atol=1e-5, rtol=1e-5)


def test_a_narrow_multi_class_adapter_cannot_start_as_the_identity() -> None:
    with pytest.raises(InputError, match="at least 2, got 1"):
        MCAdapterHead(3, expansion=1)


def test_wrong_values_are_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        MCAdapterHead(3, expansion=1, kernel=2)
    assert len(caught.value.problems) == 2
