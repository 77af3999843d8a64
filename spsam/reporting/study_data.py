"""What a study measured, read from the results store: the one loader of every report."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spsam.checksums import from_sealed_json, sha256
from spsam.errors import InputError, Problem, SpsamError
from spsam.results.run_folder import RunFolder
from spsam.text.classes import class_labels
from spsam.text.escape import one_line
from spsam.text.json_text import parse_json

FINISHED = "finished"
FAILED = "failed"
MISSING = "missing"

EXTERNAL = "external"
"""The mark of what was predicted elsewhere."""

STUDY_FILE = "ablation.json"
_OF_DATA = ("name", "fingerprint", "split_name", "split_hash", "fold", "class_names")

_WORDS = ("case", "patient", "class_name", "metric", "convention")
_ROW_COLUMNS = (
    *("run_id", "arm", "seed", "fold", "case", "patient"),
    *("class_id", "class_name", "metric", "convention", "value"),
)

# Column of `StudyData.runs` -> where the run's record has it.
_COSTS: Mapping[str, tuple[str, ...]] = {
    "trained_parameters": ("trained_parameters",),
    "total_parameters": ("total_parameters",),
    "seconds": ("seconds",),
    "training_seconds": ("cost", "training_seconds"),
    "step_seconds": ("cost", "step_seconds", "joint"),
    "peak_memory_bytes": ("cost", "peak_memory_bytes"),
    "gflops": ("cost", "gflops"),
}


@dataclass(frozen=True)
class ArmData:
    """One arm of a study.

    Attributes:
        name: The arm's file without `.yaml`.
        title: The arm in words.
        parent: The arm that it is a change of; None for the first of its line.
        diff: What it changes: mappings with key, parent and value.
        trained_parameters: Of all its added blocks; NaN of an external.
        weights: Where its SAM's come from, by backbone, in words; empty for a network without SAM
            and where that was not recorded.
        run_ids: One for each seed and fold of the study, seed by seed; of an external one a fold.
        levels: Of a factorial study: factor -> the value it has here.
        external: Whether it was predicted elsewhere: nothing of it was trained here, and it counts
            for one seed.
        tuned: Budget and values that a sweep on validation cases chose; empty where none did.
    """

    name: str
    title: str
    parent: str | None
    diff: Sequence[Mapping[str, Any]]
    trained_parameters: float
    run_ids: Sequence[str]
    levels: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""
    external: bool = False
    tuned: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it is called where space is short."""
        return one_line(" · ".join(self.levels.values()) or self.shown)

    @property
    def shown(self) -> str:
        """Its name in tables: an external is marked wherever it stands."""
        return f"{self.name} ({EXTERNAL})" if self.external else self.name


@dataclass(frozen=True)
class StudyData:
    """A study as it stands in the results store.

    Attributes:
        folder: The study's folder.
        about: Its description, as `ablation.json` has it.
        arms: In the order of the study.
        rows: One line a score of a finished run: run_id, arm, seed, fold, case, patient, class_id,
            class_name, metric, convention, value. Words are categories; `arm`'s are in the order of
            the arms. Dice is in 0…1; NaN where the convention leaves a class out.
        runs: One line a run: run_id, arm, seed, fold, state (`finished`, `failed` or `missing`),
            config_hash (16 digits of the sha-256 of its config.yaml), git_commit, git_dirty,
            weights (where SAM's come from), data_fingerprint, split_hash, trained_parameters,
            total_parameters, seconds, training_seconds, step_seconds (an optimiser step of the
            joint phase, median), peak_memory_bytes, gflops (one forward pass of one patch), folder
            (text). NaN or None where a run did not record it.
        reasons: By run id, what is damaged of a run that is therefore a hole.
    """

    folder: Path
    about: Mapping[str, Any]
    arms: Sequence[ArmData]
    rows: pd.DataFrame
    runs: pd.DataFrame
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.about["name"])

    @property
    def data(self) -> Mapping[str, Any]:
        """The data's identity: name, fingerprint, split_name, split_hash, fold, class_names, …."""
        data: Mapping[str, Any] = self.about["data"]
        return data

    @property
    def published(self) -> str:
        """The data set's name in the paper's tables; else its own."""
        return str(self.about.get("published") or self.data["name"])

    @property
    def class_names(self) -> Sequence[str]:
        """All classes as the data set has them, background first."""
        return tuple(self.data["class_names"])

    @property
    def class_labels(self) -> Sequence[str]:
        """All classes as tables and figures have them, each with a name of its own."""
        return class_labels(self.class_names)

    @property
    def seeds(self) -> Sequence[int]:
        """As many runs an arm and fold."""
        return tuple(self.about["seeds"])

    @property
    def weights(self) -> Sequence[str]:
        """Where SAM's weights come from, each origin once; empty where none was recorded."""
        return tuple(dict.fromkeys(arm.weights for arm in self.arms if arm.weights))

    @property
    def split_words(self) -> str:
        """The split and its folds in words."""
        folds = folds_of(self.about)
        numbers = ", ".join(str(fold["fold"]) for fold in folds)
        hashes = ", ".join(str(fold["split_hash"]) for fold in folds)
        many = "s" if len(folds) > 1 else ""
        return f"{self.data['split_name']}, fold{many} {numbers}, hash {hashes}"

    @property
    def test_cases(self) -> int:
        """How many cases the split scores."""
        return int(self.about["cases"]["test"])

    @property
    def externals(self) -> Sequence[str]:
        """The names of what was predicted elsewhere."""
        return tuple(arm.name for arm in self.arms if arm.external)

    def part(self, names: Collection[str]) -> StudyData:
        """The same study with some of its arms alone, in its order."""
        rows, runs = (
            frame[frame["arm"].isin(list(names))].assign(
                arm=lambda kept: kept["arm"].astype("category").cat.remove_unused_categories()
            )
            for frame in (self.rows, self.runs)
        )
        arms = [arm for arm in self.arms if arm.name in names]
        return dataclasses.replace(self, arms=arms, rows=rows, runs=runs)


def find_studies(root: Path) -> list[Path]:
    """The folders of the studies below a folder of results, in the order of their names.

    Args:
        root: A folder of results, or the folder of one study.
    """
    if (root / STUDY_FILE).is_file():
        return [root]
    return sorted(file.parent for file in (root / "ablations").glob(f"*/{STUDY_FILE}"))


def read_study(folder: Path) -> StudyData:
    """Reads a study with all its runs; a run that is missing or damaged is a hole, no error.

    Args:
        folder: `<home>/ablations/<name>`; its runs are in `<home>/runs`.

    Raises:
        InputError: If the folder holds no study, or its description is damaged.
    """
    about = read_about(folder / STUDY_FILE)
    home = folder.resolve().parents[1]
    arms = as_arms(about)
    runs, parts = [], []
    reasons: dict[str, str] = {}
    for arm in arms:
        seeds = about["seeds"][:1] if arm.external else about["seeds"]
        wanted = [(seed, fold) for seed in seeds for fold in folds_of(about)]
        for (seed, fold), run_id in zip(wanted, arm.run_ids, strict=True):
            run = RunFolder(home, run_id)
            line, scores, reason = _run(run, {**about["data"], **fold})
            if reason:
                reasons[run_id] = reason
            runs.append({**line, "arm": arm.name, "seed": seed})
            if scores is not None:
                parts.append((arm.name, seed, run_id, scores))
    columns = ["run_id", "arm", "seed", *[name for name in runs[0] if name not in _ROW_COLUMNS[:3]]]
    table = pd.DataFrame.from_records(runs, columns=columns)
    return StudyData(folder, about, arms, gather_rows(parts, arms), table, reasons)


def read_about(file: Path) -> dict[str, Any]:
    """Reads a study's description.

    Raises:
        InputError: If there is none or it is damaged.
    """
    try:
        about = from_sealed_json(file.read_bytes())
        folds = len(folds_of(about))
        whole = all(
            len(arm.run_ids) == folds * (1 if arm.external else len(about["seeds"]))
            for arm in as_arms(about)
        )
        # What is read later is read here, too: a description without it is damaged.
        _ = (str(about["name"]), int(about["cases"]["test"]), *map(int, about["seeds"]))
        _ = [about["data"][key] for key in _OF_DATA]
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", file)) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        whole = False
    if not whole or not about["arms"] or not about["seeds"]:
        raise InputError(Problem("is no study's description; run spsam ablate again", file))
    return dict(about)


def folds_of(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every fold of a study with its split's hash; before there were several, the data's own."""
    data = about["data"]
    one = {"fold": data["fold"], "split_hash": data["split_hash"]}
    return list(about.get("folds") or [one])


def as_arms(about: Mapping[str, Any]) -> list[ArmData]:
    """The arms of a study's description."""
    return [
        ArmData(
            name=entry["name"],
            title=entry["title"],
            parent=entry["parent"],
            diff=tuple(entry["diff"]),
            trained_parameters=_parameters(entry),
            run_ids=tuple(entry["run_ids"]),
            levels=entry.get("levels", {}),
            weights=_weights(entry.get("weights")),
            external=bool(entry.get("external")),
            tuned=entry.get("tuned") or {},
        )
        for entry in about["arms"]
    ]


def _parameters(entry: Mapping[str, Any]) -> float:
    return math.nan if entry.get("external") else int(entry["trained_parameters"])


def _weights(told: Mapping[str, Any] | None) -> str:
    return f"{told['backbone']}, {told['origin']}" if told else ""


def as_rows(table: pd.DataFrame, arms: Sequence[ArmData]) -> pd.DataFrame:
    """A plain table of scores with the types of `StudyData.rows`."""
    names = [arm.name for arm in arms]
    columns = {
        "run_id": _category(table["run_id"]),
        "arm": _category(table["arm"], names),
        "seed": table["seed"].to_numpy(np.int64),
        **{name: _category(table[name]) for name in _WORDS},
        **{name: table[name].to_numpy(np.int16) for name in ("fold", "class_id")},
        "value": table["value"].to_numpy(np.float64),
    }
    return pd.DataFrame({name: columns[name] for name in _ROW_COLUMNS})


Scores = Mapping[str, Sequence[Any]]


def _run(run: RunFolder, data: Mapping[str, Any]) -> tuple[dict[str, Any], Scores | None, str]:
    """A run's line, where it is finished its scores, and what is damaged, if something is."""
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
    """The columns of a file of rows, for which `results.rows.read_rows` is too slow.

    Raises:
        SpsamError: If the file is damaged.
    """
    try:
        lines = [line for line in file.read_bytes().splitlines() if line]
        entries = parse_json(b"[" + b",".join(lines) + b"]")
        words = {name: [sys.intern(entry[name]) for entry in entries] for name in _WORDS}
        values = [math.nan if (v := entry["value"]) is None else float(v) for entry in entries]
        numbers = {name: [int(entry[name]) for entry in entries] for name in ("fold", "class_id")}
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SpsamError(f"{file}: is damaged; remove the run's folder to run it again") from error
    return {**words, **numbers, "value": values}


def gather_rows(
    parts: Sequence[tuple[str, int, str, Scores]], arms: Sequence[ArmData]
) -> pd.DataFrame:
    """One table of the scores of all runs.

    Args:
        parts: Arm, seed, run id and columns of each finished run.
        arms: In the order that the categories of `arm` take.
    """
    lengths = [len(scores["value"]) for *_, scores in parts]

    def joined(name: str) -> Iterator[Any]:
        return (value for *_, scores in parts for value in scores[name])

    def repeated(index: int) -> list[Any]:
        return [p[index] for p, length in zip(parts, lengths, strict=True) for _ in range(length)]

    count = sum(lengths)
    columns: dict[str, Any] = {
        "run_id": _category(repeated(2)),
        "arm": _category(repeated(0), [arm.name for arm in arms]),
        "seed": np.fromiter(repeated(1), np.int64, count),
        **{name: _category(joined(name)) for name in _WORDS},
        **{name: np.fromiter(joined(name), np.int16, count) for name in ("fold", "class_id")},
        "value": np.fromiter(joined("value"), np.float64, count),
    }
    return pd.DataFrame({name: columns[name] for name in _ROW_COLUMNS})


def _category(words: Iterable[str], first: Sequence[str] = ()) -> pd.Categorical[Any]:
    """Categories in the order in which they first appear, so that cases keep the split's."""
    number = {word: index for index, word in enumerate(first)}
    codes: NDArray[np.int32] = np.array(
        [number.setdefault(word, len(number)) for word in words], np.int32
    )
    found: pd.Categorical[Any] = pd.Categorical.from_codes(
        codes, categories=pd.Index(list(number), dtype=object)
    )
    return found
