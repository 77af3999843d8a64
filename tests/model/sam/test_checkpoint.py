"""Checkpoints fit exactly or are refused in a sentence."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from spsam.errors import InputError
from spsam.model.sam.backbones import BACKBONES, Backbone
from spsam.model.sam.checkpoint import LoadReport, compare, load_official
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from spsam.model.sam.state_file import CHECKSUM, file_sha256, read_state, state_sha256
from tests.model.sam import reference
from tests.model.sam.reference import MINI

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return reference.package_sam(MINI).state_dict()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(content: Any) -> Path:
        path = tmp_path / "sam.pth"
        torch.save(content, path)
        return path

    return save


def build(spec: Backbone = MINI, size: int = 64) -> tuple[ImageEncoder, PromptedMaskDecoder]:
    return ImageEncoder(spec, (size, size)), PromptedMaskDecoder(spec, (size, size))


def load(path: Path, spec: Backbone = MINI, size: int = 64) -> LoadReport:
    return load_official(path, *build(spec, size), spec)


def test_every_weight_arrives_under_its_name(state: State, saved: Callable[[Any], Path]) -> None:
    encoder, decoder = build()
    report = load_official(saved(state), encoder, decoder, MINI)
    assert (report.fits, report.resampled, report.origin.kind) == (True, (), "other")
    theirs = dict(state)
    for name, value in decoder.state_dict().items():
        assert torch.equal(value, theirs.pop(name))
    for name, value in encoder.state_dict().items():
        name = name.replace("mlp.fc", "mlp.lin")
        assert torch.equal(value, theirs.pop(f"image_encoder.{name}"))
    assert not theirs


def test_the_old_file_format_is_read_too(state: State, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert load(path).fits


def test_half_precision_weights_are_widened(state: State, saved: Callable[[Any], Path]) -> None:
    encoder, decoder = build()
    path = saved({name: value.half() for name, value in state.items()})
    assert load_official(path, encoder, decoder, MINI).fits
    assert encoder.pos_embed.dtype == torch.float32


def test_the_published_file_is_known_by_its_hash(
    state: State, saved: Callable[[Any], Path]
) -> None:
    path = saved(state)
    report = load(path, replace(MINI, sha256=file_sha256(path)))
    assert report.origin.kind == "official"
    assert "official (sha-256 matches): 0 missing" in str(report)


@pytest.mark.parametrize(
    "name", ["image_encoder.blocks.1.mlp.lin2.bias", "mask_decoder.iou_token.weight"]
)
def test_a_missing_weight_is_seen(name: str, state: State, saved: Callable[[Any], Path]) -> None:
    path = saved({key: value for key, value in state.items() if key != name})
    assert compare(path, *build(), MINI).missing == (name,)
    with pytest.raises(InputError, match=f"got 1 missing \\({name}\\)"):
        load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_seen(
    value: float, state: State, saved: Callable[[Any], Path]
) -> None:
    name = next(each for each in state if "qkv.weight" in each)
    spoilt = {**state, name: state[name].clone()}
    spoilt[name][0, 0] = value
    with pytest.raises(InputError, match=f"1 of its weights contain NaN or infinity .{name}"):
        load(saved(spoilt))


def test_an_unexpected_weight_is_seen(state: State, saved: Callable[[Any], Path]) -> None:
    path = saved({**state, "mask_decoder.hf_token.weight": torch.zeros(1, 32)})
    assert compare(path, *build(), MINI).unexpected == ("mask_decoder.hf_token.weight",)
    with pytest.raises(InputError, match="got 1 unexpected"):
        load(path)


def test_a_weight_of_another_shape_is_seen(state: State, saved: Callable[[Any], Path]) -> None:
    name = "mask_decoder.mask_tokens.weight"
    path = saved({**state, name: torch.zeros(3, 32)})
    assert compare(path, *build(), MINI).mismatched == ((name, (4, 32), (3, 32)),)
    with pytest.raises(InputError, match=r"1 of another shape \(mask_decoder.mask_tokens.weight"):
        load(path)


@pytest.mark.parametrize(
    "name", ["image_encoder.pos_embed", "image_encoder.blocks.1.attn.rel_pos_h"]
)
def test_positions_of_another_width_are_not_resampled(
    name: str, state: State, saved: Callable[[Any], Path]
) -> None:
    path = saved({**state, name: state[name][..., :8]})
    report = compare(path, *build(), MINI)
    assert [entry[0] for entry in report.mismatched] == [name]


def test_positions_of_windows_are_not_resampled(state: State, saved: Callable[[Any], Path]) -> None:
    name = "image_encoder.blocks.0.attn.rel_pos_h"
    path = saved({**state, name: torch.zeros(5, 16)})
    assert compare(path, *build(), MINI).mismatched == ((name, (7, 16), (5, 16)),)


def test_a_refused_file_changes_nothing(state: State, saved: Callable[[Any], Path]) -> None:
    encoder, decoder = build()
    before = encoder.pos_embed.clone(), decoder.mask_decoder.iou_token.weight.clone()
    path = saved({key: value for key, value in state.items() if "iou_token" not in key})
    with pytest.raises(InputError):
        load_official(path, encoder, decoder, MINI)
    assert torch.equal(encoder.pos_embed, before[0])
    assert torch.equal(decoder.mask_decoder.iou_token.weight, before[1])


def test_positions_are_resampled_over_the_whole_picture(
    state: State, saved: Callable[[Any], Path]
) -> None:
    """A crop to the top left would keep only the ramp's beginning."""
    ramp = torch.linspace(-1, 1, 8)
    rows = ramp.reshape(1, 8, 1, 1).expand(1, 8, 8, 32)
    relative = torch.linspace(-1, 1, 15)[:, None].expand(15, 16)
    changes = {
        "image_encoder.pos_embed": rows,
        "image_encoder.blocks.1.attn.rel_pos_h": relative,
    }
    path = saved({**state, **changes})
    encoder, decoder = build(size=32)
    report = load_official(path, encoder, decoder, MINI)
    assert set(report.resampled) == {*changes, "image_encoder.blocks.1.attn.rel_pos_w"}
    small = encoder.pos_embed[0, :, 0, 0]
    assert small[0] < -0.6
    assert small[-1] > 0.6
    torch.testing.assert_close(small, -small.flip(0))
    torch.testing.assert_close(encoder.pos_embed[0, :, 3, 5], small)
    block = list(encoder.transformer_blocks())[1]
    distances = block.attn.rel_pos_h[:, 0]
    assert tuple(block.attn.rel_pos_h.shape) == (7, 16)
    assert distances[0] < -0.8
    assert distances[3] == pytest.approx(0, abs=1e-6)
    assert distances[-1] > 0.8


def fake(spec: Backbone) -> State:
    """The names that tell which SAM a file is of."""
    blocks = {f"image_encoder.blocks.{i}.norm1.bias": torch.zeros(1) for i in range(spec.depth)}
    patches = torch.zeros(spec.embed_dim, 3, spec.patch, spec.patch)
    return {"image_encoder.patch_embed.proj.weight": patches, **blocks}


def test_a_checkpoint_of_another_size_is_named(saved: Callable[[Any], Path]) -> None:
    path = saved(fake(BACKBONES["sam_vit_l"]))
    spec = BACKBONES["sam_vit_b"]
    with torch.device("meta"):
        parts = build(spec, 256)
    with pytest.raises(InputError) as refusal:
        load_official(path, *parts, spec)
    message = str(refusal.value)
    assert "expected a checkpoint of sam_vit_b (width 768, 12 blocks" in message
    assert "got one of sam_vit_l (width 1024, 24 blocks" in message
    assert "choose backbone sam_vit_l or use sam_vit_b_01ec64.pth" in message


def test_a_checkpoint_of_an_unknown_size_is_described(
    state: State, saved: Callable[[Any], Path]
) -> None:
    with pytest.raises(InputError, match=r"got one of \(width 32, 2 blocks, patch 8\)"):
        load(saved(state), reference.TINY, 128)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"image_encoder.pos_embed": torch.zeros(1)}, "epoch": 3}, "contains model"),
        ({"patch_embed.proj.weight": torch.zeros(1)}, "contains patch_embed.proj.weight"),
        ({}, "contains nothing"),
        ([torch.zeros(1)], "contains a list"),
        ({"image_encoder.pos_embed": 3}, "expected only weights, got other values: image_encoder"),
    ],
)
def test_other_contents_are_refused(
    content: Any, message: str, saved: Callable[[Any], Path]
) -> None:
    with pytest.raises(InputError, match=message):
        load(saved(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a PyTorch file"),
        (b"<!DOCTYPE html>", "is not a PyTorch file"),
        (pickle.dumps("no weights", protocol=2), "cannot be read|contains a str"),
        (b"PK\x03\x04 and no more", "is truncated"),
    ],
)
def test_files_that_are_no_checkpoints_are_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "none.pth")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)


def test_a_file_cut_short_is_refused(state: State, saved: Callable[[Any], Path]) -> None:
    path = saved(state)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is truncated"):
        load(path)


class Harm:
    """Would write a file if it were ever unpickled freely."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_file_cannot_run_code(tmp_path: Path, saved: Callable[[Any], Path]) -> None:
    mark = tmp_path / "harmed"
    with pytest.raises(InputError, match="cannot be read as PyTorch weights"):
        load(saved({"image_encoder.pos_embed": Harm(mark)}))
    assert not mark.exists()


def _file(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(
        {"image_encoder.pos_embed": torch.arange(64.0)},
        buffer,
        _use_new_zipfile_serialization=zipped,
    )
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zipped=st.booleans(), data=st.data())
def test_a_damaged_file_is_read_or_refused(
    zipped: bool, data: st.DataObject, tmp_path: Path
) -> None:
    content = bytearray(_file(zipped))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pth"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    # Any other exception fails the test.
    with suppress(InputError):
        assert all(isinstance(value, Tensor) for value in read_state(path).values())


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_damaged_weight_is_seen(ending: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / f"sam.{ending}"
    weights = {name: value.contiguous() for name, value in state.items()}
    if ending == "pth":
        torch.save(weights, path)
    else:
        save_file(weights, path, metadata={CHECKSUM: state_sha256(weights)})
    read_state(path)
    content = bytearray(path.read_bytes())
    largest = max(weights.values(), key=lambda value: value.numel())
    content[content.index(largest.numpy().tobytes()) + 4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"checksum of .* does not match.*damaged"):
        read_state(path)


def test_weights_that_are_nan_are_refused(state: State, saved: Callable[[Any], Path]) -> None:
    name = next(iter(state))
    wild = {**state, name: torch.full_like(state[name], math.nan)}
    with pytest.raises(InputError, match=r"of its weights contain NaN or infinity"):
        read_state(saved(wild))
