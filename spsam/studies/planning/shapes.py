"""From a study's file to its arms. Every arm is an ordinary one: base, preset and overrides."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spsam.config.problems import Place, gather, raise_all
from spsam.config.schema import ArmConfig, Block
from spsam.config.study import Arms, Factorial, LeaveOneOut, OneAtATime, StudyFile
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem, nearest
from spsam.registry.arms import load_arm, load_parent, root_of
from spsam.registry.files import expand, file_of
from spsam.registry.slots import SLOTS
from spsam.studies.planning.choices import in_file, probed
from spsam.studies.planning.space import Dimension, dimensions, label

MOST_ARMS = 1000


@dataclass(frozen=True)
class MadeArm:
    """An arm of a study.

    Attributes:
        arm: Resolved.
        parent: What it is compared with; None for the first of its line.
        levels: Of a factorial study: factor -> the value it has here, as they are called.
    """

    arm: ArmConfig
    parent: ArmConfig | None
    levels: Mapping[str, str] = field(default_factory=dict)


class Loader:
    """Loads arms with what is the same in all of them.

    Args:
        overrides: Values on top of every arm, by dotted key.
        preset: Name or path.
        plugins: Folders with components of the user's own.
        protocol: The file of what the preset sets for the data set.
    """

    def __init__(
        self,
        overrides: Mapping[str, Any],
        preset: str,
        plugins: Sequence[Path],
        protocol: Path | None = None,
    ) -> None:
        self.overrides = overrides
        self._options: dict[str, Any] = {
            "preset": preset,
            "protocol": protocol,
            "plugins": tuple(plugins),
        }

    def __call__(self, arm: str | Path, values: Mapping[str, Any] | None = None) -> ArmConfig:
        """The arm with some values more."""
        return load_arm(arm, {**self.overrides, **(values or {})}, **self._options)

    def parent(self, arm: str | Path, among: Collection[Path]) -> ArmConfig | None:
        """The arm that it is a change of: of its bases the nearest of these files, if one is."""
        return load_parent(arm, self.overrides, among=among, **self._options)

    def blocks(self, arm: str | Path) -> dict[str, dict[str, Any]]:
        """An arm's components, whatever is set of components on top of it."""
        plain = {k: v for k, v in self.overrides.items() if k.split(".")[0] != "blocks"}
        blocks = load_arm(arm, plain, **self._options).blocks
        return {slot: _spelt(getattr(blocks, slot)) for slot in SLOTS}


def listed_arms(items: Sequence[str], load: Loader) -> list[MadeArm]:
    """Arms by names, ranges and paths, each a change of the nearest of its bases that is listed.

    An arm with no base in the list is told as a change of its own base, and compared with none.

    Raises:
        InputError: With every mistake of all of them.
    """
    problems: list[Problem] = []
    loaded = []
    listed = expand(list(items))
    files = {file_of(item).resolve() for item in listed}
    for item in listed:
        with gather(problems):
            loaded.append(MadeArm(load(item), load.parent(item, files)))
    names = [made.arm.name for made in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [Problem(f"two arms are called '{name}': rename a file") for name in twice]
    raise_all(problems)
    return loaded


def study_arms(study: StudyFile, load: Loader) -> list[MadeArm]:
    """The arms that a study's shape makes, the one they are compared with first.

    Args:
        study: Of `load_study`.
        load: With the study's own values in its overrides.

    Raises:
        InputError: With every mistake, at the line of the file that makes it.
    """
    config, file = study.config, study.file
    try:
        if isinstance(config, Arms):
            beside = [_beside(file.path, item) for item in config.arms]
            return listed_arms(beside, load)
        if isinstance(config, LeaveOneOut):
            return _leave_one_out(config, file, load)
        assert isinstance(config, OneAtATime | Factorial)
        return _varied(config, file, load)
    except InputError as error:
        keys = ("full", "base")
        raise InputError([in_file(problem, file, keys) for problem in error.problems]) from error


def _leave_one_out(config: LeaveOneOut, file: YamlFile, load: Loader) -> list[MadeArm]:
    place = Place(file.path, file.line(("slots",)))
    problems: list[Problem] = []
    with gather(problems):
        full = load(_beside(file.path, config.full))
        base = None if config.base is None else _beside(file.path, config.base)
        blocks = load.blocks(root_of(_beside(file.path, config.full)) if base is None else base)
    raise_all(problems)
    differ = [slot for slot in SLOTS if blocks[slot] != _plain(full, slot)]
    for slot in config.slots or ():
        if slot not in SLOTS:
            problems.append(place.problem(f"slots: unknown slot '{slot}'{nearest(slot, SLOTS)}"))
        elif slot not in differ:
            problems.append(
                place.problem(f"slots: {slot} of {full.name} is the base's already; leave it out")
            )
    if not differ:
        here = Place(file.path, file.line(("full",)))
        problems.append(here.problem(f"full: {full.name} has no block that its base lacks"))
    raise_all(problems)
    made = [MadeArm(full, None)]
    for slot in config.slots or differ:
        arm = load(_beside(file.path, config.full), {f"blocks.{slot}": blocks[slot]})
        was, now = _plain(full, slot)["name"], blocks[slot]["name"]
        title = f"{full.name} without {slot} {was}"
        title += f" ({now} instead)" if now not in ("none", was) else ""
        made.append(MadeArm(_called(arm, f"{full.name}-{slot}", title, full), full))
    return made


def _varied(config: OneAtATime | Factorial, file: YamlFile, load: Loader) -> list[MadeArm]:
    """The arms of a base and factors: singly, or in every combination."""
    place = {key: Place(file.path, file.line(("factors", key))) for key in config.factors}
    base_file = _beside(file.path, config.base)
    problems: list[Problem] = []
    base: ArmConfig | None = None
    with gather(problems):
        base = load(base_file)
    known = list(problems)
    # One at a time, a component's parameter is that of the base's component, whatever else varies.
    single = isinstance(config, OneAtATime)
    parts = [{key: value} for key, value in config.factors.items()] if single else [config.factors]
    space: list[Dimension] = []
    for part in parts:
        some, found = dimensions(part, load.overrides, place, "factors")
        space += some
        problems += found
    _, found = probed(space, place, "factors", lambda values: load(base_file, values), known)
    raise_all([*problems, *found])
    assert base is not None
    # As the file has them: the first is the slowest to change.
    space.sort(key=lambda dimension: list(config.factors).index(dimension.key))
    names = dict(zip([dimension.key for dimension in space], _short(space), strict=True))
    if single:
        return [MadeArm(base, None), *_singly(space, names, base, base_file, load)]
    cells = list(itertools.islice(_cells(space), MOST_ARMS + 1))
    if len(cells) > MOST_ARMS:
        here = Place(file.path, file.line(("factors",)))
        raise InputError(here.problem(f"factors: give more than {MOST_ARMS} arms; take some out"))
    made: list[MadeArm] = []
    for values in cells:
        arm = load(base_file, {d.path: value for d, value in values})
        levels = {names[d.key]: level_name(value) for d, value in values}
        said = ",".join(f"{name}={level}" for name, level in levels.items())
        reference = made[0].arm if made else None
        title = f"{base.name} with {said.replace(',', ', ')}"
        made.append(MadeArm(_called(arm, said, title, reference), reference, levels))
    return made


def _singly(
    space: Sequence[Dimension],
    names: Mapping[str, str],
    base: ArmConfig,
    base_file: str,
    load: Loader,
) -> Iterator[MadeArm]:
    for dimension in space:
        for probe in dimension.probes():
            said = f"{names[dimension.key]}={level_name(probe[dimension.path])}"
            arm = load(base_file, probe)
            yield MadeArm(_called(arm, said, f"{base.name} with {said}", base), base)


def _cells(space: Sequence[Dimension]) -> Iterator[list[tuple[Dimension, Any]]]:
    """Every combination; a component's parameter only where the component is."""
    seen: set[str] = set()
    for values in itertools.product(*[dimension.choices or () for dimension in space]):
        all_values = list(zip(space, values, strict=True))
        chosen = {d.path: _component(value) for d, value in all_values if d.needs is None}
        cell = [
            (d, value)
            for d, value in all_values
            if d.needs is None or chosen[d.needs[0]] == d.needs[1]
        ]
        key = json.dumps([(d.key, label(value)) for d, value in cell])
        if key not in seen:
            seen.add(key)
            # A slot's component is set before its parameters.
            yield sorted(cell, key=lambda entry: entry[0].needs is not None)


def level_name(value: Any) -> str:
    """A value as an arm's name has it: `dfused`, `0.25`, `dfused(ratio=0.5)`."""
    if isinstance(value, Mapping) and "name" in value:
        params = [f"{k}={level_name(v)}" for k, v in value.items() if k != "name"]
        return f"{value['name']}({','.join(params)})" if params else str(value["name"])
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _short(space: Sequence[Dimension]) -> list[str]:
    """The shortest ends of keys that tell them apart."""
    parts = [dimension.key.split(".") for dimension in space]
    return [
        next(
            ".".join(own[-count:])
            for count in range(1, len(own) + 1)
            if sum(other[-count:] == own[-count:] for other in parts) == 1
        )
        for own in parts
    ]


def _called(arm: ArmConfig, name: str, title: str, parent: ArmConfig | None) -> ArmConfig:
    labels = {"name": name, "title": title, "parent": None if parent is None else parent.name}
    return arm.model_copy(update=labels)


def _beside(study: Path, item: str) -> str:
    """A path in a study's file starts at the file."""
    path = study.parent / item
    return str(path) if item.endswith((".yaml", ".yml")) and path.is_file() else item


def _plain(arm: ArmConfig, slot: str) -> dict[str, Any]:
    return _spelt(getattr(arm.blocks, slot))


def _spelt(block: Block) -> dict[str, Any]:
    return {"name": block.name, **block.params}


def _component(value: Any) -> str:
    return str(value.get("name")) if isinstance(value, Mapping) else str(value)
