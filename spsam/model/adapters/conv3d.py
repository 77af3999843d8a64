"""Bottleneck adapter with a depth-wise 3D convolution."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from spsam.model.adapters.base import Adapter, Reach, hidden_width, start
from spsam.model.layers import Conv3d


class Conv3DAdapter(Adapter):
    """`X + ReLU(conv(ReLU(X W_dn))) W_up`, with a depth-wise 3×3×3 convolution.

    This is the adapter of 3DSAM-adapter (arXiv 2306.13465); MaskSAM (arXiv 2403.14103) uses a
    similar one. The code of 3DSAM-adapter applies a third ReLU after W_up. It is omitted here,
    because its gradient is zero if W_up is initialised to zero.

    Args:
        dim: C, width of the tokens.
        depth: D, number of slices in a patch.
        grid: (gh, gw), rows and columns of the tokens. The kernel has size 1 along an axis of
            length 1.
        ratio: r, width of the bottleneck as a fraction of C.
        init: `zero` initialises W_up and its bias to zero, so that the adapter starts as the
            identity; `default` keeps torch's initialisation.
    """

    reach = Reach(slices=1, plane=1)

    def __init__(
        self,
        dim: int,
        depth: int,
        grid: tuple[int, int],
        *,
        ratio: float = 0.5,
        init: Literal["zero", "default"] = "zero",
    ) -> None:
        super().__init__()
        hidden = hidden_width(dim, ratio)
        # Kernel entries that only ever cover the padding would be counted but never trained.
        slices, rows, columns = (3 if side > 1 else 1 for side in (depth, *grid))
        around = (slices // 2, rows // 2, columns // 2)
        self.grid = grid
        self.down = nn.Linear(dim, hidden)
        self.conv = Conv3d(hidden, hidden, (slices, rows, columns), padding=around, groups=hidden)
        self.up = start(nn.Linear(hidden, dim), init)

    def forward(self, x: Tensor) -> Tensor:
        """Adapts tokens `(B, D, N, dim)`; returns the same shape."""
        return x + self.change(x)

    def change(self, x: Tensor) -> Tensor:
        """Returns the output of the bottleneck, without the skip connection."""
        hidden = functional.relu(self.down(x))
        grids = hidden.reshape(*x.shape[:2], -1, *self.grid, hidden.shape[-1])
        # (B, D, n, gh, gw, h) to (B·n, h, D, gh, gw)
        mixed = functional.relu(self.conv(grids.permute(0, 2, 5, 1, 3, 4).flatten(0, 1)))
        mixed = mixed.reshape(x.shape[0], -1, *mixed.shape[1:]).permute(0, 3, 1, 4, 5, 2)
        change: Tensor = self.up(mixed.reshape(hidden.shape))
        return change
