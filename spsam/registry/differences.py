"""The differences between an arm and the arm it is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spsam.config.schema import ArmConfig, Block
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import parameters
from spsam.registry.slots import NETWORK, SLOTS


def together(blocks: Sequence[Block]) -> str:
    """The components of a slot as shown in tables: `fact + conv_depth`."""
    return " + ".join(block.name for block in blocks)


def differences(
    arm: ArmConfig, parent: ArmConfig | None, catalogue: Catalogue
) -> list[dict[str, Any]]:
    """Lists the differences between an arm and its parent.

    Args:
        arm: The arm.
        parent: The arm it is compared with; None yields no differences.
        catalogue: A catalogue with the arm's components.

    Returns:
        One `{"key", "parent", "value"}` for each value that differs, `key` dotted. A block with
        another component is listed by its name, followed by those of its parameters that differ
        from the new component's defaults.
    """
    if parent is None:
        return []
    labels = {"name", "title", "parent", "summary", "plugins", "blocks", "network"}
    old = parent.model_dump(mode="json", exclude=labels)
    new = arm.model_dump(mode="json", exclude=labels)
    changes = _block_differences(arm, parent, catalogue)
    return changes + _value_differences(old, new, "")


def _block_differences(
    arm: ArmConfig, parent: ArmConfig, catalogue: Catalogue
) -> list[dict[str, Any]]:
    changes = []
    pairs = {f"blocks.{slot}": (parent.blocks.of(slot), arm.blocks.of(slot)) for slot in SLOTS}
    network = {NETWORK.name: ((parent.network,), (arm.network,))}
    for path, (old, new) in {**network, **pairs}.items():
        if [block.name for block in old] != [block.name for block in new]:
            changes.append({"key": path, "parent": together(old), "value": together(new)})
        had = {block.name: block.params for block in old}
        for block in new:
            key = path if len(new) == 1 else f"{path}.{block.name}"
            before = had.get(block.name)
            if before is None:
                card = catalogue.card(path.rpartition(".")[2], block.name)
                before = {each.name: each.default for each in parameters(card)}
            changes += _parameter_differences(key, before, block)
    return changes


def _parameter_differences(
    key: str, before: Mapping[str, Any], block: Block
) -> Iterator[dict[str, Any]]:
    for name, value in block.params.items():
        if name not in before or value != before[name]:
            yield {"key": f"{key}.{name}", "parent": before.get(name), "value": value}


def _value_differences(old: Any, new: Any, above: str) -> list[dict[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            change
            for key in new
            for change in _value_differences(old.get(key), new[key], f"{above}.{key}".strip("."))
        ]
    return [] if old == new else [{"key": above, "parent": old, "value": new}]
