"""Projection adapters against the papers' formulas: another weight and bias of the frozen layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from spsam.engine.bench.official import OfficialEncoder
from spsam.errors import InputError
from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.bias import BiasAdapter
from spsam.model.adapters.fact import FactAdapter
from spsam.model.adapters.lora import LoRAAdapter
from spsam.model.adapters.placement import AdapterSet
from spsam.model.adapters.sites import TARGETS, Projection, chosen, projections
from spsam.model.adapters.ssf import SSFAdapter
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


def fact(adapter: Any, site: Projection, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Block by block `s · Σ_{t1 t2} V[:, t1] Σ_i[t1, t2] U[t2, :]`."""
    first, last = adapter.first[site.part].weight, adapter.last[site.part].weight
    width, whole = first.shape[1], weight.clone()
    columns = site.inputs // width
    for index, core in enumerate(adapter.cores[site.key]):
        if adapter.common:
            core = sum(p * c for p, c in zip(core, adapter.common[site.part], strict=True))
        row, column = index // columns * width, index % columns * width
        change = torch.einsum("ot,tu,ui->oi", last, core, first)
        whole[row : row + width, column : column + width] += 1.5 * change
    assert (site.outputs // width) * columns == len(adapter.cores[site.key])
    return whole, bias


def ssf(adapter: Any, site: Projection, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`γ ⊙ (W x + b) + β`."""
    scale = 1 + adapter.scale[site.key]
    return scale[:, None] * weight, scale * bias + adapter.shift[site.key]


def bias_(adapter: Any, site: Projection, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`b + δ`."""
    return weight, bias + adapter.offset[site.key]


FORMULAS: dict[str, tuple[Callable[[], ProjectionAdapter], Merge]] = {
    "lora": (lambda: LoRAAdapter(SITES, DEPTH, rank=3, alpha=2.5, **BOTH), lora),
    "tensor_train": (lambda: FactAdapter(SITES, DEPTH, rank=3, scale=1.5, **BOTH), fact),
    "tucker": (
        lambda: FactAdapter(SITES, DEPTH, rank=3, scale=1.5, form="tucker", **BOTH),
        fact,
    ),
    "ssf": (lambda: SSFAdapter(SITES, DEPTH), ssf),
    "bias": (lambda: BiasAdapter(SITES, DEPTH), bias_),
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
    words: dict[str, Any] = {"depth": DEPTH, "adapters": found, "depth_pos": NoDepth()}
    torch.testing.assert_close(built(slices, **words)[1], package(slices, **words)[1])


@every_formula
@torch.no_grad()
def test_it_begins_as_plain_sam_to_the_bit(name: str) -> None:
    parts = encoder().float(), decoder().float()
    prompts = reference.random_prompts(1, DEPTH, 3, SIZE, MINI.patch)
    slices = torch.randn(DEPTH, 3, *SIZE)
    found = []
    for each in (adapters(), adapters(some=FORMULAS[name][0]())):
        words: dict[str, Any] = {"depth": DEPTH, "adapters": each, "depth_pos": NoDepth()}
        _, neck = parts[0](slices, **words)
        found.append(parts[1](neck, prompts, **words))
    assert torch.equal(*found)


@every_formula
def test_blocks_computed_twice_have_the_same_gradients(name: str) -> None:
    adapter, built = moved(FORMULAS[name][0]()), encoder()
    slices = torch.randn(DEPTH, 3, *SIZE).double()
    gradients = []
    for twice in (False, True):
        built.checkpointed = twice
        adapter.zero_grad()
        words: dict[str, Any] = {"depth": DEPTH, "adapters": adapters(some=adapter)}
        built(slices, depth_pos=NoDepth(), **words)[1].square().mean().backward()
        gradients.append([p.grad.clone() for p in adapter.parameters() if p.grad is not None])
    assert gradients[0]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@every_formula
@torch.no_grad()
def test_bf16_stays_bf16(name: str) -> None:
    adapter = FORMULAS[name][0]()
    built, slices = encoder().float(), torch.randn(DEPTH, 3, *SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        words: dict[str, Any] = {"depth": DEPTH, "depth_pos": NoDepth()}
        plain = built(slices, adapters=adapters(), **words)[1]
        found = built(slices, adapters=adapters(some=adapter), **words)[1]
    assert torch.equal(plain, found)


def test_parameters_of_lora() -> None:
    # SAMed: r · 2E at q and at v of each block.
    assert count(LoRAAdapter(SITES, DEPTH)) == MINI.depth * 2 * 4 * (2 * MINI.embed_dim)
    everywhere = LoRAAdapter(SITES, DEPTH, rank=5, **BOTH)
    assert count(everywhere) == 5 * sum(site.inputs + site.outputs for site in SITES)


@given(rank=st.integers(1, 9), blocks=st.integers(1, 4), dim=st.integers(1, 8))
def test_parameters_of_the_others(rank: int, blocks: int, dim: int) -> None:
    dim = 2 * dim
    sites = projections(
        encoder_dim=dim, encoder_blocks=blocks, decoder_dim=4, decoder_mlp_dim=8, decoder_blocks=1
    )
    for names, matrices in ((("q", "v"), 2), (TARGETS, 12)):
        # FacT: 2dr for U and V, and of each block's matrices r² (or r, and r³ for all).
        n = matrices * blocks
        words: dict[str, Any] = {"rank": rank, "targets": names}
        assert count(FactAdapter(sites, 1, **words)) == 2 * dim * rank + n * rank**2
        tucker = FactAdapter(sites, 1, form="tucker", **words)
        assert count(tucker) == 2 * dim * rank + n * rank + rank**3
    # Of a block's outputs: q, k, v, proj and fc2 have d, fc1 has 4d.
    assert count(BiasAdapter(sites, 1, decoder_targets=())) == blocks * 9 * dim
    assert count(SSFAdapter(sites, 1, decoder_targets=())) == 2 * blocks * 9 * dim


def test_factors_are_shared_by_all_layers() -> None:
    fact = FactAdapter(SITES, DEPTH, **BOTH)
    assert {name for name in fact.state_dict() if name.startswith(("first", "last"))} == {
        f"{factor}.{part}.weight" for factor in ("first", "last") for part in ("encoder", "decoder")
    }


def test_dropout_is_in_training_alone() -> None:
    torch.manual_seed(0)
    fact, site = moved(FactAdapter(SITES, DEPTH, dropout=0.5)), SITES[0]
    x = torch.randn(3, site.inputs).double()
    fact.eval()
    torch.testing.assert_close(fact(x, x, site), fact(x, x, site))
    fact.train()
    assert not torch.equal(fact(x, x, site), fact(x, x, site))


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
        (("q", "q"), (), "a projection occurs twice"),
        ((), (), "expected at least one of q, k, v, proj, fc1, fc2"),
    ],
)
def test_wrong_sites(encoder: tuple[str, ...], decoder: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        chosen(SITES, encoder, decoder)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank: int) -> None:
    for adapter in (LoRAAdapter, FactAdapter):
        with pytest.raises(InputError, match=f"rank must be at least 1: got {rank}"):
            adapter(SITES, DEPTH, rank=rank)


def test_what_works_on_the_output_stands_alone() -> None:
    one, elsewhere = (
        LoRAAdapter(SITES, DEPTH),
        SSFAdapter(SITES, DEPTH, targets=("k",), decoder_targets=()),
    )
    adapters(lora=one, ssf=elsewhere)  # at other projections they go together
    with pytest.raises(InputError, match="lora and ssf both adapt the projection q of"):
        adapters(lora=one, ssf=SSFAdapter(SITES, DEPTH))


@torch.no_grad()
def test_two_that_work_on_the_input_add_up() -> None:
    built, slices = encoder(), torch.randn(DEPTH, 3, *SIZE).double()
    words: dict[str, Any] = {"depth": DEPTH, "depth_pos": NoDepth()}
    half = moved(LoRAAdapter(SITES, DEPTH, alpha=2.0))
    whole = copy.deepcopy(half)
    whole.scale = 2 * half.scale  # type: ignore[assignment,operator]
    both = built(slices, adapters=adapters(one=half, other=copy.deepcopy(half)), **words)[1]
    torch.testing.assert_close(both, built(slices, adapters=adapters(one=whole), **words)[1])
