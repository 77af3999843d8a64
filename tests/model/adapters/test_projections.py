"""Projection adapters against the papers' formulas: another weight and bias of the frozen layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spsam.engine.bench.official import OfficialEncoder
from spsam.errors import InputError
from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.lora import LoRAAdapter
from spsam.model.adapters.placement import AdapterSet
from spsam.model.adapters.sites import TARGETS, Projection, chosen, projections
from spsam.model.sam.image_encoder import ImageEncoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from tests.model.sam import reference
from tests.model.sam.reference import MINI, NoDepth

from ..components import count

SIZE = (64, 48)  # 8 x 6 tokens in windows of 4: the windows on the right are padded
DEPTH = 2
SITES = projections(
    encoder_dim=MINI.embed_dim,
    encoder_blocks=MINI.depth,
    decoder_dim=MINI.out_dim,
    decoder_mlp_dim=MINI.decoder_mlp_dim,
)
BOTH: dict[str, Any] = {"targets": TARGETS, "decoder_targets": TARGETS}

Merge = Callable[[Any, Projection, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The weight and bias of a projection that compute the same as the frozen ones and the adapter."""


def lora(adapter: Any, site: Projection, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`W + α/r · B A`."""
    product = adapter.up[site.key].weight @ adapter.down[site.key].weight
    return weight + 2.5 / 3 * product, bias


FORMULAS: dict[str, tuple[Callable[[], ProjectionAdapter], Merge]] = {
    "lora": (lambda: LoRAAdapter(SITES, DEPTH, rank=3, alpha=2.5, **BOTH), lora),
}
every_formula = pytest.mark.parametrize("name", FORMULAS)


def moved(adapter: ProjectionAdapter) -> ProjectionAdapter:
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return adapter.double()


def adapters(**each: ProjectionAdapter) -> AdapterSet:
    return AdapterSet(
        None,
        encoder_dim=MINI.embed_dim,
        encoder_blocks=MINI.depth,
        decoder_dim=MINI.out_dim,
        projections=each,
    )


def encoder() -> ImageEncoder:
    torch.manual_seed(0)
    built = ImageEncoder(MINI, SIZE).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built


def decoder() -> PromptedMaskDecoder:
    torch.manual_seed(1)
    built = PromptedMaskDecoder(MINI, SIZE).double()
    # Coordinates are float32 whatever the rest is.
    built.prompt_encoder.pe_layer.float()
    return built


def layer_of(
    site: Projection, encoder: ImageEncoder, decoder: PromptedMaskDecoder
) -> tuple[nn.Linear, slice]:
    """The frozen layer of a projection, and which of its outputs are the projection's."""
    words = site.module.split("_")
    if site.part == "encoder":
        block: Any = list(encoder.transformer_blocks())[int(words[1])]
        if site.name in "qkv":
            dim, part = site.inputs, "qkv".index(site.name)
            return block.attn.qkv, slice(part * dim, (part + 1) * dim)
        place = block.attn if site.name == "proj" else block.mlp
        return getattr(place, site.name), slice(None)
    transformer = decoder.mask_decoder.transformer
    names = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "proj": "out_proj"}
    if words[0] == "final":
        return getattr(transformer.final_attn_token_to_image, names[site.name]), slice(None)
    two_way: Any = transformer.layers[int(words[1])]
    modules = {
        "self_attention": two_way.self_attn,
        "token_to_image": two_way.cross_attn_token_to_image,
        "image_to_token": two_way.cross_attn_image_to_token,
        "mlp": two_way.mlp,
    }
    inner = {**names, "fc1": "lin1", "fc2": "lin2"}
    return getattr(modules["_".join(words[2:])], inner[site.name]), slice(None)


def merged(
    adapter: ProjectionAdapter, formula: Merge, *parts: Any
) -> tuple[ImageEncoder, PromptedMaskDecoder]:
    other_encoder, other_decoder = copy.deepcopy(parts)
    with torch.no_grad():
        for site in adapter.sites:
            layer, outputs = layer_of(site, other_encoder, other_decoder)
            weight, bias = formula(adapter, site, layer.weight[outputs], layer.bias[outputs])
            layer.weight[outputs], layer.bias[outputs] = weight, bias
    return other_encoder, other_decoder


def masks(parts: Any, adapters: AdapterSet) -> Tensor:
    image_encoder, mask_decoder = parts
    slices = torch.randn(2 * DEPTH, 3, *SIZE, generator=torch.Generator().manual_seed(2)).double()
    _, neck = image_encoder(slices, depth=DEPTH, adapters=adapters, depth_pos=NoDepth())
    prompts = reference.random_prompts(2, DEPTH, 3, SIZE, MINI.patch)
    prompts.masks = None if prompts.masks is None else prompts.masks.double()
    return mask_decoder(neck, prompts, depth=DEPTH, adapters=adapters, depth_pos=NoDepth())


@every_formula
@torch.no_grad()
def test_it_is_another_weight_of_the_frozen_layers(name: str) -> None:
    make, formula = FORMULAS[name]
    adapter, parts = moved(make()), (encoder(), decoder())
    plain = masks(parts, adapters())
    came = masks(parts, adapters(some=adapter))
    expected = masks(merged(adapter, formula, *parts), adapters())
    assert (came - expected).abs().max() <= 1e-6 * expected.abs().max()
    assert (came - plain).abs().max() > 1e-2 * plain.abs().max()


@every_formula
@torch.no_grad()
def test_it_is_the_same_on_the_packages_modules(name: str) -> None:
    adapter, built = moved(FORMULAS[name][0]()), encoder()
    package = OfficialEncoder(MINI, built)
    found = adapters(some=adapter)
    slices = torch.randn(DEPTH, 3, *SIZE).double()
    given: dict[str, Any] = {"depth": DEPTH, "adapters": found, "depth_pos": NoDepth()}
    torch.testing.assert_close(built(slices, **given)[1], package(slices, **given)[1])


@every_formula
@torch.no_grad()
def test_it_begins_as_plain_sam_to_the_bit(name: str) -> None:
    parts = encoder().float(), decoder().float()
    prompts = reference.random_prompts(1, DEPTH, 3, SIZE, MINI.patch)
    slices = torch.randn(DEPTH, 3, *SIZE)
    found = []
    for each in (adapters(), adapters(some=FORMULAS[name][0]())):
        given: dict[str, Any] = {"depth": DEPTH, "adapters": each, "depth_pos": NoDepth()}
        _, neck = parts[0](slices, **given)
        found.append(parts[1](neck, prompts, **given))
    assert torch.equal(*found)


@every_formula
def test_blocks_computed_twice_have_the_same_gradients(name: str) -> None:
    adapter, built = moved(FORMULAS[name][0]()), encoder()
    slices = torch.randn(DEPTH, 3, *SIZE).double()
    gradients = []
    for twice in (False, True):
        built.checkpointed = twice
        adapter.zero_grad()
        given: dict[str, Any] = {"depth": DEPTH, "adapters": adapters(some=adapter)}
        built(slices, depth_pos=NoDepth(), **given)[1].square().mean().backward()
        gradients.append([p.grad.clone() for p in adapter.parameters() if p.grad is not None])
    assert gradients[0]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_bf16_stays_bf16() -> None:
    adapter = FORMULAS["lora"][0]()
    built, slices = encoder().float(), torch.randn(DEPTH, 3, *SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        given: dict[str, Any] = {"depth": DEPTH, "depth_pos": NoDepth()}
        plain = built(slices, adapters=adapters(), **given)[1]
        found = built(slices, adapters=adapters(some=adapter), **given)[1]
    assert torch.equal(plain, found)


def test_parameters_of_lora() -> None:
    # SAMed: r · 2E at q and at v of each block.
    assert count(LoRAAdapter(SITES, DEPTH)) == MINI.depth * 2 * 4 * (2 * MINI.embed_dim)
    everywhere = LoRAAdapter(SITES, DEPTH, rank=5, **BOTH)
    assert count(everywhere) == 5 * sum(site.inputs + site.outputs for site in SITES)


def test_the_sites_are_all_linear_layers_of_the_transformers() -> None:
    parts = encoder(), decoder()
    covered = {id(layer_of(site, *parts)[0]) for site in SITES}
    transformers = [*parts[0].blocks, parts[1].mask_decoder.transformer]
    layers = {id(m) for t in transformers for m in t.modules() if isinstance(m, nn.Linear)}
    assert covered == layers
    for site in SITES:
        layer, outputs = layer_of(site, *parts)
        assert layer.weight[outputs].shape == (site.outputs, site.inputs)
    assert len({site.key for site in SITES}) == len(SITES)


@pytest.mark.parametrize(
    ("encoder", "decoder", "said"),
    [
        (("q", "w"), (), "no projection 'w'"),
        ((), ("qkv",), "decoder_targets: there is no projection 'qkv'"),
        (("q", "q"), (), "names a projection twice"),
        ((), (), "expected at least one of q, k, v, proj, fc1, fc2"),
    ],
)
def test_wrong_sites(encoder: tuple[str, ...], decoder: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        chosen(SITES, encoder, decoder)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank: int) -> None:
    with pytest.raises(InputError, match=f"rank is at least 1: got {rank}"):
        LoRAAdapter(SITES, DEPTH, rank=rank)


class Doubled(ProjectionAdapter):
    """Adds the frozen output once more."""

    uses_output = True

    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        return output


def test_what_works_on_the_output_stands_alone() -> None:
    one, other = LoRAAdapter(SITES, DEPTH), Doubled(chosen(SITES, ("k",), ()))
    adapters(lora=one, doubled=other)  # at other projections they go together
    with pytest.raises(InputError, match="lora and doubled both stand at the projection v"):
        adapters(lora=one, doubled=Doubled(chosen(SITES, ("v",), ())))


@torch.no_grad()
def test_two_that_work_on_the_input_add_up() -> None:
    built, slices = encoder(), torch.randn(DEPTH, 3, *SIZE).double()
    given: dict[str, Any] = {"depth": DEPTH, "depth_pos": NoDepth()}
    half = moved(LoRAAdapter(SITES, DEPTH, alpha=2.0))
    whole = copy.deepcopy(half)
    whole.scale = 2 * half.scale  # type: ignore[assignment,operator]
    both = built(slices, adapters=adapters(one=half, other=copy.deepcopy(half)), **given)[1]
    torch.testing.assert_close(both, built(slices, adapters=adapters(one=whole), **given)[1])
