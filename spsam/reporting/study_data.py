"""A study as read from the results store: its arms, its runs and their scores."""

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
"""The mark of external predictions."""


@dataclass(frozen=True)
class ArmData:
    """One arm of a study.

    Attributes:
        name: Name of the arm's file without `.yaml`.
        title: Title of the arm.
        parent: The arm that it is compared with; None if it has no base in the study.
        diff: Its differences from its base: mappings with key, parent and value.
        trained_parameters: Number of parameters of all added blocks; NaN for an external.
        weights: Backbone and origin of its SAM's weights; empty for a network without SAM and if
            not recorded.
        run_ids: One per seed and fold of the study, seed by seed; for an external, one per fold.
        levels: In a factorial study: factor -> level of the arm.
        base: The arm that it is derived from: its parent, or an arm outside the study.
        recipe: The recipe that trained it, which its name ends in; empty without recipes.
        steps: Number of training steps; 0 for an external and if not recorded.
        external: Whether it was predicted by another program. It was not trained by spsam, and
            counts as one seed.
        best: If validation cases select the epoch of the weights: the number `of` validations, and
            the number of validation `cases` in the first fold; empty if the last step is used.
        initial: Trained blocks of earlier runs that its runs start from, in words.
        tuned: Budget and values of the tuning on validation cases; empty without tuning.
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
    recipe: str = ""
    steps: int = 0

    @property
    def method(self) -> str:
        """Its name without the recipe."""
        return self.name.removesuffix(f":{self.recipe}") if self.recipe else self.name

    @property
    def label(self) -> str:
        """Its short name."""
        return one_line(self.shown)

    @property
    def shown(self) -> str:
        """Its name in tables: the levels of a cell; externals are always marked."""
        name = " · ".join(self.levels.values()) or self.name
        return f"{name} ({EXTERNAL})" if self.external else name


@dataclass(frozen=True)
class StudyData:
    """A study as read from the results store.

    Attributes:
        folder: The study's folder.
        about: Its description, the content of `ablation.json`.
        arms: In the order of the study.
        rows: One line per score of a finished run: run_id, arm, seed, fold, case, patient,
            class_id, class_name, metric, convention, value. Texts are categories; those of `arm`
            are in the order of the arms. Dice is in 0…1; NaN if the convention excludes a class.
        runs: One line per run: run_id, arm, seed, fold, state (`finished`, `failed` or `missing`),
            config_hash (16 digits of the SHA-256 of its config.yaml), git_commit, git_dirty,
            weights (origin of SAM's weights), data_fingerprint, split_hash, trained_parameters,
            total_parameters, seconds, training_seconds, step_seconds (an optimiser step of the
            joint phase, median), peak_memory_bytes, gflops (one forward pass of one patch), folder
            (text). NaN or None if not recorded.
        reasons: Run id -> damage, for runs that are treated as missing because they are damaged.
    """

    folder: Path
    about: Mapping[str, Any]
    arms: Sequence[ArmData]
    rows: pd.DataFrame
    runs: pd.DataFrame
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.about["name"])

    @property
    def data(self) -> Mapping[str, Any]:
        """Identity of the data: name, fingerprint, split_name, split_hash, fold, class_names, …."""
        data: Mapping[str, Any] = self.about["data"]
        return data

    @property
    def published(self) -> str:
        """The data set's name in the paper's tables, or its own name."""
        return str(self.about.get("published") or self.data["name"])

    @property
    def class_names(self) -> Sequence[str]:
        """Names of all scored classes or regions in the data set, background first."""
        return scored_names(self.data)

    @property
    def class_labels(self) -> Sequence[str]:
        """Unique names of all scored classes, as shown in tables and figures."""
        return class_labels(self.class_names)

    @property
    def mapped_labels(self) -> Sequence[str]:
        """The classes of label maps, like `class_labels`; regions consist of these classes."""
        return class_labels(tuple(self.data["class_names"]))

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds; each arm has one run per seed and fold."""
        return tuple(self.about["seeds"])

    @property
    def weights(self) -> Sequence[str]:
        """The distinct origins of SAM's weights; empty if not recorded."""
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
        """Number of test cases of the split."""
        return int(self.about["cases"]["test"])

    @property
    def factors(self) -> tuple[str, ...]:
        """Factors of a factorial study; empty for other shapes."""
        own = [arm.levels for arm in self.arms if not arm.external]
        if not own or not all(own):
            return ()
        return tuple(dict.fromkeys(factor for levels in own for factor in levels))

    @property
    def schedules(self) -> Mapping[str, Sequence[ArmData]]:
        """Method -> its arms by number of steps, if recipes differ in that number; else empty."""
        methods: dict[str, list[ArmData]] = {}
        for arm in self.arms:
            if arm.recipe:
                methods.setdefault(arm.method, []).append(arm)
        lengths = [[arm.steps for arm in arms] for arms in methods.values()]
        # Recipes of equal length differ in something else, and are no schedules.
        if any(len(set(each)) < max(len(each), 2) for each in lengths):
            return {}
        return {name: sorted(arms, key=lambda arm: arm.steps) for name, arms in methods.items()}

    @property
    def externals(self) -> Sequence[str]:
        """Names of external predictions."""
        return tuple(arm.name for arm in self.arms if arm.external)

    def part(self, names: Collection[str]) -> StudyData:
        """The study restricted to some of its arms, in its order."""
        rows, runs = (
            frame[frame["arm"].isin(list(names))].assign(
                arm=lambda kept: kept["arm"].astype("category").cat.remove_unused_categories()
            )
            for frame in (self.rows, self.runs)
        )
        arms = [arm for arm in self.arms if arm.name in names]
        return dataclasses.replace(self, arms=arms, rows=rows, runs=runs)


def folds_of(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every fold of a study with its split's hash; for older studies, the single fold."""
    data = about["data"]
    one = {"fold": data["fold"], "split_hash": data["split_hash"]}
    return list(about.get("folds") or [one])
