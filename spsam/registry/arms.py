"""Arms: composed from their files, and checked against schema and signatures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from spsam.config.compose import Composed, compose
from spsam.config.problems import check, raise_all
from spsam.config.schema import ArmConfig
from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Catalogue
from spsam.registry.files import arm_path, file_of, preset_path
from spsam.registry.protocols import named_protocol
from spsam.registry.signature import parameters, validate
from spsam.registry.slots import SLOTS

COMPONENTS = "components"
"""The section of a base or preset with parameters for components that an arm may choose."""


def load_arm(
    name_or_path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: str | Path | None = None,
    protocol: str | Path | None = None,
    plugins: Sequence[Path] = (),
) -> ArmConfig:
    """Reads an arm: its file, its bases, a preset and overrides, merged and checked.

    Args:
        name_or_path: A name or the path of a YAML file.
        overrides: Values on top, e.g. `{"train.epochs": 5}` or `{"train": {"epochs": 5}}`.
        preset: Name or path of a preset; None leaves the values of the root file.
        protocol: What the preset sets for one data set: a name such as `acdc`, or the file's path.
            None leaves the preset's own values, whatever the data set.
        plugins: Folders whose components may be used besides the known ones.

    Returns:
        The resolved arm; its blocks hold all parameters, defaults included.

    Raises:
        InputError: With every mistake in files and overrides, by file and line.
    """
    return _load(file_of(name_or_path), overrides, preset, protocol, plugins)


def load_arms(
    names_or_paths: Sequence[str | Path],
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: str | Path | None = None,
    protocol: str | Path | None = None,
    plugins: Sequence[Path] = (),
) -> list[ArmConfig]:
    """Reads several arms, as `load_arm`; the mistakes of all of them are raised at once."""
    arms: list[ArmConfig] = []
    problems: list[Problem] = []
    for item in names_or_paths:
        try:
            arms.append(
                load_arm(item, overrides, preset=preset, protocol=protocol, plugins=plugins)
            )
        except InputError as error:
            problems.extend(error.problems)
    raise_all(problems)
    return arms


def load_parent(
    name_or_path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: str | Path | None = None,
    protocol: str | Path | None = None,
    plugins: Sequence[Path] = (),
    among: Collection[Path] = (),
) -> ArmConfig | None:
    """Reads the arm that an arm is a change of; None for a root.

    Args:
        name_or_path: As in `load_arm`, like what follows.
        overrides: As there.
        preset: As there.
        protocol: As there.
        plugins: As there.
        among: Resolved files of the arms that it stands beside. Of its bases it is the nearest of
            these, and the nearest of all if none is.
    """
    *bases, _ = compose(file_of(name_or_path), find=arm_path).chain
    if not bases:
        return None
    base = next((path for path in reversed(bases) if path.resolve() in among), bases[-1])
    return _load(base, overrides, preset, protocol, plugins)


def root_of(name_or_path: str | Path) -> Path:
    """The file that an arm's line begins with."""
    return compose(file_of(name_or_path), find=arm_path).chain[0]


def differences(
    arm: ArmConfig, parent: ArmConfig | None, plugins: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """What an arm changes.

    Args:
        arm: The arm.
        parent: What it is compared with; None gives no differences.
        plugins: As in `load_arm`.

    Returns:
        One `{"key", "parent", "value"}` for each value that differs, `key` dotted. A block with
        another component differs by the component's name, and by those of its parameters that are
        not the new component's defaults.
    """
    if parent is None:
        return []
    labels = {"name", "title", "parent", "summary", "plugins", "blocks"}
    old = parent.model_dump(mode="json", exclude=labels)
    new = arm.model_dump(mode="json", exclude=labels)
    changes = _block_differences(arm, parent, Catalogue.load(plugins or arm.plugins))
    return changes + _value_differences(old, new, "")


def _load(
    path: Path,
    overrides: Mapping[str, Any] | None,
    preset: str | Path | None,
    protocol: str | Path | None,
    plugins: Sequence[Path],
) -> ArmConfig:
    preset_file = None if preset is None else preset_path(str(preset))
    if isinstance(protocol, str):
        if preset is None:
            raise InputError(f"protocol '{protocol}': expected a preset that has it, got none")
        protocol = named_protocol(preset, protocol).path
    composed = compose(
        path, preset=preset_file, protocol=protocol, overrides=overrides, find=arm_path
    )
    problems = list(composed.problems)
    catalogue = Catalogue.load(plugins)
    defaults = _component_defaults(composed, catalogue, problems)
    blocks = _checked_blocks(composed, catalogue, defaults, problems)
    data = {**composed.data, "plugins": [str(plugin) for plugin in plugins]}
    data.pop(COMPONENTS, None)
    if blocks:
        data["blocks"] = {**composed.data["blocks"], **blocks}
    arm, found = check(ArmConfig, data, composed.place)
    raise_all([*problems, *found])
    assert isinstance(arm, ArmConfig)
    return arm


def _component_defaults(
    composed: Composed, catalogue: Catalogue, problems: list[Problem]
) -> dict[tuple[str, str], dict[str, Any]]:
    """What `components: {slot: {name: {parameter: value}}}` says, by slot and name.

    These values stand for a component's own defaults wherever an arm chooses that component, so
    that a preset can size a block without putting it into arms that have another one.
    """
    section = composed.data.get(COMPONENTS) or {}
    done: dict[tuple[str, str], dict[str, Any]] = {}
    for slot, named in section.items() if isinstance(section, dict) else [(section, None)]:
        place = composed.place((COMPONENTS, slot) if isinstance(slot, str) else (COMPONENTS,))
        if slot not in SLOTS or not isinstance(named, dict):
            problems.append(
                place.problem(
                    f"{COMPONENTS}: expected slot: {{component: {{parameter: value}}}}, "
                    f"got {slot!r}{nearest(str(slot), SLOTS)}"
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


def _checked_blocks(
    composed: Composed,
    catalogue: Catalogue,
    defaults: Mapping[tuple[str, str], Mapping[str, Any]],
    problems: list[Problem],
) -> dict[str, Any]:
    """The blocks with all parameters; those with mistakes as they were written."""
    blocks = composed.data.get("blocks")
    done: dict[str, Any] = {}
    for slot in SLOTS:
        block = blocks.get(slot) if isinstance(blocks, dict) else None
        if not isinstance(block, dict) or not isinstance(block.get("name"), str):
            continue  # the schema says what is wrong with it
        path = ("blocks", slot)
        try:
            card = catalogue.card(slot, block["name"])
        except InputError as error:
            place = composed.place((*path, "name"))
            problems.extend(place.problem(f"blocks.{slot}: {p.message}") for p in error.problems)
            continue
        params = {key: value for key, value in block.items() if key != "name"}
        if set(params) == {"params"} and isinstance(params["params"], dict):
            params = params["params"]  # as a run's config.yaml spells it
        params = {**defaults.get((slot, block["name"]), {}), **params}
        values, found = validate(card, params, composed.place, path)
        problems.extend(found)
        if not found:
            done[slot] = {"name": block["name"], "params": values}
    return done


def _block_differences(
    arm: ArmConfig, parent: ArmConfig, catalogue: Catalogue
) -> list[dict[str, Any]]:
    changes = []
    for slot in SLOTS:
        old, new = getattr(parent.blocks, slot), getattr(arm.blocks, slot)
        before = dict(old.params)
        if old.name != new.name:
            changes.append({"key": f"blocks.{slot}", "parent": old.name, "value": new.name})
            card = catalogue.card(slot, new.name)
            before = {parameter.name: parameter.default for parameter in parameters(card)}
        for name, value in new.params.items():
            if name not in before or value != before[name]:
                key = f"blocks.{slot}.{name}"
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
