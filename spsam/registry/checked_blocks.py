"""The network and blocks of a merged arm, completed and validated against signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spsam.config.compose import Composed
from spsam.config.problems import dotted
from spsam.config.yaml_file import KeyPath
from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import validate
from spsam.registry.slots import EVERY_SLOT, NETWORK, SLOTS

COMPONENTS = "components"
"""The section of a base or preset with parameters of components that arms may select."""


def checked_blocks(
    composed: Composed, catalogue: Catalogue
) -> tuple[dict[str, Any] | None, dict[str, Any], list[Problem]]:
    """The network and the blocks of an arm with all parameters, including defaults.

    Returns:
        The network, or None if it has mistakes; the blocks without mistakes, by slot; and all
        mistakes.
    """
    problems: list[Problem] = []
    defaults = _component_defaults(composed, catalogue, problems)
    written = composed.data.get("blocks")
    blocks = written if isinstance(written, dict) else {}
    chosen: dict[KeyPath, Any] = {(NETWORK.name,): composed.data.get(NETWORK.name)}
    chosen |= {("blocks", slot): blocks.get(slot) for slot in SLOTS}
    done: dict[str, Any] = {}
    for path, block in chosen.items():
        slot = str(path[-1])
        if isinstance(block, list) and EVERY_SLOT[slot].several:
            items = [
                _checked_block(
                    composed, catalogue, defaults, item, (*path, index), problems=problems
                )
                for index, item in enumerate(block)
            ]
            if all(item is not None for item in items):
                done[slot] = items
            continue
        found = _checked_block(composed, catalogue, defaults, block, path, problems=problems)
        if found is not None:
            done[slot] = found
    return done.pop(NETWORK.name, None), done, problems


def _checked_block(
    composed: Composed,
    catalogue: Catalogue,
    defaults: Mapping[tuple[str, str], Mapping[str, Any]],
    block: Any,
    path: KeyPath,
    *,
    problems: list[Problem],
) -> dict[str, Any] | None:
    """One block with all parameters; None if it has mistakes, some of which the schema reports."""
    if not isinstance(block, dict) or not isinstance(block.get("name"), str):
        return None
    slot = next(str(key) for key in path if key != "blocks")
    try:
        card = catalogue.card(slot, block["name"])
    except InputError as error:
        place = composed.place((*path, "name"))
        problems.extend(place.problem(f"{dotted(path)}: {p.message}") for p in error.problems)
        return None
    params = {key: value for key, value in block.items() if key != "name"}
    if set(params) == {"params"} and isinstance(params["params"], dict):
        params = params["params"]  # the form written to a run's config.yaml
    params = {**defaults.get((slot, block["name"]), {}), **params}
    values, found = validate(card, params, composed.place, path)
    problems.extend(found)
    return None if found else {"name": block["name"], "params": values}


def _component_defaults(
    composed: Composed, catalogue: Catalogue, problems: list[Problem]
) -> dict[tuple[str, str], dict[str, Any]]:
    """The values of `components: {slot: {name: {parameter: value}}}`, by slot and name.

    They replace a component's own defaults in every arm that selects the component. A preset can
    thus set the size of a block without affecting arms with other components.
    """
    section = composed.data.get(COMPONENTS) or {}
    done: dict[tuple[str, str], dict[str, Any]] = {}
    for slot, named in section.items() if isinstance(section, dict) else [(section, None)]:
        place = composed.place((COMPONENTS, slot) if isinstance(slot, str) else (COMPONENTS,))
        if slot not in EVERY_SLOT or not isinstance(named, dict):
            problems.append(
                place.problem(
                    f"{COMPONENTS}: expected slot: {{component: {{parameter: value}}}}, "
                    f"got {slot!r}{nearest(str(slot), EVERY_SLOT)}"
                )
            )
            continue
        for name, params in named.items():
            path = (COMPONENTS, slot, name)
            try:
                _, found = validate(catalogue.card(slot, name), params, composed.place, path)
            except InputError as error:
                found = [composed.place(path).problem(p.message) for p in error.problems]
            problems.extend(found)
            if not found:
                done[slot, name] = params
    return done
