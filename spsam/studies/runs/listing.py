"""Listing of all runs in a folder of results, with the studies to which they belong."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from spsam.config.identity import as_of_then
from spsam.config.problems import check, places_in, raise_all
from spsam.config.schema import RunConfig
from spsam.config.yaml_file import read_yaml
from spsam.errors import InputError, SpsamError
from spsam.registry.files import natural
from spsam.results.run_folder import RunBusyError, RunFolder

RunState = Literal["planned", "running", "interrupted", "finished", "failed", "damaged"]

SINGLE = "single"
"""Takes the place of the study in the name of a run without one, as from `spsam train`."""


@dataclass(frozen=True)
class RunEntry:
    """One run in a folder of results.

    Attributes:
        folder: The run's folder; does not exist for a planned run.
        studies: (ablation, arm's name in it) for each ablation that contains the run; studies can
            share a run under different arms.
        sweeps: Names of the sweeps that contain the run as a trial.
        arm: The arm's name in the first of these studies; empty if it cannot be read.
        seed: The seed; None if it cannot be read.
        fold: The fold; None if it cannot be read.
        state: `running` is in progress, `interrupted` can be resumed, `damaged` cannot be read.
        when: Time of the last write to its folder, in seconds since 1970; None for a planned run.
        problem: Description of the damage.
    """

    folder: RunFolder
    studies: tuple[tuple[str, str], ...]
    sweeps: tuple[str, ...]
    arm: str
    seed: int | None
    fold: int | None
    state: RunState
    when: float | None
    problem: str = ""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.folder.run_id

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """(study, sweep or `SINGLE`; arm's name in it) for each study or sweep of the run."""
        sweeps = tuple((sweep, self.arm) for sweep in self.sweeps)
        return (*self.studies, *sweeps) or ((SINGLE, self.arm),)

    @property
    def name(self) -> str:
        """`STUDY/ARM/SEED/FOLD` in the first of its studies; the id if it is damaged."""
        if self.seed is None or self.fold is None:
            return self.run_id
        return f"{'/'.join(self.places[0])}/{self.seed}/{self.fold}"

    @cached_property
    def dice(self) -> float | None:
        """Mean Dice over foreground classes, 0…1; None if there are no scores or it is damaged."""
        from spsam.reporting.means import mean_dice

        if self.state != "finished":
            return None
        try:
            rows = self.folder.read_rows()
        except SpsamError:
            return None
        if not rows:
            return None
        found = mean_dice(rows, 1 + max(row.class_id for row in rows))
        return None if math.isnan(found) else found


@dataclass(frozen=True)
class Listing:
    """The runs in a folder of results.

    Attributes:
        runs: Sorted by study, arm, seed and fold.
        problems: Messages about files that could not be read.
    """

    runs: Sequence[RunEntry]
    problems: Sequence[str] = ()


def list_runs(home: Path) -> Listing:
    """Lists all runs; damaged files are reported as problems and do not hide other runs.

    Args:
        home: The folder of all results, which may not exist.
    """
    problems: list[str] = []
    studies: dict[str, list[tuple[str, str, int, int]]] = {}
    for name, arm, seed, fold, run_id in _of_studies(home, problems):
        studies.setdefault(run_id, []).append((name, arm, seed, fold))
    sweeps: dict[str, list[str]] = {}
    for name, run_id in _of_sweeps(home, problems):
        sweeps.setdefault(run_id, []).append(name)
    there = {path.name for path in (home / "runs").glob("[!.]*") if path.is_dir()}
    runs = []
    for run_id in sorted(there | set(studies)):
        known = studies.get(run_id, [])
        entry = _entry(RunFolder(home, run_id), known[0][1:] if known else None)
        names = tuple(dict.fromkeys((study, arm) for study, arm, *_ in known))
        entry = replace(entry, studies=names, sweeps=tuple(dict.fromkeys(sweeps.get(run_id, ()))))
        runs.append(entry)
        if entry.problem:
            problems.append(entry.problem)
    return Listing(sorted(runs, key=_order), problems)


def read_config(folder: RunFolder) -> RunConfig:
    """Returns the configuration with which a run was executed.

    Raises:
        InputError: If the file is damaged, or was written by another version.
    """
    file = read_yaml(folder.config)
    config, problems = check(RunConfig, as_of_then(file.data), places_in(file))
    raise_all(problems)
    assert isinstance(config, RunConfig)
    return config


def _order(entry: RunEntry) -> tuple[Any, ...]:
    numbers = (-1 if entry.seed is None else entry.seed, -1 if entry.fold is None else entry.fold)
    home = entry.places[0][0]
    return (not entry.studies, home, natural(entry.arm), *numbers, entry.run_id)


def _of_studies(home: Path, problems: list[str]) -> Iterator[tuple[str, str, int, int, str]]:
    """Yields (study, arm, seed, fold, run id) for every run of a study, planned ones included."""
    from spsam.reporting.study_data import folds_of
    from spsam.reporting.study_description import STUDY_FILE, as_arms, find_studies, read_about

    for folder in find_studies(home):
        try:
            about = read_about(folder / STUDY_FILE)
        except InputError as error:
            problems.append(str(error))
            continue
        places = [(int(seed), fold["fold"]) for seed in about["seeds"] for fold in folds_of(about)]
        for arm in as_arms(about):
            for (seed, fold), run_id in zip(places, arm.run_ids, strict=True):
                yield str(about["name"]), arm.name, seed, int(fold), run_id


def _of_sweeps(home: Path, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yields (sweep, run id) for every recorded trial."""
    for file in sorted((home / "sweeps").glob("*/trials.csv")):
        try:
            with file.open(encoding="utf-8", newline="") as lines:
                ids = [line.get("user_attrs_run_id") for line in csv.DictReader(lines)]
        except (OSError, ValueError, csv.Error) as error:
            problems.append(f"{file}: cannot be read: {error}")
            continue
        yield from ((file.parent.name, run_id) for run_id in ids if run_id)


def _entry(folder: RunFolder, known: tuple[str, int, int] | None) -> RunEntry:
    """Returns the entry of a run; `known` contains arm, seed and fold if a study lists it."""
    arm, seed, fold = known or ("", None, None)
    entry = RunEntry(folder, (), (), arm, seed, fold, "planned", None)
    if not folder.path.is_dir():
        return entry
    try:
        record = folder.read()
        if known is None:
            arm, seed, fold = _by_itself(folder)
    except SpsamError as error:
        return replace(entry, state="damaged", when=_when(folder), problem=str(error))
    state: RunState = record["status"]
    if state == "finished" and not folder.rows.is_file():
        state = "damaged"
        missing = f"{folder.rows}: is missing; remove the folder to run it again"
        entry = replace(entry, problem=missing)
    if state == "running" and not _is_locked(folder):
        state = "interrupted"
    return replace(entry, arm=arm, seed=seed, fold=fold, state=state, when=_when(folder))


def _by_itself(folder: RunFolder) -> tuple[str, int, int]:
    """Returns arm, seed and fold of a run that belongs to no study.

    Raises:
        SpsamError: If its configuration is missing or damaged.
    """
    if not folder.config.is_file():
        raise SpsamError(f"{folder.path}: has no {folder.config.name}: not a run, or damaged")
    config = read_yaml(folder.config).data
    try:
        return str(config["arm"]["name"]), int(config["seed"]), int(config["data"]["fold"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{folder.config}: is damaged; remove the folder to run it again"
        raise SpsamError(message) from error


def _is_locked(folder: RunFolder) -> bool:
    try:
        with folder.lock():
            return False
    except (RunBusyError, OSError):
        return True  # nothing can be concluded about a folder that is not writable


def _when(folder: RunFolder) -> float | None:
    """Returns the time of the run's last write, which copies of the folder may preserve."""
    times = [file.stat().st_mtime for file in (folder.record, folder.metrics) if file.is_file()]
    return max(times, default=None)
