from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from spsam.errors import InputError
from spsam.model.sam.build import build_sam
from spsam.model.sam.positions import resample_pos_embed, resample_rel_pos
from tests.model.sam import reference


def weights(size: tuple[int, int]) -> dict[str, torch.Tensor]:
    encoder, decoder, report = build_sam("sam_tiny", size)
    assert report is None
    return {**encoder.state_dict(), **decoder.state_dict()}


def test_random_weights_do_not_depend_on_the_run() -> None:
    torch.manual_seed(1)
    one = weights((64, 64))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = weights((64, 64))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_random_weights_are_one_network_at_every_input_size() -> None:
    native, small = weights((128, 128)), weights((64, 96))
    for name, value in native.items():
        if name == "pos_embed":
            assert torch.equal(small[name], resample_pos_embed(value, (8, 12)))
        elif value.shape == small[name].shape:
            assert torch.equal(small[name], value)
        else:
            assert "rel_pos" in name
            assert torch.equal(small[name], resample_rel_pos(value, small[name].shape[0]))


def test_random_positions_are_not_zero() -> None:
    drawn = {name: value for name, value in weights((64, 64)).items() if "pos" in name}
    assert len(drawn) == 1 + 2 * 8 + 1
    assert all(value.abs().max() > 0 for value in drawn.values())


def test_nothing_trains() -> None:
    for part in build_sam("sam_tiny", (64, 64))[:2]:
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())


def test_parameters_of_the_largest_are_counted_without_memory() -> None:
    start = time.process_time()
    with torch.device("meta"):
        encoder, decoder, _ = build_sam("sam_vit_h", (1024, 1024))
    assert time.process_time() - start < 5  # 0.1 s when written
    assert all(p.is_meta for part in (encoder, decoder) for p in part.parameters())
    assert sum(p.numel() for p in encoder.parameters()) == 637_026_048


def test_a_checkpoint_fills_every_weight(tmp_path: Path) -> None:
    sam = reference.package_sam(reference.TINY)
    path = tmp_path / "sam_tiny.pth"
    torch.save(sam.state_dict(), path)
    encoder, decoder, report = build_sam("sam_tiny", (128, 128), checkpoint=path)
    assert report is not None
    assert report.fits
    assert report.resampled == ()
    assert torch.equal(encoder.pos_embed, sam.image_encoder.pos_embed)
    assert not any(p.requires_grad for part in (encoder, decoder) for p in part.parameters())
    theirs = sum(value.double().sum() for value in sam.state_dict().values())
    ours = sum(
        value.double().sum() for part in (encoder, decoder) for value in part.state_dict().values()
    )
    assert ours == pytest.approx(theirs)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(InputError, match="unknown backbone 'vit_b'"):
        build_sam("vit_b", (64, 64))
