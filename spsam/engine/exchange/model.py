"""An exported model: what `spsam predict` needs of trained runs, without SAM's own weights.

Configurations lose what is this machine's or names a case: the folders of plugins, the path of
SAM's weights, and the list of training cases that the plan of a CT data set has. None of it is part
of what a network computes, nor of the run's identity.
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
from spsam.engine.segment import Recipe, recipe_of
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
    """An exported model as it was read.

    Attributes:
        recipes: Of the runs.
        summary: Means of their scores, a mapping a class and metric: class_name, metric,
            convention, mean, std, n.
        plugins: The files of components of the author's own that it carries, with their sha-256;
            they are data, and never imported.
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
    """Writes runs of the same classes into one file.

    Args:
        path: The file, `.zip`.
        recipes: Of the runs.
        card: What a reader must know, Markdown.
        licence: The note on the licence.
        summary: See `Model`.
        weights: Where each run's SAM comes from, as `Origin.to_dict`; None for one without SAM.
        plugins: Files of the author's own components, by their names below `PLUGINS`.

    Raises:
        InputError: If a configuration holds a path of this machine.
        SpsamError: If the disk is full or protected.
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
            Problem(f"{key}: is a path of this machine, which a model to give away must not hold: "
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
    """Reads an exported model with every check.

    Args:
        path: The file.
        plugins: Folders whose components the user allows; those in the file count nothing.

    Raises:
        InputError: If it is missing, damaged, of a later version, or has a component that is not
            at hand.
    """
    archive = Archive(path)
    about = archive.about
    if about.get("kind") != KIND or about.get("version") != VERSION:
        message = f"is of version {about.get('version')} of {about.get('kind')!r}: this spsam reads"
        raise InputError(Problem(f"{message} version {VERSION} of {KIND!r}; install a later", path))
    try:
        runs = [(str(run["folder"]), str(run["blocks"])) for run in about["runs"]]
        summary = [dict(line) for line in about["summary"]]
        files = {str(name): str(each["sha256"]) for name, each in about["files"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(Problem("its description is damaged", path)) from error
    if not 1 <= len(runs) <= _MOST_RUNS:
        raise InputError(Problem(f"holds {len(runs)} runs: expected 1 to {_MOST_RUNS}", path))
    recipes = [
        _read_run(archive, path, f"{folder}/run.json", blocks, plugins) for folder, blocks in runs
    ]
    carried = {name: hash_ for name, hash_ in files.items() if name.startswith(PLUGINS)}
    return Model(recipes, summary, carried)


def shareable(config: RunConfig) -> RunConfig:
    """A configuration without folders and files of this machine; its identity is the same."""
    backbone = config.arm.backbone.model_copy(update={"checkpoint": None})
    arm = config.arm.model_copy(update={"plugins": (), "backbone": backbone})
    shared = config.model_copy(update={"arm": arm, "preset": Path(config.preset).stem})
    assert run_id(shared) == run_id(config)
    return shared


def paths_in(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Texts that begin as an absolute path does, each with its key; titles may."""
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
        # Names of cases; what they stand for is in `intensities`.
        "plan": replace(recipe.plan, training=()).to_dict(),
        "raw_ids": list(recipe.raw_ids),
        "intensities": recipe.intensities,
        "steps": recipe.steps,
        "best_epoch": recipe.best_epoch,
        # The order decides the hash of the weights, by which predictions know their runs.
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
            raise InputError(Problem(f"its member {blocks} is of another run than {name}", path))
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
        message = f"its member {name} is of another version of spsam, or damaged ({why})"
        raise InputError(Problem(message, path)) from error


def _check(recipe: Recipe) -> None:
    """Whether the values that no schema describes are what they should be.

    Raises:
        ValueError: If not.
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
        raise ValueError(f"wrong values of {', '.join(wrong)}")


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _read_blocks(content: bytes, path: Path, name: str) -> dict[str, Tensor]:
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(Problem(f"its member {name} holds no weights: {error}", path)) from error
