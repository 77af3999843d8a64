from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from spsam.errors import InputError
from spsam.model.prompts.base import to_frame
from spsam.model.prompts.edt import EdtPrompt
from spsam.model.prompts.extract import RULES, extract_prompts
from spsam.model.prompts.random import RandomPrompt

from ..components import components

every_prompt = pytest.mark.parametrize(("slot", "component"), components("prompt"))

K, D, SIZE = 4, 3, (12, 10)


def some_logits(batch: int = 2, **kw: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn(batch * K, 1, D, 4, 4, generator=generator)
    fine = functional.interpolate(coarse, size=(D, *SIZE), mode="trilinear")
    return fine.reshape(batch, K, D, *SIZE).requires_grad_(kw.get("requires_grad", False))


@every_prompt
def test_in_the_patchs_frame_it_is_the_extraction(slot: str, component: Any) -> None:
    logits = some_logits()
    prompts = component(K)(logits, SIZE, (4, 4))
    labels = logits.argmax(dim=1).flatten(0, 1).to(torch.uint8)
    wanted = component(K).extract(labels)
    assert wanted.points is not None
    assert wanted.boxes is not None
    assert torch.equal(prompts.points.flatten(0, 1), wanted.points.float())
    assert torch.equal(prompts.boxes.flatten(0, 1), wanted.boxes.float())
    assert torch.equal(prompts.present.flatten(0, 1), wanted.present)


@pytest.mark.parametrize("rule", RULES)
def test_the_public_function_has_the_components_points(rule: str) -> None:
    labels = some_logits().argmax(dim=1).flatten(0, 1).to(torch.uint8)
    one, other = extract_prompts(labels, K, rule).points, RULES[rule](K).extract(labels).points
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)


@every_prompt
def test_points_and_boxes_carry_no_gradient(slot: str, component: Any) -> None:
    prompts = component(K, mask="logits")(some_logits(requires_grad=True), SIZE, (8, 8))
    assert not prompts.points.requires_grad
    assert not prompts.boxes.requires_grad


@every_prompt
def test_a_mask_prompt_carries_no_gradient_unless_it_is_asked_for(
    slot: str, component: Any
) -> None:
    logits = some_logits(requires_grad=True)
    assert not component(K)(logits, SIZE, (8, 8)).masks.requires_grad
    for form in ("logits", "log_odds"):
        logits.grad = None
        component(K, mask=form)(logits, SIZE, (8, 8)).masks.square().sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert logits.grad.any()


@given(
    index=st.integers(0, 63),
    scale=st.sampled_from([0.25, 0.5, 1.0, 1.25, 2.0, 4.0]),
    b=st.booleans(),
)
def test_pixel_centres_stay_pixel_centres(index: int, scale: float, b: bool) -> None:
    """An image of 64 pixels covers [0, 64); its pixel i is centred at i + 0.5."""
    pixels = torch.tensor([[[index, 0]]])
    got = to_frame(pixels, torch.tensor([[b]]), (scale, 1.0))
    assert got[0, 0, 0] == ((index + 0.5) * scale - 0.5 if b else 0.0)


def test_a_symmetric_object_stays_in_the_middle_of_every_frame() -> None:
    logits = torch.zeros(1, 2, 1, 9, 5)
    logits[0, 1, 0, 3:6, 1:4] = 1
    for h, w in ((9, 5), (18, 10), (64, 128), (4, 3)):
        prompts = EdtPrompt(2)(logits, (h, w), (4, 4))
        assert prompts.points is not None
        assert prompts.boxes is not None
        x, y = prompts.points[0, 0, 1].tolist()
        assert x + 0.5 == pytest.approx(w / 2)
        assert y + 0.5 == pytest.approx(h / 2)
        x1, y1, x2, y2 = prompts.boxes[0, 0, 1].tolist()
        assert (x1 + x2 + 1) / 2 == pytest.approx(w / 2)
        assert (y1 + y2 + 1) / 2 == pytest.approx(h / 2)


def test_absent_classes_are_zero_in_every_frame() -> None:
    logits = torch.zeros(1, 3, 2, 4, 4)
    prompts = EdtPrompt(3)(logits, (64, 64), (4, 4))
    assert prompts.present.tolist() == [[[True, False, False]] * 2]
    assert prompts.points is not None
    assert prompts.boxes is not None
    assert not prompts.points[..., 1:, :].any()
    assert not prompts.boxes[..., 1:, :].any()


@every_prompt
@given(use=st.sets(st.sampled_from(["point", "box", "mask"]), min_size=1))
@settings(max_examples=8)
def test_every_combination_runs(slot: str, component: Any, use: set[str]) -> None:
    prompts = component(K, use=tuple(use))(some_logits(), (24, 20), (4, 4))
    given_ = {"point": prompts.points, "box": prompts.boxes, "mask": prompts.masks}
    assert {kind for kind, part in given_.items() if part is not None} == use
    assert prompts.present.shape == (2, D, K)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"use": ()}, "at least one kind"),
        ({"use": ("points",)}, "did you mean 'point'"),
        ({"mask": "logit"}, "did you mean 'logits'"),
        ({"mask_values": (1.0, 0.0)}, r"mask_values .* got \[1, 0\]"),
        ({"mask_values": (-1.0, 0.0)}, "mask_values"),
        ({"mask_values": (0.0, float("inf"))}, "mask_values"),
        ({"mask_values": (float("nan"), 1.0)}, "mask_values"),
    ],
)
def test_wrong_values(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        EdtPrompt(K, **wrong)


def test_random_depends_on_its_seed() -> None:
    logits = torch.zeros(1, 1, 1, 32, 32)
    draws = [RandomPrompt(1, seed=s)(logits, (32, 32), (4, 4)).points for s in (0, 0, 1)]
    assert draws[0] is not None
    assert draws[1] is not None
    assert draws[2] is not None
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    with pytest.raises(InputError, match="seed"):
        RandomPrompt(1, seed=-1)


@every_prompt
def test_nan_never_wins_a_pixel(slot: str, component: Any) -> None:
    logits = some_logits()
    broken = logits.detach().clone()
    broken[0, 2] = torch.nan
    broken[1, :, 0, :4] = torch.nan
    meant = broken.nan_to_num(nan=-torch.inf)
    got, wanted = (component(K)(each, SIZE, (4, 4)) for each in (broken, meant))
    assert torch.equal(got.points, wanted.points)
    assert torch.equal(got.boxes, wanted.boxes)
    assert torch.equal(got.masks, wanted.masks)
    assert not got.present[0, :, 2].any()
    # What is NaN for all classes is background; in a mask prompt with a gradient it is still seen.
    assert got.boxes[1, 0, 0, :2].tolist() == [0, 0]
    for form in ("logits", "log_odds"):
        assert component(K, mask=form)(broken, SIZE, (4, 4)).masks[0, :, 2].isnan().all()


def test_a_map_of_nan_is_background() -> None:
    prompts = EdtPrompt(3)(torch.full((1, 3, 1, 5, 5), torch.nan), (5, 5), (4, 4))
    assert prompts.present.tolist() == [[[True, False, False]]]
    assert prompts.points is not None
    assert prompts.points[0, 0].tolist() == [[2, 2], [0, 0], [0, 0]]


@every_prompt
def test_one_pixel_is_its_own_point_and_box(slot: str, component: Any) -> None:
    logits = torch.zeros(1, K, 1, 6, 7)
    logits[0, 2, 0, 4, 5] = 1
    prompts = component(K)(logits, (6, 7), (4, 4))
    assert prompts.points[0, 0, 2].tolist() == [5, 4]
    assert prompts.boxes[0, 0, 2].tolist() == [5, 4, 5, 4]
    if prompts.extra_labels is not None:
        assert set(prompts.extra_labels[0, 0, 2].tolist()) == {-1}
