"""Planning of `spsam view`, and writing its pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.config.problems import gather, raise_all
from spsam.errors import InputError, Problem, nearest
from spsam.reporting.page.cases import CASES
from spsam.reporting.report import FOLDER
from spsam.reporting.study_description import STUDY_FILE
from spsam.reporting.study_reader import read_study
from spsam.reporting.tables.study import StudyResults
from spsam.reporting.view.niivue import Library, read_library
from spsam.reporting.view.page import write_view
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.progress_events import ProgressListener
from spsam.studies.prompts.subject import dataset_of
from spsam.studies.runs.listing import read_config
from spsam.studies.runs.reference import find_run, find_runs
from spsam.studies.viewing.folders import FoldersView, is_predicted, open_references
from spsam.studies.viewing.runs import RunsView
from spsam.text.file_name import file_name

if TYPE_CHECKING:
    from spsam.data.cases import Case


@dataclass(frozen=True)
class Viewing:
    """A planned view.

    Attributes:
        source: Runs, or folders of predictions.
        cases: Names of the cases to show.
        save: The folder for the pages, one per case.
        library: NiiVue.
    """

    source: RunsView | FoldersView
    cases: Sequence[str]
    save: Path
    library: Library

    @property
    def files(self) -> list[Path]:
        """The pages, in the order of the cases."""
        return [self.save / f"{file_name(case)}.html" for case in self.cases]


def plan_view(
    named: Sequence[str],
    *,
    home: Path,
    cases: Sequence[str] | None = None,
    save: Path | None = None,
    data: str | None = None,
    images: Path | None = None,
    references: Path | None = None,
    prompts: bool = True,
    checkpoint: Path | None = None,
    device: str = "auto",
    plugins: Sequence[Path] = (),
    backend: Backend | None = None,
) -> Viewing:
    """Finds the label maps to show; opens the data set without reading volumes.

    Args:
        named: A study, runs (as for `find_run`) or folders of `spsam predict`, then cases. Default
            cases: for runs the worst, the median and the best, for folders the first three.
        home: The folder of all results.
        cases: Cases in addition to those in `named`.
        save: The folder for the pages. None: `view/` in the last folder of `named`, or a study's
            `report/cases/`.
        data: The data set of the runs; None if it is a built-in one.
        images: The scans of the folders.
        references: Reference label maps for the folders.
        prompts: Whether to show the networks' own prompts.
        checkpoint: SAM's weights, for the prompts; None: the file recorded by each run.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        plugins: Folders with the user's own components that the runs may use.
        backend: The engine.

    Raises:
        InputError: With every problem: nothing to show, unknown cases, or data other than the
            runs' own.
    """
    backend = backend or Backend()
    library = read_library()
    if not named:
        raise InputError("expected a study, runs, or folders of predictions")
    kinds = [_kind(word, home) for word in named]
    count = next((i for i, kind in enumerate(kinds) if kind is None), len(kinds))
    places, wanted = named[:count], [*named[count:], *(cases or ())]
    if not places:
        find_run(named[0], home, "")  # raises the error that lists the expected forms
    if len(set(kinds[:count])) > 1:
        raise InputError(f"{', '.join(places)}: expected a study, runs, or folders of predictions")
    source: RunsView | FoldersView
    if kinds[0] == "folder":
        source, place = _folders([Path(each) for each in places], images, references)
    else:
        study = kinds[0] == "study"
        runs, place = _study(places, home) if study else _runs(places, home)
        config = read_config(runs[-1][1])
        dataset = dataset_of(runs[-1][1], config, data)
        problems: list[Problem] = []
        for _, run in runs[:-1]:
            theirs = read_config(run).data.fingerprint
            if theirs != dataset.fingerprint:
                problems.append(Problem("has other data than the last run", run.path))
        raise_all(problems)
        source = RunsView(
            dict(runs), dataset, prompts, checkpoint, backend.device(device), plugins, backend
        )
    chosen = list(dict.fromkeys(wanted)) or source.default()
    known = source.known
    raise_all(
        [
            Problem(f"there is no case '{each}' to show{nearest(each, known)}")
            for each in chosen
            if each not in known
        ]
    )
    viewing = Viewing(source, chosen, save or place, library)
    if len(set(viewing.files)) < len(chosen):
        raise InputError(f"{', '.join(chosen)}: pages would have equal names: view them separately")
    return viewing


def write_views(
    viewing: Viewing, watch: ProgressListener, on_page: Callable[[Path], None] = lambda path: None
) -> list[Path]:
    """Writes a page for each case.

    Returns:
        The pages.
    """
    for path, viewed in zip(viewing.files, viewing.source.views(viewing.cases, watch), strict=True):
        on_page(write_view(path, viewed, viewing.library))
    return viewing.files


def _kind(word: str, home: Path) -> str | None:
    """Returns the kind of an argument: a study, a run or a folder of predictions; None: a case."""
    path = Path(word).expanduser()
    if (path / STUDY_FILE).is_file() or (home / "ablations" / word / STUDY_FILE).is_file():
        return "study"
    if is_predicted(path):
        return "folder"
    is_run = (path / "config.yaml").is_file() and path.resolve().parent.name == "runs"
    if is_run or RunFolder(home, word).config.is_file():
        return "run"
    try:
        return None if find_runs(word, home) is None else "run"
    except InputError:
        return "run"  # its later use raises the error


def _study(places: Sequence[str], home: Path) -> tuple[list[tuple[str, RunFolder]], Path]:
    """Returns the first finished run of each arm, and the folder for the pages."""
    if len(places) > 1:
        raise InputError(f"{', '.join(places)}: expected one study")
    folder = Path(places[0]).expanduser()
    folder = folder if (folder / STUDY_FILE).is_file() else home / "ablations" / places[0]
    study = StudyResults(read_study(folder))
    root = folder.resolve().parents[1]
    runs = [
        (arm.name, RunFolder(root, finished[0]))
        for arm in study.measured.arms
        if (finished := study.finished(arm.name))
    ]
    if not runs:
        raise InputError(Problem("the study has no finished run yet", folder))
    return runs, folder / FOLDER / CASES


def _runs(places: Sequence[str], home: Path) -> tuple[list[tuple[str, RunFolder]], Path]:
    """Returns the runs with a unique name for each, and the folder for the pages."""
    problems: list[Problem] = []
    found: list[RunFolder] = []
    for word in places:
        with gather(problems):
            found.append(find_run(word, home, ""))
    raise_all(problems)
    found = list({run.path.resolve(): run for run in found}.values())
    configs = [read_config(run) for run in found]
    arms = [config.arm.name for config in configs]
    names = [
        config.arm.name
        if arms.count(config.arm.name) == 1
        else f"{config.arm.name} seed {config.seed} fold {config.data.fold}"
        for config in configs
    ]
    # Runs of the same arm with other values.
    names = [
        name if names.count(name) == 1 else f"{name} {run.run_id}"
        for name, run in zip(names, found, strict=True)
    ]
    return list(zip(names, found, strict=True)), found[-1].path / "view"


def _folders(
    places: Sequence[Path], images: Path | None, references: Path | None
) -> tuple[FoldersView, Path]:
    from spsam.data.sources.volumes import open_volumes

    problems: list[Problem] = []
    scans: list[Case] = []
    known: dict[str, Path] = {}
    if images is None:
        problems.append(Problem(f"{places[0]} contains label maps: add their scans with --images"))
    else:
        with gather(problems):
            scans = open_volumes(images)
    with gather(problems):
        known = open_references(references)
    raise_all(problems)
    found = [each.expanduser().resolve() for each in places]
    names = [each.name for each in found]
    labels = [
        name if names.count(name) == 1 else f"{folder.parent.name}/{name}"
        for name, folder in zip(names, found, strict=True)
    ]
    return FoldersView(dict(zip(labels, found, strict=True)), scans, known), places[-1] / "view"
