"""Arms: composed from their files, and checked against schema and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from spsam.config.compose import Composed, compose
from spsam.config.problems import check, dotted, raise_all
from spsam.config.schema import ArmConfig, Blocks
from spsam.config.yaml_file import KeyPath, YamlFile, read_yaml
from spsam.errors import InputError, Problem, nearest
from spsam.registry.arm_file import ArmFile, read_arm_file
from spsam.registry.catalogue import Catalogue
from spsam.registry.files import preset_path
from spsam.registry.protocols import named_protocol
from spsam.registry.signature import validate
from spsam.registry.slots import EVERY_SLOT, NETWORK, SLOTS

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
    loader = ArmLoader(overrides, preset=preset, protocol=protocol, plugins=plugins)
    return loader.load(read_arm_file(name_or_path))


class ArmLoader:
    """Resolves arms; what they share is read once.

    Args:
        overrides: As in `load_arm`, like what follows.
        preset: As there.
        protocol: As there.
        plugins: As there.

    Attributes:
        files: All that were read so far, in their order.
    """

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        preset: str | Path | None = None,
        protocol: str | Path | None = None,
        plugins: Sequence[Path] = (),
    ) -> None:
        self.overrides = dict(overrides or {})
        self.plugins = tuple(plugins)
        self.files: dict[Path, None] = {}
        self._named = preset, protocol

    def load(self, arm: ArmFile, values: Mapping[str, Any] | None = None) -> ArmConfig:
        """One arm, resolved, with some more values on top.

        Raises:
            InputError: With every mistake in files and values, by file and line.
        """
        return self._resolve(arm, {**self.overrides, **(values or {})})

    def plain_blocks(self, arm: ArmFile) -> Blocks:
        """An arm's components, whatever is set of components on top of it."""
        plain = {k: v for k, v in self.overrides.items() if k.split(".")[0] != "blocks"}
        return self._resolve(arm, plain).blocks

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue.load(self.plugins)

    @cached_property
    def _layers(self) -> dict[str, YamlFile | None]:
        preset, protocol = self._named
        if isinstance(protocol, str):
            if preset is None:
                raise InputError(f"protocol '{protocol}': expected a preset that has it, got none")
            protocol = named_protocol(preset, protocol).path
        return {
            "preset": None if preset is None else read_yaml(preset_path(str(preset))),
            "protocol": None if protocol is None else read_yaml(protocol),
        }

    def _resolve(self, arm: ArmFile, overrides: Mapping[str, Any]) -> ArmConfig:
        composed = compose(arm.files, overrides=overrides, **self._layers)
        layers = [layer.path for layer in self._layers.values() if layer is not None]
        self.files |= dict.fromkeys([*composed.chain, *layers])
        problems = list(composed.problems)
        defaults = _component_defaults(composed, self._catalogue, problems)
        network, blocks = _checked_blocks(composed, self._catalogue, defaults, problems)
        data = {**composed.data, "plugins": [str(plugin) for plugin in self.plugins]}
        data.pop(COMPONENTS, None)
        if network is not None:
            data["network"] = network
        if blocks:
            data["blocks"] = {**composed.data["blocks"], **blocks}
        found_arm, found = check(ArmConfig, data, composed.place)
        raise_all([*problems, *found])
        assert isinstance(found_arm, ArmConfig)
        return found_arm


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


def _checked_blocks(
    composed: Composed,
    catalogue: Catalogue,
    defaults: Mapping[tuple[str, str], Mapping[str, Any]],
    problems: list[Problem],
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The network and the blocks with all parameters; those with mistakes as they were written."""
    written = composed.data.get("blocks")
    blocks = written if isinstance(written, dict) else {}
    chosen: dict[tuple[str, ...], Any] = {(NETWORK.name,): composed.data.get(NETWORK.name)}
    chosen |= {("blocks", slot): blocks.get(slot) for slot in SLOTS}
    done: dict[str, Any] = {}
    for path, block in chosen.items():
        slot = path[-1]
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
    return done.pop(NETWORK.name, None), done


def _checked_block(
    composed: Composed,
    catalogue: Catalogue,
    defaults: Mapping[tuple[str, str], Mapping[str, Any]],
    block: Any,
    path: KeyPath,
    *,
    problems: list[Problem],
) -> dict[str, Any] | None:
    """One block with all parameters; None where it has mistakes, which the schema may say."""
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
        params = params["params"]  # as a run's config.yaml spells it
    params = {**defaults.get((slot, block["name"]), {}), **params}
    values, found = validate(card, params, composed.place, path)
    problems.extend(found)
    return None if found else {"name": block["name"], "params": values}
