"""From a study's file to its arms. Every arm is an ordinary one: base, preset and overrides."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spsam.config.problems import Place, gather, raise_all
from spsam.config.schema import ArmConfig, Blocks
from spsam.config.study import Factorial, LeaveOneOut, OneAtATime
from spsam.config.tune import Tune
from spsam.config.yaml_file import YamlFile
from spsam.errors import InputError, Problem, nearest
from spsam.registry.arm_file import ArmFile
from spsam.registry.arms import ArmLoader
from spsam.registry.differences import together
from spsam.registry.slots import SLOTS
from spsam.studies.planning.arm_selection import Selection
from spsam.studies.planning.space import Dimension, component_name, dimensions, label
from spsam.studies.planning.validate_choices import Load, at_set, validate_choices

MOST_ARMS = 1000


@dataclass(frozen=True)
class MadeArm:
    """An arm of a study.

    Attributes:
        arm: Resolved.
        parent: What it is compared with; None for the first of its line.
        levels: Of a factorial study: factor -> the value it has here, as they are called.
        file: What it is resolved from.
        values: On top of the file and of what is set everywhere.
        tune: How some of its values are chosen before its runs; None: none are.
        recipe: Which of the study's recipes trains it; empty where there are none.
    """

    arm: ArmConfig
    parent: ArmConfig | None
    levels: Mapping[str, str] = field(default_factory=dict)
    file: ArmFile | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    tune: Tune | None = None
    recipe: str = ""


def make_arms(selection: Selection, loader: ArmLoader) -> list[MadeArm]:
    """The arms that are named, or that a study's shape makes of the arm it names.

    Args:
        selection: Their files.
        loader: With the study's own values in its overrides.

    Raises:
        InputError: With every mistake; those of a study at the line of its file that makes them.
    """
    study = selection.study
    if study is None:
        return listed_arms(selection.arms, loader)
    config, file = study.config, study.file
    try:
        if isinstance(config, LeaveOneOut):
            return _leave_one_out(config, file, selection.arms, loader)
        if isinstance(config, OneAtATime | Factorial):
            return _varied(config, file, selection.arms[0], loader)
        return listed_arms(selection.arms, loader)
    except InputError as error:
        raise InputError([at_set(problem, file) for problem in error.problems]) from error


def listed_arms(files: Sequence[ArmFile], loader: ArmLoader) -> list[MadeArm]:
    """Each arm as a change of the nearest of its bases that is listed.

    An arm with no base in the list is told as a change of its own base, and compared with none.

    Raises:
        InputError: With every mistake of all of them.
    """
    problems: list[Problem] = []
    made: list[MadeArm] = []
    paths = {file.path.resolve() for file in files}
    for file in files:
        with gather(problems):
            arm, base = loader.load(file), file.base(among=paths)
            made.append(MadeArm(arm, None if base is None else loader.load(base), file=file))
    names = [each.arm.name for each in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [Problem(f"two arms are called '{name}': rename a file") for name in twice]
    raise_all(problems)
    return made


def _leave_one_out(
    config: LeaveOneOut, file: YamlFile, arms: Sequence[ArmFile], loader: ArmLoader
) -> list[MadeArm]:
    place = Place(file.path, file.line(("slots",)))
    problems: list[Problem] = []
    full_file = arms[0]
    full = loader.load(full_file)
    base = loader.plain_blocks(full_file.root if config.base is None else arms[1])
    blocks = {slot: _spelt(base, slot) for slot in SLOTS}
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
    made = [MadeArm(full, None, file=full_file)]
    for slot in config.slots or differ:
        values = {f"blocks.{slot}": blocks[slot]}
        arm = loader.load(full_file, values)
        was, now = together(full.blocks.of(slot)), together(base.of(slot))
        title = f"{full.name} without {slot} {was}"
        title += f" ({now} instead)" if now not in ("none", was) else ""
        called = _called(arm, f"{full.name}-{slot}", title, full)
        made.append(MadeArm(called, full, file=full_file, values=values))
    return made


def _varied(
    config: OneAtATime | Factorial, file: YamlFile, base_file: ArmFile, loader: ArmLoader
) -> list[MadeArm]:
    """The arms of a base and factors: singly, or in every combination."""
    place = {key: Place(file.path, file.line(("factors", key))) for key in config.factors}
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
        arms = [MadeArm(base, None), *_singly(space, names, base, load)]
        return [replace(each, file=base_file) for each in arms]
    cells = list(itertools.islice(_cells(space), MOST_ARMS + 1))
    if len(cells) > MOST_ARMS:
        here = Place(file.path, file.line(("factors",)))
        raise InputError(here.problem(f"factors: give more than {MOST_ARMS} arms; take some out"))
    made: list[MadeArm] = []
    for values in cells:
        overrides = {d.path: value for d, value in values}
        arm = load(overrides)
        levels = {names[d.key]: level_name(value) for d, value in values}
        said = ",".join(f"{name}={level}" for name, level in levels.items())
        reference = made[0].arm if made else None
        title = f"{base.name} with {said.replace(',', ', ')}"
        called = _called(arm, said, title, reference)
        made.append(MadeArm(called, reference, levels, base_file, overrides))
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
            called = _called(arm, said, f"{base.name} with {said}", base)
            yield MadeArm(called, base, values=probe)


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


def _spelt(blocks: Blocks, slot: str) -> Any:
    found = [{"name": block.name, **block.params} for block in blocks.of(slot)]
    return found[0] if len(found) == 1 else found
