"""Bottleneck adapter with a convolution along depth."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, Reach, hidden_width, start


class ConvDepthAdapter(Adapter):
    """`X + GELU(conv(LN(X) W_dn)) W_up`, convolved over three slices (MA-SAM's 3D adapter).

    MA-SAM (arXiv 2309.08842) places the adapter before the attention and before the MLP of every
    block of the image encoder, with r = 1/2 in ViT-B. W_dn and W_up have no biases, and the
    convolution mixes all channels.

    Args:
        dim: C, width of the tokens.
        depth: D, number of slices in a patch. The kernel has size 1 if D = 1.
        ratio: r, width of the bottleneck as a fraction of C.
        init: `zero` initialises W_up to zero, so that the adapter starts as the identity; `default`
            keeps torch's initialisation.
    """

    reach = Reach(slices=1)

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        ratio: float = 0.5,
        init: Literal["zero", "default"] = "zero",
    ) -> None:
        super().__init__()
        hidden, taps = hidden_width(dim, ratio), 3 if depth > 1 else 1
        self.norm = nn.LayerNorm(dim)
        self.down = nn.Linear(dim, hidden, bias=False)
        self.conv = nn.Conv2d(hidden, hidden, (taps, 1), padding=(taps // 2, 0))
        self.up = start(nn.Linear(hidden, dim, bias=False), init)

    def forward(self, x: Tensor) -> Tensor:
        """Adapts tokens `(B, D, N, dim)`; returns the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """Returns the output of the bottleneck, without the skip connection."""
        hidden = self.down(self.norm(x)).permute(0, 3, 1, 2)
        mixed = functional.gelu(self.conv(hidden)).permute(0, 2, 3, 1)
        change: Tensor = self.up(mixed)
        return change
