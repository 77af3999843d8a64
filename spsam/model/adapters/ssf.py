"""SSF: scale and shift of frozen outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.sites import TARGETS, Projection, Target, chosen


class SSFAdapter(ProjectionAdapter):
    """`γ ⊙ y + β` of a projection's output y (SSF, arXiv 2210.08823), γ as 1 + a number.

    SSF has them behind norms and the patch embedding as well, and starts them near one and zero;
    here they stand at projections and start with exactly that.

    Args:
        sites: All projections.
        depth: D, slices of a patch; not used.
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
        """`(..., outputs)` to the same shape."""
        change: Tensor = output * self.scale[site.key] + self.shift[site.key]
        return change
