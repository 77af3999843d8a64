"""LoRA: low-rank updates of frozen projections."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from spsam.model.adapters.base import ProjectionAdapter, at_least
from spsam.model.adapters.sites import Projection, Target, chosen


class LoRAAdapter(ProjectionAdapter):
    """Low-rank update `Δ(x) = α/r · B A x` of each projection, LoRA (arXiv 2106.09685).

    A has r rows, and B has r columns and is initialised to zero. SAMed (arXiv 2304.13785) uses LoRA
    without scaling at q and v of the image encoder, with r = 4. Its smaller variant SAMed_s also
    uses it at q and v of the mask decoder.

    Args:
        sites: All projections of SAM; `targets` and `decoder_targets` select from them.
        depth: D, number of slices in a patch; not used.
        rank: r, rank of the update.
        alpha: α; null: r, so that the factor α/r is 1.
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
        """Computes the change `(..., outputs)` from the projection's input `(..., inputs)`."""
        change: Tensor = self.up[site.key](self.down[site.key](x))
        return change if self.scale == 1.0 else self.scale * change
