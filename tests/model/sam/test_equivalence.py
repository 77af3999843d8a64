"""What is built here computes what the `segment-anything` package computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from torch import Tensor

from spsam.model.sam.backbones import BACKBONES, Backbone
from spsam.model.sam.checkpoint import load_official
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from tests.model.sam import reference

Weights = tuple[Sam, Path]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    sam = reference.package_sam(reference.TINY)
    path = tmp_path_factory.mktemp("tiny") / "sam_tiny.pth"
    torch.save(sam.state_dict(), path)
    return sam, path


@pytest.fixture(scope="module")
def vit_b(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(0)
    sam = reference.randomize(sam_model_registry["vit_b"]())
    path = tmp_path_factory.mktemp("vit_b") / "sam_vit_b.pth"
    torch.save(sam.state_dict(), path)
    return sam, path


def loaded(
    path: Path, spec: Backbone, size: tuple[int, int]
) -> tuple[ImageEncoder, PromptedMaskDecoder]:
    encoder, decoder = ImageEncoder(spec, size), PromptedMaskDecoder(spec, size)
    assert load_official(path, encoder, decoder, spec).fits
    return encoder, decoder


def embed(encoder: ImageEncoder, spec: Backbone, slices: Tensor) -> tuple[list[Tensor], Tensor]:
    with torch.no_grad():
        return encoder(
            slices,
            depth=slices.shape[0],
            adapters=reference.adapters_for(spec),
            depth_pos=reference.NoDepth(),
        )


def decode(
    decoder: PromptedMaskDecoder, spec: Backbone, embedding: Tensor, prompts: reference.Prompts
) -> Tensor:
    with torch.no_grad():
        return decoder(
            embedding,
            prompts,
            depth=prompts.present.shape[1],
            adapters=reference.adapters_for(spec),
            depth_pos=reference.NoDepth(),
        )


# 96 pixels are 12 tokens, which windows of 8 do not divide: padded windows are compared too.
@pytest.mark.parametrize("size", [(128, 128), (96, 96), (96, 128), (64, 200)])
def test_tiny_image_embedding(tiny: Weights, size: tuple[int, int]) -> None:
    sam, path = tiny
    encoder, _ = loaded(path, reference.TINY, size)
    slices = torch.randn(2, 3, *size)
    taps, neck = embed(encoder, reference.TINY, slices)
    assert (
        reference.relative_error(
            neck, reference.package_embedding(sam, slices, reference.TINY.patch)
        )
        <= 1e-5
    )
    grid = (size[0] // 8, size[1] // 8)
    assert [tuple(tap.shape) for tap in taps] == [(2, 192, *grid)] * 4
    assert tuple(neck.shape) == (2, 128, *grid)


def test_taps_are_outputs_of_the_global_blocks(tiny: Weights) -> None:
    sam, path = tiny
    outputs: list[Tensor] = []
    handles = [
        sam.image_encoder.blocks[index].register_forward_hook(
            lambda _module, _inputs, output: outputs.append(output)
        )
        for index in reference.TINY.global_blocks
    ]
    slices = torch.randn(1, 3, 128, 128)
    reference.package_embedding(sam, slices, reference.TINY.patch)
    for handle in handles:
        handle.remove()
    encoder, _ = loaded(path, reference.TINY, (128, 128))
    taps, _ = embed(encoder, reference.TINY, slices)
    for tap, output in zip(taps, outputs, strict=True):
        assert reference.relative_error(tap.permute(0, 2, 3, 1), output) <= 1e-5


@pytest.mark.parametrize(
    "kinds", ["point box mask", "point box", "point mask", "box mask", "point", "box", "mask", ""]
)
def test_tiny_masks_of_every_choice_of_prompts(tiny: Weights, kinds: str) -> None:
    sam, path = tiny
    _, decoder = loaded(path, reference.TINY, (128, 128))
    prompts = reference.random_prompts(2, 2, 3, (128, 128), reference.TINY.patch)
    prompts = replace(
        prompts,
        points=prompts.points if "point" in kinds else None,
        boxes=prompts.boxes if "box" in kinds else None,
        masks=prompts.masks if "mask" in kinds else None,
    )
    embedding = torch.randn(4, 128, 16, 16)
    masks = decode(decoder, reference.TINY, embedding, prompts)
    assert tuple(masks.shape) == (4, 3, 64, 64)
    expected = reference.package_masks(sam, embedding, prompts)
    assert reference.relative_error(masks, expected) <= 1e-4


@pytest.mark.parametrize("kinds", ["point box mask", "point box", "point mask", "point"])
def test_tiny_masks_of_several_points(tiny: Weights, kinds: str) -> None:
    """Points inside, points outside and no points, beside the one that every class has."""
    sam, path = tiny
    _, decoder = loaded(path, reference.TINY, (128, 128))
    prompts = reference.random_prompts(2, 1, 3, (128, 128), reference.TINY.patch)
    prompts = replace(
        prompts,
        boxes=prompts.boxes if "box" in kinds else None,
        masks=prompts.masks if "mask" in kinds else None,
        extra_points=torch.randint(0, 128, (2, 1, 3, 4, 2)),
        extra_labels=torch.tensor([[1, 0, -1, -1], [0, 1, 1, 0], [-1, -1, -1, -1]]).expand(
            2, 1, 3, 4
        ),
    )
    embedding = torch.randn(2, 128, 16, 16)
    masks = decode(decoder, reference.TINY, embedding, prompts)
    expected = reference.package_masks(sam, embedding, prompts)
    assert reference.relative_error(masks, expected) <= 1e-4
    alone = replace(prompts, extra_points=None, extra_labels=None)
    alone = decode(decoder, reference.TINY, embedding, alone)
    assert reference.relative_error(alone, masks) > 1e-3


def test_points_and_boxes_are_in_the_frame_of_a_wide_input(tiny: Weights) -> None:
    sam, path = tiny
    _, decoder = loaded(path, reference.TINY, (64, 128))
    encoder = sam.prompt_encoder
    native = encoder.image_embedding_size, encoder.input_image_size
    encoder.image_embedding_size, encoder.input_image_size = (8, 16), (64, 128)
    prompts = reference.random_prompts(1, 2, 2, (64, 128), reference.TINY.patch)
    embedding = torch.randn(2, 128, 8, 16)
    expected = reference.package_masks(sam, embedding, prompts)
    encoder.image_embedding_size, encoder.input_image_size = native
    masks = decode(decoder, reference.TINY, embedding, prompts)
    assert reference.relative_error(masks, expected) <= 1e-4


def test_whole_pixel_prompts_may_be_integers(tiny: Weights) -> None:
    _, decoder = loaded(tiny[1], reference.TINY, (128, 128))
    prompts = reference.random_prompts(1, 1, 2, (128, 128), reference.TINY.patch)
    whole = replace(prompts, points=prompts.points.long(), boxes=prompts.boxes.long())
    embedding = torch.randn(1, 128, 16, 16)
    assert torch.equal(
        decode(decoder, reference.TINY, embedding, whole),
        decode(decoder, reference.TINY, embedding, prompts),
    )


def test_prompt_positions_keep_full_precision_under_autocast(tiny: Weights) -> None:
    _, decoder = loaded(tiny[1], reference.TINY, (128, 128))
    prompts = reference.random_prompts(1, 1, 2, (128, 128), reference.TINY.patch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        position, sparse = decoder.image_position(), decoder._sparse(prompts)
    assert torch.equal(position, decoder.image_position())
    assert torch.equal(sparse, decoder._sparse(prompts))


@pytest.mark.parametrize("size", [256, 512, pytest.param(1024, marks=pytest.mark.slow)])
def test_vit_b_embedding_and_masks(vit_b: Weights, size: int) -> None:
    sam, path = vit_b
    spec = BACKBONES["sam_vit_b"]
    encoder, decoder = loaded(path, spec, (size, size))
    slices = torch.randn(1, 3, size, size)
    expected = reference.package_embedding(sam, slices, spec.patch)
    _, neck = embed(encoder, spec, slices)
    assert reference.relative_error(neck, expected) <= 1e-5

    prompts = reference.random_prompts(1, 1, 2, (size, size), spec.patch)
    frame, grid = (size, size), (size // 16, size // 16)
    native = sam.prompt_encoder.input_image_size, sam.prompt_encoder.image_embedding_size
    sam.prompt_encoder.input_image_size, sam.prompt_encoder.image_embedding_size = frame, grid
    low = reference.package_masks(sam, expected, prompts)
    sam.prompt_encoder.input_image_size, sam.prompt_encoder.image_embedding_size = native
    assert reference.relative_error(decode(decoder, spec, neck, prompts), low) <= 1e-4


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_as_many_parameters_as_the_package(name: str) -> None:
    from spsam.model.sam.build import build_sam

    with torch.device("meta"):
        package = sam_model_registry[name]()
        encoder, decoder, _ = build_sam(f"sam_{name}", (1024, 1024))
    assert sum(p.numel() for p in package.parameters()) == sum(
        p.numel() for part in (encoder, decoder) for p in part.parameters()
    )
