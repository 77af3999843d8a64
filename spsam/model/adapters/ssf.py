"""SSF: scale and shift of frozen outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.sites import TARGETS, Projection, Target, chosen


class SSFAdapter(ProjectionAdapter):
    """Scale and shift `γ ⊙ y + β` of a projection's output y (SSF, arXiv 2210.08823).

    SSF also adapts norms and the patch embedding, and draws initial values near γ = 1 and β = 0.
    Here, only projections are adapted, and γ and β start at exactly 1 and 0; the trained parameter
    is γ - 1.

    Args:
        sites: All projections of SAM; `targets` and `decoder_targets` select from them.
        depth: D, number of slices in a patch; not used.
        targets: Projections in every block of the image encoder.
        decoder_targets: Projections in every attention and MLP of the mask decoder.
    """

    uses_output = True

    def __init__(
        self,
        sites: Sequence[Projection],
        depth: int,
        *,
        targets: tuple[Target, ...] = TARGETS,
        decoder_targets: tuple[Target, ...] = TARGETS,
    ) -> None:
        super().__init__(chosen(sites, targets, decoder_targets), depth)
        self.scale = nn.ParameterDict({s.key: torch.zeros(s.outputs) for s in self.sites})
        self.shift = nn.ParameterDict({s.key: torch.zeros(s.outputs) for s in self.sites})

    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        """Computes the change of a projection's output `(..., outputs)`; returns the same shape."""
        change: Tensor = output * self.scale[site.key] + self.shift[site.key]
        return change
