"""A study as it stands in the results store: its arms, its runs and their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from spsam.results.scored import scored_names
from spsam.text.classes import class_labels
from spsam.text.escape import one_line

FINISHED = "finished"
FAILED = "failed"
MISSING = "missing"

EXTERNAL = "external"
"""The mark of what was predicted elsewhere."""


@dataclass(frozen=True)
class ArmData:
    """One arm of a study.

    Attributes:
        name: The arm's file without `.yaml`.
        title: The arm in words.
        parent: The arm that it is compared with; None for the first of its line.
        diff: What it changes of its base: mappings with key, parent and value.
        trained_parameters: Of all its added blocks; NaN of an external.
        weights: Where its SAM's come from, by backbone, in words; empty for a network without SAM
            and where that was not recorded.
        run_ids: One for each seed and fold of the study, seed by seed; of an external one a fold.
        levels: Of a factorial study: factor -> the value it has here.
        base: The arm that it is a change of: its parent, or one that is not in the study.
        external: Whether it was predicted elsewhere: nothing of it was trained here, and it counts
            for one seed.
        best: Where validation cases chose the epoch of the weights: `of` how many validations it is
            the best, on how many `cases` of the first fold; empty where the last step's are scored.
        initial: Trained blocks of earlier runs that its runs begin with, in words.
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
    best: Mapping[str, int] = field(default_factory=dict)
    initial: Sequence[str] = ()
    base: str | None = None

    @property
    def label(self) -> str:
        """What it is called where space is short."""
        return one_line(self.shown)

    @property
    def shown(self) -> str:
        """Its name in tables: a cell's levels; an external is marked wherever it stands."""
        name = " · ".join(self.levels.values()) or self.name
        return f"{name} ({EXTERNAL})" if self.external else name


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
        """All that is scored, as the data set has it, background first: classes, or regions."""
        return scored_names(self.data)

    @property
    def class_labels(self) -> Sequence[str]:
        """All classes as tables and figures have them, each with a name of its own."""
        return class_labels(self.class_names)

    @property
    def mapped_labels(self) -> Sequence[str]:
        """The classes of label maps, as `class_labels`; of regions these are their parts."""
        return class_labels(tuple(self.data["class_names"]))

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
    def factors(self) -> tuple[str, ...]:
        """Of a factorial study; empty of another shape."""
        own = [arm.levels for arm in self.arms if not arm.external]
        if not own or not all(own):
            return ()
        return tuple(dict.fromkeys(factor for levels in own for factor in levels))

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


def folds_of(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every fold of a study with its split's hash; before there were several, the data's own."""
    data = about["data"]
    one = {"fold": data["fold"], "split_hash": data["split_hash"]}
    return list(about.get("folds") or [one])
