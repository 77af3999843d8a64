"""The tuning of a study: the search space and search settings of a sweep, for every arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spsam.config.choices import choice_or_range_problems
from spsam.config.problems import Place, PlaceOf, check, dotted
from spsam.config.sweep import SweepConfig
from spsam.config.yaml_file import KeyPath
from spsam.errors import Problem

SEARCH = ("trials", "sampler", "pruner", "prune_by", "prune_every", "seed")
"""Keys of `tune` that set up the search; all others are dotted keys of values to tune."""


@dataclass(frozen=True)
class Tune:
    """How the values of every arm are tuned on validation cases before its runs.

    Attributes:
        space: Dotted key -> choices or a range, as in a sweep.
        search: Settings of the search.
        path: Key path of the section in the study's file.
    """

    space: Mapping[str, Any]
    search: Mapping[str, Any] = field(default_factory=dict)
    path: KeyPath = ("tune",)

    @property
    def section(self) -> str:
        """The path of the section as a dotted key."""
        return dotted(self.path)

    def sweep(self, arm: str, title: str) -> SweepConfig:
        """The sweep of one arm."""
        found, problems = check(SweepConfig, self._data(arm, title), lambda path: Place(None, None))
        assert not problems, "the study's file was checked"
        assert isinstance(found, SweepConfig)
        return found

    def problems(self, place: PlaceOf) -> list[Problem]:
        """Every mistake in the section, with its place in the file."""
        if not self.space:
            said = f"{self.section}: expected a dotted key to tune, such as train.optimizer.lr"
            return [place(self.path).problem(said)]
        found = []
        for key, entry in self.space.items():
            found += choice_or_range_problems(entry, place, (*self.path, key))
        _, wrong = check(SweepConfig, self._data("arm", "title"), lambda path: place(self.path))
        return [*found, *wrong]

    def _data(self, arm: str, title: str) -> dict[str, Any]:
        return {"title": title, "arm": arm, "space": dict(self.space), **self.search}


def as_tune(entry: Mapping[str, Any], path: KeyPath = ("tune",)) -> Tune:
    """Separates the search settings from the search space of a `tune` section.

    Args:
        entry: The section.
        path: Key path of the section in the study's file.
    """
    space = {key: value for key, value in entry.items() if key not in SEARCH}
    return Tune(space, {key: entry[key] for key in SEARCH if key in entry}, path)
