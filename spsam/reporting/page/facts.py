"""Facts about a study on its page, besides tables and figures."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spsam.errors import SpsamError
from spsam.reporting.study_data import FINISHED, StudyData
from spsam.reporting.tables.tuning import checkpoint_words, initial_words, tuning_words
from spsam.results.run_folder import RunFolder
from spsam.tracking.lookup import run_pages

_TAIL = 25  # number of lines of an error


@dataclass(frozen=True)
class RunFacts:
    """One run on the page.

    Attributes:
        arm: Name of the arm.
        seed: The seed.
        run_id: The run id.
        state: `finished`, `failed` or `missing`.
        seconds: Duration; None if unknown.
        commit: The git commit, followed by `+` if files were modified; empty if unknown.
        files: Name -> address relative to the page.
        mlflow: Address of the run below that of `spsam ui`; empty if the run is not tracked.
        log: The last lines of the error; empty without an error.
    """

    arm: str
    seed: int
    run_id: str
    state: str
    seconds: float | None
    commit: str
    files: Mapping[str, str]
    mlflow: str
    log: str


def study_facts(measured: StudyData) -> list[tuple[str, str]]:
    """Data, split, seeds and other facts, as pairs of title and text."""
    about, data = measured.about, measured.data
    cases = about["cases"]
    states = Counter(measured.runs["state"])
    return [
        ("Data", f"{data['name']}, fingerprint {data['fingerprint']}"),
        ("Split", measured.split_words),
        ("Cases", ", ".join(f"{number} {part}" for part, number in cases.items())),
        ("Classes", ", ".join(measured.class_labels[1:])),
        ("Arms", ", ".join(arm.name for arm in measured.arms if not arm.external)),
        *_externals(about),
        *[("Tuning", sentence) for sentence in tuning_words(measured.arms)],
        *[("Weights", sentence) for sentence in checkpoint_words(measured.arms)],
        *[("Initial weights", sentence) for sentence in initial_words(measured.arms)],
        ("Seeds", ", ".join(map(str, measured.seeds))),
        ("Preset", str(about.get("preset", ""))),
        *[("SAM's weights", told) for told in measured.weights],
        ("Runs", f"{states[FINISHED]} of {len(measured.runs)} finished"),
        *[("Note", str(note)) for note in about.get("notes", ())],
    ]


def _externals(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = []
    for entry in about["arms"]:
        if external := entry.get("external"):
            count, folder = len(external["sha256"]), external["folder"]
            told.append(
                ("External", f"{entry['name']}: {entry['title']}; {count} label maps of {folder}")
            )
    return told


def differences(measured: StudyData) -> list[dict[str, str]]:
    """Every setting in which an arm differs from its base."""
    return [
        {
            "arm": arm.name,
            "title": arm.title,
            "parent": arm.base or "",
            "key": str(change.get("key", "")),
            "before": _value(change.get("parent")),
            "after": _value(change.get("value")),
        }
        for arm in measured.arms
        for change in arm.diff
    ]


def environments(measured: StudyData) -> list[tuple[str, list[tuple[str, int]]]]:
    """The runs' environments: name -> values, each with its number of runs."""
    counts: dict[str, Counter[str]] = {}
    for folder in measured.runs["folder"].unique():
        for key, value in _flat(_record(Path(folder)).get("environment") or {}):
            counts.setdefault(key, Counter())[_value(value)] += 1
    return [(key, values.most_common()) for key, values in counts.items()]


def run_facts(measured: StudyData, page: Path) -> list[RunFacts]:
    """The study's runs, in its order.

    Args:
        measured: The study.
        page: The page's folder, which addresses are relative to.
    """
    pages = run_pages(measured.folder.resolve().parents[1])
    found = []
    for line in measured.runs.to_dict("records"):
        folder = Path(line["folder"])
        commit = str(line["git_commit"] or "")[:12]
        seconds = _record(folder).get("seconds")
        found.append(
            RunFacts(
                arm=str(line["arm"]),
                seed=int(line["seed"]),
                run_id=str(line["run_id"]),
                state=str(line["state"]),
                seconds=float(seconds) if isinstance(seconds, int | float) else None,
                commit=f"{commit}+" if commit and line["git_dirty"] else commit,
                files=_files(folder, page),
                mlflow=pages.get(str(line["run_id"]), ""),
                log=""
                if line["state"] == FINISHED
                else measured.reasons.get(str(line["run_id"])) or _log(folder),
            )
        )
    return found


def address(file: Path, page: Path) -> str:
    """The address of a file relative to a page's folder."""
    relative = os.path.relpath(file.resolve(), page.resolve())
    return quote(Path(relative).as_posix())


def _files(folder: Path, page: Path) -> dict[str, str]:
    run = RunFolder(folder.parents[1], folder.name)
    named = (run.config, run.record, run.metrics, run.rows, run.preview, run.predictions, run.error)
    return {file.name: address(file, page) for file in named if file.exists()}


def _record(folder: Path) -> Mapping[str, Any]:
    try:
        return RunFolder(folder.parents[1], folder.name).read()
    except SpsamError:  # already listed as a missing run
        return {}


def _log(folder: Path) -> str:
    try:
        text = RunFolder(folder.parents[1], folder.name).error.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-_TAIL:])


def _flat(value: Mapping[str, Any], above: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, (*above, key))
        else:
            yield ".".join((*above, key)), item


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
