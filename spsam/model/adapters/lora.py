"""LoRA: low-rank updates of frozen projections."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from spsam.model.adapters.base import ProjectionAdapter, at_least
from spsam.model.adapters.sites import Projection, Target, chosen


class LoRAAdapter(ProjectionAdapter):
    """`Δ(x) = α/r · B A x`, A of r rows and B of r columns for each projection (arXiv 2106.09685).

    B starts at zero. SAMed (arXiv 2304.13785) has it at q and v of the image encoder, r = 4, and
    does not scale; its smaller form SAMed_s has it at q and v of the mask decoder, too.

    Args:
        sites: All projections.
        depth: D, slices of a patch; not used.
        rank: r.
        alpha: α; null: r, so that nothing is scaled.
        targets: Projections in every block of the image encoder.
        decoder_targets: Projections in every attention and MLP of the mask decoder.
    """

    def __init__(
        self,
        sites: Sequence[Projection],
        depth: int,
        *,
        rank: int = 4,
        alpha: float | None = None,
        targets: tuple[Target, ...] = ("q", "v"),
        decoder_targets: tuple[Target, ...] = (),
    ) -> None:
        super().__init__(chosen(sites, targets, decoder_targets), depth)
        at_least("rank", rank, 1)
        self.scale = 1.0 if alpha is None else alpha / rank
        self.down = nn.ModuleDict(
            {site.key: nn.Linear(site.inputs, rank, bias=False) for site in self.sites}
        )
        self.up = nn.ModuleDict(
            {site.key: nn.Linear(rank, site.outputs, bias=False) for site in self.sites}
        )
        for up in self.up.values():
            nn.init.zeros_(up.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        """`(..., inputs)` to `(..., outputs)`."""
        change: Tensor = self.up[site.key](self.down[site.key](x))
        return change if self.scale == 1.0 else self.scale * change
