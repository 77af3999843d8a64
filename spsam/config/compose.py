"""From an arm's file, its bases, a preset and overrides to one mapping.

One parent (`base:`) and one rule: mappings merge, lists and scalars replace. A block that changes
its component starts from the new component's defaults, since the old one's parameters mean nothing
to it. The preset comes right after the root file, then its protocol for the data set, so that what
an arm says itself wins over both.
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

# What describes the file it stands in, and is not handed down.
_LABELS = ("title", "summary")


@dataclass
class Composed:
    """A merged configuration, not validated.

    Attributes:
        name: The arm's name: its file's, without the suffix.
        parent: The name of its base; None for a root.
        chain: The files, root first, without the preset.
        data: What `ArmConfig` takes.
        origin: Where each key of `data` was last written.
        problems: Mistakes that do not hinder merging.
    """

    name: str
    parent: str | None
    chain: tuple[Path, ...]
    data: dict[str, Any] = field(default_factory=dict)
    origin: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place:
        """Where a key was written, or what is closest around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origin:
                return self.origin[path[:end]]
        return Place(self.chain[-1], None)

    def merge(self, diff: Mapping[str, Any], place: PlaceOf) -> None:
        """Lays a diff over what is there; neither is shared with the other afterwards."""
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
        """Sets parameters of several components of a slot, each by its name."""
        names = [block.get("name") if isinstance(block, dict) else None for block in blocks]
        for name, params in diff.items():
            if name not in names or not isinstance(params, Mapping):
                words = " and ".join(map(str, names))
                said = f"expected a parameter of {words}, as {dotted(path)}.{names[0]}.PARAMETER"
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
        files: The arm's root first, its own file last.
        preset: The preset.
        protocol: What the preset sets for one data set; its key `split` is no value of an arm.
        overrides: Values on top of all files; dotted keys, nested mappings or both.
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
    """Takes out keys that a file may not set itself; says so."""
    why = {
        "name": "an arm is called as its file is",
        "parent": "the parent is given by 'base'",
        "plugins": "plugins are given by --plugin, since a file may not choose code to run",
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
                "base: a preset has none; it is laid over any arm", file.path, file.line(("base",))
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
    # Only the value itself was written here; what is around it stays where it stood.
    composed.origin |= fixed


def _with_blocks_spelt_out(diff: Mapping[str, Any]) -> Mapping[str, Any]:
    """`adapter: dfused` -> `adapter: {name: dfused}`, so that blocks merge like all mappings."""
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
    """Whether a block's diff leaves its component as it is."""
    return isinstance(value, Mapping) and "name" not in value


def _swaps(path: KeyPath, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a block changes its component."""
    return _is_slot(path) and not _tunes(new) and new["name"] != old.get("name")


def _copy(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return value
