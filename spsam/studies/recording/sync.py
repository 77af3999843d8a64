"""Upload of runs that MLflow lacks, from the run folders, for `spsam sync`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spsam.config.yaml_file import read_yaml
from spsam.errors import SpsamError
from spsam.results.run_folder import RunBusyError, RunFolder
from spsam.results.scored import scored_names
from spsam.studies.recording.mlflow_runs import final_scores, mirror
from spsam.text.json_text import parse_json
from spsam.tracking.mlflow import Ending, Tracker
from spsam.tracking.study_summary import StudySummary, summary_of

Runs = tuple[tuple[str, str, Mapping[str, str]], ...]
"""(run id, group, additional tags) of each run."""


@dataclass(frozen=True)
class Recorded:
    """A study to record in MLflow.

    Attributes:
        name: The name displayed by MLflow.
        key: The study's identity.
        tags: Tags of the study.
        runs: All runs of the study, including those that have not begun.
        files: Files to upload as artifacts of the study.
        summary: The study's summary; None if it has no scores.
    """

    name: str
    key: str
    tags: Mapping[str, str] = field(default_factory=dict)
    runs: Runs = ()
    files: tuple[Path, ...] = ()
    summary: StudySummary | None = None


@dataclass(frozen=True)
class Synced:
    """Result of uploading a study.

    Attributes:
        name: The study's name.
        runs: Number of the study's runs that have begun.
        new: Number of these runs that were incomplete in MLflow.
        complete: Whether MLflow recorded everything.
    """

    name: str
    runs: int
    new: int
    complete: bool


def sync(home: Path, warn: Callable[[str], None]) -> list[Synced]:
    """Brings MLflow up to date with a folder of results; complete runs are skipped.

    Args:
        home: The folder of all results.
        warn: Called with warnings, e.g. if the server is unreachable.
    """
    done = []
    known: set[str] = set()
    for study in [*_ablations(home), *_sweeps(home)]:
        known |= {run_id for run_id, _, _ in study.runs}
        done.append(_upload(home, study, warn))
    others = sorted(path.parent.name for path in (home / "runs").glob("*/run.json"))
    alone: Runs = tuple((run_id, "", {}) for run_id in others if run_id not in known)
    if alone:
        done.append(_upload(home, Recorded("single runs", "train", runs=alone), warn))
    return done


def _ablations(home: Path) -> Iterator[Recorded]:
    for file in sorted((home / "ablations").glob("*/ablation.json")):
        plan = _read(file)
        data = plan["data"]
        yield Recorded(
            plan["name"],
            plan["name"],
            {
                "data": data["name"],
                "data_fingerprint": data["fingerprint"],
                "preset": plan["preset"],
            },
            tuple((run_id, arm["name"], {}) for arm in plan["arms"] for run_id in arm["run_ids"]),
            tuple(sorted(file.parent.glob("table.*"))),
            _summary(file.parent / "table.csv", plan),
        )


def _summary(table: Path, plan: Mapping[str, Any]) -> StudySummary | None:
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            return summary_of(list(csv.DictReader(lines)), plan)
    except (OSError, ValueError, csv.Error):  # the table does not exist yet or is damaged
        return None


def _sweeps(home: Path) -> Iterator[Recorded]:
    for file in sorted((home / "sweeps").glob("*/trials.csv")):
        name = file.parent.name
        with file.open(encoding="utf-8", newline="") as lines:
            trials = [line for line in csv.DictReader(lines) if line.get("user_attrs_run_id")]
        # Equal trials share one run; it is tagged with the last of them.
        runs = {line["user_attrs_run_id"]: line["number"] for line in trials}
        yield Recorded(
            name,
            f"sweep {file.parent.resolve()}",
            {"optuna_study": name},
            tuple(
                (run_id, "", {"optuna_study": name, "optuna_trial": number})
                for run_id, number in runs.items()
            ),
            (file,),
        )


def _upload(home: Path, study: Recorded, warn: Callable[[str], None]) -> Synced:
    tracker = Tracker(home, warn)
    tracker.open(study.name, study.key, study.tags)
    begun = new = 0
    endings: list[Ending] = []
    scores: dict[str, list[float]] = {}
    for run_id, group, tags in study.runs:
        folder = RunFolder(home, run_id)
        try:
            ending = _ending(folder)
            config = _config(folder)
        except SpsamError as error:
            warn(str(error))
            continue
        endings.append(ending)
        if config is None:
            continue  # has not begun
        begun += 1
        new += not tracker.recorded(run_id)
        mirror(tracker, folder, config, group, ending, tags)
        if ending == "FINISHED" and group:
            names = scored_names(config["data"])
            scores.setdefault(group, []).append(final_scores(folder, names)["dice/mean"])
    worst: Ending = "FINISHED"
    order: tuple[Ending, ...] = ("KILLED", "RUNNING", "FAILED")
    for each in order:
        worst = each if each in endings else worst
    means = {group: {"dice/mean": sum(all_) / len(all_)} for group, all_ in scores.items()}
    complete = tracker.close(worst, study.files, means, study.summary)
    return Synced(study.name, begun, new, complete)


def _ending(folder: RunFolder) -> Ending:
    """Returns the status of a run.

    Raises:
        SpsamError: If its record is damaged.
    """
    status = folder.status
    if status in ("finished", "failed"):
        return "FINISHED" if status == "finished" else "FAILED"
    try:
        with folder.lock():
            return "KILLED"
    except RunBusyError:
        return "RUNNING"


def _config(folder: RunFolder) -> dict[str, Any] | None:
    """Returns the content of a run's config.yaml; None if the run has not begun.

    Raises:
        InputError: If the file is damaged.
    """
    if not folder.config.is_file():
        return None
    found: dict[str, Any] = read_yaml(folder.config).data
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = parse_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpsamError(f"{file}: is damaged; rerun the study's command to rewrite it") from error
    return plan
