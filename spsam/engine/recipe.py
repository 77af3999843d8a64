"""Description of a trained run, as read from its checkpoint or from an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from spsam.config.identity import as_of_then, canonical_json
from spsam.config.schema import RunConfig
from spsam.data.plan import Plan
from spsam.engine.checkpoint import digest, last_sound, result_of
from spsam.errors import InputError, Problem
from spsam.model.networks.base import Network
from spsam.registry.trust import with_plugins
from spsam.text.json_text import parse_json


@dataclass(frozen=True)
class Recipe:
    """Description of a run in its checkpoint.

    Attributes:
        path: The checkpoint.
        config: The run's configuration.
        plan: Patch size and grid.
        raw_ids: The id in label files for each class.
        intensities: Intensity statistics of the training cases, for CT.
        blocks: The trained weights that result from the run.
        steps: Number of steps of the schedule after which the weights were saved.
        best_epoch: Epoch, from 0, after which the weights had the best validation score; None for
            the weights of the last step.
        training: Training cases; empty if they are not recorded, as in exported models.
    """

    path: Path
    config: RunConfig
    plan: Plan
    raw_ids: tuple[int, ...]
    intensities: Any
    blocks: dict[str, Tensor]
    steps: int
    best_epoch: int | None = None
    training: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of steps of the schedule."""
        return self.config.arm.train.steps

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the trained weights."""
        return digest(self.blocks)


@dataclass(frozen=True)
class EnsembleMember:
    """A trained network and the description of its run."""

    recipe: Recipe
    network: Network


def read_recipe(path: Path, plugins: Sequence[Path] = ()) -> Recipe:
    """Reads a checkpoint, which does not contain SAM's weights.

    Args:
        path: The checkpoint.
        plugins: Folders with components that the user trusts; folders named in the file are
            ignored.

    Raises:
        InputError: If the checkpoint is missing or damaged, its version does not describe the run,
            or one of its components is not available.
    """
    state, _, broken = last_sound(path)
    if state is None:
        lines = broken or [f"{path}: there is no such checkpoint"]
        advice = "; copy it again from where it was trained" if broken else ""
        raise InputError([Problem(line + advice) for line in lines])
    if "about" not in state or "config" not in state["about"]:
        raise InputError(
            Problem(
                "the checkpoint of the first version does not describe its run: train again", path
            )
        )
    about = state["about"]
    try:
        return recipe_of(
            path,
            config=parse_json(about["config"]),
            plan=Plan.from_dict(about["plan"]),
            raw_ids=tuple(about["raw_ids"]),
            intensities=about["intensities"],
            blocks=result_of(state),
            steps=int(state["progress"]["steps"]),
            best_epoch=int(state["best"]["epoch"]) if "best" in state else None,
            training=tuple(map(str, about.get("training", ()))),
            plugins=plugins,
        )
    except (ValueError, TypeError, KeyError) as error:
        why = str(error).splitlines()[0]
        message = f"the checkpoint was written by another version of spsam ({why}): train again"
        raise InputError(Problem(message, path)) from error


def recipe_of(path: Path, *, config: Any, plugins: Sequence[Path], **rest: Any) -> Recipe:
    """Builds a recipe from a stored configuration.

    Args:
        path: The file that contains the configuration.
        config: Plain values.
        plugins: Folders with components that the user trusts.
        rest: The other attributes of `Recipe`.

    Raises:
        InputError: If a component is not available.
        ValueError: If the values are not a configuration.
    """
    stored = canonical_json(as_of_then(config))
    allowed = with_plugins(RunConfig.model_validate_json(stored), plugins, path)
    return Recipe(path, allowed, **rest)


def check_ensemble(recipes: Sequence[Recipe]) -> None:
    """Verifies that the logits of several runs can be averaged.

    Raises:
        InputError: With every difference.
    """
    first = recipes[0]
    problems = []
    for other in recipes[1:]:
        ours, theirs = first.config.data, other.config.data
        for name, one, two in (
            ("classes", ours.class_names, theirs.class_names),
            ("label ids", first.raw_ids, other.raw_ids),
            ("regions", *({x.name: x.classes for x in data.regions} for data in (ours, theirs))),
            ("channels", ours.in_channels, theirs.in_channels),
            (
                "inference.keep_largest",
                *(each.config.arm.inference.keep_largest for each in (first, other)),
            ),
        ):
            if one != two:
                message = f"cannot be averaged with {first.path}: {name} {two}, expected {one}"
                problems.append(Problem(message, other.path))
    if problems:
        raise InputError(problems)
