"""SAM as the `segment-anything` package computes it, and stand-ins for the added blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from segment_anything.modeling import (
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

from spsam.engine.bench.official import package_encoder
from spsam.model.adapters.placement import AdapterSet
from spsam.model.sam.backbones import BACKBONES, Backbone

TINY = BACKBONES["sam_tiny"]
# Two blocks, one of each kind: what most tests need.
MINI = replace(
    TINY,
    name="mini",
    embed_dim=32,
    depth=2,
    heads=2,
    global_blocks=(1,),
    window=4,
    native_size=64,
    out_dim=32,
    decoder_heads=4,
    decoder_mlp_dim=48,
)


def package_sam(spec: Backbone, seed: int = 0) -> Sam:
    """The package's SAM at its native size, nothing at zero and no norm at one."""
    torch.manual_seed(seed)
    grid = spec.native_grid
    size = (spec.native_size, spec.native_size)
    sam = Sam(
        image_encoder=package_encoder(spec, spec.native_size),
        prompt_encoder=PromptEncoder(spec.out_dim, grid, size, 16),
        mask_decoder=MaskDecoder(
            transformer_dim=spec.out_dim,
            transformer=TwoWayTransformer(
                2, spec.out_dim, spec.decoder_heads, spec.decoder_mlp_dim
            ),
            iou_head_hidden_dim=spec.out_dim,
        ),
    )
    return randomize(sam)


def randomize(sam: Sam) -> Sam:
    """Moves every parameter: a weight left at its initial value could hide a wrong name."""
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            spread = 0.3 if "pos" in name else 0.05
            parameter.add_(torch.randn_like(parameter) * spread)
    return sam.eval()


def package_embedding(sam: Sam, slices: Tensor, patch: int) -> Tensor:
    """The package's embedding of any input size, its absolute positions resampled here.

    The package itself interpolates relative positions at the time of use.
    """
    encoder = sam.image_encoder
    own = encoder.pos_embed
    grid = (slices.shape[2] // patch, slices.shape[3] // patch)
    if grid != tuple(own.shape[1:3]):
        resampled = nn.functional.interpolate(
            own.detach().permute(0, 3, 1, 2), size=grid, mode="bicubic", antialias=True
        )
        encoder.pos_embed = nn.Parameter(resampled.permute(0, 2, 3, 1))
    try:
        with torch.no_grad():
            return encoder(slices)
    finally:
        encoder.pos_embed = own


def package_masks(sam: Sam, embedding: Tensor, prompts: Prompts) -> Tensor:
    """The package's low-resolution single masks, one prompt at a time: `(B·D, K, 4gh, 4gw)`."""
    volumes, depth, classes = prompts.present.shape
    masks = []
    for b, d, k in itertools.product(range(volumes), range(depth), range(classes)):
        point, box, mask = (
            None if kind is None else kind[b, d, k]
            for kind in (prompts.points, prompts.boxes, prompts.masks)
        )
        points = None if point is None else (point.reshape(1, 1, 2), torch.ones(1, 1))
        if points and prompts.extra_points is not None and prompts.extra_labels is not None:
            extra = prompts.extra_points[b, d, k][None], prompts.extra_labels[b, d, k][None]
            points = tuple(torch.cat(both, dim=1) for both in zip(points, extra, strict=True))
        with torch.no_grad():
            sparse, dense = sam.prompt_encoder(
                points=points,
                boxes=None if box is None else box.reshape(1, 4),
                masks=None if mask is None else mask[None],
            )
            low, _ = sam.mask_decoder(
                image_embeddings=embedding[b * depth + d][None],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        masks.append(low[0, 0])
    return torch.stack(masks).reshape(volumes * depth, classes, *masks[0].shape)


def relative_error(came: Tensor, expected: Tensor) -> float:
    """Largest difference over largest value."""
    return float((came - expected).abs().max() / expected.abs().max())


@dataclass
class Prompts:
    points: Tensor | None
    boxes: Tensor | None
    present: Tensor
    masks: Tensor | None
    extra_points: Tensor | None = None
    extra_labels: Tensor | None = None


def random_prompts(
    volumes: int, depth: int, classes: int, size: tuple[int, int], patch: int
) -> Prompts:
    """Whole-pixel points and boxes anywhere in the encoder's input (h, w), and mask logits."""
    generator = torch.Generator().manual_seed(0)
    shape = (volumes, depth, classes)
    scale = torch.tensor([size[1] - 1, size[0] - 1])

    def pixels() -> Tensor:
        return (torch.rand(*shape, 2, generator=generator) * scale).round()

    one, other = pixels(), pixels()
    return Prompts(
        points=pixels(),
        boxes=torch.cat([torch.minimum(one, other), torch.maximum(one, other)], dim=-1),
        present=torch.ones(shape, dtype=torch.bool),
        masks=4 * torch.randn(*shape, 1, *(4 * s // patch for s in size), generator=generator),
    )


class NoDepth(nn.Module):
    """A depth position that adds nothing."""

    def encoder_tokens(self, tokens: Tensor) -> Tensor:
        return tokens

    def decoder_position(self, image_pe: Tensor) -> Tensor:
        return image_pe


class MixDepth(nn.Module):
    """Mixes slices at the same position, with random weights."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.mix = nn.Linear(depth, depth)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(x.transpose(1, 3)).transpose(1, 3)


class InPlane(nn.Module):
    """A bottleneck of each token alone, with random weights."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, dim // 4), nn.Linear(dim // 4, dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(nn.functional.gelu(self.down(x)))


class ZeroMixDepth(MixDepth):
    """As adapters start: the last layer is zero."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)


def adapters_for(
    spec: Backbone,
    make: Callable[[int], nn.Module] = nn.Identity,
    *,
    encoder: tuple[str, ...] = (),
    decoder: tuple[str, ...] = (),
) -> AdapterSet:
    """An adapter set of a backbone; without places, SAM is plain."""
    return AdapterSet(
        lambda dim, _: make(dim),
        encoder_dim=spec.embed_dim,
        encoder_blocks=spec.depth,
        decoder_dim=spec.out_dim,
        encoder_places=encoder,
        decoder_places=decoder,
    )
