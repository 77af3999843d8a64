"""From a configuration to a network: the one place where components meet SAM."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spsam.config.schema import ArmConfig, RunConfig
from spsam.model.adapters.placement import AdapterSet
from spsam.model.network import SelfPromptSAM
from spsam.model.sam.backbones import Backbone, backbone_spec
from spsam.model.sam.build import build_sam
from spsam.registry.catalogue import Catalogue
from spsam.registry.resolve import resolve


@dataclass(frozen=True)
class NetworkSize:
    """Parameters of a network.

    Attributes:
        blocks: Trained parameters of each added block, by slot.
        trained: Their sum.
        total: SAM's frozen parameters included.
    """

    blocks: dict[str, int]
    trained: int
    total: int


def build_network(
    arm: ArmConfig,
    *,
    backbone: str | None = None,
    checkpoint: str | Path | None = None,
    in_channels: int,
    num_classes: int,
    depth: int,
    image_size: int | tuple[int, int],
    seed: int = 0,
) -> SelfPromptSAM:
    """Builds the network of an arm; freshly built, its encoder and decoder compute plain SAM.

    Each block draws its initial weights from a generator of its own, made of `seed` and its slot:
    two arms that share a block start it from the same weights, whatever else differs.

    Args:
        arm: What `spsam.load_arm` returned.
        backbone: `sam_tiny`, `sam_vit_b`, `sam_vit_l` or `sam_vit_h`; None takes the arm's own
            (`sam_tiny` unless it says otherwise).
        checkpoint: An official SAM checkpoint; None takes the arm's own, if it has one, else
            random frozen weights that do not depend on `seed`.
        in_channels: M, image modalities.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: H = W, or (H, W): the patch in the plane, pixels. The encoder's input has the
            arm's `backbone.encoder_size` or, if that is None, this size rounded up to whole ViT
            patches.
        seed: For the added blocks' initial weights.

    Returns:
        A network for `(B, M, D, H, W)` volumes, in training mode, SAM frozen.

    Raises:
        InputError: If the backbone is unknown or the checkpoint is not one of it.
        ValueError: If a size is not positive.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    image = (height, width)
    _check_sizes(in_channels=in_channels, num_classes=num_classes, depth=depth, image=min(image))
    settings = arm.backbone
    spec = backbone_spec(backbone or settings.name)
    encoder_size = _encoder_size(settings.encoder_size, image, spec.patch)
    source = checkpoint if checkpoint is not None else settings.checkpoint
    image_encoder, mask_decoder, _ = build_sam(
        spec.name, encoder_size, checkpoint=None if source is None else Path(source)
    )
    grid = image_encoder.grid
    make = _Maker(arm, seed)
    return SelfPromptSAM(
        image_encoder=image_encoder,
        mask_decoder=mask_decoder,
        input_adapter=make("input_adapter", in_channels, image, encoder_size),
        depth_pos_embed=make("depth_pos_embed", spec.embed_dim, spec.out_dim, depth, grid),
        adapter=_adapters(make, spec, depth),
        prompt_generator=make(
            "prompt_generator",
            (spec.embed_dim,) * len(spec.global_blocks),
            spec.out_dim,
            grid,
            num_classes,
            image,
        ),
        prompt=make("prompt", num_classes),
        mask_head=make("mask_head", num_classes),
        depth=depth,
        image_size=image,
    )


def network_size(
    arm: ArmConfig, *, in_channels: int, num_classes: int, patch: tuple[int, int, int]
) -> NetworkSize:
    """Counts parameters without memory for them, whatever the backbone.

    Args:
        arm: The arm.
        in_channels: M.
        num_classes: K, background included.
        patch: (D, H, W).
    """
    weightless = arm.model_copy(
        update={"backbone": arm.backbone.model_copy(update={"checkpoint": None})}
    )
    with torch.device("meta"):
        network = build_network(
            weightless,
            in_channels=in_channels,
            num_classes=num_classes,
            depth=patch[0],
            image_size=patch[1:],
        )
    blocks = network.parameter_groups()
    total = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSize(blocks=blocks, trained=sum(blocks.values()), total=total)


def network_for(
    config: RunConfig, patch: tuple[int, int, int], checkpoint: Path | None
) -> SelfPromptSAM:
    """The network of a run.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        checkpoint: SAM's weights; None for random ones.
    """
    return build_network(
        config.arm,
        checkpoint=checkpoint,
        in_channels=config.data.in_channels,
        num_classes=config.data.num_classes,
        depth=patch[0],
        image_size=patch[1:],
        seed=config.seed,
    )


class _Maker:
    """Builds the component that an arm names for a slot."""

    def __init__(self, arm: ArmConfig, seed: int) -> None:
        self.arm = arm
        self.seed = seed
        self.catalogue = Catalogue.load(plugins=arm.plugins)

    def __call__(self, slot: str, *engine: Any) -> Any:
        with _seeded(self.seed, slot):
            return self.build(slot, *engine)

    def build(self, slot: str, *engine: Any) -> nn.Module:
        block = getattr(self.arm.blocks, slot)
        component = resolve(self.catalogue.card(slot, block.name))
        module: nn.Module = component(*engine, **block.params)
        return module


def _adapters(make: _Maker, spec: Backbone, depth: int) -> AdapterSet:
    placement = make.arm.adapter_placement
    with _seeded(make.seed, "adapter"):
        return AdapterSet(
            lambda dim: make.build("adapter", dim, depth),
            encoder_dim=spec.embed_dim,
            encoder_blocks=spec.depth,
            decoder_dim=spec.out_dim,
            encoder_places=placement.encoder,
            decoder_places=placement.decoder,
            parallel_scale=placement.parallel_scale,
        )


@contextmanager
def _seeded(seed: int, slot: str) -> Iterator[None]:
    """A random state of the slot's own, so that no block's weights depend on another block."""
    digest = hashlib.sha256(f"{seed}/{slot}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        yield


def _encoder_size(setting: int | None, image: tuple[int, int], patch: int) -> tuple[int, int]:
    if setting is not None:
        return (setting, setting)
    return (-(-image[0] // patch) * patch, -(-image[1] // patch) * patch)


def _check_sizes(**sizes: int) -> None:
    wrong = [f"{name}={value}" for name, value in sizes.items() if value < 1]
    if wrong:
        raise ValueError(f"sizes must be at least 1, got {', '.join(wrong)}")
