"""Merges an arm's file, its bases, a preset and overrides into one mapping.

An arm has one parent (`base:`), and there is one rule: mappings are merged, lists and scalars are
replaced. A block with another component starts from the defaults of that component, since the
parameters of the old one do not apply. The preset is merged directly after the root file, followed
by its protocol for the data set, so that an arm's own values override both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spsam.config.overrides import flag, leaves
from spsam.config.problems import Place, PlaceOf, dotted, places_in
from spsam.config.yaml_file import KeyPath, YamlFile
from spsam.errors import Problem

# Keys that describe a single file and are not inherited.
_LABELS = ("title", "summary")


@dataclass
class Composed:
    """A merged configuration before validation.

    Attributes:
        name: Name of the arm: the name of its file without the suffix.
        parent: Name of its base; None for a root.
        chain: The files from the root to the arm, without the preset.
        data: The input of `ArmConfig`.
        origin: The place that last set each key of `data`.
        problems: Mistakes that do not prevent merging.
    """

    name: str
    parent: str | None
    chain: tuple[Path, ...]
    data: dict[str, Any] = field(default_factory=dict)
    origin: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """The place that set a key, or the nearest enclosing key."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origin:
                return self.origin[path[:end]]
        return Place(self.chain[-1], None)

    def merge(self, diff: Mapping[str, Any], place: PlaceOf) -> None:
        """Merges a diff into the data, as a copy."""
        self._merge(self.data, _with_blocks_spelt_out(diff), (), place)

    def _merge(
        self, target: dict[str, Any], diff: Mapping[str, Any], path: KeyPath, place: PlaceOf
    ) -> None:
        for key, value in diff.items():
            here = (*path, key)
            old = target.get(key)
            if _is_slot(here) and isinstance(old, list) and _tunes(value):
                self._tune(old, value, here, place)
                continue
            merges = isinstance(value, Mapping) and isinstance(old, dict)
            if not merges or _swaps(here, target[key], value):
                if key in target:
                    self._forget(here)
                target[key] = {} if isinstance(value, Mapping) else _copy(value)
            self.origin[here] = place(here)
            if isinstance(value, Mapping):
                self._merge(target[key], value, here, place)
            elif isinstance(value, list | tuple):
                self.origin.update({(*here, i): place((*here, i)) for i in range(len(value))})

    def _tune(
        self, blocks: list[Any], diff: Mapping[str, Any], path: KeyPath, place: PlaceOf
    ) -> None:
        """Sets parameters of several components in a slot, each by its name."""
        names = [block.get("name") if isinstance(block, dict) else None for block in blocks]
        for name, params in diff.items():
            if name not in names or not isinstance(params, Mapping):
                words = " and ".join(map(str, names))
                said = f"expected a parameter of {words}, e.g. {dotted(path)}.{names[0]}.PARAMETER"
                self.problems.append(
                    place((*path, name)).problem(f"{dotted((*path, name))}: {said}")
                )
                continue
            index = names.index(name)
            here, written = (*path, index), (*path, name)

            def at(found: KeyPath, here: KeyPath = here, written: KeyPath = written) -> Place:
                return place((*written, *found[len(here) :]))

            self._merge(blocks[index], params, here, at)

    def _forget(self, path: KeyPath) -> None:
        for known in [known for known in self.origin if known[: len(path)] == path]:
            del self.origin[known]


def compose(
    files: Sequence[YamlFile],
    *,
    preset: YamlFile | None = None,
    protocol: YamlFile | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Composed:
    """Merges an arm's file with its bases, a preset and overrides.

    Args:
        files: The files of the arm, root first.
        preset: The preset.
        protocol: The preset's protocol for a data set; its key `split` is not a value of an arm.
        overrides: Values that override all files; dotted keys, nested mappings or both.

    Returns:
        The merged configuration.
    """
    composed = Composed(
        name=files[-1].path.stem,
        parent=files[-2].path.stem if len(files) > 1 else None,
        chain=tuple(file.path for file in files),
    )
    for index, file in enumerate(files):
        diff = {key: value for key, value in file.data.items() if key != "base"}
        composed.problems += _reserved(file, diff)
        if file is not files[-1]:
            diff = {key: value for key, value in diff.items() if key not in _LABELS}
        composed.merge(diff, places_in(file))
        if index == 0 and preset is not None:
            _lay_preset(composed, preset, _LABELS)
        if index == 0 and protocol is not None:
            _lay_preset(composed, protocol, (*_LABELS, "split"))
    for keys, value in leaves(overrides or {}):
        _set(composed, keys, value)
    composed.data.setdefault("title", composed.name)
    composed.data |= {"name": composed.name, "parent": composed.parent}
    return composed


def _reserved(file: YamlFile, diff: dict[str, Any]) -> list[Problem]:
    """Removes keys that a file must not set, and reports them."""
    why = {
        "name": "the name of an arm is the name of its file",
        "parent": "the parent is set by 'base'",
        "plugins": "use --plugin, since a file must not select code to run",
    }
    found = [key for key in why if key in diff]
    for key in found:
        del diff[key]
    return [
        Problem(f"{key}: unknown key; {why[key]}", file.path, file.line((key,))) for key in found
    ]


def _lay_preset(composed: Composed, file: YamlFile, labels: tuple[str, ...]) -> None:
    diff = {key: value for key, value in file.data.items() if key not in labels}
    composed.problems += _reserved(file, diff)
    if "base" in diff:
        del diff["base"]
        composed.problems.append(
            Problem(
                "base: not allowed in a preset, which applies to any arm",
                file.path,
                file.line(("base",)),
            )
        )
    composed.merge(diff, places_in(file))


def _set(composed: Composed, keys: tuple[str, ...], value: Any) -> None:
    said = flag(keys, value)
    if keys[0] in ("name", "parent", "base", "plugins"):
        composed.problems.append(Problem(f"{said}: '{keys[0]}' cannot be overridden"))
        return
    nested: Any = value
    for key in reversed(keys):
        nested = {key: nested}
    place = Place(None, None, said)
    fixed: dict[KeyPath, Place] = {}
    around: Any = composed.data
    for end in range(1, len(keys)):
        around = around.get(keys[end - 1])
        if not isinstance(around, dict):
            break
        fixed[keys[:end]] = composed.place(keys[:end])
    composed.merge(nested, lambda _: place)
    # Only the value itself was set here; enclosing keys keep their places.
    composed.origin |= fixed


def _with_blocks_spelt_out(diff: Mapping[str, Any]) -> Mapping[str, Any]:
    """Expands `adapter: dfused` to `adapter: {name: dfused}`, so that blocks merge as mappings."""
    if isinstance(diff.get("network"), str):
        diff = {**diff, "network": {"name": diff["network"]}}
    blocks = diff.get("blocks")
    if not isinstance(blocks, Mapping):
        return diff
    return {**diff, "blocks": {slot: _spelt_out(block) for slot, block in blocks.items()}}


def _spelt_out(block: Any) -> Any:
    if isinstance(block, list | tuple):
        return [_spelt_out(item) for item in block]
    return {"name": block} if isinstance(block, str) else block


def _is_slot(path: KeyPath) -> bool:
    return path == ("network",) or (len(path) == 2 and path[0] == "blocks")


def _tunes(value: Any) -> bool:
    """Whether the diff of a block keeps its component."""
    return isinstance(value, Mapping) and "name" not in value


def _swaps(path: KeyPath, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether the diff of a block replaces its component."""
    return _is_slot(path) and not _tunes(new) and new["name"] != old.get("name")


def _copy(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return value
