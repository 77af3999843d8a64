"""From a configuration to a network: the one place where components meet SAM."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from spsam.config.schema import ArmConfig, Block, RunConfig
from spsam.engine.run_spec import NetworkSize
from spsam.errors import InputError
from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.placement import AdapterSet, Grid
from spsam.model.adapters.sites import projections
from spsam.model.counting import count_parameters
from spsam.model.sam.backbones import Backbone, backbone_spec, token_grid
from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.resolve import build, resolve
from spsam.registry.signature import positional

if TYPE_CHECKING:
    from spsam.model.network import SelfPromptSAM
    from spsam.model.plain_unet import PlainUNet
    from spsam.model.segmenter import Segmenter


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
        checkpoint: An official SAM checkpoint; None takes what the arm says: its own file, those
            that come with spsam, or random frozen weights that do not depend on `seed`.
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
        InputError: If the backbone is unknown, no weights of it come with spsam, or the checkpoint
            is not one of it.
        ValueError: If a size is not positive.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    # timm and torchvision take seconds to import; counting an arm's parameters needs neither.
    from spsam.model.network import SelfPromptSAM
    from spsam.model.sam.build import build_sam

    spec = backbone_spec(backbone or arm.backbone.name)
    source = checkpoint if checkpoint is not None else arm.backbone.checkpoint
    if source is None and arm.backbone.weights == "checkpoint":
        raise InputError(
            f"arm '{arm.name}' wants SAM's official weights: give checkpoint=FILE, "
            "or set backbone.weights=random"
        )
    if source is None and arm.backbone.weights == "shipped":
        source = spec.shipped_weights
    shape = _Shape(in_channels, num_classes, depth, (height, width), arm.backbone.encoder_size)
    image_encoder, mask_decoder, _ = build_sam(
        spec.name,
        shape.encoder_size(spec),
        checkpoint=None if source is None else Path(source),
    )
    return SelfPromptSAM(
        image_encoder=image_encoder,
        mask_decoder=mask_decoder,
        **_build_blocks(arm, spec, shape, seed),
        depth=depth,
        image_size=shape.image,
    )


def on_random_weights(arm: ArmConfig) -> ArmConfig:
    """The arm for whoever measures what it costs: real weights take as long, and are to be read."""
    backbone = arm.backbone.model_copy(update={"weights": "random", "checkpoint": None})
    return arm.model_copy(update={"backbone": backbone})


def network_size(
    arm: ArmConfig, *, in_channels: int, num_classes: int, patch: tuple[int, int, int]
) -> NetworkSize:
    """Counts parameters without memory for them, and without building SAM.

    Args:
        arm: The arm.
        in_channels: M.
        num_classes: K, background included.
        patch: (D, H, W).
    """
    spec = backbone_spec(arm.backbone.name)
    shape = _Shape(in_channels, num_classes, patch[0], patch[1:], arm.backbone.encoder_size)
    if arm.network != "self_prompt_sam":
        with torch.device("meta"):
            groups = build_unet(
                arm.network,
                in_channels=in_channels,
                num_classes=num_classes,
                depth=patch[0],
                image_size=patch[1:],
            ).parameter_groups()
        return NetworkSize(groups, sum(groups.values()), sum(groups.values()))
    with torch.device("meta"):
        built = _build_blocks(arm, spec, shape, seed=0)
        blocks = count_parameters(built)
        chosen = arm.blocks.adapter
        if not isinstance(chosen, Block):
            # Of several adapters each has its own count, in place of their sum.
            del blocks["adapter"]
            for block in chosen:
                only = arm.blocks.model_copy(update={"adapter": block})
                alone = _adapters(arm.model_copy(update={"blocks": only}), spec, shape, 0)
                blocks |= count_parameters({f"adapter.{block.name}": alone})
    trained = sum(blocks.values())
    return NetworkSize(blocks, trained, trained + spec.parameters(shape.encoder_size(spec)))


def network_for(
    config: RunConfig, patch: tuple[int, int, int], checkpoint: Path | None
) -> Segmenter:
    """The network of a run.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        checkpoint: SAM's weights; None takes what the arm says.
    """
    shape: Any = {
        "in_channels": config.data.in_channels,
        "num_classes": config.data.num_classes,
        "depth": patch[0],
        "image_size": patch[1:],
        "seed": config.seed,
    }
    if config.arm.network != "self_prompt_sam":
        return build_unet(config.arm.network, **shape)
    return build_network(config.arm, checkpoint=checkpoint, **shape)


def build_unet(
    kind: str,
    *,
    in_channels: int,
    num_classes: int,
    depth: int,
    image_size: tuple[int, int],
    seed: int = 0,
) -> PlainUNet:
    """A plain U-Net to compare with.

    Args:
        kind: `unet2d` or `unet3d`.
        in_channels: M.
        num_classes: K, background included.
        depth: D, slices of a patch.
        image_size: (H, W), pixels.
        seed: For initial weights.
    """
    from spsam.model.plain_unet import PlainUNet

    with _seeded(seed, kind):
        return PlainUNet(in_channels, num_classes, depth, image_size, spatial=kind == "unet3d")


@dataclass(frozen=True)
class _Shape:
    """What the data say of a network: M, K, D, (H, W), and the encoder's size if it is set."""

    in_channels: int
    num_classes: int
    depth: int
    image: tuple[int, int]
    wanted_encoder_size: int | tuple[int, int] | None

    def __post_init__(self) -> None:
        sizes = {
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "depth": self.depth,
            "image_size": min(self.image),
        }
        wrong = [f"{name}={value}" for name, value in sizes.items() if value < 1]
        if wrong:
            raise ValueError(f"sizes must be at least 1, got {', '.join(wrong)}")

    def encoder_size(self, spec: Backbone) -> tuple[int, int]:
        """(h, w) of the encoder's input, pixels."""
        if isinstance(self.wanted_encoder_size, int):
            return (self.wanted_encoder_size, self.wanted_encoder_size)
        if self.wanted_encoder_size is not None:
            return self.wanted_encoder_size
        height, width = self.image
        return (-(-height // spec.patch) * spec.patch, -(-width // spec.patch) * spec.patch)


def _build_blocks(arm: ArmConfig, spec: Backbone, shape: _Shape, seed: int) -> dict[str, Any]:
    """The added blocks by slot, each with what its slot gives to a component."""
    encoder_size = shape.encoder_size(spec)
    grid = token_grid(spec, encoder_size)
    taps = (spec.embed_dim,) * len(spec.global_blocks)
    given: dict[str, tuple[Any, ...]] = {
        "input_adapter": (shape.in_channels, shape.image, encoder_size),
        "depth_pos_embed": (spec.embed_dim, spec.out_dim, shape.depth, grid),
        "prompt_generator": (taps, spec.out_dim, grid, shape.num_classes, shape.image),
        "prompt": (shape.num_classes,),
        "mask_head": (shape.num_classes,),
    }
    catalogue = Catalogue.load(plugins=arm.plugins)

    blocks: dict[str, Any] = {}
    for slot, engine in given.items():
        (chosen,) = arm.blocks.of(slot)
        with _seeded(seed, slot):
            blocks[slot] = build(catalogue.card(slot, chosen.name), engine, chosen.params)
    blocks["adapter"] = _adapters(arm, spec, shape, seed)
    return blocks


def _adapters(arm: ArmConfig, spec: Backbone, shape: _Shape, seed: int) -> AdapterSet:
    """The arm's adapters; of several each begins with the weights that it has alone."""
    catalogue, placement = Catalogue.load(plugins=arm.plugins), arm.adapter_placement
    offered = projections(
        encoder_dim=spec.embed_dim,
        encoder_blocks=spec.depth,
        decoder_dim=spec.out_dim,
        decoder_mlp_dim=spec.decoder_mlp_dim,
    )

    def adapters(
        factory: Callable[[int, Grid], nn.Module] | None = None,
        at_projections: Mapping[str, ProjectionAdapter] | None = None,
    ) -> AdapterSet:
        return AdapterSet(
            factory,
            encoder_dim=spec.embed_dim,
            encoder_blocks=spec.depth,
            decoder_dim=spec.out_dim,
            encoder_places=placement.encoder,
            decoder_places=placement.decoder,
            parallel_scale=placement.parallel_scale,
            grid=token_grid(spec, shape.encoder_size(spec)),
            projections=at_projections,
        )

    at_places: dict[str, AdapterSet] = {}
    at_projections: dict[str, ProjectionAdapter] = {}
    for chosen in arm.blocks.of("adapter"):
        card = catalogue.card("adapter", chosen.name)
        with _seeded(seed, "adapter"):
            if issubclass(resolve(card), ProjectionAdapter):
                given = (offered, shape.depth)
                at_projections[chosen.name] = build(card, given, chosen.params)
            else:
                at_places[chosen.name] = adapters(_token_factory(card, chosen.params, shape.depth))
    if not at_projections and len(at_places) == 1:
        return next(iter(at_places.values()))
    return adapters(None, at_projections).with_tokens(at_places)


def _token_factory(
    card: Card, params: Mapping[str, Any], depth: int
) -> Callable[[int, Grid], nn.Module]:
    in_the_plane = "grid" in positional(card)

    def make(dim: int, grid: Grid) -> nn.Module:
        given = (dim, depth, grid) if in_the_plane else (dim, depth)
        module: nn.Module = build(card, given, params)
        return module

    return make


@contextmanager
def _seeded(seed: int, slot: str) -> Iterator[None]:
    """A random state of the slot's own, so that no block's weights depend on another block."""
    digest = hashlib.sha256(f"{seed}/{slot}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        yield
