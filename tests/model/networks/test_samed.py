"""SAMed against its published construction from the package's own modules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional

from spsam.engine.assemble import build_network
from spsam.engine.bench.official import package_encoder
from spsam.model.depth_pos_embeds.none import NoDepthPosEmbed
from spsam.model.networks.samed import SAMed
from spsam.model.sam.backbones import Backbone, backbone_spec
from spsam.model.sam.checkpoint import encoder_state
from spsam.model.sam.class_decoder import ClassMaskDecoder
from spsam.model.sam.mask_decoder import PromptedMaskDecoder
from spsam.registry.arms import load_arm

from ..sam.reference import adapters_for

RANK = 4


class LoraQKV(nn.Module):
    """Low-rank additions to q and v of a frozen projection."""

    def __init__(self, qkv: nn.Linear) -> None:
        super().__init__()
        self.qkv, dim = qkv, qkv.in_features
        self.down = nn.ModuleList(nn.Linear(dim, RANK, bias=False) for _ in range(2))
        self.up = nn.ModuleList(nn.Linear(RANK, dim, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x)
        dim = x.shape[-1]
        qkv[..., :dim] += self.up[0](self.down[0](x))
        qkv[..., -dim:] += self.up[1](self.down[1](x))
        return qkv


class Reference(nn.Module):
    """Slices one by one, SAM's default prompt embedding, K masks a slice."""

    def __init__(self, spec: Backbone, size: int, classes: int) -> None:
        super().__init__()
        self.size, grid = (size, size), size // spec.patch
        self.image_encoder = package_encoder(spec, size)
        for block in self.image_encoder.blocks:
            block.attn.qkv = LoraQKV(block.attn.qkv)
        self.prompt_encoder = PromptEncoder(spec.out_dim, (grid, grid), self.size, 16)
        transformer = TwoWayTransformer(2, spec.out_dim, spec.decoder_heads, spec.decoder_mlp_dim)
        # Of its masks the first is SAM's single one; SAMed takes the K others.
        self.mask_decoder = MaskDecoder(
            transformer_dim=spec.out_dim, transformer=transformer, num_multimask_outputs=classes
        )

    def forward(self, volume: Tensor) -> Tensor:
        batch, _, depth = volume.shape[:3]
        slices = volume.transpose(1, 2).flatten(0, 1).expand(-1, 3, -1, -1)
        sparse, dense = self.prompt_encoder(None, None, None)
        masks = [
            self.mask_decoder(
                image_embeddings=one[None],
                image_pe=self.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )[0]
            for one in self.image_encoder(slices)
        ]
        large = functional.interpolate(
            torch.cat(masks).float(), self.size, mode="bilinear", align_corners=False
        )
        return large.reshape(batch, depth, *large.shape[1:]).transpose(1, 2)


def with_weights_of(network: SAMed, reference: Reference) -> Reference:
    """The reference with the component's weights, each by its name."""
    encoder = {
        name.removeprefix("image_encoder.").replace("attn.qkv.", "attn.qkv.qkv."): value
        for name, value in encoder_state(network.image_encoder).items()
    }
    missing = reference.image_encoder.load_state_dict(encoder, strict=False)
    assert missing.unexpected_keys == []
    (lora,) = [each for each in network.adapter.modules() if type(each).__name__ == "LoRAAdapter"]
    for index, block in enumerate(reference.image_encoder.blocks):
        for number, name in enumerate("qv"):
            block.attn.qkv.down[number].weight.data = lora.down[f"encoder_{index}_{name}"].weight
            block.attn.qkv.up[number].weight.data = lora.up[f"encoder_{index}_{name}"].weight
    ours, theirs = network.mask_decoder, reference.mask_decoder
    theirs.transformer.load_state_dict(ours.transformer.state_dict())
    theirs.output_upscaling.load_state_dict(ours.upscaling.state_dict())
    theirs.iou_token.load_state_dict(ours.quality_token.state_dict())
    theirs.mask_tokens.load_state_dict(ours.mask_tokens.state_dict())
    theirs.output_hypernetworks_mlps[1:].load_state_dict(ours.hypernetworks.state_dict())
    reference.prompt_encoder.no_mask_embed.load_state_dict(ours.no_mask.state_dict())
    matrix = "positional_encoding_gaussian_matrix"
    sam = build_network(
        load_arm("S1", {"backbone.weights": "random"}),
        in_channels=1,
        num_classes=3,
        depth=1,
        image_size=64,
    )
    setattr(
        reference.prompt_encoder.pe_layer,
        matrix,
        getattr(sam.mask_decoder.prompt_encoder.pe_layer, matrix),  # type: ignore[union-attr]
    )
    return reference.eval()


@pytest.fixture
def network() -> SAMed:
    arm = load_arm("samed", {"backbone.weights": "random"})
    made = build_network(arm, in_channels=1, num_classes=3, depth=2, image_size=64)
    assert isinstance(made, SAMed)
    with torch.no_grad():
        for _, parameter in made.trained_parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made.eval()


@torch.no_grad()
def test_logits_are_those_of_the_published_construction(network: SAMed) -> None:
    reference = with_weights_of(network, Reference(backbone_spec("sam_tiny"), 64, 3))
    volume = torch.randn(2, 1, 2, 64, 64)
    expected = reference(volume)
    torch.testing.assert_close(network(volume).logits, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_lora_and_the_decoder_train_and_the_encoder_does_not(network: SAMed) -> None:
    spec, groups = backbone_spec("sam_tiny"), network.parameter_groups()
    assert groups["adapter"] == spec.depth * 2 * 2 * RANK * spec.embed_dim
    assert set(groups) == {"adapter", "mask_decoder"}
    assert all(each.requires_grad for each in network.mask_decoder.parameters())
    assert not any(each.requires_grad for each in network.image_encoder.parameters())


@torch.no_grad()
def test_transformer_and_upscaling_begin_as_sams() -> None:
    values = {"backbone.weights": "shipped"}
    sizes = {"in_channels": 1, "num_classes": 3, "depth": 1, "image_size": 64}
    samed = build_network(load_arm("samed", values), **sizes)  # type: ignore[arg-type]
    sam = build_network(load_arm("S1", values), **sizes)  # type: ignore[arg-type]
    of_sam = sam.mask_decoder.mask_decoder  # type: ignore[union-attr]
    for name, value in samed.mask_decoder.transformer.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(value, of_sam.transformer.state_dict()[name])  # type: ignore[union-attr]


@pytest.mark.parametrize(("patch", "doublings"), [(8, 3), (16, 4)])
@torch.no_grad()
def test_masams_masks_have_the_size_of_the_encoders_input(patch: int, doublings: int) -> None:
    spec = replace(backbone_spec("sam_tiny"), patch=patch, out_dim=64)
    sam = PromptedMaskDecoder(spec, (64, 32))
    decoder = ClassMaskDecoder(sam, 3, full_resolution=True)
    convolutions = [each for each in decoder.upscaling if isinstance(each, nn.ConvTranspose2d)]
    assert [each.out_channels for each in convolutions] == [16, 8, 4, 2][:doublings]
    kinds = [type(each).__name__ for each in decoder.upscaling]
    between = ["ConvTranspose2d", "LayerNorm2d", "GELU"] * (doublings - 1)
    assert kinds == [*between, "ConvTranspose2d", "GELU"]
    masks = decoder(
        torch.randn(2, 64, *sam.grid),
        depth=2,
        adapters=adapters_for(spec),
        depth_pos=NoDepthPosEmbed(),
    )
    assert masks.shape == (2, 3, 64, 32)
