"""Adapters and depth positions in the mask decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from spsam.model.adapters.placement import DECODER_PLACES, AdapterSet
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from tests.model.sam import reference
from tests.model.sam.reference import MINI, InPlane, MixDepth, NoDepth, Prompts, ZeroMixDepth

VOLUMES, DEPTH, CLASSES = 2, 3, 2
SIZE = (64, 48)


@pytest.fixture
def decoder() -> PromptedMaskDecoder:
    torch.manual_seed(0)
    built = PromptedMaskDecoder(MINI, SIZE)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return built


@pytest.fixture
def prompts() -> Prompts:
    return reference.random_prompts(VOLUMES, DEPTH, CLASSES, SIZE, MINI.patch)


@pytest.fixture
def embedding() -> Tensor:
    return torch.randn(VOLUMES * DEPTH, MINI.out_dim, 8, 6, generator=torch.manual_seed(1))


def run(
    decoder: PromptedMaskDecoder,
    embedding: Tensor,
    prompts: Prompts,
    adapters: AdapterSet | None = None,
    depth_pos: nn.Module | None = None,
) -> Tensor:
    """Masks `(B, D, K, 4gh, 4gw)`."""
    with torch.no_grad():
        masks = decoder(
            embedding,
            prompts,
            depth=DEPTH,
            adapters=adapters or reference.adapters_for(MINI),
            depth_pos=depth_pos or NoDepth(),
        )
    return masks.reshape(VOLUMES, DEPTH, CLASSES, 32, 24)


def changed(before: Tensor, after: Tensor) -> set[tuple[int, int, int]]:
    """(volume, slice, class) of the masks that differ."""
    different = (before - after).abs().amax((3, 4)) > 1e-5 * before.abs().max()
    return {tuple(place) for place in different.nonzero().tolist()}


def mixing(*places: str) -> AdapterSet:
    torch.manual_seed(2)
    return reference.adapters_for(MINI, lambda dim: MixDepth(dim, DEPTH), decoder=places)


def with_other_point(prompts: Prompts, volume: int, slice_: int, class_: int) -> Prompts:
    assert prompts.points is not None
    points = prompts.points.clone()
    points[volume, slice_, class_] = torch.tensor([3.0, 60.0])
    return replace(prompts, points=points)


@pytest.mark.parametrize("place", DECODER_PLACES)
def test_depth_mixes_within_the_same_class(
    place: str, decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    adapters = mixing(place)
    other = with_other_point(prompts, 0, 1, 1)
    before, after = (run(decoder, embedding, p, adapters) for p in (prompts, other))
    assert changed(before, after) == {(0, d, 1) for d in range(DEPTH)}


def test_nothing_mixes_without_depth_adapters(
    decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    flat = reference.adapters_for(MINI, lambda dim: InPlane(dim, DEPTH), decoder=DECODER_PLACES)
    other = with_other_point(prompts, 0, 1, 1)
    for adapters in (reference.adapters_for(MINI), flat):
        before, after = (run(decoder, embedding, p, adapters) for p in (prompts, other))
        assert changed(before, after) == {(0, 1, 1)}


def test_a_slice_of_the_image_reaches_the_others_through_adapters_only(
    decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    other = embedding.clone()
    other[DEPTH + 2] = torch.randn_like(other[0])  # volume 1, slice 2
    for adapters, slices in ((mixing("after_image_to_token"), range(DEPTH)), (mixing(), [2])):
        before, after = (run(decoder, e, prompts, adapters) for e in (embedding, other))
        assert changed(before, after) == {(1, d, k) for d in slices for k in range(CLASSES)}


def test_adapters_see_tokens_and_image_by_class(
    decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    adapters = mixing(*DECODER_PLACES)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in adapters.named_modules():
        if isinstance(module, MixDepth):
            module.register_forward_hook(
                lambda _module, inputs, _output, name=name: shapes.update(
                    {name: tuple(inputs[0].shape)}
                )
            )
    run(decoder, embedding, prompts, adapters)
    # Quality token, four mask tokens, the point and two corners: 8; image tokens: 8 x 6.
    tokens = (VOLUMES, DEPTH, CLASSES * 8, MINI.out_dim)
    image = (VOLUMES, DEPTH, CLASSES * 48, MINI.out_dim)
    expected = {
        f"decoder.{block}.{place}": image if place == "after_image_to_token" else tokens
        for block in range(2)
        for place in DECODER_PLACES[:4]
    }
    assert shapes == {**expected, "final.after_final_attention": tokens}


@pytest.mark.parametrize("place", DECODER_PLACES)
def test_every_place_matters(
    place: str, decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    plain, adapted = (run(decoder, embedding, prompts, a) for a in (mixing(), mixing(place)))
    assert reference.relative_error(adapted, plain) > 1e-3


def test_adapters_that_start_at_zero_change_nothing(
    decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    zero = reference.adapters_for(
        MINI, lambda dim: ZeroMixDepth(dim, DEPTH), decoder=DECODER_PLACES
    )
    assert torch.equal(run(decoder, embedding, prompts, zero), run(decoder, embedding, prompts))


def test_each_slice_has_its_own_image_position(
    decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    class BySlice(NoDepth):
        def __init__(self, shift: Tensor) -> None:
            super().__init__()
            self.shift = shift

        def decoder_position(self, image_pe: Tensor) -> Tensor:
            assert tuple(image_pe.shape) == (1, MINI.out_dim, 8, 6)
            return image_pe + self.shift

    plain = run(decoder, embedding, prompts)
    shift = torch.zeros(DEPTH, MINI.out_dim, 1, 1)
    assert torch.equal(run(decoder, embedding, prompts, depth_pos=BySlice(shift)), plain)
    shift[1] = 1.0
    moved = run(decoder, embedding, prompts, depth_pos=BySlice(shift))
    assert changed(plain, moved) == {(b, 1, k) for b in range(VOLUMES) for k in range(CLASSES)}


def test_gradients_reach_adapters_and_no_weight_of_sam(
    decoder: PromptedMaskDecoder, embedding: Tensor, prompts: Prompts
) -> None:
    adapters = mixing(*DECODER_PLACES)
    decoder(
        embedding, prompts, depth=DEPTH, adapters=adapters, depth_pos=NoDepth()
    ).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapters.parameters())
    assert all(p.grad is None and not p.requires_grad for p in decoder.parameters())
