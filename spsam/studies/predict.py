"""Segmentation of new volumes with trained runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spsam.config.problems import gather, raise_all
from spsam.data.ahead import ahead
from spsam.engine.weights import origin_of
from spsam.errors import InputError, Problem
from spsam.files import draft_of
from spsam.studies.backend import Backend
from spsam.studies.predicted import Predicted, place_problems
from spsam.studies.progress_events import ProgressListener, VolumeLabel
from spsam.studies.prompts.subject import weights_of
from spsam.studies.runs.recipes import read_recipes
from spsam.studies.runs.reference import FoundRuns, by_path, find_runs, unknown

if TYPE_CHECKING:
    from spsam.data.cases import Case
    from spsam.data.files.content import Content
    from spsam.data.preparation.store import PreparedCase
    from spsam.engine.recipe import EnsembleMember, Recipe
    from spsam.model.sam.origin import Origin

__all__ = ["Prediction", "plan_prediction", "predict"]

Naming = Literal["input", "amos"]

LABEL_DESCRIPTION = "itksnap-labels.txt"
"""File with names and colours of the classes, written into every folder of results."""


@dataclass(frozen=True)
class Prediction:
    """A planned prediction.

    Attributes:
        recipes: The recipes of the runs, whose logits are averaged.
        weights: The file with SAM's weights of each run.
        cases: The volumes to segment.
        names: The result's name of each volume.
        output: The folder of results.
        device: The device.
        options: Further keyword arguments of `spsam.engine.segment.segment`.
        notes: Notes for the user.
        finished: Names of results that exist already.
        tiles: Number of tiles per forward pass; labels do not depend on it.
    """

    recipes: Sequence[Recipe]
    weights: Sequence[Path | None]
    cases: Sequence[Case]
    names: Sequence[str]
    output: Path
    device: str
    options: dict[str, Any]
    notes: Sequence[str]
    finished: frozenset[str] = frozenset()
    tiles: int | Literal["auto"] = "auto"

    @property
    def origins(self) -> list[Origin | None]:
        """The origin of each run's SAM weights; None for a network without SAM."""
        pairs = zip(self.recipes, self.weights, strict=True)
        return [origin_of(recipe.config, file) for recipe, file in pairs]

    @property
    def todo(self) -> list[tuple[Case, str]]:
        """The volumes that are not segmented yet, with their results' names."""
        pairs = zip(self.cases, self.names, strict=True)
        return [(case, name) for case, name in pairs if name not in self.finished]

    @property
    def folder(self) -> Predicted:
        """The folder of results and its record."""
        from spsam.data.files.label_description import label_description
        from spsam.engine.segment import file_forms

        first = self.recipes[0]
        shared = {
            LABEL_DESCRIPTION: label_description(first.config.data.class_names, first.raw_ids)
        }
        return Predicted(self.output, self.describe(), file_forms(self.options), shared)

    @property
    def ignore_id(self) -> int | None:
        """The ignore label of the runs' data sets; None unless all have the same."""
        ids = {recipe.config.data.ignore_id for recipe in self.recipes}
        return ids.pop() if len(ids) == 1 else None

    @property
    def members(self) -> list[str]:
        """Descriptions of the runs, each `ARM seed N fold N`."""
        configs = [recipe.config for recipe in self.recipes]
        return [f"{each.arm.name} seed {each.seed} fold {each.data.fold}" for each in configs]

    def describe(self) -> dict[str, Any]:
        """Returns the request as plain values."""
        first = self.recipes[0]
        regions = {
            region.name: [first.raw_ids[k] for k in region.classes]
            for region in first.config.data.regions
        }
        return {
            "runs": [
                _source(recipe, origin)
                for recipe, origin in zip(self.recipes, self.origins, strict=True)
            ],
            "classes": dict(
                zip(
                    map(str, self.recipes[0].raw_ids),
                    self.recipes[0].config.data.class_names,
                    strict=True,
                )
            ),
            **({"regions": regions} if regions else {}),
            **({} if self.ignore_id is None else {"ignore": self.ignore_id}),
            "options": self.options,
        }


def plan_prediction(
    named: Sequence[str],
    *,
    home: Path,
    output: Path,
    sam: Path | None = None,
    device: str = "auto",
    naming: Naming = "input",
    options: dict[str, Any] | None = None,
    tiles: int | Literal["auto"] = "auto",
    plugins: Sequence[Path] = (),
    backend: Backend | None = None,
) -> Prediction:
    """Finds the runs, the volumes and the finished results; images are hashed, not decoded.

    Args:
        named: Runs, each in a form of `spsam.studies.runs.reference.WAYS`, then image files and
            folders.
        home: The folder of all results.
        output: The folder for label maps.
        sam: File with SAM's weights; None: the file recorded by each run.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        naming: `input` names results after the volumes; `amos` uses the names that AMOS22's
            leaderboard requires.
        options: Further keyword arguments of `segment`.
        tiles: Number of tiles per forward pass.
        plugins: Folders with the user's own components that the runs may use.
        backend: The engine.

    Raises:
        InputError: With every problem; also if results and inputs share a folder, or if a file
            that `predict` has not written for the same volume is in a result's place.
    """
    from spsam.data.files.dicom_seg import segmentation_problems
    from spsam.data.sources.beside import shown
    from spsam.data.sources.volumes import left_out, open_volumes
    from spsam.engine.recipe import check_ensemble

    backend = backend or Backend()
    checkpoints, paths, notes = _divide(named, home)
    problems: list[Problem] = []
    recipes, cases = [], []
    chosen = "cpu"
    weights: list[Path | None] = []
    for path in checkpoints:
        with gather(problems):
            for recipe in read_recipes(path, plugins):
                recipes.append(recipe)
                weights.append(weights_of(recipe.config, sam, backend))
    for each in paths:
        with gather(problems):
            _refuse_references(each)
            cases += open_volumes(each)
    with gather(problems):
        chosen = backend.device(device)
    if (options or {}).get("dicom_seg"):
        problems += [each for case in cases for each in segmentation_problems(case.files[0])]
    problems += place_problems(output, paths, cases)
    raise_all(problems)
    check_ensemble(recipes)
    names = [_name(case.id, naming) for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"several volumes would be named {', '.join(twice)}: predict them separately"
        )
    notes += [
        f"{recipe.path}: trained for {recipe.steps} of {recipe.total} steps"
        for recipe in recipes
        if recipe.steps < recipe.total
    ]
    for each in paths:
        if strange := left_out(each):
            notes.append(f"{each}: skipped, since these are not images: {shown(strange)}")
    prediction = Prediction(
        recipes, weights, cases, names, output, chosen, dict(options or {}), notes, tiles=tiles
    )
    found = prediction.folder.finished(dict(zip(names, cases, strict=True)))
    return replace(prediction, finished=frozenset(found))


@dataclass(frozen=True)
class Segmented:
    """The outcome of a prediction.

    Attributes:
        names: Names of the results that exist, including those of earlier calls.
        problems: The reason for each failure.
    """

    names: Sequence[str]
    problems: Sequence[str] = ()


def predict(prediction: Prediction, watch: ProgressListener | None = None) -> Segmented:
    """Segments the remaining volumes; a volume that cannot be read does not stop the others.

    If it ends early, the listener receives the number of finished label maps.
    """
    from spsam.engine.segment import load_member

    watch = watch or ProgressListener()
    todo = prediction.todo
    prediction.folder.tidy()
    for note in prediction.notes:
        watch.warn(note)
    if len(prediction.recipes) > 1:
        watch.say(f"the mean of {len(prediction.recipes)} runs: {', '.join(prediction.members)}")
    if len(todo) < len(prediction.cases):
        watch.say(f"{len(prediction.cases) - len(todo)} volumes are already segmented")
    there = set(prediction.finished)
    folder = prediction.folder
    pairs = zip(prediction.recipes, prediction.weights, strict=True) if todo else ()
    # Before anything is written, since the weights may belong to another network.
    members = [load_member(recipe, sam, prediction.device) for recipe, sam in pairs]
    folder.begin()
    if not todo:
        return _segmented(prediction, there, [])
    failed: list[str] = []
    reading = ahead(partial(_read, prediction.recipes), [case for case, _ in todo])
    try:
        for number, (case, taken) in enumerate(reading):
            name = todo[number][1]
            watch.stage("segmenting", number, len(todo))
            volume = VolumeLabel(number + 1, len(todo), name)
            more = {
                **prediction.options,
                "tiles": prediction.tiles,
                "on_note": watch.warn,
                "on_progress": partial(watch.tiles, volume),
            }
            problems = _attempt(members, case, taken, name, folder, **more)
            if problems:
                watch.warn("\n".join(problems))
                failed += problems
            else:
                there.add(name)
        watch.stage("segmenting", len(todo), len(todo))
    except BaseException:
        count = f"{len(there)} of {len(prediction.cases)}"
        watch.say(f"{folder.folder}: {count} label maps are finished")
        raise
    finally:
        reading.close()
    return _segmented(prediction, there, failed)


def _segmented(prediction: Prediction, there: set[str], problems: Sequence[str]) -> Segmented:
    return Segmented([name for name in prediction.names if name in there], problems)


Read = tuple[tuple["Content", ...], Sequence["PreparedCase"]]
"""Contents of a volume's files, and the volume as prepared for each run."""


def _read(recipes: Sequence[Recipe], case: Case) -> Read:
    from spsam.data.cases import contents_of, guarded
    from spsam.engine.answer import prepare_for

    contents = contents_of(case)
    return contents, prepare_for(recipes, guarded(case, contents))


def _attempt(
    members: Sequence[EnsembleMember],
    case: Case,
    taken: Callable[[], Read],
    name: str,
    folder: Predicted,
    **options: Any,
) -> list[str]:
    """Segments one volume; returns the problems if the volume is the cause."""
    from spsam.data.preparation.bounds import is_out_of_memory

    try:
        _one(members, case, taken, name, folder, **options)
    except InputError as error:
        return [str(problem) for problem in error.problems]
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return [f"{case.id}: not enough memory; close other programs"]
    return []


def _one(
    members: Sequence[EnsembleMember],
    case: Case,
    taken: Callable[[], Read],
    name: str,
    folder: Predicted,
    **options: Any,
) -> None:
    """Segments one volume, and moves all its files into the folder together."""
    from spsam.data.cases import guarded
    from spsam.data.files.content import together
    from spsam.engine.segment import segment

    contents, prepared = taken()
    drafts = draft_of(folder.folder / "predict")
    try:
        case = guarded(case, contents)
        segment(members, case, drafts / name, prepared=prepared, **options)
        folder.add(name, together(contents), drafts)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)


def _refuse_references(path: Path) -> None:
    """Rejects a whole data set, since its label maps would be segmented like its images."""
    from spsam.data.dataset import LAYOUTS
    from spsam.data.sources.beside import entries, stem

    if not path.is_dir() or any(stem(each) and each.is_file() for each in entries(path)):
        return
    for layout in LAYOUTS:
        if layout.recognise(path):
            name = layout.description.split(":")[0]
            message = f"is a data set ({name}) that contains label maps: give its folder of images"
            raise InputError(Problem(f"{message}, or the images themselves", path))


def _divide(named: Sequence[str], home: Path) -> tuple[list[Path], list[Path], list[str]]:
    """Splits the arguments into the runs' files and the following paths; also returns notes."""
    found: list[FoundRuns] = []
    for word in named:
        if found and by_path(word, home) is None and Path(word).expanduser().exists():
            break  # an existing path takes precedence over a run of the same name
        runs = find_runs(word, home)
        if runs is None:
            break
        found.append(runs)
    if not found:
        raise unknown(named[0], named[0], home)
    if len(found) == len(named):
        raise InputError("expected volumes after the runs: image files, or folders of them")
    files = [file for runs in found for file in runs.files]
    paths = [Path(word).expanduser() for word in named[len(found) :]]
    return files, paths, [note for runs in found for note in runs.notes]


def _name(case_id: str, naming: Naming) -> str:
    if naming == "input":
        return case_id
    number = re.search(r"(\d+)$", case_id)
    if number is None:
        raise InputError(f"--naming amos: {case_id} does not end in a number")
    return f"amos_{int(number[1]):04d}"


def _source(recipe: Recipe, origin: Origin | None) -> dict[str, Any]:
    from spsam.config.identity import run_id

    config = recipe.config
    return {
        "run_id": run_id(config),
        "arm": config.arm.name,
        "steps": recipe.steps,
        "checkpoint": recipe.sha256[:16],
        # Without the file's name, which may differ when the work is resumed.
        "weights": None if origin is None else {**origin.to_dict(), "file": None},
    }
