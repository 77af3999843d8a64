"""Any component of any slot, built and run at any size: what the contract suites share."""

from __future__ import annotations

import inspect
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.sites import Projection, projections
from spsam.model.prompts.base import Prompts
from spsam.registry.catalogue import SLOTS, Catalogue
from spsam.registry.resolve import resolve
from tests import tutorials

PLUGIN = "SPSAM_CONTRACT"
"""Environment variable with a plugin's folder, whose components are then tested alone."""


def components(*slots: str) -> list[Any]:
    """`(slot, class)` of every card of the slots, as pytest parameters; the tutorials', too."""
    named = os.environ.get(PLUGIN)
    plugin = plugin_folder()
    cards = [card for slot in slots or SLOTS for card in Catalogue.load([plugin]).cards(slot)]
    if named:
        cards = [card for card in cards if card.plugin == plugin]
    else:
        # A tutorial that hides a component of ours leaves it to be tested.
        shipped = [card for slot in slots or SLOTS for card in Catalogue.load().cards(slot)]
        cards = [*shipped, *(card for card in cards if card.plugin == plugin)]
    return [
        pytest.param(
            card.slot,
            resolve(card),
            id=f"{card.slot}-{card.name}{'-tutorial' if card.plugin and not named else ''}",
        )
        for card in cards
    ]


def plugin_folder() -> Path:
    """The plugin that is tested, or one with the components of all tutorials."""
    named = os.environ.get(PLUGIN)
    return Path(named) if named else _tutorials()


@lru_cache(maxsize=1)
def _tutorials() -> Path:
    folder = Path(_kept.name)
    tutorials.as_plugin(folder)
    return folder


# Goes with the process, not with the function.
_kept = tempfile.TemporaryDirectory()


@dataclass(frozen=True)
class Sizes:
    """What the engine gives to components, and the batch."""

    batch: int = 2
    in_channels: int = 2
    depth: int = 3
    grid: tuple[int, int] = (3, 2)
    image_size: tuple[int, int] = (12, 8)
    encoder_size: tuple[int, int] = (24, 16)
    num_classes: int = 3
    dim: int = 12
    decoder_dim: int = 8
    positions: int = 5
    tap_dims: tuple[int, ...] = (6, 6, 6, 6)

    def engine(self, slot: str, component: type) -> list[Any]:
        """Positional arguments of a component of the slot."""
        known = {
            "encoder_dim": self.dim,
            "neck_dim": self.decoder_dim,
            "sites": self.sites,
        }
        return [known.get(name) or getattr(self, name) for name in given(slot, component)]

    @property
    def sites(self) -> tuple[Projection, ...]:
        """All projections of a SAM of these widths; attention with the image halves its width."""
        return projections(
            encoder_dim=self.dim,
            encoder_blocks=2,
            decoder_dim=2 * self.decoder_dim,
            decoder_mlp_dim=3 * self.decoder_dim,
            decoder_blocks=1,
        )

    @property
    def tokens(self) -> int:
        """N of an adapter: some grids."""
        return self.positions * self.grid[0] * self.grid[1]

    @property
    def mask_size(self) -> tuple[int, int]:
        return 4 * self.grid[0], 4 * self.grid[1]


@st.composite
def sizes(draw: st.DrawFn) -> Sizes:
    """Small sizes, none tied to another."""
    small, side = st.integers(1, 4), st.integers(1, 17)
    pair = st.tuples(side, side)
    return Sizes(
        batch=draw(st.integers(1, 2)),
        in_channels=draw(small),
        depth=draw(small),
        grid=draw(st.tuples(small, small)),
        image_size=draw(pair),
        encoder_size=draw(pair),
        num_classes=draw(st.integers(1, 5)),
        dim=draw(st.integers(1, 9)),
        decoder_dim=draw(st.integers(1, 9)),
        positions=draw(small),
        tap_dims=tuple(draw(st.lists(st.integers(1, 4), max_size=4))),
    )


def build(slot: str, component: type, sizes: Sizes, *, seed: int = 0, noise: float = 0.0) -> Any:
    """A component by its positional parameters; `noise` moves its weights from their start."""
    torch.manual_seed(seed)
    module: nn.Module = component(*sizes.engine(slot, component))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += noise * torch.randn_like(parameter)
    return module


def inputs(slot: str, s: Sizes, *, seed: int = 0) -> list[Any]:
    """Arguments of the slot's forward pass."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    volume = (s.depth, *s.image_size)
    if slot == "input_adapter":
        return [random(s.batch, s.in_channels, *volume)]
    if slot == "adapter":
        return [random(s.batch, s.depth, s.tokens, s.dim)]
    if slot == "prompt_generator":
        channels = (*s.tap_dims, s.decoder_dim)
        return [[random(s.batch, c, s.depth, *s.grid) for c in channels]]
    if slot == "prompt":
        return [random(s.batch, s.num_classes, *volume), s.encoder_size, s.mask_size]
    if slot == "mask_head":
        return [random(s.batch, s.num_classes, *volume)]
    assert slot == "depth_pos_embed"
    return [
        random(s.batch * s.depth, *s.grid, s.dim),
        random(1, s.decoder_dim, *s.grid),
    ]


def run(slot: str, module: Any, arguments: list[Any]) -> list[Tensor]:
    """All tensors that a component returns."""
    if slot == "depth_pos_embed":
        tokens, image_pe = arguments
        return [module.encoder_tokens(tokens), module.decoder_position(image_pe)]
    if isinstance(module, ProjectionAdapter):
        return [
            frozen(site, *arguments) + change(module, site, *arguments) for site in module.sites
        ]
    result = module(*arguments)
    if isinstance(result, Prompts):
        parts = (result.points, result.boxes, result.masks)
        return [part for part in parts if part is not None]
    return result if isinstance(result, list) else [result]


def change(module: ProjectionAdapter, site: Projection, tokens: Tensor) -> Tensor:
    """What a projection adapter adds to `frozen`."""
    added: Tensor = module(widened(tokens, site.inputs), frozen(site, tokens), site)
    return added


def frozen(site: Projection, tokens: Tensor) -> Tensor:
    """In the place of a frozen projection's output: something else of each token."""
    return widened(tokens, site.outputs).cos()


def widened(tokens: Tensor, width: int) -> Tensor:
    """Tokens of another width, each made of itself alone."""
    times = -(-width // tokens.shape[-1])
    return torch.cat([tokens] * times, -1)[..., :width]


def given(slot: str, component: type) -> list[str]:
    """The positional parameters of a component: its base's, and what it asks for beside them."""
    bases = {kind.__name__ for kind in component.__mro__}
    base = next(base for base in SLOTS[slot].bases if base in bases)
    asked = inspect.signature(component).parameters
    return [*SLOTS[slot].given(base), *(name for name in SLOTS[slot].optional if name in asked)]


def count(module: nn.Module) -> int:
    """Trained parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
