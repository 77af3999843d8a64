"""What an adapter is, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from spsam.errors import InputError, nearest
from spsam.model.adapters.sites import Projection

INITS = ("zero", "default")
"""How an adapter's last linear layer starts."""


@dataclass(frozen=True)
class Reach:
    """Which tokens an adapter's output at one place depends on; tests hold an adapter to it.

    Attributes:
        slices: How many slices on either side, at most; None: all of the patch.
        plane: How many rows and columns on either side, at most.
    """

    slices: int | None = 0
    plane: int = 0


class Adapter(nn.Module, ABC):
    """A small trained module on the tokens of a frozen transformer block.

    A component without parameters needs nothing but `forward`. One that works in the plane takes a
    third positional parameter, `grid`: (gh, gw), rows and columns of its tokens, (1, 1) where
    tokens have no place in the plane. N is then made of one or more such grids, one after the
    other (one for each class in the mask decoder), each row by row.

    Args:
        dim: C, the tokens' width; from the engine, not kept.
        depth: D, slices of a patch; from the engine, not kept.

    Attributes:
        reach: Which slices and neighbours in the plane a token sees.
    """

    reach: ClassVar[Reach] = Reach()

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


class ProjectionAdapter(nn.Module, ABC):
    """A small trained module that adds to the outputs of frozen projections.

    One module for all of its projections, so that it may share weights among them. It sees one
    token at a time: in windowed blocks tokens come as the frozen layer gets them.

    Args:
        sites: The projections that it stands at; of all that the engine offers, `chosen` picks.
        depth: D, slices of a patch; from the engine, not kept.

    Attributes:
        uses_output: Whether the change depends on the frozen output. Then no other adapter may
            stand at the same projection; those that depend on the input alone add up.
        sites: The projections.
    """

    uses_output: ClassVar[bool] = False

    def __init__(self, sites: Sequence[Projection] = (), depth: int = 0) -> None:
        super().__init__()
        self.sites = tuple(sites)

    @abstractmethod
    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        """The change of a projection's output.

        Args:
            x: `(..., inputs)`, what goes into the projection.
            output: `(..., outputs)`, what the frozen projection makes of it; not to be written to.
            site: Which projection, one of `sites`.

        Returns:
            What is added, `(..., outputs)` or what spreads to it.
        """


def at_least(name: str, value: float, least: float) -> None:
    """Refuses a size that is too small.

    Raises:
        InputError: If it is.
    """
    if value < least:
        raise InputError(f"an adapter's {name} is at least {least}: got {value}")


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
        if last.bias is not None:
            nn.init.zeros_(last.bias)
    return last
