"""New volumes, segmented by trained runs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spsam.config.problems import gather, raise_all
from spsam.errors import InputError, Problem, nearest
from spsam.files import write_text
from spsam.studies.backend import Backend
from spsam.studies.progress_events import Watcher
from spsam.studies.prompts.subject import weights_of

if TYPE_CHECKING:
    from spsam.data.cases import Case
    from spsam.engine.segment import Recipe

RECORD = "predict.json"
Naming = Literal["input", "amos"]


@dataclass(frozen=True)
class Prediction:
    """What is asked for, checked.

    Attributes:
        recipes: The runs, whose logits are averaged.
        weights: SAM's, for each run.
        cases: What is segmented.
        names: The result's name for each case.
        output: The folder of results.
        device: Where it computes.
        options: Further keywords of `spsam.engine.segment.segment`.
        notes: What the user should know.
    """

    recipes: Sequence[Recipe]
    weights: Sequence[Path | None]
    cases: Sequence[Case]
    names: Sequence[str]
    output: Path
    device: str
    options: dict[str, Any]
    notes: Sequence[str]

    @property
    def todo(self) -> list[tuple[Case, Path]]:
        """What is not segmented yet, and its files' name."""
        pairs = zip(self.cases, self.names, strict=True)
        files = [(case, self.output / name) for case, name in pairs]
        return [(case, name) for case, name in files if not _label_map(name).is_file()]

    def describe(self) -> dict[str, Any]:
        """The request as plain values."""
        return {
            "runs": [_source(recipe) for recipe in self.recipes],
            "classes": dict(
                zip(
                    map(str, self.recipes[0].raw_ids),
                    self.recipes[0].config.data.class_names,
                    strict=True,
                )
            ),
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
    backend: Backend | None = None,
) -> Prediction:
    """Finds runs and volumes; reads no image yet.

    Args:
        named: Runs first (folder, checkpoint file or id below `home`), then files and folders.
        home: The folder of all results.
        output: Where label maps go.
        sam: SAM's weights; None takes those that the runs name.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        naming: `input`, as the volume is called; `amos`, as AMOS22's leaderboard wants it.
        options: Further keywords of `segment`.
        backend: The engine.

    Raises:
        InputError: With every mistake.
    """
    from spsam.data.files.dicom_seg import segmentation_problems
    from spsam.data.sources.volumes import open_volumes
    from spsam.engine.segment import check_ensemble, read_recipe

    backend = backend or Backend()
    checkpoints, paths = _divide(named, home)
    problems: list[Problem] = []
    recipes, cases = [], []
    chosen = "cpu"
    weights: list[Path | None] = []
    for path in checkpoints:
        with gather(problems):
            recipe = read_recipe(path)
            recipes.append(recipe)
            weights.append(weights_of(recipe.config, sam, backend))
    for each in paths:
        with gather(problems):
            cases += open_volumes(each)
    with gather(problems):
        chosen = backend.device(device)
    if (options or {}).get("dicom_seg"):
        problems += [each for case in cases for each in segmentation_problems(case.files[0])]
    raise_all(problems)
    check_ensemble(recipes)
    names = [_name(case.id, naming) for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two volumes would be called {', '.join(twice)}: predict them apart")
    notes = [
        f"{recipe.path}: trained for {recipe.steps} of {recipe.total} steps"
        for recipe in recipes
        if recipe.steps < recipe.total
    ]
    prediction = Prediction(
        recipes, weights, cases, names, output, chosen, dict(options or {}), notes
    )
    _check_output(prediction)
    return prediction


def predict(prediction: Prediction, watch: Watcher | None = None) -> list[str]:
    """Segments what is not segmented yet; a volume that cannot be read does not stop the others.

    Returns:
        A sentence for every volume that failed.
    """
    from spsam.engine.segment import load_member, segment

    watch = watch or Watcher()
    todo = prediction.todo
    for note in prediction.notes:
        watch.warn(note)
    if len(todo) < len(prediction.cases):
        watch.say(f"{len(prediction.cases) - len(todo)} volumes were segmented before")
    if not todo:
        return []
    members = [
        load_member(recipe, sam, prediction.device)
        for recipe, sam in zip(prediction.recipes, prediction.weights, strict=True)
    ]
    text = json.dumps(prediction.describe(), indent=2)
    write_text(prediction.output / RECORD, text + "\n")
    failed: list[str] = []
    for number, (case, name) in enumerate(todo):
        watch.stage("segmenting", number, len(todo))
        try:
            segment(members, case, name, on_note=watch.warn, **prediction.options)
        except InputError as error:
            failed += [str(problem) for problem in error.problems]
            watch.warn(str(error))
        except MemoryError:
            failed.append(f"{case.id}: there is not enough memory for it; close other programs")
            watch.warn(failed[-1])
    watch.stage("segmenting", len(todo), len(todo))
    return failed


def _divide(named: Sequence[str], home: Path) -> tuple[list[Path], list[Path]]:
    """Checkpoints of the runs that are named first, and the paths that follow."""
    checkpoints: list[Path] = []
    for word in named:
        found = _checkpoint(word, home)
        if found is None:
            break
        checkpoints.append(found)
    paths = [Path(word).expanduser() for word in named[len(checkpoints) :]]
    if not checkpoints:
        runs = home / "runs"
        known = [file.parent.name for file in runs.glob("*/checkpoint.pt")]
        raise InputError(
            f"{named[0]}: expected a trained run first: its folder, its checkpoint.pt, or an id "
            f"of {runs}{nearest(named[0], known)}"
        )
    if not paths:
        raise InputError("expected volumes after the runs: image files, or folders of them")
    return checkpoints, paths


def _checkpoint(word: str, home: Path) -> Path | None:
    path = Path(word).expanduser()
    if path.suffix == ".pt":
        return path
    for folder in (path, home / "runs" / word):
        if (folder / "checkpoint.pt").is_file() or (folder / "checkpoint.previous.pt").is_file():
            return folder / "checkpoint.pt"
    return None


def _name(case_id: str, naming: Naming) -> str:
    if naming == "input":
        return case_id
    number = re.search(r"(\d+)$", case_id)
    if number is None:
        raise InputError(f"--naming amos: {case_id} does not end in a number")
    return f"amos_{int(number[1]):04d}"


def _label_map(name: Path) -> Path:
    return name.with_name(name.name + ".nii.gz")


def _source(recipe: Recipe) -> dict[str, Any]:
    from spsam.config.identity import run_id

    config = recipe.config
    return {"run_id": run_id(config), "arm": config.arm.name, "steps": recipe.steps}


def _check_output(prediction: Prediction) -> None:
    """What is there already must be of the same runs, or a folder would hold a mixture."""
    record = prediction.output / RECORD
    if prediction.output.exists() and not prediction.output.is_dir():
        raise InputError(Problem("expected a folder for --output, this is a file", record.parent))
    if not record.is_file():
        return
    try:
        said = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        said = None
    if said != json.loads(json.dumps(prediction.describe())):
        raise InputError(
            Problem(
                "the folder holds predictions of other runs or options: choose another --output, "
                "or remove it",
                prediction.output,
            )
        )
