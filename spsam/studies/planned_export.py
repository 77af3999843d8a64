"""An export that is checked and not yet written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.registry.catalogue import Card

if TYPE_CHECKING:
    from spsam.engine.recipe import Recipe
    from spsam.model.sam.origin import Origin


@dataclass(frozen=True)
class Export:
    """A checked export.

    Attributes:
        path: The file to write.
        recipes: The recipes of the runs.
        origins: The origin of each run's SAM weights; None for a network without SAM.
        summary: Means of the runs' scores, see `summary_of`.
        own: Cards of components that are not part of spsam.
        plugins: Name -> content of their source files.
        licence: The licence of the trained blocks, as text.
        notes: Notes for the user.
    """

    path: Path
    recipes: Sequence[Recipe]
    origins: Sequence[Origin | None]
    summary: Sequence[dict[str, Any]]
    own: Sequence[Card]
    plugins: dict[str, bytes]
    licence: str
    notes: Sequence[str] = ()
