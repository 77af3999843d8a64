"""FacT: low-rank updates with factors shared by all layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import ProjectionAdapter, at_least
from spsam.model.adapters.sites import Projection, Target, chosen


class FactAdapter(ProjectionAdapter):
    """Low-rank updates of all weights as one factorised tensor, FacT (arXiv 2212.03145).

    Weights are divided into n blocks of size d×d; d is the greatest common divisor of the input and
    output widths of all projections in a transformer. Block i changes by `s · V Σ_i U`. All blocks
    share U and V, and V is initialised to zero.

    The tensor train has a separate core Σ_i for each block, `2dr + nr²` parameters in total.
    Tucker's form computes `Σ_i = Σ_t P_it C_t` from a row of P for each block and one shared C,
    `2dr + nr + r³` parameters in total. Encoder and decoder have separate factors.

    MA-SAM (arXiv 2309.08842) uses the tensor train at q and v of the image encoder, with r = 32,
    s = 1 and a dropout of 0.1 before V.

    Args:
        sites: All projections of SAM; `targets` and `decoder_targets` select from them.
        depth: D, number of slices in a patch; not used.
        rank: r, rank of the factorisation.
        form: Form of the factorisation.
        scale: s, factor of the change.
        dropout: Dropout probability of the r features before V.
        targets: Projections in every block of the image encoder.
        decoder_targets: Projections in every attention and MLP of the mask decoder.
    """

    def __init__(
        self,
        sites: Sequence[Projection],
        depth: int,
        *,
        rank: int = 32,
        form: Literal["tensor_train", "tucker"] = "tensor_train",
        scale: float = 1.0,
        dropout: float = 0.0,
        targets: tuple[Target, ...] = ("q", "v"),
        decoder_targets: tuple[Target, ...] = (),
    ) -> None:
        super().__init__(chosen(sites, targets, decoder_targets), depth)
        at_least("rank", rank, 1)
        self.rank, self.scale = rank, scale
        # Computed from all projections, so that d does not depend on the targets.
        self.width = {part: _unit(sites, part) for part in {site.part for site in self.sites}}
        shared = sorted(self.width)
        self.first = nn.ModuleDict(
            {part: nn.Linear(self.width[part], rank, bias=False) for part in shared}
        )
        self.last = nn.ModuleDict(
            {part: nn.Linear(rank, self.width[part], bias=False) for part in shared}
        )
        for last in self.last.values():
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        cores: dict[str, Tensor] = {}
        for site in self.sites:
            blocks = torch.Size(self._blocks(site)).numel()
            core = (blocks, rank, rank) if form == "tensor_train" else (blocks, rank)
            cores[site.key] = torch.empty(core)
        self.cores = nn.ParameterDict(cores)
        common = shared if form == "tucker" else []
        self.common = nn.ParameterDict({part: torch.empty(rank, rank, rank) for part in common})
        for held in (*self.cores.values(), *self.common.values()):
            nn.init.uniform_(held, -(rank**-0.5), rank**-0.5)

    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        """Computes the change `(..., outputs)` from the projection's input `(..., inputs)`."""
        columns = self.first[site.part](x.reshape(*x.shape[:-1], -1, self.width[site.part]))
        rows = functional.linear(columns.flatten(-2), self._core(site))
        rows = self.dropout(rows.reshape(*x.shape[:-1], -1, self.rank))
        change: Tensor = self.last[site.part](rows).flatten(-2)
        return change if self.scale == 1.0 else self.scale * change

    def _core(self, site: Projection) -> Tensor:
        """Returns the cores Σ of a projection as one matrix, `(rows · r, columns · r)`."""
        core: Tensor = self.cores[site.key]
        if self.common:
            core = torch.einsum("it,trs->irs", core, self.common[site.part])
        rows, columns = self._blocks(site)
        blocks = core.reshape(rows, columns, self.rank, self.rank)
        return blocks.transpose(1, 2).reshape(rows * self.rank, columns * self.rank)

    def _blocks(self, site: Projection) -> tuple[int, int]:
        """Returns the number of rows and columns of blocks in a projection's weight."""
        width = self.width[site.part]
        return site.outputs // width, site.inputs // width


def _unit(sites: Sequence[Projection], part: str) -> int:
    return gcd(*(width for s in sites if s.part == part for width in (s.inputs, s.outputs)))
