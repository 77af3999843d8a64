"""The run that `--init-from` names, and what arms take of it."""

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
    from spsam.engine.segment import Recipe
    from spsam.studies.planning.inputs import StudyInputs

_OPTION = "--init-from "


class InitialRuns:
    """The trained runs that a name stands for; read once for all arms.

    Args:
        word: A run, as `spsam.studies.runs.reference.WAYS` has it.
        home: The folder of all results.
        plugins: Folders whose components the user allows.
    """

    def __init__(self, word: str, home: Path, plugins: Sequence[Path]) -> None:
        self._word, self._home, self._plugins = word, home, plugins

    def of(
        self, arm: ArmConfig, fold: int, plan: Plan, inputs: StudyInputs, backend: Backend
    ) -> InitialBlocks:
        """What an arm takes on a fold.

        Raises:
            InputError: If there is no such run, it has another network, nothing of it can be
                taken, or it was trained on cases that the fold scores.
        """
        number, recipe = self._run(fold)
        unfair = _seen(recipe, inputs, fold, validated=arm.train.validate_every > 0)
        shapes = backend.trained_shapes(arm, inputs.dataset, plan)
        found = initial_blocks(recipe, number, arm, shapes, inputs.dataset.num_classes)
        notes = [*self._found.notes, *unfair, *_notes(found, arm, recipe, inputs)]
        if self._word == LATEST:
            source_id = found.source["run_id"]
            notes.append(
                f"{_OPTION}{LATEST} is run {source_id} now; give that id to resume, since another "
                "run may be the latest by then"
            )
        return replace(found, notes=tuple(notes))

    def _run(self, fold: int) -> tuple[int, Recipe]:
        """The run for a fold, with its number in its file: the only one, or that of the fold."""
        runs = self._recipes
        if len(runs) == 1:
            return runs[0]
        same = [(number, run) for number, run in runs if run.config.data.fold == fold]
        if len(same) != 1:
            raise InputError(
                f"{_OPTION}{self._word}: these are {len(runs)} runs, expected one, or one for fold "
                f"{fold}; name one (STUDY/ARM/SEED/FOLD)"
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
    """What is taken and what is not, and in what the two runs differ."""
    notes = [f"{arm.name} begins with {found.words}"]
    if found.left:
        left = "; ".join(f"{name}: {reason}" for name, reason in found.left.items())
        notes.append(f"{arm.name} begins as usual with {left}")
    theirs, ours = recipe.config.data.class_names[1:], inputs.dataset.class_names[1:]
    if len(theirs) == len(ours) and theirs != ours:
        notes.append(
            f"classes of the trained run are {', '.join(theirs)}, here {', '.join(ours)}: weights "
            "of a class become those of the class in its place"
        )
    if recipe.steps < recipe.total:
        notes.append(f"{recipe.path}: trained for {recipe.steps} of {recipe.total} steps")
    return notes


def _seen(recipe: Recipe, inputs: StudyInputs, fold: int, *, validated: bool) -> list[str]:
    """What there is to say where the trained run may have learnt from cases that are scored.

    Raises:
        InputError: If it did.
    """
    data, split = recipe.config.data, inputs.splits[fold]
    if data.fingerprint != inputs.dataset.fingerprint or data.split_hash == split.hash:
        return []
    if not recipe.training:
        return [
            f"the trained run has another split of {data.name}: it may have been trained on cases "
            "that are scored here"
        ]
    scored = {*split.test, *(split.val if validated else ())}
    both = sorted(scored & {*recipe.training})
    if both:
        shown = ", ".join(both[:3]) + (", …" if len(both) > 3 else "")
        raise InputError(
            f"--init-from: the trained run has learnt from {len(both)} of the cases that fold "
            f"{fold} scores ({shown}); take a run of the same split and fold, or another split"
        )
    return []
