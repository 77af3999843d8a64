"""The requirements of an arm's network, read from its signature without importing it."""

from __future__ import annotations

from spsam.config.schema import ArmConfig
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import positional
from spsam.registry.slots import OF_SAM, SLOTS


def needs(arm: ArmConfig, catalogue: Catalogue | None = None) -> tuple[str, ...]:
    """The names of the arguments that the arm's network takes from the engine.

    Args:
        arm: The arm.
        catalogue: The components, if already loaded.

    Raises:
        InputError: If the network is neither in spsam, nor in an installed or the arm's plugins.
    """
    catalogue = catalogue or Catalogue.load(arm.plugins)
    return positional(catalogue.card("network", arm.network.name))


def uses_sam(arm: ArmConfig, catalogue: Catalogue | None = None) -> bool:
    """Whether the network contains a SAM, whose weights are then part of the run."""
    return bool({*OF_SAM} & {*needs(arm, catalogue)})


def used_slots(arm: ArmConfig, catalogue: Catalogue | None = None) -> tuple[str, ...]:
    """The slots of `blocks:` that the network uses; it ignores all others."""
    named = needs(arm, catalogue)
    return tuple(slot for slot in SLOTS if slot in named)
