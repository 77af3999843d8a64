"""Construction of the adapters in SAM's blocks from the components of the slot `adapter`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from spsam.config.schema import AdapterPlacement, Block
from spsam.engine.seeding import seeded
from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.placement import AdapterSet, Grid
from spsam.model.adapters.sites import projections
from spsam.model.sam.backbones import Backbone
from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.resolve import build, resolve
from spsam.registry.signature import positional


@dataclass(frozen=True)
class AdapterBuilder:
    """Builds the adapters of one SAM.

    Attributes:
        catalogue: Catalogue of the components.
        placement: Places of token adapters.
        spec: The backbone.
        depth: D, number of slices in a patch.
        grid: (gh, gw), size of the token grid.
        decoder: Whether the network contains SAM's mask decoder.
        seed: Seed of the initial weights.
    """

    catalogue: Catalogue
    placement: AdapterPlacement
    spec: Backbone
    depth: int
    grid: Grid
    decoder: bool
    seed: int

    def build(self, blocks: tuple[Block, ...]) -> AdapterSet:
        """Builds the adapters of an arm.

        Every component starts with the same weights as if it were the only one.

        Args:
            blocks: The arm's choices for the slot `adapter`.
        """
        offered = projections(
            encoder_dim=self.spec.embed_dim,
            encoder_blocks=self.spec.depth,
            decoder_dim=self.spec.out_dim,
            decoder_mlp_dim=self.spec.decoder_mlp_dim,
        )
        if not self.decoder:
            offered = tuple(site for site in offered if site.part == "encoder")
        at_places: dict[str, AdapterSet] = {}
        at_projections: dict[str, ProjectionAdapter] = {}
        for chosen in blocks:
            card = self.catalogue.card("adapter", chosen.name)
            with seeded(self.seed, "adapter"):
                if issubclass(resolve(card), ProjectionAdapter):
                    given = (offered, self.depth)
                    at_projections[chosen.name] = build(card, given, chosen.params)
                else:
                    at_places[chosen.name] = self._set(self._factory(card, chosen.params))
        if not at_projections and len(at_places) == 1:
            return next(iter(at_places.values()))
        return self._set(None, at_projections).with_tokens(at_places)

    def _set(
        self,
        factory: Callable[[int, Grid], nn.Module] | None = None,
        at_projections: Mapping[str, ProjectionAdapter] | None = None,
    ) -> AdapterSet:
        return AdapterSet(
            factory,
            encoder_dim=self.spec.embed_dim,
            encoder_blocks=self.spec.depth,
            decoder_dim=self.spec.out_dim,
            encoder_places=self.placement.encoder,
            decoder_places=self.placement.decoder if self.decoder else (),
            parallel_scale=self.placement.parallel_scale,
            grid=self.grid,
            projections=at_projections,
        )

    def _factory(self, card: Card, params: Mapping[str, Any]) -> Callable[[int, Grid], nn.Module]:
        in_the_plane = "grid" in positional(card)

        def make(dim: int, grid: Grid) -> nn.Module:
            given = (dim, self.depth, grid) if in_the_plane else (dim, self.depth)
            module: nn.Module = build(card, given, params)
            return module

        return make
