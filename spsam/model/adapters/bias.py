"""BitFit: trained offsets of frozen biases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spsam.model.adapters.base import ProjectionAdapter
from spsam.model.adapters.sites import TARGETS, Projection, Target, chosen


class BiasAdapter(ProjectionAdapter):
    """Replaces a projection's bias b by `b + δ` (BitFit, arXiv 2106.10199).

    BitFit trains the biases themselves, including those of norms. Here, SAM's biases stay frozen
    and only projections receive an offset δ, which starts at zero.

    Args:
        sites: All projections of SAM; `targets` and `decoder_targets` select from them.
        depth: D, number of slices in a patch; not used.
        targets: Projections in every block of the image encoder.
        decoder_targets: Projections in every attention and MLP of the mask decoder.
    """

    def __init__(
        self,
        sites: Sequence[Projection],
        depth: int,
        *,
        targets: tuple[Target, ...] = TARGETS,
        decoder_targets: tuple[Target, ...] = TARGETS,
    ) -> None:
        super().__init__(chosen(sites, targets, decoder_targets), depth)
        self.offset = nn.ParameterDict({s.key: torch.zeros(s.outputs) for s in self.sites})

    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        """Returns the offset of the projection, `(outputs,)`; the input has no effect."""
        offset: Tensor = self.offset[site.key]
        return offset
