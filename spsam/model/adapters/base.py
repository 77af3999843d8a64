"""What an adapter is, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from spsam.errors import InputError, nearest

INITS = ("zero", "default")
"""How an adapter's last linear layer starts."""


class Adapter(nn.Module, ABC):
    """A small trained module on the tokens of a frozen transformer block.

    A component without parameters needs nothing but `forward`.

    Args:
        dim: C, the tokens' width; from the engine, not kept.
        depth: D, slices of a patch; from the engine, not kept.

    Attributes:
        mixes_depth: Whether slices see each other, always at the same position only.
    """

    mixes_depth: ClassVar[bool] = False

    def __init__(self, dim: int = 0, depth: int = 0) -> None:
        super().__init__()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Another forward makes an inherited change one of another adapter.
        if "forward" in vars(cls) and "change" not in vars(cls):
            cls.change = Adapter.change  # type: ignore[method-assign]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Adapts tokens, the adapter's own skip included.

        Args:
            x: `(B, D, N, dim)`; position n is the same place in the plane in all D slices.

        Returns:
            The same shape.
        """

    def change(self, x: Tensor) -> Tensor:
        """What the adapter adds to tokens, `A(x) - x`, for places beside a sublayer.

        Args:
            x: As in `forward`.

        Returns:
            The same shape.
        """
        return self(x) - x  # type: ignore[no-any-return]


def hidden_width(dim: int, ratio: float) -> int:
    """Width of a bottleneck, r·C rounded down, at least 1.

    Raises:
        InputError: If the ratio is not positive.
    """
    if ratio <= 0:
        raise InputError(f"an adapter's ratio is the bottleneck's share of the width: got {ratio}")
    return max(1, int(dim * ratio))


def start(last: nn.Linear, init: str) -> nn.Linear:
    """Starts an adapter's last linear layer at zero, so that the adapter begins as the identity.

    Args:
        last: The layer.
        init: `zero` (AIM, arXiv 2302.03024) or `default`, which leaves torch's initial weights.

    Raises:
        InputError: If `init` is neither.
    """
    if init not in INITS:
        raise InputError(f"unknown init '{init}' of an adapter{nearest(init, INITS)}")
    if init == "zero":
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return last
