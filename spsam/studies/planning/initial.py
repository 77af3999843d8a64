"""Initial weights of arms from the trained run that `--init-from` specifies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.engine.initial import InitialBlocks, initial_blocks, read_trained
from spsam.errors import InputError
from spsam.studies.backend import Backend
from spsam.studies.runs.reference import LATEST, FoundRuns, find_runs, unknown

if TYPE_CHECKING:
    from spsam.config.schema import ArmConfig
    from spsam.data.plan import Plan
    from spsam.engine.recipe import Recipe
    from spsam.studies.planning.inputs import StudyInputs

_OPTION = "--init-from "


class InitialRuns:
    """The trained runs with a given name; they are read once for all arms.

    Args:
        word: The runs, in one of the forms of `spsam.studies.runs.reference.WAYS`.
        home: The folder of all results.
        plugins: Folders with components that the user trusts.
    """

    def __init__(self, word: str, home: Path, plugins: Sequence[Path]) -> None:
        self._word, self._home, self._plugins = word, home, plugins

    def of(
        self, arm: ArmConfig, fold: int, plan: Plan, inputs: StudyInputs, backend: Backend
    ) -> InitialBlocks:
        """Returns the blocks with which an arm is initialised on a fold.

        Raises:
            InputError: If the run does not exist, has a different network or no suitable block, or
                was trained on cases that the fold scores.
        """
        number, recipe = self._run(fold)
        unfair = _seen(recipe, inputs, fold, validated=arm.train.validate_every > 0)
        shapes = backend.trained_shapes(arm, inputs.dataset, plan)
        found = initial_blocks(recipe, number, arm, shapes, inputs.dataset.num_classes)
        notes = [*self._found.notes, *unfair, *_notes(found, arm, recipe, inputs)]
        if self._word == LATEST:
            source_id = found.source["run_id"]
            notes.append(
                f"{_OPTION}{LATEST} is currently run {source_id}; give this id to resume, since "
                "another run may be the latest by then"
            )
        return replace(found, notes=tuple(notes))

    def _run(self, fold: int) -> tuple[int, Recipe]:
        """Returns the only run, or else the one of the fold, with its index in its file."""
        runs = self._recipes
        if len(runs) == 1:
            return runs[0]
        same = [(number, run) for number, run in runs if run.config.data.fold == fold]
        if len(same) != 1:
            raise InputError(
                f"{_OPTION}{self._word}: found {len(runs)} runs; expected one, or one for fold "
                f"{fold}; select one (STUDY/ARM/SEED/FOLD)"
            )
        return same[0]

    @cached_property
    def _recipes(self) -> list[tuple[int, Recipe]]:
        files = self._found.files
        runs = [list(enumerate(read_trained(file, self._plugins))) for file in files]
        return [run for some in runs for run in some]

    @cached_property
    def _found(self) -> FoundRuns:
        found = find_runs(self._word, self._home)
        if found is None:
            raise unknown(f"{_OPTION}{self._word}", self._word, self._home)
        return found


def _notes(found: InitialBlocks, arm: ArmConfig, recipe: Recipe, inputs: StudyInputs) -> list[str]:
    """Returns notes on which blocks are taken over, and on differences between the two runs."""
    notes = [f"{arm.name} is initialised with {found.words}"]
    if found.left:
        left = "; ".join(f"{name}: {reason}" for name, reason in found.left.items())
        notes.append(f"{arm.name} initialises the rest as usual: {left}")
    theirs, ours = recipe.config.data.class_names[1:], inputs.dataset.class_names[1:]
    if len(theirs) == len(ours) and theirs != ours:
        notes.append(
            f"classes of the trained run are {', '.join(theirs)}, here {', '.join(ours)}: the "
            "weights of each class initialise the class at the same position"
        )
    if recipe.steps < recipe.total:
        notes.append(f"{recipe.path}: trained for {recipe.steps} of {recipe.total} steps")
    return notes


def _seen(recipe: Recipe, inputs: StudyInputs, fold: int, *, validated: bool) -> list[str]:
    """Returns a note if the trained run may have been trained on cases that are scored.

    Raises:
        InputError: If it was.
    """
    data, split = recipe.config.data, inputs.splits[fold]
    if data.fingerprint != inputs.dataset.fingerprint or data.split_hash == split.hash:
        return []
    if not recipe.training:
        return [
            f"the trained run used another split of {data.name}: it may have been trained on cases "
            "that are scored here"
        ]
    scored = {*split.test, *(split.val if validated else ())}
    both = sorted(scored & {*recipe.training})
    if both:
        shown = ", ".join(both[:3]) + (", …" if len(both) > 3 else "")
        raise InputError(
            f"--init-from: the trained run was trained on {len(both)} of the cases that fold "
            f"{fold} scores ({shown}); use a run of the same split and fold, or another split"
        )
    return []
