"""What an arm changes of the arm that it is compared with."""

from __future__ import annotations

from typing import Any

from spsam.config.schema import ArmConfig
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import parameters
from spsam.registry.slots import NETWORK, SLOTS


def differences(arm: ArmConfig, parent: ArmConfig | None) -> list[dict[str, Any]]:
    """What an arm changes.

    Args:
        arm: The arm.
        parent: What it is compared with; None gives no differences.

    Returns:
        One `{"key", "parent", "value"}` for each value that differs, `key` dotted. A block with
        another component differs by the component's name, and by those of its parameters that are
        not the new component's defaults.
    """
    if parent is None:
        return []
    labels = {"name", "title", "parent", "summary", "plugins", "blocks", "network"}
    old = parent.model_dump(mode="json", exclude=labels)
    new = arm.model_dump(mode="json", exclude=labels)
    changes = _block_differences(arm, parent, Catalogue.load(arm.plugins))
    return changes + _value_differences(old, new, "")


def _block_differences(
    arm: ArmConfig, parent: ArmConfig, catalogue: Catalogue
) -> list[dict[str, Any]]:
    changes = []
    pairs = {slot: (getattr(parent.blocks, slot), getattr(arm.blocks, slot)) for slot in SLOTS}
    for slot, (old, new) in {NETWORK.name: (parent.network, arm.network), **pairs}.items():
        path = slot if slot == NETWORK.name else f"blocks.{slot}"
        before = dict(old.params)
        if old.name != new.name:
            changes.append({"key": path, "parent": old.name, "value": new.name})
            card = catalogue.card(slot, new.name)
            before = {parameter.name: parameter.default for parameter in parameters(card)}
        for name, value in new.params.items():
            if name not in before or value != before[name]:
                key = f"{path}.{name}"
                changes.append({"key": key, "parent": before.get(name), "value": value})
    return changes


def _value_differences(old: Any, new: Any, above: str) -> list[dict[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            change
            for key in new
            for change in _value_differences(old.get(key), new[key], f"{above}.{key}".strip("."))
        ]
    return [] if old == new else [{"key": above, "parent": old, "value": new}]
