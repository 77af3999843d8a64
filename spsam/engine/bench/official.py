"""The same network on unmodified `segment-anything` modules, as a reference for measurements."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import Tensor, nn

from spsam.model.adapters.placement import AdapterSet
from spsam.model.adapters.projected import Projected
from spsam.model.adapters.sites import encoder_module
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.prompt_generators.msp import MSPGenerator
from spsam.model.sam.backbones import Backbone
from spsam.model.sam.checkpoint import encoder_state
from spsam.model.sam.image_encoder import DepthTokens, ImageEncoder
from spsam.model.sam.mask_decoder import FIRST_MASK_TOKEN, PromptedMaskDecoder

PREFIX = "image_encoder."


def package_encoder(spec: Backbone, size: int) -> ImageEncoderViT:
    """Builds the package's image encoder.

    Args:
        spec: The backbone.
        size: H = W of its input, pixels.
    """
    return ImageEncoderViT(
        img_size=size,
        patch_size=spec.patch,
        embed_dim=spec.embed_dim,
        depth=spec.depth,
        num_heads=spec.heads,
        out_chans=spec.out_dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=spec.window,
        global_attn_indexes=spec.global_blocks,
    )


class OfficialEncoder(ImageEncoder):
    """The package's image encoder with a straightforward implementation of adapters in its blocks.

    Args:
        spec: The backbone.
        source: Encoder whose weights are copied.
    """

    def __init__(self, spec: Backbone, source: ImageEncoder) -> None:
        nn.Module.__init__(self)
        self.image_size, self.grid = source.image_size, source.grid
        self.global_blocks = source.global_blocks
        self.checkpointed = False
        # Only position embeddings depend on this size, and they are copied from the source.
        self.vit = package_encoder(spec, spec.native_size)
        for whole, value in encoder_state(source).items():
            name = whole.removeprefix(PREFIX)
            *path, last = name.split(".")
            module = self.vit.get_submodule(".".join(path))
            setattr(module, last, nn.Parameter(value.clone(), requires_grad=False))
        self.requires_grad_(False).eval()

    def forward(
        self, slices: Tensor, *, depth: int, adapters: AdapterSet, depth_pos: DepthTokens
    ) -> tuple[list[Tensor], Tensor]:
        """Encodes slices; see `ImageEncoder.forward`."""
        folded = (slices.shape[0] // depth, depth)
        x = depth_pos.encoder_tokens(self.vit.patch_embed(slices) + self.vit.pos_embed)
        taps: list[Tensor] = []
        for index, block in enumerate(self.vit.blocks):
            site = adapters.encoder_site(index)
            x = adapters.serial(site, "before_attention", x, folded)
            with _projected(block, adapters.projected(encoder_module(index))):
                attended = _attended(block, block.norm1(x))
                x = x + adapters.serial(site, "after_attention", attended, folded)
                x = adapters.serial(site, "before_mlp", x, folded)
                y = block.norm2(x)
                x = x + adapters.parallel(site, "parallel_mlp", y, block.mlp(y), folded)
            if index in self.global_blocks:
                taps.append(x.permute(0, 3, 1, 2))
        return taps, self.vit.neck(x.permute(0, 3, 1, 2))


def _attended(block: Any, x: Tensor) -> Tensor:
    """Computes the attention in windows or over the whole grid, `(n, gh, gw, E)` to the same."""
    if block.window_size == 0:
        whole: Tensor = block.attn(x)
        return whole
    windows, padded = window_partition(x, block.window_size)
    joined: Tensor = window_unpartition(
        block.attn(windows), block.window_size, padded, (x.shape[1], x.shape[2])
    )
    return joined


@contextmanager
def _projected(block: Any, projected: Projected | None) -> Iterator[None]:
    """Attaches projection adapters to a block's layers as forward hooks."""
    if projected is None:
        yield
        return

    def hook(add: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]) -> Any:
        return lambda _, inputs, output: add(lambda _: output, inputs[0])

    layers = {
        "proj": block.attn.proj,
        "fc1": block.mlp.lin1,
        "fc2": block.mlp.lin2,
    }
    with ExitStack() as stack:
        stack.enter_context(block.attn.qkv.register_forward_hook(hook(projected.qkv)))
        for name, layer in layers.items():
            stack.enter_context(layer.register_forward_hook(hook(partial(projected.linear, name))))
        yield


class OfficialDecoder(PromptedMaskDecoder):
    """SAM's mask decoder with the additional computations of the package's own method.

    It repeats the image embedding for every prompt, upscales it by transposed convolutions, decodes
    all four masks and predicts their quality.
    """

    def _image(self, embedding: Tensor, dense: Tensor, classes: int) -> Tensor:
        repeated = torch.repeat_interleave(embedding, classes, dim=0)
        return repeated + dense.expand(len(embedding), classes, -1, *self.grid).flatten(0, 1)

    def _single(self, queries: Tensor, keys: Tensor) -> Tensor:
        decoder = self.mask_decoder
        image = keys.transpose(1, 2).reshape(-1, keys.shape[2], *self.grid)
        upscaled = decoder.output_upscaling(image)
        networks = enumerate(decoder.output_hypernetworks_mlps, FIRST_MASK_TOKEN)
        weights = torch.stack([network(queries[:, token]) for token, network in networks], dim=1)
        decoder.iou_prediction_head(queries[:, 0])
        masks: Tensor = weights @ upscaled.flatten(2)
        return masks[:, :1]


def on_official_modules(network: SelfPromptSAM, spec: Backbone) -> SelfPromptSAM:
    """Copies a network with the package's SAM; the added blocks and all weights are the same.

    The prompt generator is computed layer by layer, because no package provides one.
    """
    other = copy.deepcopy(network)
    if isinstance(other.prompt_generator, MSPGenerator):
        other.prompt_generator.composed = False
    other.image_encoder = OfficialEncoder(spec, network.image_encoder)
    decoder = OfficialDecoder(spec, network.image_encoder.image_size)
    decoder.load_state_dict(network.mask_decoder.state_dict())
    other.mask_decoder = decoder
    return other.train()
