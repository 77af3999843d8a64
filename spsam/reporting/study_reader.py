"""Reads studies from the results store, for all reports."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spsam.checksums import sha256
from spsam.errors import SpsamError
from spsam.reporting.score_rows import WORDS, Scores, gather_rows
from spsam.reporting.study_data import FAILED, FINISHED, MISSING, StudyData, folds_of
from spsam.reporting.study_description import STUDY_FILE, as_arms, read_about, seeds_of
from spsam.results.run_folder import RunFolder
from spsam.text.json_text import parse_json

# Column of `StudyData.runs` -> path in the run's record.
_COSTS: Mapping[str, tuple[str, ...]] = {
    "trained_parameters": ("trained_parameters",),
    "total_parameters": ("total_parameters",),
    "seconds": ("seconds",),
    "training_seconds": ("cost", "training_seconds"),
    "step_seconds": ("cost", "step_seconds", "joint"),
    "peak_memory_bytes": ("cost", "peak_memory_bytes"),
    "gflops": ("cost", "gflops"),
}


def read_study(folder: Path) -> StudyData:
    """Reads a study with all its runs; missing or damaged runs are gaps, not errors.

    Args:
        folder: `<home>/ablations/<name>`; its runs are in `<home>/runs`.

    Raises:
        InputError: If the folder does not contain a study, or its description is damaged.
    """
    about = read_about(folder / STUDY_FILE)
    home = folder.resolve().parents[1]
    arms = as_arms(about)
    runs, parts = [], []
    reasons: dict[str, str] = {}
    for arm in arms:
        wanted = [(seed, fold) for seed in seeds_of(about, arm) for fold in folds_of(about)]
        for (seed, fold), run_id in zip(wanted, arm.run_ids, strict=True):
            run = RunFolder(home, run_id)
            line, scores, reason = _run(run, {**about["data"], **fold})
            if reason:
                reasons[run_id] = reason
            runs.append({**line, "arm": arm.name, "seed": seed})
            if scores is not None:
                parts.append((arm.name, seed, run_id, scores))
    first = ["run_id", "arm", "seed"]
    columns = [*first, *[name for name in runs[0] if name not in first]]
    table = pd.DataFrame.from_records(runs, columns=columns)
    return StudyData(folder, about, arms, gather_rows(parts, arms), table, reasons)


def _run(run: RunFolder, data: Mapping[str, Any]) -> tuple[dict[str, Any], Scores | None, str]:
    """A run's line; its scores, if it is finished; and its damage, if any."""
    record: dict[str, Any] = {}
    scores, reason = None, ""
    try:
        record = run.read()
        status = record["status"]
        if status == FINISHED and run.rows.is_file():
            run.verify(run.rows)
            scores = _read_scores(run.rows)
    except SpsamError as error:
        status, reason = FAILED, str(error)
    state = FINISHED if scores is not None else FAILED if status == FAILED else MISSING
    line = {
        "run_id": run.run_id,
        "fold": data["fold"],
        "state": state,
        "config_hash": _hash(run.config),
        "git_commit": _value(record, ("environment", "git", "commit")),
        "git_dirty": _value(record, ("environment", "git", "dirty")),
        "weights": _value(record, ("weights", "origin")),
        "data_fingerprint": data["fingerprint"],
        "split_hash": data["split_hash"],
        **{name: _number(record, keys) for name, keys in _COSTS.items()},
        "folder": str(run.path),
    }
    return line, scores, reason


def _value(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(record: Mapping[str, Any], keys: Sequence[str]) -> float:
    value = _value(record, keys)
    return float(value) if isinstance(value, int | float) else math.nan


def _hash(file: Path) -> str | None:
    try:
        return sha256(file.read_bytes())[:16]
    except OSError:
        return None


def _read_scores(file: Path) -> Scores:
    """Reads the columns of a file of rows, faster than `results.rows.read_rows`.

    Raises:
        SpsamError: If the file is damaged.
    """
    try:
        lines = [line for line in file.read_bytes().splitlines() if line]
        entries = parse_json(b"[" + b",".join(lines) + b"]")
        words = {name: [sys.intern(entry[name]) for entry in entries] for name in WORDS}
        values = [math.nan if (v := entry["value"]) is None else float(v) for entry in entries]
        numbers = {name: [int(entry[name]) for entry in entries] for name in ("fold", "class_id")}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SpsamError(f"{file}: is damaged; remove the run's folder to rerun it") from error
    return {**words, **numbers, "value": values}
