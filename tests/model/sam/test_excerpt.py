"""A SAM on a square of its tokens."""

from __future__ import annotations

import torch

from spsam.model.sam.backbones import backbone_spec
from spsam.model.sam.excerpt import Excerpt
from spsam.model.sam.promptable import Asked, PromptableSAM

SPEC = backbone_spec("sam_tiny")
ASKED = Asked(
    points=torch.tensor([[[10.0, 20.0]], [[30.0, 5.0]]]),
    labels=torch.ones(2, 1),
    boxes=torch.tensor([[4.0, 8, 30, 40], [20, 0, 50, 30]]),
)


def whole() -> PromptableSAM:
    torch.manual_seed(0)
    sam = PromptableSAM(SPEC).requires_grad_(True)
    with torch.no_grad():
        for parameter in sam.parameters():  # Positions begin at zero.
            parameter.add_(0.02 * torch.randn_like(parameter))
    return sam


def test_an_excerpt_of_everything_is_the_whole() -> None:
    sam = whole()
    excerpt = Excerpt(sam, SPEC, 128)
    assert excerpt.corners == 1
    images = torch.randn(1, 3, 128, 128)
    asked = Asked(ASKED.points, ASKED.labels, ASKED.boxes, torch.randn(2, 1, 64, 64))
    with torch.no_grad():
        for one, other in zip(
            sam.answer(sam.embed(images), asked),
            excerpt.answer(excerpt.embed(images), asked),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_a_square_has_the_wholes_positions_and_its_prompts_are_moved() -> None:
    sam = whole()
    excerpt = Excerpt(sam, SPEC, 64)
    assert excerpt.corners == 9
    excerpt.move(3, 5)
    assert torch.equal(excerpt.encoder.pos_embed, sam.encoder.pos_embed[:, 3:11, 5:13])
    full = sam.decoder.prompt_encoder.get_dense_pe()
    assert torch.equal(excerpt.decoder.prompt_encoder.get_dense_pe(), full[..., 3:11, 5:13])
    # Keys at the same distance meet the same relative position.
    mine, theirs = (
        list(each.encoder.transformer_blocks())[1].attn.rel_pos_h for each in (excerpt, sam)
    )
    assert torch.equal(mine, theirs[8:23])
    seen: list[torch.Tensor] = []
    encode = excerpt.decoder.prompt_encoder.forward
    excerpt.decoder.prompt_encoder.forward = lambda points, boxes, masks: (
        seen.extend((points[0], boxes)) or encode(points, boxes, masks)  # type: ignore[func-returns-value]
    )
    masks, quality = excerpt.answer(excerpt.embed(torch.randn(1, 3, 64, 64)), ASKED)
    assert masks.shape == (2, 4, 32, 32)
    assert quality.shape == (2, 4)
    assert seen[0][0, 0].tolist() == [10 + 5 * 8, 20 + 3 * 8]
    assert seen[1][0].tolist() == [4 + 40, 8 + 24, 30 + 40, 40 + 24]


def test_gradients_reach_the_whole_and_only_what_is_seen_of_its_positions() -> None:
    sam = whole()
    excerpt = Excerpt(sam, SPEC, 64)
    excerpt.move(0, 8)
    masks, quality = excerpt.answer(excerpt.embed(torch.randn(1, 3, 64, 64)), ASKED)
    (masks.square().sum() + quality.sum()).backward()
    missing = [name for name, each in sam.named_parameters() if each.grad is None]
    assert all("mask_downscaling" in name or "point_embed" in name for name in missing), missing
    seen = sam.encoder.pos_embed.grad.abs().sum(dim=3)[0] > 0  # type: ignore[union-attr]
    assert seen[:8, 8:].all()
    assert not seen[8:].any()
    assert not seen[:, :8].any()
