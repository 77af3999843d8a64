"""From a study's file to its arms. Every arm is an ordinary one: base, preset and overrides."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spsam.config.problems import Place, gather, raise_all
from spsam.config.schema import ArmConfig, Blocks
from spsam.config.study import Arms, Factorial, LeaveOneOut, OneAtATime, StudyFile
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem, nearest
from spsam.registry.arm_file import ArmFile, read_arm_file
from spsam.registry.arms import ArmLoader
from spsam.registry.differences import together
from spsam.registry.files import expand
from spsam.registry.slots import SLOTS
from spsam.studies.planning.space import Dimension, component_name, dimensions, label
from spsam.studies.planning.validate_choices import Load, in_file, validate_choices

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


def listed_arms(items: Sequence[str], loader: ArmLoader) -> list[MadeArm]:
    """Arms by names, ranges and paths, each a change of the nearest of its bases that is listed.

    An arm with no base in the list is told as a change of its own base, and compared with none.

    Raises:
        InputError: With every mistake of all of them.
    """
    problems: list[Problem] = []
    loaded: list[MadeArm] = []
    files: list[ArmFile] = []
    for item in expand(list(items)):
        with gather(problems):
            files.append(read_arm_file(item))
    paths = {file.path.resolve() for file in files}
    for file in files:
        with gather(problems):
            arm, base = loader.load(file), file.base(among=paths)
            loaded.append(MadeArm(arm, None if base is None else loader.load(base)))
    names = [made.arm.name for made in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [Problem(f"two arms are called '{name}': rename a file") for name in twice]
    raise_all(problems)
    return loaded


def study_arms(study: StudyFile, loader: ArmLoader) -> list[MadeArm]:
    """The arms that a study's shape makes, the one they are compared with first.

    Args:
        study: Of `load_study`.
        loader: With the study's own values in its overrides.

    Raises:
        InputError: With every mistake, at the line of the file that makes it.
    """
    config, file = study.config, study.file
    try:
        if isinstance(config, Arms):
            beside = [_beside(file.path, item) for item in config.arms]
            return listed_arms(beside, loader)
        if isinstance(config, LeaveOneOut):
            return _leave_one_out(config, file, loader)
        assert isinstance(config, OneAtATime | Factorial)
        return _varied(config, file, loader)
    except InputError as error:
        keys = ("full", "base")
        raise InputError([in_file(problem, file, keys) for problem in error.problems]) from error


def _leave_one_out(config: LeaveOneOut, file: YamlFile, loader: ArmLoader) -> list[MadeArm]:
    place = Place(file.path, file.line(("slots",)))
    problems: list[Problem] = []
    with gather(problems):
        full_file = read_arm_file(_beside(file.path, config.full))
        full = loader.load(full_file)
        named = None if config.base is None else read_arm_file(_beside(file.path, config.base))
        base = loader.plain_blocks(named or full_file.root)
        blocks = {slot: _spelt(base, slot) for slot in SLOTS}
    raise_all(problems)
    differ = [slot for slot in SLOTS if blocks[slot] != _spelt(full.blocks, slot)]
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
        arm = loader.load(full_file, {f"blocks.{slot}": blocks[slot]})
        was, now = together(full.blocks.of(slot)), together(base.of(slot))
        title = f"{full.name} without {slot} {was}"
        title += f" ({now} instead)" if now not in ("none", was) else ""
        made.append(MadeArm(_called(arm, f"{full.name}-{slot}", title, full), full))
    return made


def _varied(config: OneAtATime | Factorial, file: YamlFile, loader: ArmLoader) -> list[MadeArm]:
    """The arms of a base and factors: singly, or in every combination."""
    place = {key: Place(file.path, file.line(("factors", key))) for key in config.factors}
    base_file = read_arm_file(_beside(file.path, config.base))
    problems: list[Problem] = []
    base: ArmConfig | None = None
    with gather(problems):
        base = loader.load(base_file)
    known = list(problems)

    def load(values: Mapping[str, Any]) -> ArmConfig:
        return loader.load(base_file, values)

    # One at a time, a component's parameter is that of the base's component, whatever else varies.
    single = isinstance(config, OneAtATime)
    parts = [{key: value} for key, value in config.factors.items()] if single else [config.factors]
    space: list[Dimension] = []
    for part in parts:
        some, found = dimensions(part, loader.overrides, place, "factors")
        space += some
        problems += found
    _, found = validate_choices(space, place, "factors", load, known)
    raise_all([*problems, *found])
    assert base is not None
    # As the file has them: the first is the slowest to change.
    space.sort(key=lambda dimension: list(config.factors).index(dimension.key))
    names = dict(zip([dimension.key for dimension in space], _short(space), strict=True))
    if single:
        return [MadeArm(base, None), *_singly(space, names, base, load)]
    cells = list(itertools.islice(_cells(space), MOST_ARMS + 1))
    if len(cells) > MOST_ARMS:
        here = Place(file.path, file.line(("factors",)))
        raise InputError(here.problem(f"factors: give more than {MOST_ARMS} arms; take some out"))
    made: list[MadeArm] = []
    for values in cells:
        arm = load({d.path: value for d, value in values})
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
    load: Load,
) -> Iterator[MadeArm]:
    for dimension in space:
        for probe in dimension.probes():
            said = f"{names[dimension.key]}={level_name(probe[dimension.path])}"
            arm = load(probe)
            yield MadeArm(_called(arm, said, f"{base.name} with {said}", base), base)


def _cells(space: Sequence[Dimension]) -> Iterator[list[tuple[Dimension, Any]]]:
    """Every combination; a component's parameter only where the component is."""
    seen: set[str] = set()
    for values in itertools.product(*[dimension.choices or () for dimension in space]):
        all_values = list(zip(space, values, strict=True))
        chosen = {d.path: component_name(value) for d, value in all_values if d.needs is None}
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
    if isinstance(value, list | tuple) and value and all(_is_block(item) for item in value):
        return "+".join(level_name(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _is_block(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Mapping) and "name" in value)


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


def _spelt(blocks: Blocks, slot: str) -> Any:
    found = [{"name": block.name, **block.params} for block in blocks.of(slot)]
    return found[0] if len(found) == 1 else found
