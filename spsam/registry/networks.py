"""What an arm's network is made of, read from its signature; nothing is imported."""

from __future__ import annotations

from spsam.config.schema import ArmConfig
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import positional
from spsam.registry.slots import OF_SAM, SLOTS


def needs(arm: ArmConfig, catalogue: Catalogue | None = None) -> tuple[str, ...]:
    """The names of what the arm's network takes from the engine.

    Args:
        arm: The arm.
        catalogue: The components, where they are loaded already.

    Raises:
        InputError: If there is no such network among spsam's, installed ones and the arm's plugins.
    """
    catalogue = catalogue or Catalogue.load(arm.plugins)
    return positional(catalogue.card("network", arm.network.name))


def uses_sam(arm: ArmConfig, catalogue: Catalogue | None = None) -> bool:
    """Whether there is a SAM in it, whose weights count."""
    return bool({*OF_SAM} & {*needs(arm, catalogue)})


def used_slots(arm: ArmConfig, catalogue: Catalogue | None = None) -> tuple[str, ...]:
    """The slots of `blocks:` that the network has; the others mean nothing to it."""
    named = needs(arm, catalogue)
    return tuple(slot for slot in SLOTS if slot in named)
