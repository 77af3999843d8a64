"""What an arm's network is made of, read from its signature; nothing is imported."""

from __future__ import annotations

from spsam.config.schema import ArmConfig
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import positional
from spsam.registry.slots import OF_SAM, SLOTS


def needs(arm: ArmConfig) -> tuple[str, ...]:
    """The names of what the arm's network takes from the engine.

    Raises:
        InputError: If there is no such network among spsam's, installed ones and the arm's plugins.
    """
    card = Catalogue.load(arm.plugins).card("network", arm.network.name)
    return positional(card)


def uses_sam(arm: ArmConfig) -> bool:
    """Whether there is a SAM in it, whose weights count."""
    return bool({*OF_SAM} & {*needs(arm)})


def used_slots(arm: ArmConfig) -> tuple[str, ...]:
    """The slots of `blocks:` that the network has; the others mean nothing to it."""
    named = needs(arm)
    return tuple(slot for slot in SLOTS if slot in named)
