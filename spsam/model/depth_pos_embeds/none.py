"""No depth position embedding."""

from __future__ import annotations

from spsam.model.depth_pos_embeds.base import DepthPosEmbed


class NoDepthPosEmbed(DepthPosEmbed):
    """Adds nothing; no parameters."""
