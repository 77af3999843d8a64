from __future__ import annotations

import pytest
import torch

from spsam.errors import InputError
from spsam.model.sam.backbones import BACKBONES, backbone_spec, encoder_input, token_grid
from spsam.model.sam.build import build_sam


def test_sizes_are_consistent() -> None:
    assert list(BACKBONES) == ["sam_tiny", "sam_vit_b", "sam_vit_l", "sam_vit_h"]
    for name, spec in BACKBONES.items():
        assert spec.name == name
        assert spec.embed_dim % spec.heads == 0
        assert len(spec.global_blocks) == 4
        assert spec.global_blocks[-1] == spec.depth - 1
        assert spec.sha256 is None or len(spec.sha256) == 64


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'sam_vit_b'"):
        backbone_spec("sam_vitb")


@pytest.mark.parametrize("size", [(1000, 1024), (1024, 8), (0, 16)])
def test_patches_must_be_whole(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="choose multiples of 16"):
        token_grid(BACKBONES["sam_vit_b"], size)


def test_token_grid_is_rows_by_columns() -> None:
    assert token_grid(BACKBONES["sam_vit_b"], (256, 512)) == (16, 32)


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (None, (64, 112)),  # rounded up to whole patches of 16 pixels
        ("1x", (64, 112)),
        ("2x", (128, 208)),
        ("4x", (240, 416)),
        (100, (100, 100)),
        ((48, 80), (48, 80)),
    ],
)
def test_encoder_input_of_a_patch_of_60_by_104_pixels(
    wanted: int | tuple[int, int] | str | None, size: tuple[int, int]
) -> None:
    assert encoder_input(wanted, (60, 104), BACKBONES["sam_vit_b"]) == size


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("patches", [(16, 16), (8, 12), (64, 64)])
def test_parameters_are_those_of_the_built_sam(name: str, patches: tuple[int, int]) -> None:
    spec = BACKBONES[name]
    size = (patches[0] * spec.patch, patches[1] * spec.patch)
    with torch.device("meta"):
        encoder, decoder, _ = build_sam(name, size)
    built = sum(p.numel() for part in (encoder, decoder) for p in part.parameters())
    assert spec.parameters(size) == built
