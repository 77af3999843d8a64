"""Adapters in the image encoder: where they sit, and which slices they mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import Tensor, nn

from spsam.errors import InputError
from spsam.model.adapters.placement import ENCODER_PLACES, USUAL_ENCODER_PLACES, AdapterSet
from spsam.model.kernels import attention_in_blocks
from spsam.model.kernels.attention_in_blocks import AttentionInBlocks
from spsam.model.sam import attention
from spsam.model.sam.backbones import Backbone
from spsam.model.sam.checkpoint import load_official
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from tests.model.sam import reference
from tests.model.sam.reference import MINI, InPlane, MixDepth, NoDepth, ZeroMixDepth

DEPTH = 3
SIZE = (64, 48)  # 8 x 6 tokens in windows of 4: the lower and right windows are padded
PLACE = (5, 1)  # a token of the second row of windows


def build(spec: Backbone = MINI, size: tuple[int, int] = SIZE) -> ImageEncoder:
    torch.manual_seed(0)
    encoder = ImageEncoder(spec, size)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return encoder


def run(
    encoder: ImageEncoder, slices: Tensor, adapters: AdapterSet, depth_pos: nn.Module | None = None
) -> tuple[list[Tensor], Tensor]:
    with torch.no_grad():
        return encoder(slices, depth=DEPTH, adapters=adapters, depth_pos=depth_pos or NoDepth())


class Nudge(NoDepth):
    """Moves one token of one slice, where depth positions are added."""

    def __init__(self, slice_: int) -> None:
        super().__init__()
        self.slice = slice_

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        moved = tokens.clone()
        moved[self.slice, PLACE[0], PLACE[1]] += torch.linspace(-1, 1, tokens.shape[-1])
        return moved


def changed(before: Tensor, after: Tensor) -> set[tuple[int, int, int]]:
    """(slice, row, column) of the tokens of `(B·D, E, gh, gw)` maps that differ."""
    return {tuple(place) for place in ((before - after).abs().amax(1) > 1e-6).nonzero().tolist()}


def without_attention(spec: Backbone) -> ImageEncoder:
    """An encoder in which no token sees another: what spreads, an adapter spread."""
    encoder = build(spec)
    for block in encoder.transformer_blocks():
        block.attn = nn.Identity()
    return encoder


def only_in(adapters: AdapterSet, block: int) -> AdapterSet:
    for index in range(len(adapters.encoder)):
        if index != block:
            adapters.encoder[index] = nn.ModuleDict()
    return adapters


@pytest.mark.parametrize("place", ENCODER_PLACES)
@pytest.mark.parametrize("block", [0, 1], ids=["windowed", "global"])
def test_depth_mixes_at_the_same_place_only(block: int, place: str) -> None:
    encoder = without_attention(MINI)
    adapters = only_in(
        reference.adapters_for(MINI, lambda dim: MixDepth(dim, DEPTH), encoder=(place,)), block
    )
    slices = torch.randn(2 * DEPTH, 3, *SIZE)
    (before,), _ = run(encoder, slices, adapters)
    (after,), _ = run(encoder, slices, adapters, Nudge(1))
    # Slice 1 of the first volume was moved: all its slices change, the second volume's do not.
    assert changed(before, after) == {(d, *PLACE) for d in range(DEPTH)}


class InWindows(nn.Module):
    """The mistake to be caught: the adapter takes windows for slices."""

    def __init__(self, adapter: nn.Module) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, tokens: Tensor) -> Tensor:
        windows, padded = window_partition(tokens, MINI.window)
        count, side, _, dim = windows.shape
        assert count % DEPTH == 0
        mixed = self.adapter(windows.reshape(-1, DEPTH, side * side, dim)).reshape(windows.shape)
        return window_unpartition(mixed, MINI.window, padded, tuple(tokens.shape[1:3]))


def test_an_adapter_on_windows_would_be_seen() -> None:
    encoder = without_attention(MINI)
    next(iter(encoder.transformer_blocks())).attn = InWindows(MixDepth(MINI.embed_dim, DEPTH))
    slices = torch.randn(DEPTH, 3, *SIZE)
    plain = reference.adapters_for(MINI)
    (before,), _ = run(encoder, slices, plain)
    (after,), _ = run(encoder, slices, plain, Nudge(1))
    assert changed(before, after) != {(d, *PLACE) for d in range(DEPTH)}


def test_a_window_of_one_slice_reaches_that_window_of_the_others() -> None:
    """With real attention: the change fills a window in slice 1, and the same one elsewhere."""
    encoder = build()
    adapters = only_in(
        reference.adapters_for(
            MINI, lambda dim: MixDepth(dim, DEPTH), encoder=("after_attention",)
        ),
        0,
    )
    seen: list[Tensor] = []
    adapters.encoder_site(0)["after_attention"].register_forward_hook(
        lambda _module, inputs, output: seen.extend([inputs[0], output])
    )
    slices = torch.randn(DEPTH, 3, *SIZE)
    run(encoder, slices, adapters)
    run(encoder, slices, adapters, Nudge(1))
    window = {(r, c) for r in range(4, 8) for c in range(4)}
    assert tuple(seen[0].shape) == (1, DEPTH, 48, MINI.embed_dim)

    def places(before: Tensor, after: Tensor) -> set[tuple[int, int, int]]:
        return changed(
            *(x[0].reshape(DEPTH, 8, 6, -1).permute(0, 3, 1, 2) for x in (before, after))
        )

    assert places(seen[0], seen[2]) == {(1, *place) for place in window}
    assert places(seen[1], seen[3]) == {(d, *place) for d in range(DEPTH) for place in window}


def test_adapters_in_the_plane_mix_no_slices() -> None:
    encoder = build()
    adapters = reference.adapters_for(MINI, lambda dim: InPlane(dim, DEPTH), encoder=ENCODER_PLACES)
    slices = torch.randn(DEPTH, 3, *SIZE)
    other = slices.clone()
    other[1] = torch.randn(3, *SIZE)
    before, after = run(encoder, slices, adapters), run(encoder, other, adapters)
    for one, two in zip([*before[0], before[1]], [*after[0], after[1]], strict=True):
        torch.testing.assert_close(one[[0, 2]], two[[0, 2]], rtol=0, atol=1e-6)
        assert (one[1] - two[1]).abs().max() > 0.01


def test_adapters_that_start_at_zero_change_nothing() -> None:
    encoder = build()
    slices = torch.randn(DEPTH, 3, *SIZE)
    plain = run(encoder, slices, reference.adapters_for(MINI))
    zero = run(
        encoder,
        slices,
        reference.adapters_for(MINI, lambda dim: ZeroMixDepth(dim, DEPTH), encoder=ENCODER_PLACES),
    )
    assert torch.equal(plain[1], zero[1])
    assert all(torch.equal(one, two) for one, two in zip(plain[0], zero[0], strict=True))


def test_one_slice_is_the_two_dimensional_model() -> None:
    """D = 1: each slice alone gives what it gives as a volume of its own."""
    encoder = build()
    slices = torch.randn(2, 3, *SIZE)
    adapters = reference.adapters_for(MINI, lambda dim: MixDepth(dim, 1), encoder=ENCODER_PLACES)
    with torch.no_grad():
        _, both = encoder(slices, depth=1, adapters=adapters, depth_pos=NoDepth())
        alone = [
            encoder(s[None], depth=1, adapters=adapters, depth_pos=NoDepth())[1] for s in slices
        ]
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_placement_is_the_formula() -> None:
    """x + A(attn(norm1 x)), then x + mlp(y) + s (A(y) - y) with y = norm2 x."""
    spec = replace(MINI, depth=1, global_blocks=(0,))
    encoder = build(spec)
    adapters = reference.adapters_for(
        spec, lambda dim: MixDepth(dim, DEPTH), encoder=USUAL_ENCODER_PLACES
    )
    serial, parallel = (adapters.encoder_site(0)[place] for place in USUAL_ENCODER_PLACES)
    slices = torch.randn(DEPTH, 3, *SIZE)
    block = next(iter(encoder.transformer_blocks()))

    def adapt(adapter: nn.Module, x: Tensor) -> Tensor:
        return adapter(x.reshape(1, DEPTH, -1, spec.embed_dim)).reshape(x.shape)

    with torch.no_grad():
        x = encoder.patch_embed(slices) + encoder.pos_embed
        x = x + adapt(serial, block.attn(block.norm1(x)))
        y = block.norm2(x)
        x = x + block.mlp(y) + 0.5 * (adapt(parallel, y) - y)
    taps, _ = run(encoder, slices, adapters)
    torch.testing.assert_close(taps[0], x.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


def test_the_norm_comes_before_the_windows() -> None:
    """A norm of padded windows would turn the padding's zeros into its bias."""
    spec = replace(MINI, depth=1, global_blocks=())
    encoder = build(spec)
    block = next(iter(encoder.transformer_blocks()))
    slices = torch.randn(DEPTH, 3, *SIZE)

    def finish(x: Tensor, attended: Tensor) -> Tensor:
        x = x + attended
        return encoder.neck((x + block.mlp(block.norm2(x))).permute(0, 3, 1, 2))

    with torch.no_grad():
        x = encoder.patch_embed(slices) + encoder.pos_embed
        windows, padded = window_partition(block.norm1(x), spec.window)
        right = finish(x, window_unpartition(block.attn(windows), spec.window, padded, (8, 6)))
        windows, padded = window_partition(x, spec.window)
        wrong = finish(
            x, window_unpartition(block.attn(block.norm1(windows)), spec.window, padded, (8, 6))
        )
    _, neck = run(encoder, slices, reference.adapters_for(spec))
    assert reference.relative_error(neck, right) <= 1e-5
    assert reference.relative_error(neck, wrong) > 1e-2


def test_the_depth_position_comes_right_after_the_spatial_one() -> None:
    encoder = build()
    got: list[Tensor] = []

    class Look(NoDepth):
        def encoder_tokens(self, tokens: Tensor) -> Tensor:
            got.append(tokens)
            return tokens

    slices = torch.randn(DEPTH, 3, *SIZE)
    run(encoder, slices, reference.adapters_for(MINI), Look())
    with torch.no_grad():
        convolved = encoder.patch_embed.proj(slices).permute(0, 2, 3, 1)
        expected = convolved + encoder.pos_embed
    assert len(got) == 1
    torch.testing.assert_close(got[0], expected)
    assert got[0].is_contiguous()


WAYS = {
    "products": {"LARGE": 10**9},
    "fused": {"LARGE": 0, "_in_blocks": lambda *_: False},
    "blocks": {"LARGE": 0},
}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    attend(request.param, monkeypatch)


def attend(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one of the ways, whatever the size; blocks of a few queries."""
    for name, value in WAYS[way].items():
        monkeypatch.setattr(attention, name, value)
    monkeypatch.setattr(attention_in_blocks, "BLOCK", 40)


def beside_the_package(spec: Backbone, folder: Path) -> tuple[Sam, ImageEncoder]:
    """The package's SAM and our encoder, at the native size with the same weights."""
    sam = reference.package_sam(spec)
    torch.save(sam.state_dict(), folder / "sam.pth")
    size = (spec.native_size, spec.native_size)
    encoder, decoder = ImageEncoder(spec, size), PromptedMaskDecoder(spec, size)
    load_official(folder / "sam.pth", encoder, decoder, spec)
    return sam, encoder


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [40, 32, 24])
def test_gradients_are_the_package_s(size: int, tmp_path: Path) -> None:
    """Windows with padding, without, and one that is never full; nothing resampled."""
    spec = replace(MINI, native_size=size)
    sam, encoder = beside_the_package(spec, tmp_path)
    sam, encoder = sam.double(), encoder.double()
    slices = torch.randn(2, 3, size, size, dtype=torch.float64)
    plain = reference.adapters_for(spec)
    weight: Tensor | None = None
    gradients = []
    for embed in (
        sam.image_encoder,
        lambda x: encoder(x, depth=2, adapters=plain, depth_pos=NoDepth())[1],
    ):
        own = slices.clone().requires_grad_()
        neck = embed(own)
        weight = torch.randn_like(neck) if weight is None else weight
        (neck * weight).sum().backward()
        gradients.append(own.grad)
    assert reference.relative_error(*gradients) <= 1e-9


@pytest.mark.parametrize("name", list(WAYS))
def test_all_ways_to_attend_are_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attend(name, monkeypatch)
    encoder = build()
    slices = torch.randn(DEPTH, 3, *SIZE)
    _, neck = run(encoder, slices, reference.adapters_for(MINI))
    monkeypatch.undo()
    _, usual = run(encoder, slices, reference.adapters_for(MINI))
    assert reference.relative_error(neck, usual) <= 1e-5


@pytest.mark.usefixtures("way")
def test_sixteen_bits_are_as_near_as_the_package_s(tmp_path: Path) -> None:
    spec = replace(MINI, native_size=32)
    sam, encoder = beside_the_package(spec, tmp_path)
    slices = torch.randn(DEPTH, 3, 32, 32)
    _, exact = run(encoder, slices, reference.adapters_for(spec))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        _, ours = run(encoder, slices, reference.adapters_for(spec))
        package = sam.image_encoder(slices)
    bound = 1.5 * reference.relative_error(package, exact)
    assert reference.relative_error(ours, exact) <= bound <= 0.03


@pytest.mark.parametrize("grid", [(3, 4), (1, 7), (5, 1)])
@pytest.mark.parametrize("block", [1, 40, 10**6])
def test_attention_in_blocks_is_its_formula(
    grid: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_in_blocks, "BLOCK", block)
    query, key, value, by_row, by_column = tensors = [
        torch.randn(2, grid[0] * grid[1], side, dtype=torch.float64, requires_grad=True)
        for side in (5, 5, 5, *grid)
    ]
    bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(2)
    expected = (query @ key.transpose(1, 2) + bias).softmax(2) @ value
    got = AttentionInBlocks.apply(*tensors)
    where = torch.randn_like(expected)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        torch.autograd.grad(got, tensors, where), torch.autograd.grad(expected, tensors, where)
    )


def test_checkpointed_blocks_keep_a_tenth_and_change_no_gradient() -> None:
    spec = replace(MINI, depth=8, global_blocks=(1, 3, 5, 7))
    encoder = build(spec)
    slices = torch.randn(DEPTH, 3, *SIZE)
    kept, gradients = [], []
    for checkpointed in (False, True):
        encoder.checkpointed = checkpointed
        torch.manual_seed(1)
        adapters = reference.adapters_for(
            spec, lambda dim: MixDepth(dim, DEPTH), encoder=ENCODER_PLACES
        )
        storages: dict[int, int] = {}

        def pack(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            taps, neck = encoder(slices, depth=DEPTH, adapters=adapters, depth_pos=NoDepth())
        weights = {
            p.untyped_storage().data_ptr() for p in [*encoder.parameters(), *adapters.parameters()]
        }
        kept.append(sum(size for place, size in storages.items() if place not in weights))
        (neck.square().sum() + taps[0].square().sum()).backward()
        gradients.append([p.grad for p in adapters.parameters()])
    assert kept[1] <= 0.1 * kept[0]
    for one, two in zip(*gradients, strict=True):
        assert reference.relative_error(one, two) <= 1e-5


def test_gradients_reach_adapters_and_no_weight_of_sam() -> None:
    encoder = build()
    adapters = reference.adapters_for(
        MINI, lambda dim: MixDepth(dim, DEPTH), encoder=ENCODER_PLACES
    )
    _, neck = encoder(
        torch.randn(DEPTH, 3, *SIZE), depth=DEPTH, adapters=adapters, depth_pos=NoDepth()
    )
    neck.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapters.parameters())
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())


def test_slices_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="expected slices of"):
        run(build(), torch.randn(DEPTH, 3, 64, 64), reference.adapters_for(MINI))


def test_an_input_of_broken_patches_is_refused() -> None:
    with pytest.raises(InputError, match="does not consist of whole 8-pixel patches"):
        ImageEncoder(MINI, (64, 50))
