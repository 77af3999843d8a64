"""Generation of a study's arms, each of which is an ordinary arm with overrides."""

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
        arm: The resolved arm.
        parent: The arm that it is compared with; None if there is none.
        levels: Factor -> level of this arm, as displayed; only in a factorial study.
        file: The file that it is resolved from.
        values: Overrides on top of the file and of the values set for all arms.
        tune: How some of its values are tuned before its runs; None: not tuned.
        recipe: The recipe that trains it; empty without recipes.
    """

    arm: ArmConfig
    parent: ArmConfig | None
    levels: Mapping[str, str] = field(default_factory=dict)
    file: ArmFile | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    tune: Tune | None = None
    recipe: str = ""


def make_arms(selection: Selection, loader: ArmLoader) -> list[MadeArm]:
    """Returns the arms of a request or those that its study generates.

    Args:
        selection: The files of the request.
        loader: The loader of arms, whose overrides include the study's own values.

    Raises:
        InputError: With every problem; those of a study refer to the line of its file.
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
    """Loads arms; each is compared with the nearest of its bases in the list.

    An arm without a base in the list is described relative to its own base, and compared with none.

    Raises:
        InputError: With every problem of all arms.
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
    problems += [Problem(f"two arms are named '{name}': rename one of the files") for name in twice]
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
                place.problem(f"slots: {slot} of {full.name} is the same in its base; remove it")
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
    """Returns the arms that vary the factors of a base, one at a time or in all combinations."""
    place = {key: Place(file.path, file.line(("factors", key))) for key in config.factors}
    problems: list[Problem] = []
    base: ArmConfig | None = None
    with gather(problems):
        base = loader.load(base_file)
    known = list(problems)

    def load(values: Mapping[str, Any]) -> ArmConfig:
        return loader.load(base_file, values)

    # In a one-at-a-time study, a parameter belongs to the base's component, even if another factor
    # varies the component.
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
    # Restore the order of the file: the first factor changes slowest.
    space.sort(key=lambda dimension: list(config.factors).index(dimension.key))
    names = dict(zip([dimension.key for dimension in space], _short(space), strict=True))
    if single:
        arms = [MadeArm(base, None), *_singly(space, names, base, load)]
        return [replace(each, file=base_file) for each in arms]
    cells = list(itertools.islice(_cells(space), MOST_ARMS + 1))
    if len(cells) > MOST_ARMS:
        here = Place(file.path, file.line(("factors",)))
        raise InputError(here.problem(f"factors: give more than {MOST_ARMS} arms; remove some"))
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
    """Yields every combination; a component's parameter is varied only with that component."""
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
            # A slot's component must be set before its parameters.
            yield sorted(cell, key=lambda entry: entry[0].needs is not None)


def level_name(value: Any) -> str:
    """Returns a value as displayed in an arm's name: `dfused`, `0.25`, `dfused(ratio=0.5)`."""
    if isinstance(value, Mapping) and "name" in value:
        params = [f"{k}={level_name(v)}" for k, v in value.items() if k != "name"]
        return f"{value['name']}({','.join(params)})" if params else str(value["name"])
    if isinstance(value, list | tuple) and value and all(_is_block(item) for item in value):
        return "+".join(level_name(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _is_block(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Mapping) and "name" in value)


def _short(space: Sequence[Dimension]) -> list[str]:
    """Returns the shortest suffix of each key that is unique among the keys."""
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
