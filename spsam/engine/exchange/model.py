"""An exported model: all that `spsam predict` requires of trained runs, except SAM's weights.

Information on this machine and on cases is removed from configurations: folders of plugins, the
path of SAM's weights, and the training cases in the plan of a CT data set. None of it affects a
network's output or the run id.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from spsam import __version__
from spsam.config.identity import run_id
from spsam.config.numbers import LARGEST
from spsam.config.schema import RunConfig
from spsam.data.plan import Plan
from spsam.engine.checkpoint import digest
from spsam.engine.exchange.archive import Archive, write_archive
from spsam.engine.recipe import Recipe, recipe_of
from spsam.errors import InputError, Problem
from spsam.text.colours import class_colour

KIND, VERSION = "spsam model", 1
CARD, LICENCE = "README.md", "LICENCE.txt"
PLUGINS = "plugins/"

_PATH = re.compile(r"/|~|\\\\|[A-Za-z]:[\\/]")
_LABELS = ("title", "summary")
_MOST_RUNS = 100
_LARGEST_SIDE = 4096
_STATISTICS = ("low", "high", "mean", "std")


@dataclass(frozen=True)
class Model:
    """An exported model.

    Attributes:
        recipes: Descriptions of the runs.
        summary: Mean scores, one mapping per class and metric: class_name, metric, convention,
            mean, std, n.
        plugins: SHA-256 of each included file with the author's own components. The files are data
            and are never imported.
    """

    recipes: Sequence[Recipe]
    summary: Sequence[Mapping[str, Any]]
    plugins: Mapping[str, str] = field(default_factory=dict)


def write_model(
    path: Path,
    recipes: Sequence[Recipe],
    *,
    card: str,
    licence: str,
    summary: Sequence[Mapping[str, Any]],
    weights: Sequence[Mapping[str, Any] | None],
    plugins: Mapping[str, bytes],
) -> None:
    """Writes runs with the same classes to one file.

    Args:
        path: The file, `.zip`.
        recipes: Descriptions of the runs.
        card: Model card for readers, Markdown.
        licence: Note on the licence.
        summary: See `Model`.
        weights: Origin of each run's SAM, as `Origin.to_dict`; None for a network without SAM.
        plugins: Files with the author's own components, by names below `PLUGINS`.

    Raises:
        InputError: If a configuration contains a path of this machine.
        SpsamError: If the disk is full or not writable.
    """
    members: dict[str, bytes] = {CARD: card.encode("utf-8"), LICENCE: licence.encode("utf-8")}
    members |= {PLUGINS + name: content for name, content in plugins.items()}
    runs = []
    problems: list[Problem] = []
    for number, (recipe, origin) in enumerate(zip(recipes, weights, strict=True)):
        name = f"runs/{number}/blocks.safetensors"
        members[name] = save({k: v.detach().cpu().clone() for k, v in recipe.blocks.items()})
        told = _told(recipe, origin)
        problems += [
            Problem(f"{key}: is a path of this machine, which an exported model must not contain: "
                    f"{text}", recipe.path)
            for key, text in paths_in(told)
        ]  # fmt: skip
        members[f"runs/{number}/run.json"] = (json.dumps(told, indent=1) + "\n").encode("utf-8")
        runs.append({"folder": f"runs/{number}", "blocks": name, "run_id": told["run_id"]})
    if problems:
        raise InputError(problems)
    first = recipes[0]
    names = first.config.data.class_names
    classes = [
        {"id": raw_id, "name": name, "colour": class_colour(number)}
        for number, (raw_id, name) in enumerate(zip(first.raw_ids, names, strict=True))
    ]
    about = {
        "kind": KIND, "version": VERSION, "spsam": __version__, "classes": classes, "runs": runs,
        "summary": list(summary),
    }  # fmt: skip
    write_archive(path, about, members)


def read_model(path: Path, plugins: Sequence[Path] = ()) -> Model:
    """Reads and verifies an exported model.

    Args:
        path: The file.
        plugins: Folders with components that the user trusts; components in the file are ignored.

    Raises:
        InputError: If the file is missing, damaged or of a later version, or one of its components
            is not available.
    """
    archive = Archive(path)
    about = archive.about
    if about.get("kind") != KIND or about.get("version") != VERSION:
        message = f"is version {about.get('version')} of {about.get('kind')!r}: this spsam reads"
        raise InputError(Problem(f"{message} version {VERSION} of {KIND!r}; update spsam", path))
    try:
        runs = [(str(run["folder"]), str(run["blocks"])) for run in about["runs"]]
        summary = [dict(line) for line in about["summary"]]
        files = {str(name): str(each["sha256"]) for name, each in about["files"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(Problem("its description is damaged", path)) from error
    if not 1 <= len(runs) <= _MOST_RUNS:
        raise InputError(Problem(f"contains {len(runs)} runs, expected 1 to {_MOST_RUNS}", path))
    recipes = [
        _read_run(archive, path, f"{folder}/run.json", blocks, plugins) for folder, blocks in runs
    ]
    carried = {name: hash_ for name, hash_ in files.items() if name.startswith(PLUGINS)}
    return Model(recipes, summary, carried)


def shareable(config: RunConfig) -> RunConfig:
    """Removes folders and files of this machine from a configuration; the run id stays the same."""
    backbone = config.arm.backbone.model_copy(update={"checkpoint": None})
    arm = config.arm.model_copy(update={"plugins": (), "backbone": backbone})
    shared = config.model_copy(update={"arm": arm, "preset": Path(config.preset).stem})
    assert run_id(shared) == run_id(config)
    return shared


def paths_in(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Finds strings that begin like an absolute path, except in titles and summaries.

    Args:
        value: Nested plain values.
        key: Key of the value.

    Yields:
        (key, string) of each path.
    """
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in _LABELS:
                yield from paths_in(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from paths_in(item, f"{key}[{index}]")
    elif isinstance(value, str) and _PATH.match(value):
        yield key, value


def _told(recipe: Recipe, origin: Mapping[str, Any] | None) -> dict[str, Any]:
    config = shareable(recipe.config)
    return {
        "run_id": run_id(config),
        "config": config.model_dump(mode="json"),
        # Without the ids of the training cases; their statistics are in `intensities`.
        "plan": replace(recipe.plan, training=()).to_dict(),
        "raw_ids": list(recipe.raw_ids),
        "intensities": recipe.intensities,
        "steps": recipe.steps,
        "best_epoch": recipe.best_epoch,
        # The hash of the weights, which identifies the run of a prediction, depends on this order.
        "blocks": list(recipe.blocks),
        "blocks_sha256": recipe.sha256,
        "weights": None if origin is None else {**origin, "file": None},
    }


def _read_run(
    archive: Archive, path: Path, name: str, blocks: str, plugins: Sequence[Path]
) -> Recipe:
    told = archive.read_json(name)
    weights = _read_blocks(archive.read(blocks), path, blocks)
    try:
        ordered = {str(key): weights[key] for key in told["blocks"]}
        if len(ordered) != len(weights) or digest(ordered) != told["blocks_sha256"]:
            raise InputError(Problem(f"its member {blocks} does not belong to {name}", path))
        recipe = recipe_of(
            path,
            config=told["config"],
            plan=Plan.from_dict(told["plan"]),
            raw_ids=tuple(int(each) for each in told["raw_ids"]),
            intensities=told["intensities"],
            blocks=ordered,
            steps=int(told["steps"]),
            best_epoch=None if told.get("best_epoch") is None else int(told["best_epoch"]),
            plugins=plugins,
        )
        _check(recipe)
        return recipe
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"its member {name} was written by another version of spsam or is damaged ({why})"
        raise InputError(Problem(message, path)) from error


def _check(recipe: Recipe) -> None:
    """Validates the values that are not covered by a schema.

    Raises:
        ValueError: If a value is wrong.
    """
    plan, data, statistics = recipe.plan, recipe.config.data, recipe.intensities
    lengths = (*plan.spacing, *plan.patch_size)
    rules = {
        "plan.depth_axis": plan.depth_axis in (0, 1, 2),
        "plan.spacing": len(plan.spacing) == 3 and all(map(_is_length, lengths)),
        "plan.patch_size": len(plan.patch_size) == 3
        and all(isinstance(side, int) and side <= _LARGEST_SIDE for side in plan.patch_size),
        "plan.orientation": re.fullmatch("[LRAPIS]{3}|", plan.orientation) is not None,
        "plan.modality": plan.modality in ("MR", "CT"),
        "class_names": len(data.class_names) == data.num_classes,
        "raw_ids": len(set(recipe.raw_ids)) == data.num_classes
        and all(0 <= each <= LARGEST for each in recipe.raw_ids),
        "regions": all(
            region.classes and max(region.classes) < data.num_classes for region in data.regions
        ),
        "intensities": statistics is None
        or (
            len(statistics) == data.in_channels
            and all(math.isfinite(each[key]) for each in statistics for key in _STATISTICS)
        ),
        "steps": recipe.steps >= 0,
        "best_epoch": recipe.best_epoch is None or recipe.best_epoch >= 0,
    }
    wrong = [name for name, kept in rules.items() if not kept]
    if wrong:
        raise ValueError(f"wrong values: {', '.join(wrong)}")


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _read_blocks(content: bytes, path: Path, name: str) -> dict[str, Tensor]:
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(Problem(f"its member {name} has no weights: {error}", path)) from error
