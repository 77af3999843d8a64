"""No depth position: slices are told apart by their content only."""

from __future__ import annotations

from spsam.model.depth_pos_embeds.base import DepthPosEmbed


class NoDepthPosEmbed(DepthPosEmbed):
    """Adds nothing; no parameters."""
