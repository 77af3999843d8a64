"""Mask prompts: their three forms, and that nothing vanishes on the way to SAM's mask input."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from spsam.model.prompts.edt import EdtPrompt
from spsam.model.prompts.rules.masks import largest_in_plane, log_odds, mean_in_plane, reduced
from spsam.model.prompts.types import FORMS, MaskForm

SIDES = st.integers(1, 40)
PLANES = st.tuples(SIDES, SIDES)


def masks_of(logits: Tensor, size: tuple[int, int], **params: Any) -> Tensor:
    prompts = EdtPrompt(logits.shape[1], use=("mask",), **params)(logits, (16, 16), size)
    assert prompts.masks is not None
    assert tuple(prompts.masks.shape) == (
        logits.shape[0], logits.shape[2], logits.shape[1], 1, *size,
    )  # fmt: skip
    return prompts.masks


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_forms_are_those_of_the_type() -> None:
    assert get_args(MaskForm) == FORMS == ("binary", "logits", "log_odds")


@given(plane=PLANES, size=PLANES, data=st.data())
@example(plane=(32, 32), size=(8, 8), data=None)
@example(plane=(6, 6), size=(8, 8), data=None)
@pytest.mark.parametrize("form", FORMS)
def test_a_class_of_one_pixel_has_a_positive_place(
    form: str, plane: tuple[int, int], size: tuple[int, int], data: st.DataObject | None
) -> None:
    """Wherever the pixel lies, at every ratio of patch to mask size; and where it lies."""
    y, x = 3, 3
    if data is not None:
        y = data.draw(st.integers(0, plane[0] - 1))
        x = data.draw(st.integers(0, plane[1] - 1))
    logits = torch.full((1, 2, 1, *plane), -5.0)
    logits[:, 0] = 5.0
    logits[0, :, 0, y, x] = torch.tensor([-5.0, 5.0])
    positive = masks_of(logits, size, mask=form)[0, 0, 1, 0] > 0
    assert positive.any()
    rows, columns = (positive.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    for found, at, length, count in ((rows, y, *_pair(plane, size, 0)),
                                     (columns, x, *_pair(plane, size, 1))):  # fmt: skip
        # Only places of the mask prompt that the pixel's square touches.
        assert set(found.tolist()) <= {
            place
            for place in range(count)
            if place * length < (at + 1) * count and at * count < (place + 1) * length
        }


def _pair(plane: tuple[int, int], size: tuple[int, int], axis: int) -> tuple[int, int]:
    return plane[axis], size[axis]


@given(
    plane=PLANES,
    size=PLANES,
    seed=st.integers(0, 99),
    values=st.sampled_from([(0.0, 1.0), (-10.0, 4.0)]),
)
def test_every_class_of_a_slice_is_in_its_binary_mask(
    plane: tuple[int, int], size: tuple[int, int], seed: int, values: tuple[float, float]
) -> None:
    logits = some(1, 4, 2, *plane, seed=seed)
    masks = masks_of(logits, size, mask_values=values)
    # A hair beyond them: shares of a pixel's area sum to 1 up to rounding.
    assert masks.min() >= values[0] - 1e-4
    assert masks.max() <= values[1] + 1e-4
    there = functional.one_hot(logits.argmax(dim=1), 4).amax(dim=(2, 3)).bool()  # (B, D, K)
    assert torch.equal((masks > 0).flatten(3).any(dim=3), there)
    if size == plane:
        assert torch.equal(masks.squeeze(3).argmax(dim=2), logits.argmax(dim=1))


@given(plane=PLANES, size=PLANES)
def test_the_largest_of_all_that_a_pixel_touches(
    plane: tuple[int, int], size: tuple[int, int]
) -> None:
    volume = some(2, 3, 2, *plane)
    wanted = functional.adaptive_max_pool2d(volume.flatten(1, 2), size)
    assert torch.equal(largest_in_plane(volume, size), wanted.reshape(2, 3, 2, *size))


@given(plane=PLANES, size=PLANES)
def test_the_mean_over_a_pixels_area(plane: tuple[int, int], size: tuple[int, int]) -> None:
    """On a grid as fine as both sizes' product, areas are whole pixels."""
    volume = some(1, 2, 1, *plane).double()
    fine = volume[0, :, 0].repeat_interleave(size[0], 1).repeat_interleave(size[1], 2)
    wanted = fine.reshape(2, size[0], plane[0], size[1], plane[1]).mean(dim=(2, 4))
    torch.testing.assert_close(mean_in_plane(volume, size)[0, :, 0], wanted)


def test_a_thick_structure_has_its_mean_and_a_thin_one_its_maximum() -> None:
    volume = torch.full((1, 2, 1, 8, 8), -1.0)
    volume[0, 0, 0, :, 3:7] = 1.0  # half of a new pixel, a whole one, none
    volume[0, 1, 0, :, 3] = 1.0
    thick, thin = reduced(volume, (2, 2))[0, :, 0]
    torch.testing.assert_close(thick, torch.tensor([[-0.5, 0.5], [-0.5, 0.5]]))
    torch.testing.assert_close(thin, torch.tensor([[1.0, -1.0], [1.0, -1.0]]))


@given(thin=st.lists(st.booleans(), min_size=6, max_size=6), size=PLANES)
def test_only_what_would_be_lost_has_its_maximum(thin: list[bool], size: tuple[int, int]) -> None:
    volume = some(1, 3, 2, 12, 12).double()
    for number, is_thin in enumerate(thin):
        if is_thin:
            volume[0, number // 2, number % 2] -= 5.0
            volume[0, number // 2, number % 2, 5, 7] = 0.5
    volume.requires_grad_()
    mean, largest = mean_in_plane(volume, size), largest_in_plane(volume, size)
    lost = (volume > 0).flatten(3).any(3) & ~(mean > 0).flatten(3).any(3)
    wanted = torch.where(lost[..., None, None], largest, mean)
    found = reduced(volume, size)
    assert torch.equal(found, wanted)
    weight = torch.arange(found.numel(), dtype=found.dtype).reshape(found.shape)
    gradients = [torch.autograd.grad((each * weight).sum(), volume)[0] for each in (found, wanted)]
    assert torch.equal(*gradients)


def test_the_maximum_of_no_other_map_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = torch.full((2, 3, 4, 8, 8), -1.0)
    volume[1, 2, 3, 0, 0] = volume[0, 1, 2, 5, 5] = 1.0
    seen: list[torch.Size] = []

    def counted(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        seen.append(maps.shape)
        return largest_in_plane(maps, size)

    monkeypatch.setattr("spsam.model.prompts.rules.masks.largest_in_plane", counted)
    found = reduced(volume, (2, 2))
    assert seen == [(2, 1, 1, 8, 8)]
    assert found[1, 2, 3].tolist() == [[1.0, -1.0], [-1.0, -1.0]]
    assert found[0, 1, 2].tolist() == [[-1.0, -1.0], [-1.0, 1.0]]
    assert reduced(torch.ones(1, 1, 1, 8, 8), (2, 2)).eq(1).all()
    assert len(seen) == 1


def test_nan_is_not_lost_on_the_way() -> None:
    volume = torch.zeros(1, 1, 1, 9, 8)
    volume[..., 4, 4] = torch.nan
    assert reduced(volume, (2, 3)).isnan().any()


def test_binary_masks_have_no_gradient_at_all() -> None:
    """Exactly zero: the mask's loss does not reach the generator through the mask prompt."""
    logits = some(1, 3, 2, 8, 8).requires_grad_()
    weight = torch.ones(1, requires_grad=True)
    (masks_of(logits, (4, 4)) * weight).sum().backward()
    assert weight.grad is not None
    assert logits.grad is None


@given(
    shift=st.floats(-50, 50),
    classes=st.integers(2, 6),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_log_odds_of_the_softmax(shift: float, classes: int, scale: float) -> None:
    logits = some(2, classes, 1, 3, 3).double() * scale
    found = log_odds(logits)
    p = logits.softmax(dim=1)
    rest = torch.stack(
        [torch.cat([p[:, :k], p[:, k + 1 :]], dim=1).sum(dim=1) for k in range(classes)], dim=1
    )
    torch.testing.assert_close(found, p.log() - rest.log())
    torch.testing.assert_close(log_odds(logits + shift), found)
    torch.testing.assert_close(log_odds(logits.float()), found.float(), rtol=1e-4, atol=1e-4)


def test_a_common_shift_changes_logits_and_not_log_odds() -> None:
    logits = some(1, 4, 2, 8, 8)
    for form, same in (("log_odds", True), ("binary", True), ("logits", False)):
        before, after = (masks_of(z, (4, 4), mask=form) for z in (logits, logits - 5))
        assert torch.allclose(before, after, atol=1e-5) is same


def test_log_odds_are_finite_where_a_class_is_certain() -> None:
    logits = torch.tensor([60.0, -60.0, 0.0]).view(1, 3, 1, 1, 1).requires_grad_()
    found = log_odds(logits)
    torch.testing.assert_close(found.flatten(), torch.tensor([60.0, -120.0, -60.0]))
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_gradient_of_log_odds() -> None:
    logits = some(1, 3, 1, 2, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(log_odds, (logits,))
    assert torch.autograd.gradcheck(lambda z: reduced(z, (3, 1)), (logits,))


def test_half_precision_stays_so() -> None:
    logits = some(1, 3, 1, 8, 8).bfloat16()
    for form in FORMS:
        assert masks_of(logits, (4, 4), mask=form).dtype == torch.bfloat16
