"""Base classes of adapters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from spsam.errors import InputError, nearest
from spsam.model.adapters.sites import Projection

INITS = ("zero", "default")
"""Initialisations of an adapter's last linear layer."""


@dataclass(frozen=True)
class Reach:
    """Neighbourhood that an adapter's output at one token depends on; verified by tests.

    Attributes:
        slices: Maximum number of slices on either side; None: all slices of the patch.
        plane: Maximum number of rows and columns on either side.
    """

    slices: int | None = 0
    plane: int = 0


class Adapter(nn.Module, ABC):
    """A small trainable module on the tokens of a frozen transformer block.

    Subclasses define `forward`. In-plane adapters take a third positional parameter, `grid`:
    (gh, gw), rows and columns of the tokens, or (1, 1) if tokens have no position in the plane. N
    then consists of one or more such grids in row-major order, one after the other (one for each
    class in the mask decoder).

    Args:
        dim: C, width of the tokens; passed by the engine, not stored.
        depth: D, number of slices in a patch; passed by the engine, not stored.

    Attributes:
        reach: Slices and in-plane neighbours that a token depends on.
    """

    reach: ClassVar[Reach] = Reach()

    def __init__(self, dim: int = 0, depth: int = 0) -> None:
        super().__init__()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # An inherited `change` does not match a `forward` that the subclass redefines.
        if "forward" in vars(cls) and "change" not in vars(cls):
            cls.change = Adapter.change  # type: ignore[method-assign]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Adapts tokens, including the adapter's skip connection.

        Args:
            x: `(B, D, N, dim)`; position n is the same place in the plane in all D slices.

        Returns:
            The same shape.
        """

    def change(self, x: Tensor) -> Tensor:
        """Returns the residual `A(x) - x`, for places parallel to a sublayer.

        Args:
            x: As in `forward`.

        Returns:
            The same shape.
        """
        return self(x) - x  # type: ignore[no-any-return]


class ProjectionAdapter(nn.Module, ABC):
    """A small trainable module that adds to the outputs of frozen projections.

    One module serves all of its projections, so it can share weights among them. It processes one
    token at a time; in windowed blocks, tokens are passed as the frozen layer receives them.

    Args:
        sites: Projections to adapt; `chosen` selects them from those that the engine offers.
        depth: D, number of slices in a patch; passed by the engine, not stored.

    Attributes:
        uses_output: Whether the change depends on the frozen output. No other adapter can then be
            at the same projection; changes that depend on the input alone are added.
        sites: The projections.
    """

    uses_output: ClassVar[bool] = False

    def __init__(self, sites: Sequence[Projection] = (), depth: int = 0) -> None:
        super().__init__()
        self.sites = tuple(sites)

    @abstractmethod
    def forward(self, x: Tensor, output: Tensor, site: Projection) -> Tensor:
        """Computes the change of a projection's output.

        Args:
            x: `(..., inputs)`, input of the projection.
            output: `(..., outputs)`, output of the frozen projection; do not modify it in place.
            site: The projection, one of `sites`.

        Returns:
            The change, `(..., outputs)` or a shape that broadcasts to it.
        """


def at_least(name: str, value: float, least: float) -> None:
    """Rejects a parameter that is too small.

    Args:
        name: Name of the parameter, for the message.
        value: Its value.
        least: Smallest allowed value.

    Raises:
        InputError: If the value is smaller than `least`.
    """
    if value < least:
        raise InputError(f"an adapter's {name} must be at least {least}: got {value}")


def hidden_width(dim: int, ratio: float) -> int:
    """Computes the width of a bottleneck: r·C rounded down, at least 1.

    Args:
        dim: C, width of the tokens.
        ratio: r.

    Raises:
        InputError: If the ratio is not positive.
    """
    if ratio <= 0:
        raise InputError(f"an adapter's ratio must be positive: got {ratio}")
    return max(1, int(dim * ratio))


def start(last: nn.Linear, init: str) -> nn.Linear:
    """Initialises an adapter's last linear layer to zero, so that the adapter is the identity.

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
