"""Construction of networks from configurations, the only place that combines components and SAM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from spsam.config.schema import ArmConfig, Block, RunConfig
from spsam.engine.adapter_set import AdapterBuilder
from spsam.engine.checkpoint import trained_state
from spsam.engine.run_spec import NetworkSize
from spsam.engine.seeding import seeded
from spsam.errors import InputError
from spsam.model.adapters.placement import AdapterSet
from spsam.model.counting import count_parameters
from spsam.model.networks.base import Network
from spsam.model.sam.backbones import Backbone, backbone_spec, encoder_input, token_grid
from spsam.registry.catalogue import Catalogue
from spsam.registry.resolve import build, check_names, resolve
from spsam.registry.signature import positional
from spsam.registry.slots import OF_SAM

Spacing = tuple[float, float, float]


def build_network(
    arm: ArmConfig,
    *,
    backbone: str | None = None,
    checkpoint: str | Path | None = None,
    in_channels: int,
    num_classes: int,
    depth: int,
    image_size: int | tuple[int, int],
    spacing: Spacing | None = None,
    seed: int = 0,
) -> Network:
    """Builds the network of an arm. At initialisation, Self-Prompt SAM is equivalent to plain SAM.

    Each block has its own random generator, seeded with `seed` and the slot. Two arms with the same
    block therefore initialise it with the same weights, regardless of other differences.

    Args:
        arm: Configuration from `spsam.load_arm`.
        backbone: `sam_tiny`, `sam_vit_b`, `sam_vit_l` or `sam_vit_h`. Default: the arm's
            (`sam_tiny` unless the arm sets another one).
        checkpoint: An official SAM checkpoint. Default: the arm's weights, which are a file, the
            shipped weights, or random frozen weights that do not depend on `seed`.
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        depth: D, number of slices in a patch.
        image_size: H = W, or (H, W): in-plane size of the patch, pixels. The arm's
            `backbone.encoder_size` determines the encoder's input.
        spacing: Voxel spacing (z, y, x) of a patch, mm; required only by networks planned from it.
        seed: Seed of the initial weights of the added blocks.

    Returns:
        A network for `(B, M, D, H, W)` volumes, in training mode, with a frozen SAM.

    Raises:
        InputError: If the backbone is unknown, spsam includes no weights for it, the checkpoint
            belongs to another model, or a component does not fit.
        ValueError: If a size is not positive.
    """
    if backbone is not None:
        changed = arm.backbone.model_copy(update={"name": backbone})
        arm = arm.model_copy(update={"backbone": changed})
    source = Path(checkpoint) if checkpoint is not None else None
    task = _Task(in_channels, num_classes, depth, _pair(image_size), spacing)
    return _Parts(arm, task, seed, source).network()


def on_random_weights(arm: ArmConfig) -> ArmConfig:
    """Replaces an arm's weights by random ones, to measure its cost without loading real ones."""
    backbone = arm.backbone.model_copy(update={"weights": "random", "checkpoint": None})
    return arm.model_copy(update={"backbone": backbone})


def network_size(
    arm: ArmConfig,
    *,
    in_channels: int,
    num_classes: int,
    patch: tuple[int, int, int],
    spacing: Spacing | None = None,
) -> NetworkSize:
    """Counts parameters without allocating them, and verifies the shape of the logits.

    Args:
        arm: The arm.
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        patch: (D, H, W).
        spacing: As in `build_network`.

    Raises:
        InputError: If the parts of the network do not fit, the network cannot process such
            patches, or its logits have another shape.
    """
    task = _Task(in_channels, num_classes, patch[0], patch[1:], spacing)
    parts = _Parts(on_random_weights(arm), task, 0, None, counted=True)
    with torch.device("meta"):
        network = parts.network()
        groups = _with_each_adapter(network.parameter_groups(), parts)
    if not parts.stands_in:
        _check_output(network, parts)
    total = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSize(groups, sum(groups.values()), total)


def trained_shapes(
    arm: ArmConfig,
    *,
    in_channels: int,
    num_classes: int,
    patch: tuple[int, int, int],
    spacing: Spacing | None = None,
) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a network's trained weights by name, without allocating them.

    Args:
        arm: The arm.
        in_channels: M, number of image modalities.
        num_classes: K, number of classes including the background.
        patch: (D, H, W).
        spacing: As in `build_network`.

    Raises:
        InputError: If the parts of the network do not fit.
    """
    task = _Task(in_channels, num_classes, patch[0], patch[1:], spacing)
    with torch.device("meta"):
        network = _Parts(on_random_weights(arm), task, 0, None, counted=True).network()
    return {name: tuple(value.shape) for name, value in trained_state(network).items()}


def _with_each_adapter(groups: dict[str, int], parts: _Parts) -> dict[str, int]:
    """Replaces the count of several adapters by one count for each."""
    chosen = parts.arm.blocks.of("adapter")
    found: dict[str, int] = {}
    for name, count in groups.items():
        if name != "adapter" or len(chosen) == 1 or "adapter" not in parts.needs:
            found[name] = count
            continue
        for block in chosen:
            found |= count_parameters({f"adapter.{block.name}": parts.adapters(block)})
    return found


@torch.no_grad()
def _check_output(network: Network, parts: _Parts, device: str = "meta") -> None:
    """Verifies the shape of a network's logits; nothing is computed on the meta device.

    Raises:
        InputError: If the network fails, or its logits have another shape.
    """
    task, card = parts.task, parts.card
    patch = (task.depth, *task.image_size)
    came_in, expected = (1, task.in_channels, *patch), (1, task.num_classes, *patch)
    named = f"network: '{card.name}' ({card.target})"
    try:
        output = network.eval()(torch.zeros(came_in, device=device))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if device == "meta" and "meta" in said:
            # The network reads values, which tensors on the meta device do not have.
            return _check_output(parts.network(), parts, "cpu")
        size = "×".join(map(str, patch))
        raise InputError(f"{named} cannot segment a patch of {size}: {said}") from error
    logits = getattr(output, "logits", output)
    came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if came != expected:
        raise InputError(
            f"{named}: expected logits (B, K, D, H, W) = {expected} for a volume {came_in}, "
            f"got {came}; forward must return Output(logits)"
        )
    return None


def network_for(
    config: RunConfig,
    patch: tuple[int, int, int],
    checkpoint: Path | None,
    spacing: Spacing | None = None,
) -> Network:
    """Builds the network of a run.

    Args:
        config: The run's configuration.
        patch: (D, H, W).
        checkpoint: File with SAM's weights; None for the arm's weights.
        spacing: As in `build_network`.
    """
    return build_network(
        config.arm,
        checkpoint=checkpoint,
        in_channels=config.data.in_channels,
        num_classes=config.data.num_classes,
        depth=patch[0],
        image_size=patch[1:],
        spacing=spacing,
        seed=config.seed,
    )


@dataclass(frozen=True)
class _Task:
    """Properties of the data that a network depends on: M, K, D, (H, W) and spacing."""

    in_channels: int
    num_classes: int
    depth: int
    image_size: tuple[int, int]
    spacing: Spacing | None

    def __post_init__(self) -> None:
        sizes = {
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "depth": self.depth,
            "image_size": min(self.image_size),
        }
        wrong = [f"{name}={value}" for name, value in sizes.items() if value < 1]
        if wrong:
            raise ValueError(f"sizes must be at least 1, got {', '.join(wrong)}")


class _Parts:
    """Parts that the engine passes to a network; each is built on first use.

    Args:
        arm: The arm.
        task: Properties of the data.
        seed: Seed of the initial weights.
        checkpoint: File with SAM's weights; None for the arm's weights.
        counted: Whether parameters are only counted. If a network of spsam does not train SAM, a
            stand-in with the same number of parameters replaces SAM, which takes seconds to build.
    """

    def __init__(
        self, arm: ArmConfig, task: _Task, seed: int, checkpoint: Path | None, counted: bool = False
    ) -> None:
        self.arm, self.task, self.seed, self.source = arm, task, seed, checkpoint
        self.catalogue = Catalogue.load(plugins=arm.plugins)
        self.card = self.catalogue.card("network", arm.network.name)
        self.counted = counted

    @cached_property
    def needs(self) -> tuple[str, ...]:
        return positional(self.card)

    @cached_property
    def stands_in(self) -> bool:
        own = self.card.target.startswith("spsam.") and bool({*OF_SAM} & {*self.needs})
        return self.counted and own and not cast(type[Network], resolve(self.card)).trains_sam

    def network(self) -> Network:
        resolve(self.card)
        check_names(self.card, self.needs)
        engine = [self.part(name) for name in self.needs]
        with seeded(self.seed, self.card.name):
            network: Network = build(self.card, engine, self.arm.network.params)
        if lost := network.unaccounted():
            raise InputError(
                f"network: '{self.card.name}' ({self.card.target}) neither trains nor freezes "
                f"{', '.join(lost[:3])}: blocks() and frozen() together must return all modules"
            )
        return network.train()

    def part(self, name: str) -> Any:
        if name in OF_SAM:
            return self.sam[OF_SAM.index(name)]
        if name == "spacing":
            if self.task.spacing is None:
                raise InputError(
                    f"network: '{self.card.name}' is planned from the voxel spacing: "
                    "set spacing=(z, y, x), mm"
                )
            return self.task.spacing
        if name in ("in_channels", "num_classes", "depth", "image_size"):
            return getattr(self.task, name)
        if name == "adapter":
            return self.adapters()
        with seeded(self.seed, name):
            return self.block(name)

    @cached_property
    def spec(self) -> Backbone:
        return backbone_spec(self.arm.backbone.name)

    @cached_property
    def encoder_size(self) -> tuple[int, int]:
        """(h, w) of the encoder's input, pixels."""
        return encoder_input(self.arm.backbone.encoder_size, self.task.image_size, self.spec)

    @cached_property
    def sam(self) -> tuple[nn.Module, nn.Module]:
        """Image encoder and mask decoder, frozen."""
        if self.stands_in:
            decoder = self.spec.decoder_parameters
            total = self.spec.parameters(self.encoder_size)
            return _StandIn(total - decoder, self.spec), _StandIn(decoder, self.spec)
        backbone, source = self.arm.backbone, self.source or self.arm.backbone.checkpoint
        if source is None and backbone.weights == "checkpoint":
            raise InputError(
                f"arm '{self.arm.name}' requires SAM's official weights: set checkpoint=FILE, "
                "or set backbone.weights=random"
            )
        if source is None and backbone.weights == "shipped":
            source = self.spec.shipped_weights
        # Importing timm and torchvision takes seconds.
        from spsam.model.sam.build import build_sam

        halves = build_sam(self.spec.name, self.encoder_size, checkpoint=source)
        return halves[0], halves[1]

    @cached_property
    def given(self) -> dict[str, tuple[Any, ...]]:
        """Arguments that each slot passes to its component, except for the slot `adapter`."""
        spec, task = self.spec, self.task
        grid = token_grid(spec, self.encoder_size)
        taps = (spec.embed_dim,) * len(spec.global_blocks)
        return {
            "input_adapter": (task.in_channels, task.image_size, self.encoder_size),
            "depth_pos_embed": (spec.embed_dim, spec.out_dim, task.depth, grid),
            "prompt_generator": (taps, spec.out_dim, grid, task.num_classes, task.image_size),
            "prompt": (task.num_classes,),
            "mask_head": (task.num_classes,),
        }

    def block(self, slot: str) -> Any:
        (chosen,) = self.arm.blocks.of(slot)
        return build(self.catalogue.card(slot, chosen.name), self.given[slot], chosen.params)

    def adapters(self, *chosen: Block) -> AdapterSet:
        """Builds the arm's adapters, or only the chosen ones."""
        builder = AdapterBuilder(
            catalogue=self.catalogue,
            placement=self.arm.adapter_placement,
            spec=self.spec,
            depth=self.task.depth,
            grid=token_grid(self.spec, self.encoder_size),
            # A network without SAM's mask decoder has no places in it.
            decoder="mask_decoder" in self.needs,
            seed=self.seed,
        )
        return builder.build(chosen or self.arm.blocks.of("adapter"))


class _StandIn(nn.Module):
    """Module with the same number of frozen parameters as a half of SAM."""

    def __init__(self, parameters: int, spec: Backbone) -> None:
        super().__init__()
        self.out_dim = spec.out_dim
        self.all = nn.Parameter(torch.empty(parameters, device="meta"), requires_grad=False)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
